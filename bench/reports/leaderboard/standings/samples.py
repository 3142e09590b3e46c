"""Scores of all rows of a test in the same draws of patients, and of the means over tests.

Within a test patients are drawn as for the interval of a single score. For means over tests one draw of a corpus's
patients serves all its tests, since a patient who is hard is hard in all of them; corpora are drawn apart.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.base.errors import BadInput
from bench.reports.leaderboard.standings.contest import Contest
from bench.reports.leaderboard.standings.values import Row
from bench.scores import metrics, per_test
from bench.scores.intervals import ScoredClips, bootstrap_weights, effective_groups
from bench.scores.schema import Record

DRAWS, LEAST_DRAWS = 2000, 200  # drawn; and defined for all rows, below which nothing is compared
_TRANSFER = "transfer"  # tasks whose groups name their corpus: "icbhi:101"


@dataclass(frozen=True)
class ScoredTest:
    """The rows of one class on one test that have a score, with their predictions.

    ``rows`` in order; ``clips`` one entry for each row, of one table for each seed; ``patients`` names of the groups
    with their corpus.
    """

    rows: tuple[Row, ...]
    clips: tuple[tuple[ScoredClips, ...], ...]
    patients: np.ndarray
    metric: metrics.Metric
    roles: metrics.Roles

    @classmethod
    def of(cls, test: str, by_row: Mapping[Row, Sequence[Record]]) -> ScoredTest:
        """Reads the predictions of each row's records on one test.

        Raises ``BadInput`` where rows were scored on different clips.
        """
        first = next(iter(by_row.values()))[0]
        task, name = first.data["task"], first.spec["task"]
        arguments = per_test.comparison_arguments(first)
        tables, reference = [], None
        for records in by_row.values():
            own = []
            for record in records:
                frame = per_test.tested(record, test).sort_values("clip_id", ignore_index=True)
                read = ScoredClips.of(frame, arguments["classes"], arguments["unit"], arguments["kind"])
                if reference is None:
                    reference, groups = read, np.unique(frame["group"].to_numpy(str))
                if not (np.array_equal(read.clip, reference.clip) and np.array_equal(read.code, reference.code)):
                    problem = f"{record.key} and {first.key} differ in their clips or patients"
                    raise BadInput(f"{name}/{test}", problem, "score all rows on one copy of the data")
                own.append(read)
            tables.append(tuple(own))
        corpus = name.partition(".")[0]
        prefix = "" if corpus == _TRANSFER else f"{corpus}:"
        patients = np.array([prefix + group for group in groups])
        return cls(tuple(by_row), tuple(tables), patients, metrics.get(task["main_metric"]), arguments["roles"])

    def only(self, rows: Sequence[Row]) -> ScoredTest:
        """Some of its rows, in the order given."""
        return replace(self, rows=tuple(rows), clips=tuple(self.clips[self.rows.index(row)] for row in rows))

    @property
    def groups(self) -> float:
        """Effective number of patients."""
        return effective_groups(np.bincount(self.clips[0][0].code))

    def contest(self) -> Contest | None:
        """The rows compared on draws of this test's patients; None where nothing can be compared."""
        counts = self.clips[0][0].draws(DRAWS, 0)
        return contest(self.values(), self.scores(counts), self.groups)

    def values(self) -> np.ndarray:
        """(K,) scores, higher better."""
        return self.scores(np.ones((1, len(self.patients))))[:, 0]

    def scores(self, counts: np.ndarray) -> np.ndarray:
        """(K, R) in draws that take each patient so often (R, patients), higher better, means over seeds."""
        sign = 1.0 if self.metric.direction == "higher" else -1.0
        drawn = [np.mean([each.sample(self.metric, self.roles, counts) for each in own], axis=0) for own in self.clips]
        return sign * np.stack(drawn)


def contest(values: np.ndarray, drawn: np.ndarray, groups: float) -> Contest | None:
    """A ``Contest`` of the draws (K, R) in which every row has a score; None where too few are left."""
    defined = ~np.isnan(drawn).any(axis=0)
    if len(values) < 1 or np.isnan(values).any() or groups <= 1 or defined.sum() < LEAST_DRAWS:
        return None
    return Contest(values, drawn[:, defined], groups)


def contest_of_means(tests: Sequence[ScoredTest]) -> Contest | None:
    """Means over tests compared, of the same rows in each test, in the same order."""
    corpora = _apart(tests)
    values = np.mean([test.values() for test in tests], axis=0)
    drawn = np.zeros((len(values), DRAWS))
    parts = []
    for names, members in corpora:
        patients = np.unique(np.concatenate([tests[m].patients for m in members]))
        seed = zlib.crc32(
            "|".join(sorted(names)).encode()
        )  # so that a corpus's draws are its own whatever else is there
        counts, _ = bootstrap_weights(patients, DRAWS, seed)
        part = sum(tests[m].scores(counts[:, np.searchsorted(patients, tests[m].patients)]) for m in members)
        drawn += part / len(tests)
        parts.append((np.nanvar(part, axis=1).mean(), min(tests[m].groups for m in members)))
    return contest(values, drawn, combined_groups(parts))


def _apart(tests: Sequence[ScoredTest]) -> list[tuple[set[str], list[int]]]:
    """(corpora, indices of their tests) such that no two of them share a corpus."""
    parts: list[tuple[set[str], list[int]]] = []
    for index, test in enumerate(tests):
        names = {patient.partition(":")[0] for patient in test.patients}
        joined = [part for part in parts if part[0] & names]
        parts = [part for part in parts if not part[0] & names]
        parts.append((names.union(*(p[0] for p in joined)), sorted([index, *(i for p in joined for i in p[1])])))
    return parts


def combined_groups(parts: Sequence[tuple[float, float]]) -> float:
    """Effective number of patients of a sum of independent parts, each a variance and its effective number.

    Degrees of freedom as Welch 1947 (10.1093/biomet/34.1-2.28) and Satterthwaite have them.
    """
    total = sum(variance for variance, _ in parts)
    if total == 0 or any(groups <= 1 for _, groups in parts):
        return min(groups for _, groups in parts)
    return 1 + total**2 / sum(variance**2 / (groups - 1) for variance, groups in parts)
