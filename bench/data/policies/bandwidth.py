"""Clips without anything above a cut, so that bandwidth tells no corpora apart.

Recordings at 4, 8 or 10 kHz hold nothing above half of that, recordings at 44.1 kHz do: whoever hears the upper band
knows the corpus. Two steps put all on the same footing:

1. A linear-phase filter without delay passes what lies below seven eighths of the cut and stops what lies above the
   cut by 120 dB. The eighth between holds what anti-aliasing filters, of devices and of the resampler, took from
   recordings whose Nyquist frequency is the cut.
2. Dither of one 16-bit step (``bench.data.policies.dither``) then covers what is left above the cut. Without it the
   stop band held rounding, of which a logarithm makes as much as of any sound; full scale above the cut, 120 dB lower,
   is 22 dB below the dither.

What is not made equal: how loud a corpus is recorded, so how far its sounds stand above the floor, which is absolute;
and how a device colours what lies below the cut.

The filter is a Kaiser window's (Kaiser, Nonrecursive digital filter design using the I0-sinh window function, Proc.
IEEE ISCAS 1974) and computed in float64.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bench.data.policies import dither

ATTENUATION_DB = 120.0
TRANSITION = 1 / 8  # of the cut


def low_passed(wave: np.ndarray, rate: int, identity: str, cut_hz: int) -> np.ndarray:
    """The clip (T,) without anything above ``cut_hz``, and with dither: float32 (T,) at the same rate.

    Outside the clip is silence. ``identity`` is the clip's ``bench.data.policies.dither.clip_identity``.
    """
    from scipy.signal import oaconvolve  # here, because it takes half a second to import

    if len(wave) and len(taps := _taps(rate, cut_hz)) > 1:
        wave = oaconvolve(wave.astype(np.float64), taps, mode="same")
    return dither.dithered(wave, identity)


@lru_cache(maxsize=16)
def _taps(rate: int, cut_hz: int) -> np.ndarray:
    """(odd,) float64 impulse response; a single 1 where the rate ends below the filter's middle."""
    from scipy.signal import firwin, kaiserord

    middle, width = cut_hz * (1 - TRANSITION / 2), cut_hz * TRANSITION
    if middle >= rate / 2:
        return np.ones(1)
    count, beta = kaiserord(ATTENUATION_DB, width / (rate / 2))
    return firwin(count | 1, middle, window=("kaiser", beta), fs=rate)
