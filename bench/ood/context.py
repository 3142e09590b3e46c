"""What the records of an out-of-domain report do not tell: what was asked for, and what is blank and why."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench import registry
from bench.errors import BadInput

FILE = "ood.json"
LEFT_OUT = "lodo-"  # variants of a task in which one domain is the test
SOURCE = "source_"  # how a transfer names the tests of its own corpus


@dataclass(frozen=True)
class Transfer:
    """A task from one corpus to another, and its ``reverse``; ``test`` is its headline test, ``own`` that of its own
    corpus, ``probed`` the clips of ``test`` in the reverse, where a probe of their own corpus scores them."""

    id: str
    reverse: str
    test: str
    own: str

    @property
    def probed(self) -> str:
        return SOURCE + self.test


def transfer(id: str) -> Transfer | None:
    """The transfer of that id; None for a task that is none. Raises ``UnknownId``."""
    card = registry.task_card(id)
    family = registry.family(registry.TASKS, card.id)
    if not hasattr(family, "reverse"):
        return None
    own = next(name for name in card.tests if name.startswith(SOURCE))
    return Transfer(card.id, registry.task_card(family.reverse(card.id)).id, next(iter(card.tests)), own)


def expanded(id: str) -> list[str]:
    """The canonical id of a transfer, or of every variant of a task in which one domain is the test. Raises
    ``UnknownId``, and ``BadInput`` for a task that is neither."""
    card = registry.task_card(id)
    if transfer(id) or card.variant.startswith(LEFT_OUT):
        return [card.id]
    left_out = [f"{card.id}@{name}" for name in card.variants if name.startswith(LEFT_OUT)]
    if card.variant or not left_out:
        raise BadInput(id, "is no transfer, and has no domains to leave out", "see `respbench ls tasks` for transfers")
    return left_out


@dataclass
class Context:
    """``tasks`` in the order asked for; ``blanks``: {task or "task protocol": why there is no number}; ``absent``:
    {encoder: why it did not run}."""

    title: str = "Out-of-domain report"
    tasks: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    blanks: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Context:
        """The context stored in a results folder, or an empty one."""
        path = folder / FILE
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else cls()

    def write(self, folder: Path) -> None:
        """Stores the context in a results folder."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"
        (folder / FILE).write_text(text, encoding="utf-8")
