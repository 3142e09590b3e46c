"""The summary of an audit that is shown beside the scores of the data that it examined.

``respbench audit`` writes a report per task. Where one lies beside the records of a leaderboard, its marks stand at the
tests that they concern, provided that it concerns the very data (digest and task version) of the records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.base.errors import BadInput
from bench.base.paths import file_name, parse_json
from bench.reports.names import link_target
from bench.scores.schema import Record

AUDIT_FOLDER = "audit"  # in a results folder


@dataclass(frozen=True)
class AuditSummary:
    """One audit: the ``task`` with its ``version``, the ``digest`` of its data, and ``marks`` {test: short remarks}."""

    task: str
    version: int
    digest: str
    marks: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def report(self) -> str:
        """Where the report lies in a results folder, as the target of a Markdown link."""
        return f"{AUDIT_FOLDER}/{link_target(file_name(self.task))}.md"

    def stale(self, record: Record) -> str:
        """Why the audit does not apply to a record of the task; empty where it is of the same data."""
        spec = record.spec
        if self.version != spec["task_version"]:
            return f"of version {self.version} of the task, these results of version {spec['task_version']}"
        if self.digest != spec["manifest"]:
            return f"of data {self.digest[:12]}, these results of data {spec['manifest'][:12]}"
        return ""

    def of_test(self, record: Record, test: str) -> list[str]:
        """Its marks of a test of a record; none where the audit is stale."""
        return [] if self.stale(record) else list(self.marks.get(test, ()))


def read_audit_summaries(folder: Path, tasks: Iterable[str]) -> dict[str, AuditSummary]:
    """{task: its audit}, of the given tasks whose audit lies in a results folder.

    Raises ``BadInput`` for one that is not readable, or of another task than its name says.
    """
    out = {}
    for task in tasks:
        path = folder / AUDIT_FOLDER / f"{file_name(task)}.json"
        if not path.exists():
            continue
        try:
            facts = parse_json(path.read_text(encoding="utf-8"))
            marks = {test: tuple(map(str, remarks)) for test, remarks in facts["marks"].items()}
            out[task] = AuditSummary(facts["task"], facts["version"], facts["digest"], marks)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            remedy = f"make it again with `respbench audit {task} --out {folder / AUDIT_FOLDER}`"
            raise BadInput(path, f"not a readable audit ({error})", remedy) from error
        if out[task].task != task:
            raise BadInput(path, f"an audit of {out[task].task}", f"name it {file_name(out[task].task)}.json")
    return out
