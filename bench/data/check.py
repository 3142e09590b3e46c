"""What is in a copy of a task's data and what is wrong with it, as one JSON-ready report."""

from __future__ import annotations

from dataclasses import asdict

import pandas as pd

from bench.base.progress import Progress, silent
from bench.data.manifest import COLUMNS, counts, digest, inspect_clips, usable
from bench.data.recordings import keeps_short
from bench.types import Task, TaskCard


def check_task(task: Task, audio: bool = True, progress: Progress = silent, *, on_bad_clip: str = "error") -> dict:
    """``ok`` (no error), ``complete``, state, digest, counts per split and per test, and every finding.

    With ``audio`` every recording is decoded, and ``digest`` is the one that results on this copy carry; without it,
    or where no audio is at hand, it covers the annotations alone. Of ``on_bad_clip`` (as of ``bench.evaluate``) only
    ``keep-short`` makes a difference: short recordings are then usable. Nothing in the report depends on where the
    copy lies.

    Raises ``UnknownId`` for another value of ``on_bad_clip``.
    """
    keep_short = keeps_short(on_bad_clip)
    card, frame, findings = task.card, task.manifest, list(task.findings)
    report = {"id": card.id, "version": card.version, "state": task.state, "complete": task.state == "complete"}
    report["classes"] = list(card.classes)
    if set(COLUMNS) <= set(frame):
        report["digest"] = digest(frame)
        if audio and frame["available"].any():
            rows, recordings, audio_findings = inspect_clips(task, progress, keep_short)
            findings += audio_findings
            rows = usable(rows, findings)
            report["digest"] = digest(rows, recordings)
        splits = {split: frame["split"] == split for split in sorted(frame["split"].unique())}
        tests = {name: frame["split"].isin(members) for name, members in card.tests.items()}
        report["splits"] = {name: _counts(frame[mask], card) for name, mask in splits.items()}
        report["tests"] = {name: _counts(frame[mask], card) for name, mask in tests.items()}
    report["findings"] = [asdict(finding) | {"clips": list(finding.clips)} for finding in findings]
    report["ok"] = not any(finding.level == "error" for finding in findings)
    return report


def _counts(part: pd.DataFrame, card: TaskCard) -> dict[str, int]:
    """The manifest's counts, and ``available``: the clips whose audio is in this copy."""
    return counts(part, card) | {"available": int(part["available"].sum())}
