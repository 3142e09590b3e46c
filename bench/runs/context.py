"""What the records of a results folder do not tell: how they were asked for, and what could not run and why.

Each kind of report has its notes, a JSON file beside the records: ``board.json``, ``sweep/sweep.json``, ``ood.json``.
Whoever makes records adds to the notes; reports only read them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Self

from bench.base.errors import BadInput
from bench.base.paths import parse_json, write_text
from bench.base.settings import read as read_settings
from bench.encoders.weights.find import release_digests_of
from bench.scores.records import stored_specs
from bench.scores.schema import Spec

NOTHING: Mapping = MappingProxyType({})


@dataclass
class RunNotes:
    """``title``; ``commands`` that made the records; ``absent``: {encoder: why it did not run}; ``notes``: remarks."""

    FILE: ClassVar[str]
    title: str = ""
    commands: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The notes of a results folder, or empty ones. Raises ``BadInput`` for a file that is none."""
        path = folder / cls.FILE
        if not path.exists():
            return cls()
        try:
            data = parse_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInput(path, f"is not readable JSON ({error})", "restore it or delete it") from error
        notes = read_settings(cls, data, str(path))
        for name, value in vars(notes).items():
            words = (
                [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else [value]
            )
            if not all(isinstance(word, str) for word in words):
                raise BadInput(path, f"{name} = {value!r}", f"give {name} as text")
        return notes

    def write(self, folder: Path) -> None:
        """Stores the notes in a results folder."""
        write_text(folder / self.FILE, json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")

    def add(self, command: str = "", title: str | None = None, notes: Sequence[str] = ()) -> None:
        """Adds the command, title and remarks of one run; saying the same thing twice changes nothing."""
        self.title = title or self.title
        self.commands += [command] if command and command not in self.commands else []
        self.notes += [note for note in notes if note not in self.notes]


@dataclass
class BoardNotes(RunNotes):
    """Notes of a leaderboard.

    ``absent_tasks``: {task: why it did not run}; ``checkpoints``: digests of the weights that users named in the place
    of a release.
    """

    FILE: ClassVar[str] = "board.json"
    title: str = "Leaderboard"
    absent_tasks: dict[str, str] = field(default_factory=dict)
    checkpoints: list[str] = field(default_factory=list)


@dataclass
class SweepNotes(RunNotes):
    """Notes of a sweep. ``keys``: the records of the sweep; ``absent_tasks``: {task: why it did not run}."""

    FOLDER: ClassVar[str] = "sweep"
    FILE: ClassVar[str] = "sweep/sweep.json"
    title: str = "Sweep"
    keys: list[str] = field(default_factory=list)
    absent_tasks: dict[str, str] = field(default_factory=dict)


@dataclass
class TransferNotes(RunNotes):
    """Notes of an out-of-domain report.

    ``tasks`` in the order asked for; ``blanks``: {task or "task protocol": why there is no number}.
    """

    FILE: ClassVar[str] = "ood.json"
    title: str = "Out-of-domain report"
    tasks: list[str] = field(default_factory=list)
    blanks: dict[str, str] = field(default_factory=dict)


def update_board_notes(
    folder: Path,
    command: str = "",
    absent: Mapping[str, str] = NOTHING,
    title: str | None = None,
    notes: Sequence[str] = (),
    absent_tasks: Mapping[str, str] = NOTHING,
    checkpoints: Sequence[str] = (),
) -> BoardNotes:
    """Adds what one run contributes to the leaderboard's notes.

    An encoder or task with records is absent no longer. Records of ``checkpoints``, digests of weights that a user
    named in the place of a release, leave the release as absent as it was.
    """
    board = BoardNotes.read(folder)
    specs = stored_specs(folder).values()
    tasks = {spec["task"] for spec in specs}
    board.add(command, title, notes)
    board.checkpoints += [digest for digest in dict.fromkeys(checkpoints) if digest not in board.checkpoints]
    wanted = {**board.absent, **absent}
    there = {spec["encoder"] for spec in specs if spec["encoder"] in wanted and _may_be_released(spec, board)}
    board.absent = {encoder: why for encoder, why in wanted.items() if encoder not in there}
    left_out = {**board.absent_tasks, **absent_tasks}
    board.absent_tasks = {task: why for task, why in left_out.items() if task not in tasks}
    board.write(folder)
    return board


def _may_be_released(spec: Spec, board: BoardNotes) -> bool:
    """Whether a record may be of its encoder's release, of which often no digest is known."""
    return spec["weights"] not in board.checkpoints or spec["weights"] in release_digests_of(spec["encoder"])
