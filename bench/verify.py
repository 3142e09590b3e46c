"""Recomputes everything in a results folder from its predictions, and says what does not hold."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bench import board, records, run
from bench.errors import RespBenchError
from bench.progress import Progress, silent
from bench.types import Record


def verify(folder: Path, progress: Progress = silent) -> tuple[int, list[str]]:
    """(number of records, what does not hold, one line each): no line when every key, prediction digest, score,
    interval and table is what the predictions give. Raises ``BadInput`` where the folder holds no record."""
    problems: list[str] = []
    found: list[Record] = []
    listed = list(records.paths(folder))
    if not listed:
        records.load_all(folder)  # raises with the remedy
    with progress("verify", len(listed)) as tick:
        for path in listed:
            try:
                record = records.read(path)
            except RespBenchError as error:
                problems.append(str(error))
            else:
                found.append(record)
                problems += [f"{path}: {problem}" for problem in verify_record(record, path.stem)]
            tick(1)
    return len(listed), problems + ([] if problems else _verify_board(found, folder))


def verify_record(record: Record, stem: str) -> list[str]:
    """What does not hold in one record. ``stem`` is the name of its file."""
    problems = []
    if records.key(record.spec) != record.key or stem != record.key:
        problems.append("the key is not the digest of what determines the result")
    seen = hashlib.sha256(records.predictions_csv(record.predictions)).hexdigest()
    if seen != record.data["predictions_sha256"]:
        problems.append("the predictions are not those that the record was made from")
    scores, domains = run.scores_of(record.data["task"], record.predictions)
    problems += _differences("score", record.scores, scores) + _differences("domain score", record.domains, domains)
    return problems


def _differences(what: str, stored: object, again: object, at: str = "") -> list[str]:
    """Paths at which two JSON-like values differ; floats may differ in the last stored digit."""
    if isinstance(stored, dict) and isinstance(again, dict):
        out = []
        for name in sorted(stored.keys() | again.keys()):
            out += _differences(what, stored.get(name), again.get(name), f"{at}/{name}")
        return out
    if isinstance(stored, float) and isinstance(again, float):
        return [] if abs(stored - again) <= 2 * 10.0**-records.DECIMALS else [f"{what} {at} is {stored}, not {again}"]
    return [] if stored == again else [f"{what} {at} is {stored!r}, not {again!r}"]


def _verify_board(found: list[Record], folder: Path) -> list[str]:
    """Holds the board's files, where there are any, against the records."""
    if not (folder / "leaderboard.md").exists():
        return []
    again = board.render(found, board.Context.read(folder))
    return [
        f"{folder / name}: not what the records give; write it again with `respbench leaderboard {folder}`"
        for name, text in again.items()
        if not (folder / name).exists() or (folder / name).read_text() != text
    ]
