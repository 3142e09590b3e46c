"""What an encoder costs, from what records and measurements say; blank where they do not."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.base.errors import BadInput
from bench.base.registry import original_id, twin_id
from bench.reports.leaderboard.standings.values import Cost
from bench.runs.context import NOTHING
from bench.scores.schema import Record

SPEEDS = Path("encode") / "encoders.csv"  # in a results folder: encoder, corpus, clips_per_s


def cost(records: Sequence[Record], ms_per_clip: Mapping[str, float] = NOTHING) -> Cost:
    """The cost of a row.

    Parameters
    ----------
    records
        All records of the row.
    ms_per_clip
        {encoder: milliseconds a clip} (``read_speeds``).

    Returns
    -------
    Cost
        Memory is the least of the records' peaks: a process that makes several records remembers the largest so far,
        so the least is the nearest to what the row itself took. On a GPU it is the GPU's.
    """
    parameters = {record.data["params"] for record in records if "params" in record.data}
    peaks = [peak for record in records if (peak := _peak_mb(record)) is not None]
    encoder = original_id(records[0].spec["encoder"])
    return Cost(
        parameters=parameters.pop() if len(parameters) == 1 else None,
        ms_per_clip=ms_per_clip.get(encoder, ms_per_clip.get(twin_id(encoder))),
        gb=min(peaks) / 1000 if peaks else None,
    )


def read_speeds(folder: Path) -> dict[str, float]:
    """{encoder: milliseconds a clip on one core}, means over the corpora in ``encode/encoders.csv``.

    An untrained twin takes as long as its encoder. Empty where the folder has no such file.

    Raises
    ------
    BadInput
        For a file that is not readable.
    """
    path = folder / SPEEDS
    if not path.exists():
        return {}
    found: dict[str, list[float]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                found.setdefault(line["encoder"], []).append(1000 / float(line["clips_per_s"]))
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        remedy = "make it again with `python scripts/benchmarks/encoders.py --write`"
        raise BadInput(path, f"no table of speeds ({type(error).__name__}: {error})", remedy) from error
    return {encoder: sum(each) / len(each) for encoder, each in found.items()}


def _peak_mb(record: Record) -> float | None:
    run = record.run
    return run.get("device_memory_mb") or run.get("peak_memory_mb")
