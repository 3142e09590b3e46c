"""Sound files to waveforms: decode (soundfile), mono, crop, resample (soxr). Nothing else opens sound files."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import soundfile
import soxr

from bench.base.errors import BadInput

RESAMPLER = "soxr-HQ"
EXTENSIONS = (".wav", ".flac")

_REPLACE = "replace it by a fresh copy from the corpus's source"
_STREAMED = (0, 0xFFFFFFFF)  # lengths that writers to a pipe leave in a WAV header: "until the end of the file"


def samples(path: Path | str) -> tuple[np.ndarray, int]:
    """Decodes every sample of a file.

    Returns
    -------
    wave : np.ndarray
        (T, channels) float32; integer PCM is scaled to [-1, 1).
    rate : int
        Sampling rate in Hz.

    Raises
    ------
    BadInput
        Where the file is missing, unreadable, shorter than its header promises, empty, or holds NaN or infinity.
    """
    path = Path(path)
    try:
        with _open(path) as file:
            promised, rate = _wav_frames(path) or file.frames, file.samplerate
            wave = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise BadInput(path, f"does not decode to its end ({error.error_string})", _REPLACE) from error
    if len(wave) < promised:
        raise BadInput(path, f"is truncated: its header promises {promised} samples, {len(wave)} are there", _REPLACE)
    if not len(wave):
        raise BadInput(path, "holds no samples", _REPLACE)
    if not np.isfinite(wave).all():
        bad = int(np.count_nonzero(~np.isfinite(wave).all(axis=1)))
        raise BadInput(path, f"holds NaN or infinity in {bad} of {len(wave)} samples", _REPLACE)
    return wave, rate


def decode(path: Path | str) -> tuple[np.ndarray, int]:
    """A whole file as mono float32 (T,), the mean over its channels, and its rate. Raises as ``samples``."""
    wave, rate = samples(path)
    return (wave[:, 0] if wave.shape[1] == 1 else wave.mean(axis=1, dtype=np.float32)), rate


def span(frames: int, rate: int, start_s: float = 0.0, end_s: float | None = None) -> tuple[int, int]:
    """First and last-plus-one sample of a clip, to the nearest sample; ``None`` or NaN: to the end of the file."""
    stop = frames if end_s is None or math.isnan(end_s) else min(frames, round(end_s * rate))
    return round(start_s * rate), stop


def crop(wave: np.ndarray, rate: int, start_s: float = 0.0, end_s: float | None = None) -> np.ndarray:
    """The part of ``wave`` (T,) between two times in seconds; empty where they enclose no sample."""
    start, stop = span(len(wave), rate, start_s, end_s)
    return wave[start : max(start, stop)]


def read(path: Path | str, start_s: float = 0.0, end_s: float | None = None) -> tuple[np.ndarray, int]:
    """Decodes one clip.

    Parameters
    ----------
    path
        A sound file.
    start_s, end_s
        Bounds in seconds, to the nearest sample; without an end, to the end of the file.

    Returns
    -------
    wave : np.ndarray
        (T,) float32, the mean over the file's channels.
    rate : int
        Sampling rate in Hz.

    Raises
    ------
    BadInput
        As ``samples``, and where the clip encloses no sample.
    """
    wave, rate = decode(path)
    clip = crop(wave, rate, start_s, end_s)
    if not len(clip):
        problem = f"has no samples between {start_s} and {end_s} s (it lasts {len(wave) / rate:.3f} s)"
        raise BadInput(path, problem, "mend the clip's start and end")
    return clip, rate


def resample(wave: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resamples ``wave`` (T,) by soxr at quality HQ: band-limited, linear phase, no delay."""
    if from_rate == to_rate:
        return wave
    return soxr.resample(np.ascontiguousarray(wave), from_rate, to_rate, quality="HQ")


def resampled_length(n: int, from_rate: int, to_rate: int) -> int:
    """Samples that ``resample`` makes of n."""
    return n if from_rate == to_rate else (2 * n * to_rate + from_rate) // (2 * from_rate)


def _open(path: Path | str) -> soundfile.SoundFile:
    if not Path(path).is_file():
        raise BadInput(path, "no such sound file", "check that the copy of the corpus is complete")
    try:
        return soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError) as error:
        problem = "is empty" if not Path(path).stat().st_size else f"is not a readable sound file ({error})"
        raise BadInput(path, problem, _REPLACE) from error


def _wav_frames(path: Path) -> int | None:
    """Samples per channel that a RIFF header promises, None for other formats and for streams of unknown length.

    libsndfile corrects a header that promises more than the file holds, so a cut WAV file looks whole to it.
    """
    with path.open("rb") as file:
        riff, _, wave = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
        if (riff, wave) != (b"RIFF", b"WAVE"):
            return None
        block = 0
        while len(head := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", head)
            if name == b"data":
                return size // block if block and size not in _STREAMED else None
            body = file.read(size + size % 2)  # chunks are padded to an even length
            if name == b"fmt " and len(body) >= 14:
                block = struct.unpack_from("<H", body, 12)[0]
    return None
