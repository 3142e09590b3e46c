"""Rows that others published (``published.csv``), and whether a number of ours may stand in one ranking with them.

The table has facts from public sources, each with its source and how far to trust it. Its last five columns say what of
RespBench a row is of, filled by ``scripts/published.py``.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files

from bench.base.errors import BadInput

TRUST = ("primary", "secondary", "rerun", "derived")
TRUSTED = ("primary",)  # what is shown unless more is asked for
MEANING = {
    "primary": "the authors' own repository, a paper's abstract, a challenge's page",
    "secondary": "another project's transcription of a paper's table: read the paper before quoting it",
    "rerun": "run again by others, from an issue report or a thesis: a target for sanity",
    "derived": "computed from published numbers or from released predictions",
}


@dataclass(frozen=True)
class PublishedRow:
    """One published number.

    Attributes
    ----------
    system, venue, year, dataset, task, protocol, metric, value, std
        As the source says them, all text; ``std`` may be empty.
    trust
        One of ``TRUST``.
    source
        Where the number stands.
    our_task, our_test, our_metric
        The task of RespBench, with its variant, the test and the metric that it is of; empty where there is none.
    our_protocol
        The protocol of RespBench that was followed; empty where none was.
    differs
        Why it can be compared with nothing here; empty where it can.
    """

    system: str
    venue: str
    year: str
    dataset: str
    task: str
    protocol: str
    metric: str
    value: str
    std: str
    trust: str
    source: str
    our_task: str
    our_test: str
    our_metric: str
    our_protocol: str
    differs: str

    def near(self, task: str) -> bool:
        """Whether it is of a task, or of another split of it."""
        return bool(self.our_task) and self.our_task.partition("@")[0] == task.partition("@")[0]


COLUMNS = tuple(field.name for field in fields(PublishedRow))


@cache
def _all_rows() -> tuple[PublishedRow, ...]:
    table = files(__package__).joinpath("published.csv")
    with table.open(encoding="utf-8", newline="") as file:
        return tuple(PublishedRow(**line) for line in csv.DictReader(file))


def published_rows(task: str = "", trust: Sequence[str] = TRUSTED) -> list[PublishedRow]:
    """Published rows in the order of the table.

    Parameters
    ----------
    task
        Keeps the rows of this task and of other splits of it; by default all.
    trust
        Kinds of source to show, of ``TRUST``; by default primary sources alone.

    Raises
    ------
    BadInput
        For an unknown kind of source.
    """
    if unknown := [name for name in trust if name not in TRUST]:
        raise BadInput("trust", f"there is no kind of source {unknown[0]}", f"take some of {', '.join(TRUST)}")
    return [row for row in _all_rows() if row.trust in trust and (not task or row.near(task))]


def comparable(row: PublishedRow, task: str, test: str, protocol: str, state: str = "complete") -> tuple[bool, str]:
    """Whether a published number may be ranked with ours.

    Parameters
    ----------
    row
        The published row.
    task, test, protocol
        Of ours; the task with its variant.
    state
        Of our copy of the corpus: a subset or simulated data can be compared with nothing published.

    Returns
    -------
    bool
        True only where corpus, split, test, score and protocol are the same.
    str
        Why not, else empty.
    """
    if not row.near(task):
        return False, row.differs if row.differs and not row.our_task else f"of {row.our_task or 'no task here'}"
    if row.differs:
        return False, row.differs
    if row.our_task != task:
        return False, f"another split: {row.our_task}"
    if row.our_test != test:
        return False, f"another test: {row.our_test or 'none of ours'}"
    if state != "complete":
        return False, f"our copy of the corpus is {state}"
    if row.our_protocol != protocol:
        return False, f"another protocol: {row.our_protocol or row.protocol}"
    return True, ""
