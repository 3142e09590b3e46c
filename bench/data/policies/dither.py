"""Dither of one 16-bit step: noise of a known level where a clip holds none of its own.

Recordings at 8 kHz hold nothing above 4 kHz. Resampled to an encoder's rate, they have there what the resampler's
arithmetic rounds to, some 1e-8 of full scale, which differs between processors; a logarithm makes it as large a
difference as any, and a probe that standardises its features hears it. Dither puts noise there that is the same
everywhere and, at the step of 16-bit audio, the least that a recording of that resolution can tell from silence.

It is triangular over one step to either side (two steps from peak to peak), the field's standard: the least noise
that makes both the mean and the variance of a requantised signal's error independent of the signal (Lipshitz,
Wannamaker and Vanderkooy, Quantization and dither: a theoretical survey, J. Audio Eng. Soc. 40(5), 1992). Its variance
is 1/6 of the step's square, 98 dB below that of a full-scale square wave, spread evenly over the encoder's band.

The same clip gets the same dither wherever it is made: it is drawn from integers of PCG64, seeded by the digest of
the recording's decoded samples and the clip's bounds in it (``clip_identity``), never by resampled values, which
processors round differently, nor by the names of clips, which tasks give. Numpy holds the bits of a generator to be
the same on every platform and in every version. Each value is a whole multiple of 2^-39, so nothing of the dither
itself is rounded.
"""

from __future__ import annotations

import hashlib

import numpy as np

STEP = 2.0**-15  # of 16-bit audio between -1 and 1
_BITS = 24  # of each of the two uniform numbers whose difference is triangular: exact in float32


def clip_identity(recording: str, start: int, stop: int) -> str:
    """What tells a clip's audio from any other's: its recording's digest, and its samples there at the native rate."""
    return f"{recording}|{start}-{stop}"


def dithered(wave: np.ndarray, identity: str, salt: str = "") -> np.ndarray:
    """The clip with triangular dither of one 16-bit step.

    Parameters
    ----------
    wave
        (T,) in [-1, 1] at the encoder's rate.
    identity
        As ``clip_identity`` gives it: the same for the same clip on any machine.
    salt
        Another text draws another dither.

    Returns
    -------
    np.ndarray
        (T,) float32.
    """
    return (wave + noise(len(wave), identity, salt)).astype(np.float32)


def noise(size: int, identity: str, salt: str = "") -> np.ndarray:
    """(size,) float64 triangular noise between -STEP and STEP, the same bits on every machine."""
    seed = int.from_bytes(hashlib.sha256(f"dither16|{salt}|{identity}".encode()).digest(), "big")
    drawn = np.random.PCG64(seed).random_raw(size)
    first, second = drawn >> np.uint64(64 - _BITS), (drawn >> np.uint64(8)) & np.uint64(2**_BITS - 1)
    return (first.astype(np.int64) - second.astype(np.int64)) * (STEP / 2**_BITS)
