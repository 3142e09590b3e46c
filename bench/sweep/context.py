"""What the records of a sweep do not tell: which of a folder's records are its own, how it was made, what is absent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.suite import Outcome

FOLDER, FILE = "sweep", "sweep.json"


@dataclass
class Context:
    """``keys``: the records of the sweep; ``absent`` and ``absent_tasks``: {id: why it did not run}."""

    title: str = "Sweep"
    commands: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    absent_tasks: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, out: Path) -> Context:
        """The context stored in a results folder, or an empty one."""
        path = out / FOLDER / FILE
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else cls()

    def write(self, out: Path) -> None:
        """Stores the context in a results folder."""
        (out / FOLDER).mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"
        (out / FOLDER / FILE).write_text(text, encoding="utf-8")

    def add(self, keys: Sequence[str], outcome: Outcome, command: str, title: str | None, notes: Sequence[str]) -> None:
        """What one run contributes; saying the same thing twice changes nothing."""
        self.title = title or self.title
        self.keys = sorted({*self.keys, *keys})
        self.commands += [command] if command and command not in self.commands else []
        self.notes += [note for note in notes if note not in self.notes]
        self.absent |= outcome.absent
        self.absent_tasks |= outcome.absent_tasks
