"""Numbers and repeated values in few bytes, and what a page may weigh.

A page holds at most ``BUDGET`` bytes where it is about 100 encoders on 20 tasks. What grows fastest is cut first, and
the page says so: differences of pairs and decisions of clips are kept for the best rows of each task only.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.scores.printed import missing

BUDGET = 6_000_000  # bytes of a whole page
PAIR_BYTES = 1_000_000  # of all differences of pairs
DECISION_BYTES = 800_000  # of all decisions about clips
CLIP_BYTES = 400_000  # of all names of clips, about, with their labels and patients
PARTS = 1_000_000  # a stored fraction is a whole number of millionths, as many digits as a record has


class Pool:
    """Values that occur often, each kept once; ``add`` gives a value's place in ``values``."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def add(self, value: Any) -> int:
        """The place of a JSON value, which is kept if it is new."""
        text = json.dumps(value, sort_keys=True)
        if text not in self._places:
            self._places[text] = len(self.values)
            self.values.append(value)
        return self._places[text]


def parts(value: float | None) -> int | None:
    """A number in millionths, exactly as a record states it; None where it is missing."""
    return None if missing(value) else round(float(value) * PARTS)


def bits_needed(most: int) -> int:
    """How many bits hold the numbers 0 … ``most``; at least 1."""
    return max(1, int(most).bit_length())


def packed(values: Sequence[int] | np.ndarray, bits: int) -> str:
    """Whole numbers (N,), ``bits`` bits each, lowest bit first, one after the other, as base64."""
    each = (np.asarray(values, dtype=np.int64)[:, None] >> np.arange(bits)) & 1
    return base64.b64encode(np.packbits(each.astype(np.uint8).ravel(), bitorder="little")).decode()


def packed_words(values: np.ndarray) -> str:
    """Numbers as 16-bit words with a sign, little-endian, as base64; NaN becomes the lowest one.

    Raises ``OverflowError`` for a number that is too large.
    """
    flat = np.asarray(values, float).ravel()
    if np.nanmax(np.abs(flat), initial=0.0) > 32767:
        raise OverflowError("a number does not fit 16 bits")
    return base64.b64encode(np.where(np.isnan(flat), -32768, flat).astype("<i2").tobytes()).decode()


def packed_size(count: int, bits: int) -> int:
    """Bytes of base64 of so many numbers of so many bits."""
    return math.ceil(math.ceil(count * bits / 8) / 3) * 4


def prefixed(names: Sequence[str]) -> list[Any]:
    """Names as ``[shared, rest, shared, rest, …]``: characters shared with the name before, and what follows them."""
    out: list[Any] = []
    before = ""
    for name in names:
        shared = 0
        for a, b in zip(before, name):
            if a != b:
                break
            shared += 1
        out += [shared, name[shared:]]
        before = name
    return out
