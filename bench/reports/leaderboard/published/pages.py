"""Published rows as Markdown: a section on a task's page, and pages of all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.reports.leaderboard.published.rows import MEANING, TRUST, TRUSTED, PublishedRow, comparable, published_rows
from bench.reports.pages import stale_pages, write_pages
from bench.reports.tables import DISCLAIMER, markdown
from bench.scores.printed import BLANK

FOLDER = "published"  # in a results folder
_NO_TASK = "Of no task here"
_ABOUT = (
    "Facts from public sources; cite the paper, not this table. A number may be ranked with ours only where corpus, "
    "split, test, score and protocol are the same: the column *ranked with* names the protocol, or says in italics why "
    "there is none. Nothing here is ranked. Values and their deviations are as the source prints them. *Which epoch "
    "was reported is not said*: most published rows on the official split of ICBHI are of the epoch that did best on "
    "the test."
)


def published_section(task: str, metric: str, state: str) -> list[str]:
    """Renders the section of a task's page; empty where nothing was published of it, and beside simulated data.

    Parameters
    ----------
    task
        Id of the task, with its variant.
    metric
        Its main metric: rows of other metrics are on the page of all rows.
    state
        Of our copy of the corpus.
    """
    rows = [row for row in published_rows(task) if row.our_metric == metric]
    if not rows or "simulated" in state:
        return []
    lines = []
    for row in rows:
        head = [_escaped(row.system), row.year, _value(row), row.our_test or BLANK]
        lines.append([*head, _ranked(row, task, state), _escaped(row.source)])
    header = ["system", "year", "value", "test", "ranked with", "source"]
    about = (
        "Primary sources, as they print the numbers. Never ranked with rows above of another protocol; in italics why "
        "none of ours can be compared. Other sources: `bench.reports.leaderboard.published.rows`."
    )
    return ["## Published", about, markdown(header, lines, right=(2,))]


def _ranked(row: PublishedRow, task: str, state: str) -> str:
    fits, why = comparable(row, task, row.our_test, row.our_protocol, state)
    return f"`{row.our_protocol}`" if fits else f"*{_escaped(why)}*"


def _value(row: PublishedRow) -> str:
    return _escaped(f"{row.value} ± {row.std}" if row.std else row.value)


def render_published() -> dict[str, str]:
    """Renders all rows: {path in a results folder: text}, primary sources first."""
    others = tuple(name for name in TRUST if name not in TRUSTED)
    first = [
        "# Published results",
        f"**{DISCLAIMER}**",
        f"{_ABOUT} Here: {MEANING['primary']}. [Others](others.md): transcriptions, runs by others, derived numbers.",
        *_tables(published_rows(trust=TRUSTED)),
    ]
    meaning = "\n".join(f"- **{name}**: {MEANING[name]}" for name in others)
    second = ["# Published results from other sources", f"**{DISCLAIMER}**", _ABOUT, meaning]
    second += ["[Primary sources](README.md) are apart.", *_tables(published_rows(trust=others))]
    return {f"{FOLDER}/README.md": "\n\n".join(first) + "\n", f"{FOLDER}/others.md": "\n\n".join(second) + "\n"}


def _tables(rows: Sequence[PublishedRow]) -> list[str]:
    """A heading and a table for each task, those of no task here last; all metrics of a system in one line."""
    by_task: dict[str, dict[PublishedRow, list[PublishedRow]]] = {}
    for row in rows:
        line = replace(row, metric="", value="", std="", our_metric="")
        by_task.setdefault(row.our_task, {}).setdefault(line, []).append(row)
    parts = []
    for task in sorted(by_task, key=lambda name: (not name, name)):
        lines = []
        for row, own in by_task[task].items():
            what = row.our_test or row.dataset if task else f"{row.dataset}, {row.task}"
            numbers = "; ".join(f"{_escaped(each.metric)} {_value(each)}" for each in own)
            head = [_escaped(row.system), row.year, numbers, _escaped(what), _escaped(row.protocol)]
            lines.append([*head, _ranked(row, task, "complete"), row.trust, _escaped(row.source)])
        header = ["system", "year", "numbers", "test" if task else "task", "protocol", "ranked with", "trust", "source"]
        parts += [f"## {task or _NO_TASK}", markdown(header, lines)]
    return parts


def write_published(folder: Path) -> list[Path]:
    """Writes the pages of published rows into a results folder and returns them."""
    return write_pages(folder, render_published())


def stale_published(folder: Path) -> list[str]:
    """Lists the pages of published rows that are not what the table gives; nothing where there are none."""
    present = sorted((folder / FOLDER).glob("*.md"))
    remedy = "write them again with `python scripts/published.py`"
    return stale_pages(folder, render_published(), present, remedy) if present else []


def _escaped(text: str) -> str:
    """Text of others in a Markdown table, where no character of it is markup."""
    return re.sub(r"([\\`*_<>\[\]#~])", r"\\\1", " ".join(text.split()))
