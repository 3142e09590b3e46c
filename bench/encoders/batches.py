"""Embeds waveforms: batches, padding, and one forward pass for every pooling.

Batching never changes an embedding: clips share a batch only when the encoder pads them to the same length or gives
clips of any lengths, in one batch, what it gives each alone (``Encoder.ragged``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from bench.base.errors import BadInput, UnknownId
from bench.data.sound_files.plausible import WRONG_PEAK
from bench.encoders.load import autocast, precision_of
from bench.encoders.pooling import POOLINGS, LayerPooling, pool
from bench.types import Encoder, EncoderCard

BATCH_S = 20.0  # seconds of padded audio in a batch; larger batches fall out of the processor's cache
DEVICE_BATCH_S = 320.0  # the same on an accelerator, which needs more to be busy
# Of a ragged batch that may be padding: a small network gains more from larger batches than the padding costs; a large
# one is as fast clip by clip on a processor.
WASTE, WASTE_OF_LARGE, LARGE = 0.1, 0.01, 20_000_000  # the last in parameters

WAVES = "pass mono float arrays in [-1, 1] at the encoder's rate"


def embed(
    encoder: Encoder,
    waves: Iterable[np.ndarray],
    pooling: str | None = "mean",
    layer: int = -1,
    batch_s: float = BATCH_S,
) -> np.ndarray:
    """Embeds mono waveforms.

    Parameters
    ----------
    encoder : Encoder
        As ``load_encoder`` gives it.
    waves : iterable of ndarray
        1-D float arrays in [-1, 1] at ``encoder.card.sample_rate``, of any lengths: zero-padded to ``card.min_s``,
        cropped at ``card.max_s``.
    pooling : str or None
        One of ``card.dims``; None takes the card's default.
    layer : int
        Counted from either end.
    batch_s : float
        Seconds of padded audio in one forward pass at most.

    Returns
    -------
    ndarray of float32, (N, P)
        In the order of ``waves``.

    Raises
    ------
    BadInput
        For a wave that is not 1-D, not float, empty, not finite or so loud that its full scale cannot be 1, by its
        index; for a pooling or a layer that the encoder does not offer.
    UnknownId
        For a pooling that does not exist.
    """
    pooling = encoder.card.default_pooling if pooling is None else pooling
    return embed_each(encoder, waves, ((layer, pooling),), batch_s)[layer, pooling]


def embed_each(
    encoder: Encoder, waves: Iterable[np.ndarray], requested: Sequence[LayerPooling], batch_s: float = BATCH_S
) -> dict[LayerPooling, np.ndarray]:
    """``embed`` in every (layer, pooling) requested: one forward pass serves them all."""
    _require_offered(encoder.card, requested)
    if not isinstance(waves, Iterable):
        raise BadInput("waves", f"is a {type(waves).__name__}, not several arrays", WAVES)
    waves = list(waves)  # what gives each wave once is gone through more than once here
    for index, wave in enumerate(waves):
        _require_mono_audio(wave, index)
    out: dict[LayerPooling, np.ndarray] = {}
    for rows in plan_batches([len(w) for w in waves], encoder, int(batch_s * encoder.card.sample_rate)):
        for each, vectors in encode_batch(encoder, [waves[i] for i in rows], requested).items():
            out.setdefault(each, np.empty((len(waves), vectors.shape[1]), np.float32))[rows] = vectors
    return out or {each: np.empty((0, encoder.card.dims[each[1]]), np.float32) for each in requested}


def encode_batch(
    encoder: Encoder, waves: Sequence[np.ndarray], requested: Sequence[LayerPooling]
) -> dict[LayerPooling, np.ndarray]:
    """Pools one forward pass over a batch in every way requested.

    Parameters
    ----------
    encoder : Encoder
        As ``load_encoder`` gives it.
    waves : sequence of ndarray
        1-D float arrays that share a batch (see ``plan_batches``).
    requested : sequence of (int, str)
        The (layer, pooling) pairs.

    Returns
    -------
    dict
        {(layer, pooling): (B, P) float32}.

    Raises
    ------
    BadInput
        For a pooling that the card does not offer, and as ``bench.encoders.pooling.pool``.
    UnknownId
        For a pooling that does not exist.
    """
    _require_offered(encoder.card, requested)
    wave, length = collate(encoder, waves)
    with torch.inference_mode():
        with autocast(wave.device, precision_of(encoder)):
            tokens = encoder(wave, length)
        tokens = tokens._replace(layers=tuple(g._replace(hidden=g.hidden.float()) for g in tokens.layers))
        return {(layer, pooling): pool(tokens, layer, pooling).float().cpu().numpy() for layer, pooling in requested}


def plan_batches(
    lengths: Sequence[int], encoder: Encoder, max_samples: int, ragged: bool | None = None
) -> list[list[int]]:
    """Groups clips into batches.

    Parameters
    ----------
    lengths : sequence of int
        Samples of each clip, before padding and cropping.
    encoder : Encoder
        Says to which length it pads a clip.
    max_samples : int
        Padded samples in a batch at most; a longer clip is a batch of its own.
    ragged : bool, optional
        Whether clips of different padded lengths may share a batch; by default where the encoder allows it.

    Returns
    -------
    list of list of int
        Indices of the clips of each batch: longest clips first, so that memory is short at once or never; indices
        ascending within each padded length, so that the plan depends on nothing but its arguments.
    """
    ragged = bool(getattr(encoder, "ragged", False)) if ragged is None else ragged
    padded = [padded_length(encoder, n) for n in lengths]
    waste = _waste(encoder) if ragged else 0.0
    batches: list[list[int]] = []
    room = total = 0  # padded samples of the clips of the last batch
    for index in sorted(range(len(padded)), key=lambda index: (-padded[index], index)):
        size = padded[index]
        longest = padded[batches[-1][0]] if batches else 0
        fits = (len(batches[-1]) + 1) * longest <= max_samples if batches else False
        alike = size == longest or (ragged and total + size >= (1 - waste) * (room + longest))
        if fits and alike:
            batches[-1].append(index)
            room, total = room + longest, total + size
        else:
            batches.append([index])
            room = total = size
    return batches


def _waste(encoder: Encoder) -> float:
    large = device_of(encoder).type == "cpu" and sum(part.numel() for part in encoder.parameters()) > LARGE
    return WASTE_OF_LARGE if large else WASTE


def collate(encoder: Encoder, waves: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Puts clips into one zero-padded array on the encoder's device.

    Returns
    -------
    wave : Tensor of float32, (B, T)
        The clips within the card's bounds, zero behind each one's end.
    length : Tensor of int64, (B,)
        Their lengths in samples.
    """
    fitted = [fit_length(wave, encoder.card) for wave in waves]
    size = max(padded_length(encoder, len(wave)) for wave in fitted)
    rows = np.zeros((len(fitted), size), np.float32)
    for row, clip in zip(rows, fitted, strict=True):
        row[: len(clip)] = clip
    wave = torch.from_numpy(rows)
    length, device = torch.tensor([len(clip) for clip in fitted]), device_of(encoder)
    if device.type == "cuda":  # pinned, so that the copy runs beside the device's work
        wave, length = wave.pin_memory(), length.pin_memory()
    return wave.to(device, non_blocking=True), length.to(device, non_blocking=True)


def fit_length(wave: np.ndarray, card: EncoderCard) -> np.ndarray:
    """The waveform, float32, zero-padded at its end to ``card.min_s`` or cut to its first ``card.max_s`` seconds."""
    size = bounded_length(len(wave), card)
    wave = np.asarray(wave[:size], np.float32)
    return np.pad(wave, (0, size - len(wave))) if len(wave) < size else wave


def bounded_length(n: int, card: EncoderCard) -> int:
    """Samples of a clip of n samples once it is padded and cropped to the card's bounds."""
    longest = n if card.max_s is None else min(n, round(card.max_s * card.sample_rate))
    return max(longest, round(card.min_s * card.sample_rate))


def padded_length(encoder: Encoder, n: int) -> int:
    """Samples that a clip of n samples takes up in a batch."""
    n = bounded_length(n, encoder.card)
    return encoder.batch_length(n) if hasattr(encoder, "batch_length") else n


def device_of(encoder: Encoder) -> torch.device:
    """The device of the encoder's first tensor; the CPU for one without any."""
    tensors = itertools.chain(encoder.parameters(), encoder.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def _require_mono_audio(wave: np.ndarray, index: int) -> None:
    """Raises ``BadInput`` for a wave whose embedding would mean nothing."""
    where, remedy = f"wave {index}", WAVES
    if not isinstance(wave, np.ndarray):
        raise BadInput(where, f"is a {type(wave).__name__}, not a numpy array", remedy)
    if wave.ndim != 1:
        raise BadInput(where, f"has shape {wave.shape}, not (samples,)", remedy)
    if not np.issubdtype(wave.dtype, np.floating):
        raise BadInput(where, f"holds {wave.dtype}, not floats", remedy)
    if not len(wave):
        raise BadInput(where, "is empty", "leave it out")
    if not np.isfinite(wave).all():
        raise BadInput(where, "holds NaN or infinity", "mend or leave out the recording")
    if (peak := float(max(wave.max(), -wave.min()))) >= WRONG_PEAK:
        problem = f"reaches {peak:.3g} times full scale, as integers stored as floats do"
        raise BadInput(where, problem, "divide by the largest integer of its width: 32768 for 16 bits")


def _require_offered(card: EncoderCard, requested: Sequence[LayerPooling]) -> None:
    """Raises ``UnknownId`` for a pooling that does not exist, ``BadInput`` for what this encoder does not offer."""
    for layer, pooling in requested:
        if pooling not in POOLINGS:
            raise UnknownId("pooling", pooling, POOLINGS)
        if pooling not in card.dims:
            raise BadInput(card.id, f"does not offer pooling {pooling!r}", f"take one of {', '.join(card.dims)}")
        if pooling == "published" and layer not in (-1, card.pool_layer, card.layers - 1):
            raise BadInput(card.id, f"'published' has no layer {layer}", "ask for it without a layer")
