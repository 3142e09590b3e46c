"""Blocks of recordings: what one worker encodes at a time, and what is lost at most where it is killed.

They are cut from all recordings of a task in order, whatever is stored already, so that the clips that share a forward
pass, and with them the last bits of an embedding, are the same after an interruption and with any number of workers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bench.data import clips

BLOCK_S = 120.0  # seconds of clips


@dataclass(frozen=True)
class Block:
    """Recordings, in order."""

    units: tuple[clips.Unit, ...]

    @property
    def name(self) -> str:
        """Identifies the audio, and names the block's files."""
        return hashlib.sha256("".join(unit.key for unit in self.units).encode()).hexdigest()[:20]

    @property
    def clip_count(self) -> int:
        """Number of clips."""
        return sum(len(unit.rows) for unit in self.units)


def cut(units: Sequence[clips.Unit], missing: Collection[str], seconds: float = BLOCK_S) -> list[Block]:
    """Blocks of about ``seconds`` of clips each, of the recordings whose key is in ``missing``; none is empty."""
    parts = (tuple(unit for unit in chunk if unit.key in missing) for chunk in clips.chunks(list(units), seconds))
    return [Block(part) for part in parts if part]
