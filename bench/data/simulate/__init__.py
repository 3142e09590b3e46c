"""Simulated corpora with known answers, in the on-disk layouts of ICBHI 2017 and SPRSound 2022."""

from bench.data.simulate.generate import (
    FORMATS,
    KNOBS,
    MARKER,
    SIZES,
    VERSION,
    clips,
    corpora,
    icbhi,
    sprsound,
)
from bench.data.simulate.lookalikes import ICBHI, SPRSOUND

__all__ = [
    "FORMATS",
    "ICBHI",
    "KNOBS",
    "MARKER",
    "SIZES",
    "SPRSOUND",
    "VERSION",
    "clips",
    "corpora",
    "icbhi",
    "sprsound",
]
