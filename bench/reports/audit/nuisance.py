"""What the embeddings of an encoder tell besides the label, as audits found it, beside the scores of the same data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.base.errors import BadInput
from bench.base.paths import file_name, parse_json
from bench.reports.audit.summary import AUDIT_FOLDER
from bench.reports.tables import markdown
from bench.scores.printed import BLANK
from bench.scores.schema import Record

CAPTION = (
    "How well a probe reads corpus, device, patient and length off the embeddings, on clips of patients that it has "
    "not seen (of the patient: on other recordings), as `respbench audit` found it. What is read off far above chance "
    "is there for a diagnosis to rest on."
)
_FIELDS = ("what", "measure", "value", "chance", "n", "note")


@dataclass(frozen=True)
class Revealed:
    """What the audit of a ``task`` found: ``rows`` {encoder: rows as of ``bench.runs.audit.checks.nuisance``}.

    ``version`` and ``digest`` are of the task and data that were audited.
    """

    task: str
    version: int
    digest: str
    rows: Mapping[str, Sequence[Mapping[str, Any]]]

    def stale(self, record: Record) -> bool:
        """Whether the audit is of other data than a record of the task."""
        return (self.version, self.digest) != (record.spec["task_version"], record.spec["manifest"])


def read_revealed(folder: Path, tasks: Iterable[str]) -> list[Revealed]:
    """What the audits in a results folder found of these tasks; tasks without an audit are left out.

    Raises ``BadInput`` for an audit that cannot be read.
    """
    out = []
    for task in tasks:
        path = folder / AUDIT_FOLDER / f"{file_name(task)}.json"
        if not path.exists():
            continue
        try:
            facts = parse_json(path.read_text(encoding="utf-8"))
            rows = {
                str(encoder): [{name: row[name] for name in _FIELDS} for row in found]
                for encoder, found in facts["nuisance"].items()
            }
            out.append(Revealed(str(facts["task"]), int(facts["version"]), str(facts["digest"]), rows))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            remedy = f"make it again with `respbench audit {task} --out {folder / AUDIT_FOLDER}`"
            raise BadInput(path, f"not a readable audit ({error})", remedy) from error
    return out


def revealed_table(revealed: Revealed) -> str:
    """A table of what each encoder's embeddings tell."""
    lines = [
        [encoder, row["what"], row["measure"], *(_percent(row[name]) for name in ("value", "chance")), *_last(row)]
        for encoder, rows in revealed.rows.items()
        for row in rows
    ]
    return markdown(["encoder", "what", "measure", "value, %", "chance, %", "n", "note"], lines, right=(3, 4, 5))


def _percent(value: float | None) -> str:
    return BLANK if value is None else f"{100 * value:.1f}"


def _last(row: Mapping[str, Any]) -> tuple[str, str]:
    return (str(row["n"]), row["note"]) if row["value"] is not None else (BLANK, row["note"])
