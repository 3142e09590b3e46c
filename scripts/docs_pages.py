"""Writes the tables of the manual that are made from the cards: python scripts/docs_pages.py

What stands in a page of ``docs/`` between ``<!-- table: NAME -->`` and ``<!-- end -->`` is the table ``NAME`` of
``TABLES``. A test holds the pages to the cards, so they cannot be out of date.

The module is also a hook of the manual's build, which makes the pages under ``results/`` a part of the site.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.base.registry import twin_id
from bench.cli import texts
from bench.data.corpora.sources import corpora
from bench.reports.leaderboard.standings.cost import read_speeds
from bench.reports.tables import markdown
from bench.scores.printed import BLANK

ROOT = Path(__file__).resolve().parents[1]
MARK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
BESIDE = ("CONTRIBUTING.md", "CHANGELOG.md")  # pages that lie beside docs/, not in it
SHOWN = (".md", ".png", ".csv", ".json")  # of results/, without the records


def encoders() -> str:
    """What every encoder is and takes, a line each; speeds as they were measured (``results/encode/encoders.csv``)."""
    speeds = read_speeds(ROOT / "results")
    rows = [
        [
            f"`{row['id']}`",
            row["year"] or BLANK,
            f"{row['params'] / 1e6:.1f} M" if row["params"] else BLANK,
            f"{row['rate'] / 1000:g} kHz",
            f"`{row['default_pooling']}`, {row['poolings'][row['default_pooling']]}",
            row["parity"],
            _listed(row["floor_sensitive"]),
            _clips_per_s(speeds, row["id"]),
        ]
        for row in texts.encoders()
    ]
    header = ["id", "year", "parameters", "rate", "default pooling, size", "parity", "hears rounding", "clips/s"]
    return _table(header, rows, right=(1, 2, 3, 7))


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
    return _table(["id", "pretraining data", "licence of the weights"], rows)


def encoder_poolings() -> str:
    """How long the vectors of the main poolings are, and the input policies."""
    rows = [
        [
            f"`{row['id']}`",
            *(row["poolings"].get(name, BLANK) for name in ("published", "mean", "max", "cls", "freq")),
            _listed(f"`{name}`" for name in row["policies"]) if len(row["policies"]) > 1 else BLANK,
        ]
        for row in texts.encoders()
    ]
    header = ["id", "`published`", "`mean`", "`max`", "`cls`", "`freq`", "input policies, default first"]
    return _table(header, rows, right=range(1, 6))


def encoder_floor() -> str:
    """How far noise below one 16-bit step moves every front end, the furthest first, as it was measured."""
    rows = json.loads((ROOT / "results" / "encode" / "floor.json").read_text(encoding="utf-8"))
    lines = []
    for row in sorted(
        rows, key=lambda row: (-row["shifts"]["1e-7"]["largest"] if "shifts" in row else 1.0, row["ids"])
    ):
        found = row.get("shifts", {}).values()
        moved = [cell for of in found for cell in (f"{of['largest']:.2g}", f"{100 * of['share']:.0f} %")] or [BLANK] * 4
        lines.append([_listed(f"`{id}`" for id in row["ids"]), row.get("at", "not measured"), *moved])
    header = ["encoder", "measured at", "1e-7: largest shift", "bands moved", "one step: largest shift", "bands moved"]
    return _table(header, lines, right=range(2, 6))


def tasks() -> str:
    """What every task asks."""
    rows = [[f"`{row['id']}`", _listed(row["classes"]), f"`{row['main_metric']}`"] for row in texts.tasks()]
    return _table(["id", "classes (regression: the target)", "main metric"], rows)


def task_tests() -> str:
    """The tests and the other splits of every task."""
    rows = [
        [f"`{row['id']}`", _listed(row["tests"]), _listed(f"`@{name}`" for name in row["variants"])]
        for row in texts.tasks()
    ]
    return _table(["id", "tests, headline first", "other splits"], rows)


def task_licences() -> str:
    """Where the recordings of every corpus are, under which licence, and whether ``respbench fetch`` downloads them."""
    known = corpora()
    facts = {}
    for row in texts.tasks():
        name = row["id"].partition(".")[0]
        if name in ("transfer", "csv"):  # recordings of other corpora
            continue
        url = f"<{row['url']}>" if row["url"].startswith("http") else row["url"]
        by_fetch = BLANK
        if name in known:
            by_fetch = "downloads" if any(file.urls for file in known[name].files) else "with `--from FILE`"
        facts[(f"`{name}`", row["licence"], row["access"], by_fetch, url)] = None
    return _table(["corpus", "licence", "recordings", "`respbench fetch`", "from"], list(facts))


def suites() -> str:
    """The named sets of tasks."""
    rows = []
    for row in texts.suites():
        members = "every task" if row["id"] == "all" else ", ".join(f"`{id}`" for id in row["tasks"])
        rows.append([f"`{row['id']}`", row["about"], members])
    return _table(["suite", "about", "tasks"], rows)


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
    return _table(["metric", "shown as", "formula"], rows)


def recipes() -> str:
    """The recipes that go by name."""
    from bench.finetune.recipe import RECIPE_FOLDER, load_recipe

    named = [load_recipe(path.stem) for path in sorted(RECIPE_FOLDER.glob("*.toml"))]
    rows = [
        [f"`{recipe.name}`", f"`{recipe.method.name}`", recipe.about, recipe.needs, len(recipe.differences) or BLANK]
        for recipe in named
    ]
    return _table(["recipe", "method", "about", "needs", "differs in"], rows, right=(4,))


def recipe_sources() -> str:
    """What the recipes that follow a source take from there, what was published, and what differs."""
    parts = []
    for row in texts.recipes():
        if row["source"]:
            published = f" *Published*: {_plain(row['published'])}." if row["published"] else ""
            differs = " ".join(_plain(line) + "." for line in row["differences"])
            parts.append(f"- **`{row['name']}`**: {_plain(row['source'])}.{published} *Differs*: {differs}")
    return "\n".join(parts)


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
    "encoder-floor": encoder_floor,
    "tasks": tasks,
    "task-tests": task_tests,
    "task-licences": task_licences,
    "suites": suites,
    "protocols": protocols,
    "metrics": metrics,
    "recipes": recipes,
    "recipe-sources": recipe_sources,
    "methods": methods,
}


def _table(header: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> str:
    """A table without padding, so that a longer cell does not change every other line of the page."""
    text = re.sub(r" *(?<!\\)\| *", " | ", markdown(header, rows, right))
    return re.sub(r"-{3,}", "---", re.sub(r"^ | $", "", text, flags=re.MULTILINE))


def _clips_per_s(ms_per_clip: Mapping[str, float], id: str) -> str:
    """An encoder's speed, or that of its untrained twin, which takes as long."""
    ms = ms_per_clip.get(id, ms_per_clip.get(twin_id(id)))
    return BLANK if ms is None else f"{1000 / ms:.{0 if ms < 10 else 1 if ms < 100 else 2}f}"


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names)) or BLANK


def _plain(text: str) -> str:
    """Text whose signs mean nothing to Markdown, without a full stop at its end."""
    return re.sub(r"([*_])", r"\\\1", text.rstrip(".")).replace("<", "&lt;")


def filled(text: str) -> str:
    """The text with every table as the cards give it now. Raises ``KeyError`` for one that does not exist."""
    return MARK.sub(lambda mark: f"{mark[1]}\n{TABLES[mark[2]]()}\n\n{mark[3]}", text)


def on_files(files: Any, config: Any) -> Any:
    """Adds what lies beside ``docs/``: the pages and figures under ``results/``, CONTRIBUTING and CHANGELOG."""
    from mkdocs.structure.files import File

    found = [path for path in sorted((ROOT / "results").rglob("*")) if path.suffix in SHOWN]
    found = [path for path in found if "records" not in path.relative_to(ROOT).parts]
    for path in [*found, *(ROOT / name for name in BESIDE)]:
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(text: str, page: Any, config: Any, files: Any) -> str:
    """Turns links that leave or enter ``docs/`` in the repository into the site's own."""
    if page.file.src_uri in BESIDE:
        return text.replace("](docs/", "](")
    if page.file.src_uri.startswith("results/"):
        return text
    return re.sub(r"\]\(\.\./(?=results/|CONTRIBUTING|CHANGELOG)", "](", text)


def main() -> None:
    """Writes the tables into the pages of ``docs/``, and says which pages changed."""
    for path in sorted((ROOT / "docs").glob("*.md")):
        before = path.read_text(encoding="utf-8")
        if (after := filled(before)) != before:
            path.write_text(after, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
