"""Sound files to waveforms: decode (soundfile), mono, crop, resample (soxr). Nothing else opens sound files."""

from __future__ import annotations

import io
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from bench.base.errors import BadInput
from bench.data.sound_files import contents, formats, lengths
from bench.data.sound_files.claims import Length, shortage
from bench.data.sound_files.contents import REPLACE

QUALITY = "HQ"  # of soxr
RESAMPLER = f"soxr-{QUALITY}"
EXTENSIONS = (".wav", ".flac")

_UNKNOWN = 1 << 62  # samples, from which on the decoder means that it does not know
_AT_ONCE = 1 << 26  # samples of all channels that a file may claim whatever its size; of more, what is there counts
_SAMPLES_PER_BYTE = 64  # more than which no codec packs, silence aside
_BLOCK = 1 << 20  # samples per channel


@dataclass(frozen=True)
class Decoded:
    """What a file holds: ``wave`` (T, channels) float32, and ``rate`` in Hz.

    ``shortage`` says what of its sound the samples lack, where the header promises more or less than is there, or the
    file was cut.
    """

    wave: np.ndarray
    rate: int
    shortage: str | None


def decoded(path: Path | str) -> Decoded:
    """Decodes every sample of a file that its header promises, as far as they are there.

    A length that only says "until the end of the file", as writers to a pipe leave it, is taken as that.

    Raises
    ------
    BadInput
        Where the file is missing, unreadable, empty, or holds NaN or infinity.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise BadInput(path, "no such sound file", "check that the copy of the corpus is complete")
        found = _decoded(path, lengths.length(path))
    except BadInput:
        raise
    except soundfile.LibsndfileError as error:
        found = _before_damage(path, error)
    except OSError as error:
        raise BadInput(
            path, f"cannot be read ({error.strerror or error})", "see to its permissions and disk"
        ) from error
    except MemoryError as error:
        raise BadInput(path, "holds more samples than fit into memory", "cut it into shorter recordings") from error
    except Exception as error:  # whatever a damaged file brings a decoder to, it is this file that has it
        raise BadInput(path, f"cannot be decoded ({type(error).__name__}: {error})", REPLACE) from error
    wave = found.wave
    if not len(wave):
        raise BadInput(path, "holds no samples", REPLACE)
    if not np.isfinite(wave).all():
        bad = int(np.count_nonzero(~np.isfinite(wave).all(axis=1)))
        raise BadInput(path, f"holds NaN or infinity in {bad} of {len(wave)} samples", REPLACE)
    return found


def _decoded(path: Path, said: Length | None) -> Decoded:
    with _open(path, said) as file:
        wave, rate, stated = _read(file, path.stat().st_size), file.samplerate, file.frames
        unknown = f"may have been cut: nothing tells how long a {file.format} file like this is"
    if said and said.contradiction:
        raise BadInput(path, said.contradiction, "write it again from its source, as 16 or 24 bits a sample")
    promised = (said and said.promised(len(wave))) or (stated if stated < _UNKNOWN else len(wave))
    if len(wave) < promised:
        return Decoded(wave, rate, shortage(promised, len(wave)))
    return Decoded(wave[:promised], rate, said.lacking(len(wave)) if said else unknown)


def _before_damage(path: Path, error: soundfile.LibsndfileError) -> Decoded:
    """What a FLAC file holds that was cut within a frame. Raises ``BadInput`` where it is damaged before its end."""
    for said in lengths.before_damage(path):
        try:
            return _decoded(path, said)
        except soundfile.LibsndfileError:
            continue
    raise BadInput(path, f"does not decode to its end ({error.error_string})", REPLACE) from error


def samples(path: Path | str, known: int | None = None) -> tuple[np.ndarray, int]:
    """Decodes every sample of a file.

    Parameters
    ----------
    path
        A sound file.
    known
        Samples that it is known to hold, whatever its header promises (``bench.data.recordings``).

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
    found = decoded(path)
    if found.shortage and len(found.wave) != known:
        raise BadInput(path, found.shortage, REPLACE)
    return found.wave, found.rate


def decode(path: Path | str, known: int | None = None) -> tuple[np.ndarray, int]:
    """A whole file as mono float32 (T,), the mean over its channels, and its rate. As ``samples``."""
    wave, rate = samples(path, known)
    return (wave[:, 0] if wave.shape[1] == 1 else wave.mean(axis=1, dtype=np.float32)), rate


def span(frames: int, rate: int, start_s: float = 0.0, end_s: float | None = None) -> tuple[int, int]:
    """First and last-plus-one sample of a clip, to the nearest sample; ``None`` or NaN: to the end of the file."""
    stop = frames if end_s is None or not math.isfinite(end_s) else min(frames, round(end_s * rate))
    return round(start_s * rate), stop


def crop(wave: np.ndarray, rate: int, start_s: float = 0.0, end_s: float | None = None) -> np.ndarray:
    """The part of ``wave`` (T,) between two times in seconds; empty where they enclose no sample."""
    start, stop = span(len(wave), rate, start_s, end_s)
    return wave[start : max(start, stop)]


def read(
    path: Path | str, start_s: float = 0.0, end_s: float | None = None, known: int | None = None
) -> tuple[np.ndarray, int]:
    """Decodes one clip.

    Parameters
    ----------
    path
        A sound file.
    start_s, end_s
        Bounds in seconds, to the nearest sample; without an end, to the end of the file.
    known
        As of ``samples``.

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
    wave, rate = decode(path, known)
    clip = crop(wave, rate, start_s, end_s)
    if not len(clip):
        problem = f"has no samples between {start_s} and {end_s} s (it lasts {len(wave) / rate:.3f} s)"
        raise BadInput(path, problem, "mend the clip's start and end")
    return clip, rate


def resample(wave: np.ndarray, from_rate: int, to_rate: int, quality: str = QUALITY) -> np.ndarray:
    """Resamples ``wave`` (T,) by soxr: band-limited, linear phase, no delay. Another ``quality`` is for studies."""
    if from_rate == to_rate:
        return wave
    return soxr.resample(np.ascontiguousarray(wave), from_rate, to_rate, quality=quality)


def resampled_length(n: int, from_rate: int, to_rate: int) -> int:
    """Samples that ``resample`` makes of n."""
    return n if from_rate == to_rate else (2 * n * to_rate + from_rate) // (2 * from_rate)


class _Forward(soundfile.SoundFile):
    """A file read from its beginning to its end: seeking fails in some codecs, and behind a wrong length."""

    def seekable(self) -> bool:
        return False


def _open(path: Path, said: Length | None) -> soundfile.SoundFile:
    """The opened file, its header mended where it does not know its length. Raises ``BadInput``."""
    try:
        if said is None or not said.changes:
            return _Forward(path)
        mended = said.applied(path.read_bytes())
        if not said.on_disk:
            return _Forward(io.BytesIO(mended))
        with tempfile.NamedTemporaryFile(suffix=path.suffix) as copy:
            copy.write(mended)
            copy.flush()
            return _Forward(copy.name)  # which stays open when its name is gone
    except soundfile.LibsndfileError as error:
        with path.open("rb") as file:
            head = file.read(contents.HEAD)
        if not head:
            raise BadInput(path, "is empty", REPLACE) from error
        content = contents.describe(head, path.name)
        if content is None or content.decodes:
            form = formats.of_file(path)
            if form is not None and form.impossible:
                raise BadInput(path, *form.impossible) from error
            if said and said.claimed is not None and said.shortage:
                raise BadInput(path, said.shortage, REPLACE) from error
        if content is None:
            reason = error.error_string.rstrip(".")
            raise BadInput(path, f"is not a readable sound file ({reason})", REPLACE) from error
        raise BadInput(path, f"is not a readable sound file: it is {content.what}", content.remedy) from error


def _read(file: soundfile.SoundFile, size: int) -> np.ndarray:
    """All samples (T, channels) of a file of ``size`` bytes; what it claims beyond belief takes no memory."""
    plausible = max(_AT_ONCE, size * _SAMPLES_PER_BYTE) // file.channels
    if file.frames <= plausible:
        return file.read(file.frames, dtype="float32", always_2d=True)
    blocks = []
    left = file.frames
    while left > 0 and len(block := file.read(min(left, _BLOCK), dtype="float32", always_2d=True)):
        blocks.append(block)
        left -= len(block)
    return np.concatenate(blocks) if blocks else np.empty((0, file.channels), np.float32)
