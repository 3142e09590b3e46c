"""Compares two results folders: records of the same key as numbers, records of other keys side by side."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.base.errors import BadInput
from bench.base.paths import parse_json
from bench.base.progress import Progress, silent
from bench.reports.agreement.differences import DIFFERS, USUAL, RecordDifference, Tolerance, difference
from bench.reports.audit.sensitivity import sensitive_rows
from bench.reports.names import ROW, recipe_name
from bench.scores import records
from bench.scores.schema import Record, Spec

ALIKE = ("task", *ROW, "seed")  # what makes records of different keys look like the same result
UNTOLD, COMMIT_DIGITS = "not noted", 12
MACHINE = ("machine", "arithmetic", "device", "device_name", "commit", "versions")  # of the facts of a run
MarkedRow = Mapping[str, Any]  # fields of a spec: every record that has these values belongs to the row


@dataclass(frozen=True)
class LookAlikes:
    """Records of the same task, encoder, layer, pooling, protocol, seed and name of a recipe, but of different keys.

    ``differing``: {field of the spec: its values in (first, second)}, where they differ.
    """

    first: tuple[Record, ...]
    second: tuple[Record, ...]
    differing: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Comparison:
    """What two results folders have in common.

    Attributes
    ----------
    names
        The two folders as they were named.
    tolerance
        How far a metric may move.
    pairs
        Records of the same key.
    look_alikes
        Records that no key joins, but all that a reader would call the same result; not compared.
    only_first, only_second
        Records that have nothing like them on the other side.
    machines
        {fact: its values in (first, second)}, each with the number of records where there are several.
    """

    names: tuple[str, str]
    tolerance: Tolerance
    pairs: tuple[RecordDifference, ...]
    look_alikes: tuple[LookAlikes, ...]
    only_first: tuple[Record, ...]
    only_second: tuple[Record, ...]
    machines: Mapping[str, tuple[str, str]]

    @property
    def agrees(self) -> bool:
        """Whether there is something to compare, and none of it differs beyond the tolerance without a mark."""
        something = bool(self.pairs) and not self.controls_alone
        return something and all(pair.outcome != DIFFERS for pair in self.pairs)

    @property
    def controls_alone(self) -> bool:
        """Whether what was compared knows the labels alone, while records of encoders found none of their key."""
        unpaired = [*self.only_first, *self.only_second, *(each.first[0] for each in self.look_alikes)]
        compared = [pair.first for pair in self.pairs]
        return all(map(_is_control, compared)) and not all(map(_is_control, unpaired))


def _is_control(record: Record) -> bool:
    return record.spec["kind"] == "control"


def compare(
    first: Path,
    second: Path,
    tolerance: Tolerance = USUAL,
    marked: Sequence[MarkedRow] = (),
    progress: Progress = silent,
) -> Comparison:
    """Compares the records of two results folders.

    Parameters
    ----------
    first, second
        The folders. The order matters to nothing but what is called before and after.
    tolerance
        How far a metric of a test may move.
    marked
        Rows that are known to move beyond the tolerance and say so on the board; their records are reported as marked.
    progress
        Told of the folders that have been read.

    Raises
    ------
    BadInput
        For a folder without records, and for a record that cannot be read.
    """
    with progress("read records", 2) as tick:
        sides = []
        for folder in (first, second):
            sides.append({record.key: record for record in records.load_all(folder)})
            tick(1)
    left, right = sides
    shared = sorted(left.keys() & right.keys(), key=lambda key: _alike(left[key]))
    pairs = tuple(difference(left[key], right[key], tolerance, _is_marked(left[key], marked)) for key in shared)
    unpaired = [[own[key] for key in own if key not in other] for own, other in ((left, right), (right, left))]
    look_alikes, only = _unpaired(*unpaired)
    compared = [[side[key] for key in shared or side] for side in (left, right)]
    return Comparison((str(first), str(second)), tolerance, pairs, look_alikes, *only, _machines(*compared))


def marked_rows(path: Path) -> list[MarkedRow]:
    """Reads marked rows.

    Parameters
    ----------
    path
        A folder of audits, whose boards mark what they found to be sensitive; or a JSON list of objects, such as
        ``[{"task": "icbhi.cycles4", "encoder": "fbank.stats"}]``.

    Raises
    ------
    BadInput
        For what is neither, and for a field that no record has.
    """
    if path.is_dir():
        return list(sensitive_rows(path))
    remedy = "give a list of objects with fields of a record's spec, such as task and encoder"
    try:
        rows = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(path, f"is not readable JSON ({error})", remedy) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row for row in rows):
        raise BadInput(path, "is no list of rows", remedy)
    if unknown := sorted({name for row in rows for name in row} - set(Spec.__annotations__)):
        raise BadInput(path, f"names what no record has: {', '.join(unknown)}", remedy)
    return rows


def _is_marked(record: Record, rows: Sequence[MarkedRow]) -> bool:
    return any(row.items() <= record.spec.items() for row in rows)


def _unpaired(
    left: Iterable[Record], right: Iterable[Record]
) -> tuple[tuple[LookAlikes, ...], tuple[tuple[Record, ...], tuple[Record, ...]]]:
    """(look-alikes, (records of the first side alone, of the second alone))."""
    groups: dict[tuple, tuple[list[Record], list[Record]]] = {}
    for side, found in enumerate((left, right)):
        for record in found:
            groups.setdefault(_alike(record), ([], []))[side].append(record)
    ordered = [groups[name] for name in sorted(groups)]
    both = tuple(LookAlikes(tuple(a), tuple(b), _differing(a, b)) for a, b in ordered if a and b)
    alone = [tuple(record for pair in ordered if not pair[1 - side] for record in pair[side]) for side in (0, 1)]
    return both, (alone[0], alone[1])


def _alike(record: Record) -> tuple:
    return (*(record.spec[name] for name in ALIKE), recipe_name(record))  # type: ignore[literal-required]


def _differing(left: Iterable[Record], right: Iterable[Record]) -> dict[str, tuple[str, str]]:
    """{field of a spec, of a recipe's table too: its values on either side}, where they differ."""
    sides = []
    for side in (left, right):
        values: dict[str, set[str]] = {}
        for record in side:
            for name, value in _flat(record.spec):
                values.setdefault(name, set()).add(value)
        sides.append({name: ", ".join(sorted(each)) for name, each in values.items()})
    names = dict.fromkeys((*sides[0], *sides[1]))
    pairs = {name: (sides[0].get(name, "absent"), sides[1].get(name, "absent")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _flat(facts: Mapping, under: str = "") -> Iterable[tuple[str, str]]:
    """(name, with its table in front, and value as text) of nested facts."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{under}{name}.")
        else:
            yield under + str(name), str(value)


def _machines(left: Collection[Record], right: Collection[Record]) -> dict[str, tuple[str, str]]:
    """{fact: its values on either side} of how records were computed."""
    sides = [_told(side) for side in (left, right)]
    names = dict.fromkeys((*sides[0], *sides[1]))
    return {name: (sides[0].get(name, UNTOLD), sides[1].get(name, UNTOLD)) for name in names}


def _told(side: Collection[Record]) -> dict[str, str]:
    """{fact: its value}, or its values with the number of records of each."""
    counts: dict[str, dict[str, int]] = {}
    for record in side:
        run: Mapping[str, Any] = record.run
        for name, value in _flat({name: fact for name in MACHINE if (fact := run.get(name))}):
            own = counts.setdefault(name.removeprefix("arithmetic.").removeprefix("versions."), {})
            shown = value[:COMMIT_DIGITS] + "+" * value.endswith("+") if name == "commit" else value
            own[shown] = own.get(shown, 0) + 1
    out = {}
    for name, own in counts.items():
        if untold := len(side) - sum(own.values()):
            own[UNTOLD] = untold
        several = len(own) > 1
        out[name] = ", ".join(f"{value} ({count})" if several else value for value, count in sorted(own.items()))
    return out
