"""What an audit found, beside the scores of the data that it looked at.

``bench.audit`` writes a report per task; where one lies beside the records of a board, its marks stand at the tests
that they speak of, provided that it speaks of the very data (digest and task version) of the records.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.base.errors import BadInput
from bench.base.paths import file_name
from bench.reports.names import link_target
from bench.scores.schema import Record

FOLDER = "audit"  # in a results folder


@dataclass(frozen=True)
class Audited:
    """One audit: the ``task`` with its ``version``, the ``digest`` of its data, ``marks`` {test: in a few words}."""

    task: str
    version: int
    digest: str
    marks: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def report(self) -> str:
        """Where the report lies in a results folder, as the target of a Markdown link."""
        return f"{FOLDER}/{link_target(file_name(self.task))}.md"

    def stale(self, record: Record) -> str:
        """Why the audit says nothing about a record of the task; empty where it speaks of the same data."""
        spec = record.spec
        if self.version != spec["task_version"]:
            return f"of version {self.version} of the task, these results of version {spec['task_version']}"
        if self.digest != spec["manifest"]:
            return f"of data {self.digest[:12]}, these results of data {spec['manifest'][:12]}"
        return ""

    def of_test(self, record: Record, test: str) -> list[str]:
        """Its marks of a test of a record; none where it is stale."""
        return [] if self.stale(record) else list(self.marks.get(test, ()))


def read(folder: Path, tasks: Iterable[str]) -> dict[str, Audited]:
    """{task: its audit}, of those that a results folder has. Raises ``BadInput`` for one that is not readable, or of
    another task than its name says."""
    out = {}
    for task in tasks:
        path = folder / FOLDER / f"{file_name(task)}.json"
        if not path.exists():
            continue
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            marks = {test: tuple(map(str, found)) for test, found in facts["marks"].items()}
            out[task] = Audited(facts["task"], facts["version"], facts["digest"], marks)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            remedy = f"make it again with `respbench audit {task} --out {folder / FOLDER}`"
            raise BadInput(path, f"not a readable audit ({error})", remedy) from error
        if out[task].task != task:
            raise BadInput(path, f"an audit of {out[task].task}", f"name it {file_name(out[task].task)}.json")
    return out
