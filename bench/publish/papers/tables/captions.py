"""What a reader must know beside the numbers: metric, interval, protocol, patients, and what is odd about the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.publish.papers.tables.columns import ScoreColumn
from bench.reports.audit.summary import AuditSummary
from bench.scores.intervals import FEW_GROUPS
from bench.scores.schema import Record

if TYPE_CHECKING:
    import pandas as pd


def measured(
    column: ScoreColumn, cells: pd.DataFrame, by_key: Mapping[str, Record], audit: AuditSummary | None = None
) -> ScoreColumn:
    """The column with how many patients and clips its test has, and the remarks on its data.

    Parameters
    ----------
    column
        The column.
    cells
        Its cells (``bench.reports.leaderboard.table.cells``); none leaves the column as it is.
    by_key
        The records of the cells.
    audit
        The audit of the task's data.
    """
    if not len(cells):
        return column
    first = by_key[cells["key"].iloc[0]]
    data = first.data
    groups, clips = ((int(cells[name].min()), int(cells[name].max())) for name in ("groups", "n"))
    notes = []
    if "simulated" in data["state"]:
        notes.append("Simulated data: says nothing about real recordings.")
    if "subset" in data["state"]:
        have, whole = sum(s["recordings"] for s in data["splits"].values()), data["recordings_in_full"]
        share = f"{have} of {whole}" if whole else f"{have}"
        notes.append(f"Subset of the corpus ({share} recordings): not to be compared with published scores.")
    if data["excluded"]:
        notes.append(f"Clips were left out as unusable ({counted(len(data['excluded']), 'finding')}).")
    if shared := data["groups_in_train"].get(column.test):
        notes.append(f"{counted(shared, column.group)} of this test {'is' if shared == 1 else 'are'} in training too.")
    if groups[0] < FEW_GROUPS:
        notes.append(f"Fewer than {FEW_GROUPS} {column.group}s: intervals are optimistic.")
    if data["task"].get("demonstration"):
        notes.append("A demonstration, no benchmark.")
    if found := audit.of_test(first, column.test) if audit else []:
        notes.append(f"Audit of the data: {', '.join(found)}.")
    return replace(column, groups=groups, clips=clips, notes=tuple(notes))


def caption(columns: Sequence[ScoreColumn], cells: pd.DataFrame, by_key: Mapping[str, Record]) -> tuple[str, ...]:
    """Sentences: metric and interval, protocols, how many patients, seeds.

    Parameters
    ----------
    columns
        The table's columns, ``measured``.
    cells
        Its cells, of all columns.
    by_key
        The records of the cells.
    """
    titles, percent = {column.title for column in columns}, all(column.unit == "%" for column in columns)
    what = titles.pop() if len(titles) == 1 else "Scores"
    what += " in percent" if percent else ""
    records = [by_key[key] for key in dict.fromkeys(cells["key"])]
    sentences = [f"{what} with 95 % intervals ({interval_words(columns, records)})."]
    if protocols := protocol_words(record for record in records if record.spec["protocol"] != "control"):
        sentences.append(f"{protocols[0].upper()}{protocols[1:]}.")
    groups = [size for column in columns for size in column.groups if size]
    noun = {column.group for column in columns}
    if groups:
        span = f"{min(groups)}" if min(groups) == max(groups) else f"{min(groups)} to {max(groups)}"
        sentences.append(f"The tests hold {span} {noun.pop() if len(noun) == 1 else 'group'}s each.")
    if policies := sorted({record.spec["clip"] for record in records} - {"native", "none"}):
        sentences.append(f"Clip policy {listed(policies)}.")
    seeds = sorted({int(n) for n in cells["seeds"]} - {1})
    if seeds:
        sentences.append(f"Rows of several seeds are means ({listed([str(n) for n in seeds])} seeds).")
    return tuple(sentences)


def interval_words(columns: Sequence[ScoreColumn], records: Iterable[Record]) -> str:
    """How the intervals of these tests were made, as the records say it, without what differs from test to test."""
    words: dict[str, None] = {}
    for record in records:
        for column in columns:
            score = record.scores.get(column.test, {}).get(column.metric)
            if record.spec["task"] == column.task and score is not None and score["low"] is not None:
                words[score["method"].partition(";")[0].partition(" for ")[0]] = None
    return listed(list(words)) or "none: too few groups"


def protocol_words(records: Iterable[Record]) -> str:
    """``protocol linear, version 3`` or ``protocols linear (version 3) and knn (version 2)``."""
    versions: dict[str, set[int]] = {}
    for record in records:
        versions.setdefault(record.spec["protocol"], set()).add(record.spec["protocol_version"])
    named = {name: ("version " if len(v) == 1 else "versions ") + listed(sorted(v)) for name, v in versions.items()}
    if len(named) == 1:
        return "".join(f"protocol {name}, {version}" for name, version in named.items())
    return f"protocols {listed([f'{name} ({version})' for name, version in sorted(named.items())])}" if named else ""


def counted(n: int, noun: str) -> str:
    """``1 patient``, ``2 patients``."""
    return f"{n} {noun}" + ("" if n == 1 else "s")


def listed(parts: Sequence[object]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    words = [str(part) for part in parts]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
