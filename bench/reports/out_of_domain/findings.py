"""What the numbers of a report say, in sentences that a test stands beside.

A sentence says that something is more or less only where its test supports it after correction for all tests of the
page; all others of its kind share a sentence that says what is not told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.data.clips import LOW_PASSES
from bench.reports.names import CONTROL_FAMILIES, row_name
from bench.reports.out_of_domain.bandwidth import CHANGE, under
from bench.reports.out_of_domain.transfer_table import DROP, GAP, OVER_DURATION, OVER_FLOOR, Shown, decided
from bench.runs.out_of_domain import Transfer
from bench.scores.printed import missing, p_phrase, signed
from bench.scores.schema import TaskFacts
from bench.stats import holm

ALPHA = 0.05  # of all tests of a page together
ABOUT = (
    "Each sentence rests on the test beside it: a two-sided bootstrap of patients, unpaired where two corpora are "
    "compared, with its p and, after Holm, the p that allows for all {tests} tests of this page. Below {alpha} a "
    "sentence says what is more or less; all else is not told apart, which does not mean that it is the same. Control "
    "rows and demonstrations are not tested; of each transfer the first metric is, or that of each label."
)


@dataclass(frozen=True)
class Kind:
    """Sentences about one kind of number: where it is positive, where negative, and where neither is supported."""

    more: str
    less: str
    neither: str
    paired: bool


KINDS = {
    DROP: Kind(
        "{row} drops by {size} out of domain",
        "{row} is better out of domain than in-domain, by {size}",
        "Not told apart from no drop",
        False,
    ),
    OVER_FLOOR: Kind(
        "{row} stays above the floor out of domain, by {size}",
        "{row} falls below the floor out of domain, by {size}",
        "Out of domain not told apart from the floor",
        True,
    ),
    OVER_DURATION: Kind(
        "{row} is better out of domain than the clip's length alone, by {size}",
        "{row} is worse out of domain than the clip's length alone, by {size}",
        "Out of domain not told apart from the clip's length alone",
        True,
    ),
    GAP: Kind(
        "A probe of the target's own patients is better than that of {row} from the source, by {size}",
        "A probe of the target's own patients is worse than that of {row} from the source, by {size}",
        "Not told apart from a probe of the target's own patients",
        True,
    ),
}
BANDWIDTH_KINDS = {
    name: kind
    for clip in LOW_PASSES
    for name, kind in (
        (
            under(DROP, clip),
            Kind(
                f"Under {clip} {{row}} still drops by {{size}} out of domain",
                f"Under {clip} {{row}} is better out of domain than in-domain, by {{size}}",
                f"Under {clip} not told apart from no drop",
                False,
            ),
        ),
        (
            under(DROP, clip) + CHANGE,
            Kind(
                f"{clip} widens the drop of {{row}}, by {{size}}",
                f"{clip} narrows the drop of {{row}}, by {{size}}",
                f"Drops that are under {clip} not told apart from what they are without it",
                False,
            ),
        ),
    )
}


@dataclass(frozen=True)
class Tested:
    """One comparison: what ``row`` of a table shows, its difference with interval, p, and p after Holm."""

    row: str
    value: float
    low: float
    high: float
    p: float
    adjusted: float
    groups: int
    unit: str

    @property
    def supported(self) -> bool:
        """Whether it is told from none after correction."""
        return self.adjusted < ALPHA and self.value != 0

    def size(self, signs: bool) -> str:
        """The difference with its interval, in points or in the metric's unit; without ``signs`` as an amount."""
        if signs:
            return signed(self.value, self.low, self.high, self.unit)
        ends = (self.value, self.low, self.high) if self.value > 0 else (-self.value, -self.high, -self.low)
        number, low, high = signed(*ends, self.unit).replace("+", "").replace(",", "").split(" ")
        return f"{number} points {low}, {high}" if self.unit == "%" else f"{number} {low}, {high}"


@dataclass(frozen=True)
class Finding:
    """A sentence with its tests.

    Attributes
    ----------
    task, metric : str
        The transfer, and the title of the metric.
    what : str
        The kind of number, as in the table of all numbers.
    sentence : str
        Plain text.
    test : str
        How it was tested, with p.
    tests : tuple of Tested
        One for a sentence of what is supported, all that are not for the other.
    """

    task: str
    metric: str
    what: str
    sentence: str
    test: str
    tests: tuple[Tested, ...]

    @property
    def supported(self) -> bool:
        """Whether the sentence says that something is more or less."""
        return self.tests[0].supported

    @property
    def bandwidth(self) -> bool:
        """Whether it is about clips of controlled bandwidth."""
        return self.what in BANDWIDTH_KINDS


def findings(
    numbers: pd.DataFrame, plans: Mapping[str, Transfer | None], facts: Mapping[str, TaskFacts]
) -> list[Finding]:
    """The findings of a report, in the order of its transfers.

    Parameters
    ----------
    numbers
        As of ``bench.reports.out_of_domain.transfer_table.transfer_table``.
    plans
        {task: the transfer that it is, None for another}.
    facts
        {task: a record's own copy of its card}.
    """
    asked = [
        (id, each, what, kind, own)
        for id in (id for id, plan in plans.items() if plan and not facts[id].get("demonstration"))
        for each in decided(facts[id])
        for what, kind in (KINDS | BANDWIDTH_KINDS).items()
        if (own := _rows(numbers, id, each, what))
    ]
    adjusted = iter(holm(np.array([row["p"] for *_, own in asked for row in own], float)))
    found: list[Finding] = []
    for id, each, what, kind, own in asked:
        tests = [_tested(row, float(next(adjusted)), each.unit) for row in own]
        found += _sentences(id, each, what, kind, tests, facts[id]["group"])
    return found


def count(found: Sequence[Finding]) -> int:
    """How many tests a page's findings rest on."""
    return sum(len(finding.tests) for finding in found)


def _rows(numbers: pd.DataFrame, id: str, each: Shown, what: str) -> list[dict]:
    """The rows of encoders, of one kind of number, that have a test."""
    part = numbers[(numbers["task"] == id) & (numbers["metric"] == each.key) & (numbers["what"] == what)]
    controls = part["encoder"].str.partition(".")[0].isin(CONTROL_FAMILIES) if len(part) else []
    return [row for row in part[~controls].to_dict("records") if not missing(row["p"])] if len(part) else []


def _tested(row: Mapping, adjusted: float, unit: str) -> Tested:
    name = f"{row_name(row['encoder'], row['layer'])} {row['pooling']}"
    return Tested(name, row["value"], row["low"], row["high"], row["p"], adjusted, int(row["groups"]), unit)


def _sentences(id: str, each: Shown, what: str, kind: Kind, tests: Sequence[Tested], group: str) -> list[Finding]:
    manner = f"{'paired' if kind.paired else 'unpaired'} {group} bootstrap"
    out = []
    for test in sorted((t for t in tests if t.supported), key=lambda t: -abs(t.value)):
        text = (kind.more if test.value > 0 else kind.less).format(row=test.row, size=test.size(signs=False))
        told = f"{manner}, {test.groups} {group}s, {p_phrase(test.p)}, after Holm {p_phrase(test.adjusted)}"
        out.append(Finding(id, each.title, what, f"{text}.", told, (test,)))
    if rest := tuple(test for test in tests if not test.supported):
        text = f"{kind.neither}: {'; '.join(f'{test.row} {test.size(signs=True)}' for test in rest)}."
        least = min(rest, key=lambda test: test.p)
        told = f"{manner}, {rest[0].groups} {group}s, least {p_phrase(least.p)}, after Holm {p_phrase(least.adjusted)}"
        out.append(Finding(id, each.title, what, text, told, rest))
    return out
