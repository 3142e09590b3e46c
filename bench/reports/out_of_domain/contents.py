"""What an out-of-domain report says, whatever shows it: numbers, findings, curves and what stands beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.base.errors import BadInput
from bench.reports.audit.nuisance import Revealed, read_revealed
from bench.reports.out_of_domain.findings import Finding, findings
from bench.reports.out_of_domain.measures.resampled import Draws
from bench.reports.out_of_domain.transfer_table import Shown, decided, reliability_table, transfer_table
from bench.runs.context import TransferNotes
from bench.runs.out_of_domain import Transfer, transfer
from bench.scores.records import paths, read, require_one_data
from bench.scores.schema import Record


@dataclass(frozen=True)
class Contents:
    """Everything that an out-of-domain report shows.

    Attributes
    ----------
    notes : TransferNotes
        What was asked for, and what is blank and why.
    firsts : mapping
        {task: a record of it}, for facts that all of its records share.
    plans : mapping
        {task: the transfer that it is, None for a task whose test is a domain left out}, in the order asked for.
    numbers, curves : pandas.DataFrame
        As of ``transfer_table`` and ``reliability_table``.
    findings : list of Finding
        What the numbers support.
    revealed : mapping
        {task: what its audit found that embeddings tell besides}.
    """

    notes: TransferNotes
    firsts: Mapping[str, Record]
    plans: Mapping[str, Transfer | None]
    numbers: pd.DataFrame
    curves: pd.DataFrame
    findings: Sequence[Finding]
    revealed: Mapping[str, Revealed]

    @property
    def transfers(self) -> dict[str, Transfer]:
        """The tasks that are transfers."""
        return {id: plan for id, plan in self.plans.items() if plan}

    @property
    def left_out(self) -> dict[str, list[str]]:
        """{task without its variant: the tasks in which one of its domains is the test}."""
        out: dict[str, list[str]] = {}
        for id in (id for id, plan in self.plans.items() if plan is None):
            out.setdefault(id.partition("@")[0], []).append(id)
        return out

    def of(self, task: str, each: Shown) -> pd.DataFrame:
        """The numbers of one metric of a task."""
        return self.numbers[(self.numbers["task"] == task) & (self.numbers["metric"] == each.key)]

    def matrices(self) -> dict[tuple[str, tuple[str, ...]], dict[tuple[str, str], tuple[str, Shown]]]:
        """{(metric's title, classes): {(source, target): (transfer, metric)}}, where there are two transfers or more.

        Scores of other metrics or classes are not comparable, and have a matrix of their own.
        """
        found: dict[tuple[str, tuple[str, ...]], dict[tuple[str, str], tuple[str, Shown]]] = {}
        for id, plan in self.transfers.items():
            task = self.firsts[id].data["task"]
            for each in decided(task):
                found.setdefault((each.title, tuple(task["classes"])), {})[plan.source, plan.target] = id, each
        return {key: pairs for key, pairs in found.items() if len(pairs) > 1}


def contents(records: Sequence[Record], notes: TransferNotes, revealed: Iterable[Revealed] = ()) -> Contents:
    """What the report of these records says.

    Parameters
    ----------
    records
        All records of a results folder.
    notes
        Its notes.
    revealed
        What audits of its tasks found.

    Raises
    ------
    BadInput
        For records of one task on different data.
    """
    require_one_data(records)
    firsts = {record.spec["task"]: record for record in reversed(records)}
    plans = {id: transfer(id) for id in notes.tasks if id in firsts and id not in notes.blanks}
    draws = Draws()
    numbers = transfer_table(records, plans, draws)
    found = findings(numbers, plans, {id: firsts[id].data["task"] for id in plans})
    curves = reliability_table(records, plans, draws)
    return Contents(notes, firsts, plans, numbers, curves, found, {each.task: each for each in revealed})


def contents_of(folder: Path, records: Sequence[Record] | None = None, audits: Path | None = None) -> Contents:
    """What the report of a results folder says.

    Parameters
    ----------
    folder
        The results folder.
    records
        Its records, read unless they are given.
    audits
        The folder whose ``audit/`` is read, by default the same.

    Raises
    ------
    BadInput
        Where no report was asked for there, and for what cannot be read.
    """
    notes = TransferNotes.read(folder)
    if not notes.tasks:
        raise BadInput(folder, "no out-of-domain report was made here", "make one with respbench ood")
    records = [read(path) for path in paths(folder)] if records is None else records
    return contents(records, notes, read_revealed(audits or folder, notes.tasks))
