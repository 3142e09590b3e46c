"""Whether decoded samples can be what somebody recorded: rate, level, and what the mono mix makes of the channels.

Encoders hear the mean over the channels. Where channels cancel, nothing of what was recorded is left of it; where one
is dead, it is half as loud.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from bench.data.sound_files.contents import ffmpeg

RATES_HZ = (500, 1_000_000)  # what sounds of the chest are recorded at, with room on both sides
TOLD_PEAK, WRONG_PEAK = 2.0, 100.0  # of samples whose full scale is 1: 6 dB above it, 40 dB above it
# Power of the mix over that of channels that do not depend on each other, below which they cancel: by 10 and 20 dB
TOLD_MIX, WRONG_MIX = 0.1, 0.01
DEAD = 1e-6  # power of a channel over that of the loudest, below which nothing was recorded by it: 60 dB
STILL = 2.0**-23  # one step of 24-bit audio: a channel that never leaves it stands still
_BLOCK = 1 << 14  # samples that are added up at a time, in double precision


class Remark(NamedTuple):
    """Something odd about the samples: ``wrong`` where nothing can be learned from them as they are."""

    code: str
    problem: str
    remedy: str
    wrong: bool = False


def remarks(wave: np.ndarray, rate: int, name: str) -> list[Remark]:
    """What is odd about samples (T, channels) of a file of this name, what is wrong first."""
    found = [wrong_rate(rate), *_level(wave), *_channels(wave, name)]
    return sorted((remark for remark in found if remark), key=lambda remark: not remark.wrong)


def of_parts(
    wave: np.ndarray, parts: Iterable[tuple[int, int]], known: Sequence[Remark], name: str
) -> list[tuple[int, int, Remark]]:
    """What is odd about parts of samples (T, channels), from a first to a last-plus-one sample, as ``(*part, remark)``.

    What is ``known`` of the whole is not said of its parts again.
    """
    told = {(remark.code, remark.wrong) for remark in known}
    if ("silent", False) in told:
        return []
    found = []
    for start, stop in parts:
        if 0 < stop - start < len(wave):
            here = _channels(wave[start:stop], name)
            found += [(start, stop, remark) for remark in here if (remark.code, remark.wrong) not in told]
    return found


def wrong_rate(rate: float) -> Remark | None:
    """What is wrong with a rate in Hz that no recorder takes."""
    low, high = RATES_HZ
    if low <= rate <= high:
        return None
    problem = f"claims {rate:.10g} samples per second, which no recorder of sound takes (taken are {low} to {high})"
    return Remark("rate", problem, "write it again with the rate that it was recorded at", True)


def _level(wave: np.ndarray) -> list[Remark]:
    peak = float(max(wave.max(), -wave.min()))
    if peak <= TOLD_PEAK:
        return []
    if peak <= WRONG_PEAK:
        problem = f"its samples reach {peak:.3g} times full scale"
        return [Remark("level", problem, "scale them to between -1 and 1 where other recordings are")]
    bits = next((bits for bits in (8, 16, 24, 32) if peak <= 1 << (bits - 1)), None)
    seems = f", as {bits}-bit integers stored as floats would" if bits else ""
    divisor = f"by {1 << (bits - 1)}" if bits else "by what full scale is"
    problem = f"its samples reach {peak:.6g} times full scale{seems}"
    return [Remark("level", problem, f"divide them {divisor} and write the file again", True)]


def _channels(wave: np.ndarray, name: str) -> list[Remark]:
    count = wave.shape[1]
    if count == 1 and abs(float(wave[0, 0]) - float(wave[len(wave) // 2, 0])) > STILL:
        return []  # without a look at the rest
    moves = [float(wave[:, c].max()) - float(wave[:, c].min()) for c in range(count)]
    still = [c for c in range(count) if moves[c] <= STILL]
    if len(still) == count:
        if not wave.any():
            return [Remark("silent", "is digital silence from beginning to end", "see that it was recorded")]
        values = ", ".join(f"{value:.3g}" for value in wave[0])
        within = ", to within one step of 24-bit audio" if any(moves) else ""
        problem = f"stands at {values} from beginning to end{within}: no sound was recorded"
        return [Remark("silent", problem, "see that the sensor was connected")]
    if count == 1:
        return []
    means, power, mixed = _powers(wave)
    loudest = max(power[c] for c in range(count) if c not in still)  # which is above 0, so one channel lives at least
    dead = [c for c in range(count) if c in still or power[c] <= DEAD * loudest]
    live = [c for c in range(count) if c not in dead]
    first = f'-af "pan=mono|c0=c{live[0]}" '
    keep = f"keep a channel that was recorded: {ffmpeg(name, first, 'mono')}"
    found = [_cancelling(count, power, mixed, keep)] if len(live) > 1 else []
    if dead:
        found.append(_dead(dead, count, means, keep))
    return [remark for remark in found if remark is not None]


def _cancelling(count: int, power: np.ndarray, mixed: float, keep: str) -> Remark | None:
    share = float(
        mixed * count**2 / power.sum()
    )  # 1 for channels that do not depend on each other, 0 where they cancel
    if share >= TOLD_MIX:
        return None
    below = f"{10 * math.log10(power.mean() / mixed):.0f} dB below them" if mixed > 0 else "digital silence"
    wrong = share < WRONG_MIX
    cancel = "cancel each other" if wrong else "partly cancel each other"
    problem = f"its {count} channels {cancel}: their mean, which is what encoders hear, is {below}"
    return Remark("cancelling", problem, keep, wrong)


def _dead(dead: Sequence[int], count: int, means: np.ndarray, keep: str) -> Remark:
    stuck = [c for c in dead if abs(means[c]) > 1e-3]
    if stuck:
        values = ", ".join(f"{means[c]:.3g}" for c in stuck)
        problem = f"channel {_listed(stuck)} of {count} stands at {values}: the mean of all is shifted, and quieter"
        return Remark("stuck-channel", problem, keep)
    problem = f"channel {_listed(dead)} of {count} is silence: the mean of all is quieter than what was recorded"
    return Remark("dead-channel", problem, keep)


def _listed(channels: Sequence[int]) -> str:
    return ", ".join(str(c + 1) for c in channels)


def _powers(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(mean of each channel, its power about that, the power of the channels' mean about its own)."""
    size, count = wave.shape
    # Twice over the samples: the mean square less the square of the mean is rounding where channels hardly move
    first, total, squares, mixed = wave[0].astype(float), np.zeros(count), np.zeros(count), 0.0
    for start in range(0, size, _BLOCK):
        total += (np.ascontiguousarray(wave[start : start + _BLOCK].T, float) - first[:, None]).sum(axis=1)
    means = first + total / size
    for start in range(0, size, _BLOCK):
        part = np.ascontiguousarray(wave[start : start + _BLOCK].T, float) - means[:, None]
        squares += [channel @ channel for channel in part]
        mix = part.sum(axis=0)
        mixed += mix @ mix
    return means, squares / size, float(mixed) / size / count**2
