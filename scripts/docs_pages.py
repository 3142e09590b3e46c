"""Hooks of the manual's build: tables made from the cards, and the pages under ``results/`` as part of the site.

A line of a page in ``docs/`` that ends in ``<!-- generated: NAME -->`` is replaced by the table ``NAME`` of ``TABLES``;
what else it says is for whoever reads the page as it lies there. The tables come from the registry each time the manual
is built, so they cannot be out of date.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.cli import texts
from bench.reports.tables import markdown
from bench.scores.printed import BLANK

ROOT = Path(__file__).resolve().parents[1]
MARK = re.compile(r"^.*<!-- generated: ([\w-]+) -->$", re.MULTILINE)
BESIDE = ("CONTRIBUTING.md", "CHANGELOG.md")  # pages that lie beside docs/, not in it
SHOWN = (".md", ".png", ".csv", ".json")  # of results/, without the records


def encoders() -> str:
    """What every encoder is, a line each."""
    rows = [
        [
            f"`{row['id']}`",
            row["year"] or BLANK,
            f"{row['params'] / 1e6:.1f} M" if row["params"] else BLANK,
            f"{row['rate'] / 1000:g} kHz",
            f"`{row['default_pooling']}`, {row['poolings'][row['default_pooling']]}",
            row["parity"],
        ]
        for row in texts.encoders()
    ]
    return markdown(["id", "year", "parameters", "rate", "default pooling, size", "parity"], rows, right=(1, 2, 3))


def encoder_origins() -> str:
    """On what every encoder was trained, and under which licence its weights are."""
    rows = [
        [
            f"`{row['id']}`",
            texts.SCRATCH if row["from_scratch"] else _listed(row["trained_on"]),
            row["weight_licence"] or BLANK,
        ]
        for row in texts.encoders()
    ]
    return markdown(["id", "pretraining data", "licence of the weights"], rows)


def encoder_poolings() -> str:
    """How long the vector of every pooling is; poolings of one size together, ``tokens`` left out."""
    rows = [
        [
            f"`{row['id']}`",
            texts.pooling_sizes(row["poolings"]),
            _listed(f"`{name}`" for name in row["policies"]) if len(row["policies"]) > 1 else BLANK,
        ]
        for row in texts.encoders()
    ]
    return markdown(["id", "size (poolings)", "input policies, default first"], rows)


def tasks() -> str:
    """What every task asks."""
    rows = [[f"`{row['id']}`", _listed(row["classes"]), f"`{row['main_metric']}`"] for row in texts.tasks()]
    return markdown(["id", "classes (regression: the target)", "main metric"], rows)


def task_tests() -> str:
    """The tests and the other splits of every task."""
    rows = [
        [f"`{row['id']}`", _listed(row["tests"]), _listed(f"`@{name}`" for name in row["variants"])]
        for row in texts.tasks()
    ]
    return markdown(["id", "tests, headline first", "other splits"], rows)


def task_licences() -> str:
    """Where the recordings of every corpus are, under which licence."""
    corpora: dict[tuple[str, ...], list[str]] = {}
    for row in texts.tasks():
        url = f"<{row['url']}>" if row["url"].startswith("http") else row["url"]
        corpora.setdefault((row["licence"], row["access"], url), []).append(f"`{row['id']}`")
    rows = [[", ".join(ids), *facts] for facts, ids in corpora.items()]
    return markdown(["tasks", "licence", "recordings", "from"], rows)


def suites() -> str:
    """The named sets of tasks."""
    rows = []
    for row in texts.suites():
        members = "every task" if row["id"] == "all" else ", ".join(f"`{id}`" for id in row["tasks"])
        rows.append([f"`{row['id']}`", row["about"], members])
    return markdown(["suite", "about", "tasks"], rows)


def protocols() -> str:
    """Every protocol: what it does and how it chooses."""
    parts = []
    for row in texts.protocols():
        seeds = ", ".join(map(str, row["seeds"]))
        head = f"**`{row['name']}`** (version {row['version']}, {row['kind']}, seeds {seeds})"
        parts.append(f"- {head}: {_plain(row['description'])}. *Selection*: {_plain(row['selection'])}.")
    return "\n".join(parts)


def metrics() -> str:
    """Every metric with its formula."""
    from bench.scores.metrics import METRICS

    rows = [[f"`{metric.name}`", metric.title, _plain(metric.formula)] for metric in METRICS.values()]
    return markdown(["metric", "shown as", "formula"], rows)


def recipes() -> str:
    """The recipes that go by name."""
    from bench.finetune.recipe import RECIPE_FOLDER, load_recipe

    named = [load_recipe(path.stem) for path in sorted(RECIPE_FOLDER.glob("*.toml"))]
    rows = [[f"`{recipe.name}`", f"`{recipe.method.name}`", recipe.about, recipe.source or BLANK] for recipe in named]
    return markdown(["recipe", "method", "about", "source"], rows)


def methods() -> str:
    """The methods of fine-tuning with their formulas, sources and hyper-parameters."""
    from bench.finetune.methods import METHODS, describe

    parts = []
    for name in METHODS:
        told = describe(name)
        given = ", ".join(f"`{key}` {value}" for key, value in told["defaults"].items())
        line = f"- **`{name}`**: {_plain(told['formula'])}. *Source*: {_plain(told['source'])}."
        line += f" *Left open there, or other here*: {_plain(told['ours'])}." if told["ours"] else ""
        parts.append(line + (f" *Options*: {given}." if given else ""))
    return "\n".join(parts)


TABLES: dict[str, Callable[[], str]] = {
    "encoders": encoders,
    "encoder-origins": encoder_origins,
    "encoder-poolings": encoder_poolings,
    "tasks": tasks,
    "task-tests": task_tests,
    "task-licences": task_licences,
    "suites": suites,
    "protocols": protocols,
    "metrics": metrics,
    "recipes": recipes,
    "methods": methods,
}


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names)) or BLANK


def _plain(text: str) -> str:
    """Text whose signs mean nothing to Markdown, without a full stop at its end."""
    return re.sub(r"([*_])", r"\\\1", text.rstrip(".")).replace("<", "&lt;")


def filled(text: str) -> str:
    """The text with every mark replaced by its table. Raises ``KeyError`` for one that does not exist."""
    return MARK.sub(lambda mark: TABLES[mark[1]](), text)


def on_files(files: Any, config: Any) -> Any:
    """Adds what lies beside ``docs/``: the pages and figures under ``results/``, CONTRIBUTING and CHANGELOG."""
    from mkdocs.structure.files import File

    found = [path for path in sorted((ROOT / "results").rglob("*")) if path.suffix in SHOWN]
    found = [path for path in found if "records" not in path.relative_to(ROOT).parts]
    for path in [*found, *(ROOT / name for name in BESIDE)]:
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(text: str, page: Any, config: Any, files: Any) -> str:
    """Fills in the tables, and turns links that leave or enter ``docs/`` in the repository into the site's own."""
    if page.file.src_uri in BESIDE:
        return text.replace("](docs/", "](")
    if page.file.src_uri.startswith("results/"):
        return text
    return re.sub(r"\]\(\.\./(?=results/|CONTRIBUTING|CHANGELOG)", "](", filled(text))
