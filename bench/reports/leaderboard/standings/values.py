"""What standings are: plain frozen values that pages, tables and figures read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, order=True)
class Row:
    """One row of a leaderboard.

    Attributes
    ----------
    encoder, pooling, layer, protocol
        As ``bench.reports.leaderboard.table.cells`` names them.
    rank_class
        The class inside which rows are compared (``bench.reports.names.rank_class``); ``UNRANKED``
        ones (``bench.reports.leaderboard.table``) never are.
    """

    encoder: str
    pooling: str
    layer: int
    protocol: str
    rank_class: str


@dataclass(frozen=True)
class Standing:
    """A row on one test.

    Attributes
    ----------
    row : Row
        Whose score it is.
    value, low, high : float or None
        The main metric with its 95 % interval, in the metric's own unit (fractions for %); None where undefined.
    keys : tuple of str
        Keys of the records behind it, one for each seed.
    best : bool or None
        Not significantly worse than the best of its class; None where nothing can be compared (rows that are not
        ranked, a test of one patient, an undefined score).
    p : float or None
        Of "no row of the class is better", adjusted for all rows of the class.
    letters : str
        Rows of a class that share a letter are not told apart; empty where ``best`` is None.
    marks : tuple of str
        What a reader must know beside the number, the row's own before those of the test.
    """

    row: Row
    value: float | None
    low: float | None
    high: float | None
    keys: tuple[str, ...]
    best: bool | None = None
    p: float | None = None
    letters: str = ""
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Resolution:
    """The smallest difference that a test resolves between two of its rows, of the middle pair of rows.

    Attributes
    ----------
    resolved : float
        Half the 95 % interval of a paired difference, in the metric's own unit.
    found : float
        What a difference must be to be resolved in four of five tests of this kind.
    pairs : int
        Number of pairs of rows behind it.
    """

    resolved: float
    found: float
    pairs: int


@dataclass(frozen=True)
class TestStandings:
    """All rows of one test.

    Attributes
    ----------
    task, test, metric, unit, direction : str
        Names; the unit is ``%`` for fractions; the direction ``higher`` or ``lower``.
    headline : bool
        Whether the test stands for its task in means.
    clips, groups : int
        Of the test.
    rows : tuple of Standing
        Class by class, best first; control rows last.
    resolution : Resolution or None
        None where fewer than two rows can be compared.
    marks : tuple of str
        What all its rows have in common: a subset of the corpus, patients in train, what an audit found.
    """

    __test__ = False  # not a test of pytest's

    task: str
    test: str
    metric: str
    unit: str
    direction: str
    headline: bool
    clips: int
    groups: int
    rows: tuple[Standing, ...]
    resolution: Resolution | None = None
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class OverallStanding:
    """A row over all headline tests.

    Attributes
    ----------
    row : Row
        Whose standing it is.
    mean : float or None
        Mean over ``Standings.mean_of``; None where one of them is missing.
    rank, rank_low, rank_high : int or None
        Rank of the mean among the complete rows of the class, with its 95 % interval; None for incomplete rows and
        those that are not ranked.
    best : bool or None
        Not significantly worse than the best mean of the class.
    p : float or None
        As in ``Standing``.
    letters : str
        As in ``Standing``.
    missing : tuple of str
        ``task/test`` of the headline tests without a score.
    """

    row: Row
    mean: float | None
    rank: int | None = None
    rank_low: int | None = None
    rank_high: int | None = None
    best: bool | None = None
    p: float | None = None
    letters: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class CriticalDifference:
    """Mean ranks over tests, for a critical-difference diagram.

    Attributes
    ----------
    rows : tuple of Row
        Complete rows of one class, by mean rank.
    mean_ranks : tuple of float
        1 is best; ties share their ranks.
    tests : tuple of str
        ``task/test`` of the headline tests that were ranked.
    friedman_p : float or None
        Of "all rows are alike"; None for fewer than three rows or two tests.
    nemenyi : float or None
        Mean ranks that differ by less are not told apart; None as before.
    nemenyi_groups, wilcoxon_groups : tuple of tuple of int
        Indices of rows that are not told apart, by Nemenyi's test and by Wilcoxon's with Holm's correction.
    weak : str
        Why little can be read from it; empty where tests suffice.
    """

    rows: tuple[Row, ...]
    mean_ranks: tuple[float, ...]
    tests: tuple[str, ...]
    friedman_p: float | None
    nemenyi: float | None
    nemenyi_groups: tuple[tuple[int, ...], ...]
    wilcoxon_groups: tuple[tuple[int, ...], ...]
    weak: str = ""


@dataclass(frozen=True)
class Cost:
    """What an encoder costs; None where no record says so.

    Attributes
    ----------
    parameters : int or None
        Number of parameters.
    ms_per_clip : float or None
        Milliseconds to encode a clip.
    gb : float or None
        Peak memory in GB (1000 MB).
    """

    parameters: int | None = None
    ms_per_clip: float | None = None
    gb: float | None = None


@dataclass(frozen=True)
class Standings:
    """Everything that a leaderboard says of who leads.

    Attributes
    ----------
    tests : tuple of TestStandings
        Sorted by task; the headline test of each task first.
    overall : tuple of OverallStanding
        Class by class, best first; incomplete rows after complete ones, control rows last.
    mean_of : tuple of str
        ``task/test`` of the tests in the mean.
    critical : mapping
        {class: ``CriticalDifference``} of the classes that have two complete rows or more.
    cost : mapping
        {row: ``Cost``}.
    """

    tests: tuple[TestStandings, ...]
    overall: tuple[OverallStanding, ...]
    mean_of: tuple[str, ...]
    critical: Mapping[str, CriticalDifference] = field(default_factory=dict)
    cost: Mapping[Row, Cost] = field(default_factory=dict)

    @property
    def marks(self) -> dict[tuple[Row, str, str], tuple[str, ...]]:
        """{(row, task, test): its marks}, of cells that have any."""
        return {(each.row, of.task, of.test): each.marks for of in self.tests for each in of.rows if each.marks}

    def as_json(self) -> dict[str, Any]:
        """JSON-ready values of everything that follows from the records alone, hence without costs."""
        parts = {"tests": self.tests, "overall": self.overall, "critical": self.critical}
        plain: dict[str, Any] = {
            name: {k: asdict(v) for k, v in part.items()} if isinstance(part, Mapping) else [asdict(v) for v in part]
            for name, part in parts.items()
        }
        return plain | {"mean_of": list(self.mean_of)}
