"""The records of a report on clips of controlled bandwidth, and what their numbers are called beside the plain ones.

The same task, encoder and probe once more, on clips under a policy of ``bench.data.clips.LOW_PASSES``: where no corpus
has a band that another lacks, what is left of a drop is not bandwidth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.data.clips import LOW_PASSES
from bench.reports.names import ROW, VARIANT
from bench.scores.schema import Record

CHANGE = ", change"  # after the name of what is changed: the number under the policy minus the plain one, paired
_SHARED = tuple(name for name in (*ROW, "task", "seed", *VARIANT) if name != "clip")


def under(what: str, clip: str) -> str:
    """What a number is called under a clip policy."""
    return f"{what}, {clip}"


def policies(whats: Iterable[str], of: str) -> list[str]:
    """The policies under which there are numbers of that kind among ``whats``."""
    whats = set(whats)
    return [clip for clip in LOW_PASSES if under(of, clip) in whats]


def plain(records: Sequence[Record]) -> list[Record]:
    """The records on clips as they are, and those without clips."""
    return [record for record in records if record.spec["clip"] in ("native", "none")]


def controlled(records: Sequence[Record]) -> dict[tuple, dict[str, Record]]:
    """{what a plain record shares with them (``shared``): {policy: record}}."""
    out: dict[tuple, dict[str, Record]] = {}
    for record in records:
        if record.spec["clip"] in LOW_PASSES:
            out.setdefault(shared(record), {})[record.spec["clip"]] = record
    return out


def shared(record: Record) -> tuple:
    """What two records have in common that differ in their clip policy alone."""
    spec = dict(record.spec)
    return tuple(spec[name] for name in _SHARED)
