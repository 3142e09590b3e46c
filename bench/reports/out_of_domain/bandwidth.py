"""The records of a report on clips of controlled bandwidth, and what their numbers are called beside the plain ones.

The same task, encoder and probe once more, on clips under a policy of ``bench.data.clips.LOW_PASSES``: where no corpus
has a band that another lacks, what is left of a drop is not bandwidth. What has no such partner, and what is under any
other policy, has a row of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from bench.data.clips import LOW_PASSES
from bench.reports.names import ROW, VARIANT
from bench.scores.schema import Record

CHANGE = ", change"  # after the name of what is changed: the number under the policy minus the plain one, paired
_AS_THEY_ARE = ("native", "none")  # clip policies that change nothing, or have no clip
_SHARED = tuple(name for name in (*ROW, "task", "seed", *VARIANT) if name != "clip")


def under(what: str, clip: str) -> str:
    """What a number is called under a clip policy."""
    return f"{what}, {clip}"


def policies(whats: Iterable[str], of: str) -> list[str]:
    """The policies under which there are numbers of that kind among ``whats``."""
    whats = set(whats)
    return [clip for clip in LOW_PASSES if under(of, clip) in whats]


def controlled(records: Sequence[Record], transfers: Collection[str]) -> dict[str, dict[str, Record]]:
    """{key of a transfer's record on clips as they are: {policy: the same under it}}."""
    anchors = {_shared(r): r.key for r in records if r.spec["clip"] in _AS_THEY_ARE and r.spec["task"] in transfers}
    out: dict[str, dict[str, Record]] = {}
    for record in records:
        if record.spec["clip"] in LOW_PASSES and (key := anchors.get(_shared(record))):
            out.setdefault(key, {})[record.spec["clip"]] = record
    return out


def with_own_rows(records: Sequence[Record], below: Mapping[str, Mapping[str, Record]]) -> list[Record]:
    """The records but for those that stand beside others (``below``, as of ``controlled``)."""
    beside = {record.key for by_policy in below.values() for record in by_policy.values()}
    return [record for record in records if record.key not in beside]


def _shared(record: Record) -> tuple:
    """What two records have in common that differ in their clip policy alone."""
    spec = dict(record.spec)
    return tuple(spec.get(name) for name in _SHARED)
