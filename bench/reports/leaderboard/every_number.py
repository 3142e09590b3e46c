"""Every number of a leaderboard as CSV: one line for each record, test and metric."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from bench.reports.leaderboard.standings.values import Standings
from bench.scores.schema import Record

_SPEC = ("task", "encoder", "pooling", "layer", "clip", "protocol", "protocol_version", "seed")
_SPEC += ("weights", "manifest", "dtype")
_SCORE = ("value", "low", "high", "n", "groups", "method")
_STANDING = ("best", "p", "letters", "smallest_difference", "mean", "rank", "rank_low", "rank_high")
_DIGITS = 6


def every_number(records: Sequence[Record], standings: Standings) -> str:
    """Renders all scores of records, in their order.

    The columns of standings are filled on lines of a test's main metric, those of means on lines of headline tests; all
    seeds of a row have those of the row.
    """
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow([*_SPEC, "state", "test", "metric", *_SCORE, "record", *_STANDING])
    found = _by_record(standings)
    for record in records:
        for test, table in record.scores.items():
            for metric, values in table.items():
                head = [record.spec[name] for name in _SPEC]  # type: ignore[literal-required]
                score = [values[name] for name in _SCORE]  # type: ignore[literal-required]
                standing = found.get((record.key, test, metric), [""] * len(_STANDING))
                out.writerow([*head, record.data["state"], test, metric, *score, record.key, *standing])
    return text.getvalue()


def _by_record(standings: Standings) -> dict[tuple[str, str, str], list[object]]:
    """{(record key, test, main metric): its cells in the columns of standings}."""
    means = {each.row: [each.mean, each.rank, each.rank_low, each.rank_high] for each in standings.overall}
    out = {}
    for of in standings.tests:
        resolved = of.resolution.resolved if of.resolution else None
        for each in of.rows:
            mean = means[each.row] if f"{of.task}/{of.test}" in standings.mean_of else [None] * 4
            cells = [_number(value) for value in (each.best, each.p, each.letters, resolved, *mean)]
            out |= {(key, of.test, of.metric): cells for key in each.keys}
    return out


def _number(value: object) -> object:
    """A cell: fractions rounded, blank where there is none."""
    if value is None:
        return ""
    return round(value, _DIGITS) if isinstance(value, float) else value
