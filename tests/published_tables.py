"""Copies of corpora that a table defines, and the published tables where they lie beside the recordings."""

import csv
import json
from pathlib import Path

import pytest

import tiny_corpora
from bench.types import Finding, Task


def copy(folder: Path, names, suffix: str = ".wav") -> Path:
    """A folder with a short recording of every name."""
    for name in names:
        tiny_corpora.tone(folder / f"{name}{suffix}", seconds=0.25)
    return folder


def found(task: Task, level: str | None = None) -> dict[str, Finding]:
    """{code: finding} of a level, or of all."""
    return {finding.code: finding for finding in task.findings if level in (None, finding.level)}


def beside(real_data: Path, name: str) -> Path:
    """A file beside the recordings; skips where it is not there."""
    path = real_data.resolve().parent / name
    if not path.is_file():
        pytest.skip(f"no {name} beside the recordings")
    return path


def published(real_data: Path, number: str) -> list[dict[str, str]]:
    """The rows of one of OPERA's tables, such as ``t01``."""
    with beside(real_data, f"opera/{number}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def counts(real_data: Path) -> dict:
    """What was counted on the published arrays."""
    return json.loads(beside(real_data, "specs/counts.json").read_text(encoding="utf-8"))["opera"]
