"""What an encoder costs, from what records say; blank where they do not."""

from __future__ import annotations

from collections.abc import Sequence

from bench.reports.leaderboard.standings.values import Cost
from bench.scores.schema import Record


def cost(records: Sequence[Record]) -> Cost:
    """The cost of a row, from its records.

    Parameters
    ----------
    records
        All records of the row.

    Returns
    -------
    Cost
        Memory is the least of the records' peaks: a process that makes several records remembers the largest so far,
        so the least is the nearest to what the row itself took. On a GPU it is the GPU's.
    """
    parameters = {record.data["params"] for record in records if "params" in record.data}
    peaks = [peak for record in records if (peak := _peak_mb(record)) is not None]
    return Cost(
        parameters=parameters.pop() if len(parameters) == 1 else None,
        gb=min(peaks) / 1000 if peaks else None,
    )


def _peak_mb(record: Record) -> float | None:
    run = record.run
    return run.get("device_memory_mb") or run.get("peak_memory_mb")
