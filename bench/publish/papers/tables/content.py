"""What a table for a paper holds: records as rows in parts that are never ranked together, tests as columns.

Whoever shows a table (LaTeX, Markdown, CSV, JSON, Excel) adds nothing to it and leaves nothing out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.base.errors import BadInput, UnknownId
from bench.publish.blocks import Column, Score
from bench.publish.papers.tables.best import best_rows
from bench.publish.papers.tables.captions import caption, measured, protocol_words
from bench.publish.papers.tables.columns import FACTS, ScoreColumn, fact_columns, score_columns
from bench.reports.audit.summary import AuditSummary
from bench.reports.leaderboard.standings.marks import row_marks
from bench.reports.leaderboard.standings.values import Row as StandingsRow
from bench.reports.leaderboard.table import CONTROL, PEEKED, UNRANKED, cells
from bench.reports.names import METADATA, ROW, rank_class, row_name, row_names
from bench.runs.context import NOTHING
from bench.scores.printed import missing
from bench.scores.schema import Record

if TYPE_CHECKING:
    import pandas as pd

_CLASSES = {
    "frozen": "Frozen encoders",
    "fewshot": "Few training patients",
    "finetune": "Fine-tuned",
    METADATA: "Fine-tuned, with metadata as input",
    "literature": "Protocols of the literature",
    PEEKED: "Epoch chosen on the test",
    CONTROL: "Controls, not ranked",
}


Marks = Callable[[Record, str], tuple[str, ...]]  # what is said of a record's score on a test


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes
    ----------
    facts
        {name of a column of facts: its text}.
    scores
        {name of a column of scores: score}; a missing cell has no entry.
    seeds
        How many seeds its scores are the mean of, the fewest and the most over the columns.
    """

    facts: Mapping[str, str]
    scores: Mapping[str, Score]
    seeds: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Part:
    """Rows that may be compared with each other.

    Attributes
    ----------
    title
        What they have in common.
    ranked
        Whether the best of them is a result; controls, and what chose its epoch on the test, are not ranked.
    rows
        Best first.
    """

    title: str
    ranked: bool
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class PaperTable:
    """A table, whatever shows it.

    Attributes
    ----------
    facts, scores
        Its columns.
    parts
        Its rows.
    caption
        Sentences that say what it shows: metric, interval, protocol, how many patients.
    left_out
        Rows of the records that have a score in none of its columns, one line each.
    """

    facts: tuple[Column, ...]
    scores: tuple[ScoreColumn, ...]
    parts: tuple[Part, ...]
    caption: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def notes(self) -> tuple[str, ...]:
        """Every remark on a column or a cell, once, in the order in which a reader meets them."""
        of_columns = (note for column in self.scores for note in column.notes)
        of_cells = (note for _, _, score in self.cells() for note in score.marks)
        return tuple(dict.fromkeys((*of_columns, *of_cells)))

    def cells(self) -> Iterator[tuple[Row, ScoreColumn, Score]]:
        """Every score with its row and column, row by row."""
        for part in self.parts:
            for row in part.rows:
                for column in self.scores:
                    if column.name in row.scores:
                        yield row, column, row.scores[column.name]


def paper_table(
    records: Sequence[Record],
    columns: Sequence[str] = (),
    tests: Sequence[str] = (),
    protocols: Sequence[str] = (),
    encoders: Sequence[str] = (),
    audits: Mapping[str, AuditSummary] = NOTHING,
    sensitivities: Mapping[str, Mapping] = NOTHING,
) -> PaperTable:
    """A table of records for a paper.

    Parameters
    ----------
    records
        Of any number of tasks.
    columns
        What is said of a row beside its encoder (``bench.publish.papers.tables.columns.FACTS``); the pooling if none.
        What tells rows apart is added where it is missing.
    tests
        ``TASK``, ``TASK/TEST``, either with ``:METRIC``; the headline test of every task by its main metric if none.
    protocols
        Protocols whose rows are shown, controls that know the labels alone beside them; all if none.
    encoders
        Encoders whose rows are shown; all if none.
    audits
        {task: the audit of its data}, for remarks.
    sensitivities
        {record key: what rounding does to it} (``bench.reports.audit.sensitivity``), for remarks.

    Raises
    ------
    UnknownId
        For a column, test, metric, protocol or encoder that the records do not have.
    BadInput
        For no records, for records of one task on different data, and where no row has a score in any column.
    """
    if not records:
        raise BadInput("table", "there are no records", "make some with bench.evaluate or `respbench run`")
    known = _only_known("protocol", protocols, {record.spec["protocol"] for record in records}) | {CONTROL}
    records = [record for record in records if not protocols or record.spec["protocol"] in known]
    known = _only_known("encoder", encoders, {record.spec["encoder"] for record in records})
    records = [record for record in records if not encoders or record.spec["encoder"] in known]
    shown = score_columns(records, tests)
    long = _scores(records, shown)
    by_key = {record.key: record for record in records}
    rows = dict(iter(long.groupby(ROW, sort=False, dropna=False)))
    shown = tuple(measured(c, long[long["column"] == c.name], by_key, audits.get(c.task)) for c in shown)
    members: dict[tuple[str, str], list[tuple]] = {}
    for identity, part in rows.items():
        spec = by_key[part["key"].iloc[0]].spec
        kind = rank_class(spec)
        members.setdefault((kind, "" if kind == CONTROL else spec["protocol"]), []).append(identity)
    facts = _told_apart(fact_columns(columns), members)
    seeds = _records_of_rows(records)

    def marks(record: Record, test: str) -> tuple[str, ...]:
        return row_marks(record, test, sensitivities.get(record.key))

    parts = [
        _part(*group, [(identity, rows[identity]) for identity in members[group]], facts, shown, by_key, seeds, marks)
        for group in sorted(members, key=lambda group: (list(_CLASSES).index(group[0]), group[1]))
    ]
    return PaperTable(facts, shown, tuple(parts), caption(shown, long, by_key), _left_out(seeds, set(rows)))


def _only_known(kind: str, asked: Sequence[str], known: set[str]) -> set[str]:
    for name in asked:
        if name not in known:
            raise UnknownId(kind, name, known)
    return set(asked)


def _scores(records: Sequence[Record], shown: Sequence[ScoreColumn]) -> pd.DataFrame:
    """``cells`` of the columns asked for, with the column's name."""
    import pandas as pd

    tables = []
    for metric in dict.fromkeys(column.metric for column in shown):
        tasks = {column.task for column in shown if column.metric == metric}
        tables.append(cells([r for r in records if r.spec["task"] in tasks], _always(metric)))
    long = pd.concat(tables, ignore_index=True)
    if len(long):
        long["column"] = long["task"] + "/" + long["test"] + ":" + long["metric"]
        long["encoder"] = long["key"].map(row_names(records))  # the same name in every column
        long = long[long["column"].isin([column.name for column in shown]) & long["value"].notna()]
    if not len(long):
        raise BadInput("table", "no row has a score in any of its columns", "ask for other tests")
    return long


def _always(metric: str) -> Callable[[Mapping], str]:
    return lambda task: metric


def _told_apart(columns: tuple[Column, ...], members: Mapping[tuple[str, str], Sequence[tuple]]) -> tuple[Column, ...]:
    """The columns, and those without which two rows of a part look alike; the layer is part of the encoder's name."""
    for name in ("pooling", "protocol"):
        shown = [column.name for column in columns] + ["layer"]
        seen = [
            (part, *(value for each, value in zip(ROW, row) if each in shown))
            for part, rows in members.items()
            for row in rows
        ]
        if len(set(seen)) < len(seen) and name not in shown:
            columns = (*columns, *fact_columns([name])[1:])
    return columns


def _part(
    kind: str,
    protocol: str,
    rows: Sequence[tuple[tuple, pd.DataFrame]],
    facts: Sequence[Column],
    shown: Sequence[ScoreColumn],
    by_key: Mapping[str, Record],
    seeds: Mapping[tuple, Sequence[Record]],
    marks: Marks,
) -> Part:
    """The rows of a class under one protocol; controls of all protocols are one part."""
    records = [by_key[long["key"].iloc[0]] for _, long in rows]
    title = _CLASSES[kind] + (f", {protocol_words(records)}" if protocol else "")
    made = {identity: _row(identity, long, facts, by_key, marks) for identity, long in rows}
    if kind not in UNRANKED:
        for column in shown:
            scored = {i: _of_task(seeds[i], column) for i, row in made.items() if column.name in row.scores}
            named = {StandingsRow(i[0], i[1], i[2], i[3], kind): own for i, own in scored.items()}
            for best in best_rows(named, column):
                identity = (best.encoder, best.pooling, best.layer, best.protocol)
                made[identity] = _in_bold(made[identity], column)
    return Part(title, kind not in UNRANKED, tuple(sorted(made.values(), key=_place(shown))))


def _records_of_rows(records: Sequence[Record]) -> dict[tuple, list[Record]]:
    """{identity of a row: its records of all tasks and seeds}, by seed."""
    names = row_names(records)
    out: dict[tuple, list[Record]] = {}
    for record in sorted(records, key=lambda record: (record.spec["seed"], record.key)):
        spec = record.spec
        identity = (names[record.key], spec["pooling"], spec["layer"], spec["protocol"])
        out.setdefault(identity, []).append(record)
    return out


def _of_task(records: Sequence[Record], column: ScoreColumn) -> list[Record]:
    return [r for r in records if r.spec["task"] == column.task and column.test in r.scores]


def _in_bold(row: Row, column: ScoreColumn) -> Row:
    score = replace(row.scores[column.name], best=True)
    return replace(row, scores={**row.scores, column.name: score})


def _row(
    identity: tuple, long: pd.DataFrame, facts: Sequence[Column], by_key: Mapping[str, Record], marks: Marks
) -> Row:
    records = [by_key[key] for key in long["key"]]
    encoder, _, layer, _ = identity
    with_layer = any(column.name == "layer" for column in facts)
    texts = {"encoder": encoder if with_layer else row_name(encoder, layer)}
    for column in facts:
        if column.name in FACTS:
            texts[column.name] = "; ".join(dict.fromkeys(FACTS[column.name][1](record) for record in records))
    scores = {}
    for cell in long.to_dict("records"):
        low, high = (None if missing(cell[bound]) else float(cell[bound]) for bound in ("low", "high"))
        own = marks(by_key[cell["key"]], cell["test"])
        scores[cell["column"]] = Score(float(cell["value"]), low, high, cell["key"], marks=own)
    return Row(texts, scores, (int(long["seeds"].min()), int(long["seeds"].max())))


def _place(columns: Sequence[ScoreColumn]) -> Callable[[Row], tuple]:
    """Best first: by how many tests a row has, then by the mean over those of the unit that most have."""
    units = [column.unit for column in columns]
    signs = {c.name: 1 if c.higher else -1 for c in columns if c.unit == max(units, key=units.count)}

    def place(row: Row) -> tuple:
        values = [signs[name] * (score.value or 0) for name, score in row.scores.items() if name in signs]
        return -len(row.scores), -sum(values) / max(1, len(values)), row.facts["encoder"]

    return place


def _left_out(rows: Iterable[tuple], shown: set[tuple]) -> tuple[str, ...]:
    return tuple(f"{row_name(row[0], row[2])}, {row[1]}, {row[3]}" for row in sorted(set(rows) - shown))
