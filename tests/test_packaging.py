"""What is installed is what the checkout has."""

import tomllib
from pathlib import Path

from bench.finetune.recipe import RECIPE_FOLDER

ROOT = Path(__file__).parents[1]


def test_every_package_and_the_recipes_are_installed():
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packages = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("bench", "model_zoo", "tasks")
        for path in (ROOT / top).rglob("__init__.py")
    }
    elsewhere = told["package-dir"]
    assert set(told["packages"]) == packages | {"tasks.splits"} | set(elsewhere)
    assert {ROOT / folder for folder in elsewhere.values()} == {RECIPE_FOLDER}
    assert "*.toml" in told["package-data"]["bench.finetune.recipes"]
    assert "*.csv" in told["package-data"]["bench.reports.leaderboard.published"]
