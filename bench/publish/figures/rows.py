"""Records as the rows that figures show: one class of rows that may be compared, the controls, and their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from bench.base.errors import BadInput
from bench.drawing.looks import Look, looks
from bench.reports.leaderboard.table import CLASSES, CONTROL, cells
from bench.reports.names import ROW, rank_class, row_name, row_names
from bench.reports.out_of_domain.transfer_table import UNPRINTED
from bench.scores import metrics
from bench.scores.schema import Record

UNSAID = ("none", "published")  # poolings that nobody chose


def classes_of(records: Iterable[Record]) -> list[str]:
    """The classes of rows among the records, in a fixed order, without controls."""
    found = {rank_class(record.spec) for record in records} - {CONTROL}
    return [name for name in CLASSES if name in found] + sorted(found - set(CLASSES))


def chosen(records: Sequence[Record], rows: str = "") -> list[Record]:
    """The records of one class of rows, and the controls.

    Parameters
    ----------
    records
        Any records.
    rows
        The class (``frozen``, ``finetune``, …); empty for the first that is there.

    Raises
    ------
    BadInput
        Where there is no record of the class.
    """
    there = classes_of(records)
    wanted = rows or next(iter(there), "")
    if wanted not in there:
        problem = f"no record is of class {wanted}" if wanted else "there are no records but controls"
        raise BadInput("figure", problem, f"take one of: {', '.join(there) or 'records of an encoder'}")
    own = (record for record in records if rank_class(record.spec) in (wanted, CONTROL))
    return [record for record in own if record.spec["encoder"] not in UNPRINTED]


def without_controls(records: Iterable[Record]) -> list[Record]:
    """The records but for controls."""
    return [record for record in records if rank_class(record.spec) != CONTROL]


def headline_cells(records: Sequence[Record], rows: str = "") -> pd.DataFrame:
    """One row per encoder row and task: the main metric on the headline test, with a column ``name`` for the figure.

    ``cells`` of ``bench.reports.leaderboard.table``, of one class and the controls; several seeds are one row.
    """
    table = cells(own := chosen(records, rows))
    table = table[table["headline"]].reset_index(drop=True)
    units = {record.spec["task"]: record.data["task"]["group"] for record in own}
    return table.assign(name=names(table), control=table["class"] == CONTROL, unit=table["task"].map(units))


def names(table: pd.DataFrame) -> list[str]:
    """What a figure calls each row: encoder, layer where it is not the last, pooling and, where several, protocol."""
    return _labels(list(table[[*ROW, "class"]].itertuples(index=False, name=None)))


def named(records: Sequence[Record]) -> list[tuple[str, Record]]:
    """(what a figure calls its row, the record) of each, as ``names``."""
    labels = row_names(records)
    rows = [(labels[r.key], *(dict(r.spec)[name] for name in ROW[1:]), rank_class(r.spec)) for r in records]
    return list(zip(_labels(rows), records, strict=True))


def _labels(rows: Sequence[tuple]) -> list[str]:
    """The names of rows, each ``ROW`` and its class; a control has its protocol where it was run under several."""
    own = {protocol for *_, protocol, of in rows if of != CONTROL}
    run_under: dict[tuple, set[str]] = {}
    for *control, protocol, of in rows:
        if of == CONTROL:
            run_under.setdefault(tuple(control), set()).add(protocol)
    out = []
    for encoder, pooling, layer, protocol, of in rows:
        several = own if of != CONTROL else run_under[encoder, pooling, layer]
        out.append(label(encoder, pooling, layer, protocol if len(several) > 1 else ""))
    return out


def label(encoder: str, pooling: str = "", layer: int = -1, protocol: str = "") -> str:
    """The name of a row; the pooling is left out where nobody chose it."""
    name = row_name(encoder, layer).replace(" layer ", " layer\N{NO-BREAK SPACE}")
    return ", ".join([name, *([] if pooling in (*UNSAID, "") else [pooling]), *([protocol] if protocol else [])])


def order(table: pd.DataFrame) -> list[str]:
    """The rows' names from the best mean to the worst, the controls after the others."""
    means = _by_task_rank(table).groupby("name")["better"].mean()
    control = table.groupby("name")["control"].first()
    return sorted(means.index, key=lambda name: (control[name], means[name], name))


def _by_task_rank(table: pd.DataFrame) -> pd.DataFrame:
    """``better``: the rank on each task, 1 the best, which makes tasks of different metrics comparable."""
    sign = table["metric"].map(lambda name: -1.0 if metrics.get(name).direction == "higher" else 1.0)
    return table.assign(better=(sign * table["value"]).groupby(table["task"]).rank())


def row_looks(table: pd.DataFrame, ordered: Sequence[str]) -> dict[str, Look]:
    """A look for each row's name."""
    control = table.groupby("name")["control"].first()
    return looks(ordered, sorted(name for name in ordered if control[name]))


def metric_title(name: str) -> str:
    """A metric as an axis names it, with its unit."""
    metric = metrics.get(name)
    unit = "%" if metric.unit == "%" else "in the target's unit"
    return f"{metric.title} ({unit})" if metric.direction == "higher" else f"{metric.title} ({unit}), lower is better"


def scale(name: str) -> float:
    """What a metric's value is multiplied with to be drawn."""
    return 100.0 if metrics.get(name).unit == "%" else 1.0


def digits(name: str) -> int:
    """How many decimals of a metric are printed."""
    return 1 if metrics.get(name).unit == "%" else 2
