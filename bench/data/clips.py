"""From manifest rows to waveforms: one decode per recording, cropped at the native rate, resampled, then shaped.

What a clip is made into is a *clip policy*, asked for by name and part of every record's key; a policy whose numbers
change needs another name. ``native`` is the headline; the others are those of the literature, and such as put every
corpus on the same footing (``bench.data.policies``). Names joined by ``+`` are applied one after another:
``tile8+dither16``.

The unit of work is the recording: its clips are decoded, encoded and stored together, whatever else was asked for.
An embedding is therefore the same to the last bit in every task that uses the recording, and after an interruption.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.base.errors import BadInput, UnknownId
from bench.data import audio
from bench.data.policies import bandwidth, dither, literature

if TYPE_CHECKING:
    import pandas as pd

    from bench.data.recordings import Recording

Policy = Callable[[np.ndarray, int, str], np.ndarray]


def _plain(shape: Callable[[np.ndarray, int], np.ndarray]) -> Policy:
    """A policy that treats all clips alike."""
    return lambda wave, rate, identity: shape(wave, rate)


CLIP_POLICIES: Mapping[str, Policy] = {
    "native": _plain(literature.native),
    "tile8": _plain(literature.tile8),
    "tile5": _plain(literature.tile5),
    "tile10": _plain(literature.tile10),
    "opera8": _plain(literature.opera8),
    "respirenet": _plain(literature.respirenet),
    "dither16": lambda wave, rate, identity: dither.dithered(wave, identity),
    "lowpass2k": lambda wave, rate, identity: bandwidth.low_passed(wave, rate, identity, 2000),
    "lowpass4k": lambda wave, rate, identity: bandwidth.low_passed(wave, rate, identity, 4000),
}
LOW_PASSES = ("lowpass2k", "lowpass4k")  # which put corpora of any bandwidth on the same footing
_RESHAPING = ("tile8", "tile5", "tile10", "opera8", "respirenet")  # which change lengths
_DITHERING = ("dither16", *LOW_PASSES)  # which draw the same dither
_OTHER_DRAW = re.compile(r"dither16\.([1-9]\d*)")  # for studies of how far scores depend on the draw


def clip_policy(name: str) -> Policy:
    """``(wave (T,), rate, identity) -> wave (T',)``, both at the encoder's rate.

    Parameters
    ----------
    name
        A key of ``CLIP_POLICIES``, or several joined by ``+``, applied from left to right. ``dither16.1``,
        ``dither16.2``, … are other draws of the dither.

    Returns
    -------
    callable
        Its third argument is the clip's ``bench.data.policies.dither.clip_identity``, which seeds what is drawn.

    Raises
    ------
    UnknownId
        For a policy that does not exist.
    BadInput
        For ``native`` joined to another policy: two names of one policy would make two records of one result; and for
        two policies that draw the same dither: added twice, it is twice as loud.
    """
    parts = name.split("+")
    if "native" in parts[1:] or parts[0] == "native" != name:
        raise BadInput(f"clip policy {name!r}", "joins native, which changes nothing, to others", "leave native out")
    shapes = [_single(part) for part in parts]
    draws = [draw for part in parts if (draw := _draw(part)) is not None]
    if len(set(draws)) < len(draws):
        remedy = f"leave one out: {', '.join(_DITHERING)} each add it"
        raise BadInput(f"clip policy {name!r}", "adds the same dither twice", remedy)

    def shape(wave: np.ndarray, rate: int, identity: str) -> np.ndarray:
        for each in shapes:
            wave = each(wave, rate, identity)
        return wave

    return shape


def keeps_lengths(name: str) -> bool:
    """Whether clips are as long under a policy as they are annotated."""
    return not set(_RESHAPING) & set(name.split("+"))


def _draw(name: str) -> str | None:
    """Which dither a single policy adds, by the salt of its draw; None where it adds none."""
    other = _OTHER_DRAW.fullmatch(name)
    return "" if name in _DITHERING else other and other[1]


def _single(name: str) -> Policy:
    if name in CLIP_POLICIES:
        return CLIP_POLICIES[name]
    if other := _OTHER_DRAW.fullmatch(name):
        return lambda wave, rate, identity: dither.dithered(wave, identity, salt=other[1])
    raise UnknownId("clip policy", name, CLIP_POLICIES)


@dataclass(frozen=True)
class Unit:
    """The clips asked of one recording.

    ``key`` identifies audio content and boundaries, ``rows`` are positions in the table that the unit was made from,
    ``rate``, ``frames`` and ``recording``, the digest of its audio, are the recording's.
    """

    key: str
    path: str
    start_s: tuple[float, ...]
    end_s: tuple[float, ...]
    rows: tuple[int, ...]
    rate: int
    frames: int
    recording: str

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First and last-plus-one sample of each clip, at the recording's rate."""
        return [audio.span(self.frames, self.rate, start, end) for start, end in zip(self.start_s, self.end_s)]

    @property
    def seconds(self) -> float:
        """Total length of the clips."""
        return sum(end - start for start, end in zip(self.start_s, self.end_s))


def units(rows: pd.DataFrame, recordings: Mapping[str, Recording]) -> list[Unit]:
    """One unit per recording, ordered by path; clips ordered by start."""
    ordered = rows.assign(_row=np.arange(len(rows))).sort_values(["path", "start_s", "end_s"], kind="stable")
    out = []
    for name, part in ordered.groupby("path", sort=True):
        path = str(name)
        starts, ends = tuple(part["start_s"]), tuple(part["end_s"])
        recording = recordings[path]
        text = recording.digest + "".join(f"|{a:.6f}-{b:.6f}" for a, b in zip(starts, ends))
        key = hashlib.sha256(text.encode()).hexdigest()
        unit = Unit(key, path, starts, ends, tuple(part["_row"]), recording.rate, recording.frames, recording.digest)
        out.append(unit)
    return out


def digest(rows: pd.DataFrame, recordings: Mapping[str, Recording]) -> str:
    """SHA-256 of audio content and clip boundaries, independent of paths and of the order of rows."""
    return hashlib.sha256("".join(sorted(unit.key for unit in units(rows, recordings))).encode()).hexdigest()


def waves(unit: Unit, root: Path, rate: int, policy: str = "native", quality: str = audio.QUALITY) -> list[np.ndarray]:
    """The unit's clips as an encoder takes them.

    Parameters
    ----------
    unit
        Clips of one recording.
    root
        The folder that ``unit.path`` is relative to.
    rate
        Sampling rate of the encoder, in Hz.
    policy
        As ``clip_policy`` takes it.
    quality
        Of the resampler; another than the project's is for studies.

    Returns
    -------
    list of np.ndarray
        (T,) float32, mono at ``rate``, one per clip in the unit's order.

    Raises
    ------
    BadInput
        For audio that cannot be read.
    UnknownId
        For an unknown policy.
    """
    shape = clip_policy(policy)
    whole, native = audio.read(root / unit.path, known=unit.frames)
    return [
        shape(
            audio.resample(audio.crop(whole, native, start_s, end_s), native, rate, quality),
            rate,
            dither.clip_identity(unit.recording, start, stop),
        )
        for start_s, end_s, (start, stop) in zip(unit.start_s, unit.end_s, unit.spans)
    ]


def silent_waves(unit: Unit, rate: int) -> list[np.ndarray]:
    """Zeros as long as ``waves`` under a policy that keeps lengths, for what reads nothing else; no file is opened."""
    sizes = (audio.resampled_length(max(0, stop - start), unit.rate, rate) for start, stop in unit.spans)
    return [np.zeros(size, np.float32) for size in sizes]


def chunks(todo: list[Unit], seconds: float = 240.0) -> Iterator[list[Unit]]:
    """Runs of units with about ``seconds`` of clips each, so that memory does not grow with the corpus."""
    part, length_s = [], 0.0
    for unit in todo:
        part.append(unit)
        length_s += unit.seconds
        if length_s >= seconds:
            yield part
            part, length_s = [], 0.0
    if part:
        yield part
