"""What the records were made by and on."""

from __future__ import annotations

from collections.abc import Sequence

from bench.publish.papers.citations.bibliography import Bibliography
from bench.publish.papers.citations.used import SOFTWARE
from bench.publish.papers.methods.text import Paragraph, cited, free
from bench.publish.papers.tables.captions import counted, listed
from bench.scores.schema import Record

_ABSENT = "absent"  # what provenance notes of a package that is not installed
_COMMIT = 12  # hex digits of a commit that are shown


def software_paragraph(records: Sequence[Record], references: Bibliography) -> Paragraph:
    """Versions of packages, commits, machines and devices, as far as the records' run files tell."""
    told = [record.run for record in records if record.run]
    sentences = [f"All numbers were made with RespBench{cited(references.of(SOFTWARE))}."]
    versions: dict[str, set[str]] = {}
    for run in told:
        for package, version in run.get("versions", {}).items():
            if version != _ABSENT:
                versions.setdefault(package, set()).add(version)
    if versions:
        words = [f"{free(name)} {' or '.join(map(free, sorted(each)))}" for name, each in sorted(versions.items())]
        sentences.append(f"Versions: {listed(words)}.")
    if commits := sorted({_commit(run["commit"]) for run in told if run.get("commit")}):
        sentences.append(f"The code is of {'commit' if len(commits) == 1 else 'commits'} {listed(commits)}.")
    where = sorted({f"{free(run['machine'])} ({free(run.get('device', 'cpu'))})" for run in told if run.get("machine")})
    if where:
        sentences.append(f"It ran on {listed(where)}.")
    if silent := len(records) - len(told):
        sentences.append(f"Of {counted(silent, 'record')} it is not known what made them.")
    return Paragraph("Software", tuple(sentences))


def _commit(commit: str) -> str:
    modified = commit.endswith("+")
    return free(commit.removesuffix("+")[:_COMMIT]) + (" (modified)" if modified else "")
