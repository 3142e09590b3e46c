"""From clips to embeddings: batches of similar length, padding, and one forward pass for every pooling."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import numpy as np
import torch

from bench.base.errors import BadInput, UnknownId
from bench.encoders.load import precision_of
from bench.encoders.pooling import POOLINGS, pool
from bench.types import PRECISIONS, Encoder, EncoderCard

BATCH_S = 20.0  # seconds of padded audio in a batch; larger batches fall out of the processor's cache


def embed(
    encoder: Encoder,
    waves: Sequence[np.ndarray],
    pooling: str | None = "mean",
    layer: int = -1,
    batch_s: float = BATCH_S,
) -> np.ndarray:
    """Embeddings (N, P) float32 of mono waveforms at ``encoder.card.sample_rate``, in the order given.

    ``waves`` are 1-D float arrays in [-1, 1] of any lengths: padded to ``card.min_s``, cropped at ``card.max_s``.
    ``pooling=None`` takes the card's default. Raises ``BadInput`` that names the index of a wave that is not 1-D,
    not float, empty or not finite, and for a pooling that the encoder does not offer; ``UnknownId``.
    """
    pooling = encoder.card.default_pooling if pooling is None else pooling
    wanted = ((layer, pooling),)
    _check_wanted(encoder.card, wanted)
    waves = [_checked(wave, index) for index, wave in enumerate(waves)]
    out: np.ndarray | None = None
    for rows in plan_batches([len(w) for w in waves], encoder, int(batch_s * encoder.card.sample_rate)):
        vectors = encode_batch(encoder, [waves[i] for i in rows], wanted)[layer, pooling]
        if out is None:
            out = np.empty((len(waves), vectors.shape[1]), np.float32)
        out[rows] = vectors
    return np.empty((0, encoder.card.dims[pooling]), np.float32) if out is None else out


def encode_batch(
    encoder: Encoder, waves: Sequence[np.ndarray], wanted: Sequence[tuple[int, str]]
) -> dict[tuple[int, str], np.ndarray]:
    """{(layer, pooling): (B, P) float32} of one forward pass over a batch from ``plan_batches``.

    Raises as ``bench.encoders.pooling.pool`` does, and ``BadInput`` for a pooling that the card does not offer.
    """
    import torch

    _check_wanted(encoder.card, wanted)
    wave, length = collate(encoder, waves)
    half = None if precision_of(encoder) == PRECISIONS[0] else getattr(torch, precision_of(encoder))
    with torch.inference_mode():
        with torch.autocast(wave.device.type, half) if half else nullcontext():
            tokens = encoder(wave, length)
        tokens = tokens._replace(layers=tuple(g._replace(hidden=g.hidden.float()) for g in tokens.layers))
        return {(layer, pooling): pool(tokens, layer, pooling).float().cpu().numpy() for layer, pooling in wanted}


def plan_batches(lengths: Sequence[int], encoder: Encoder, max_samples: int) -> list[list[int]]:
    """Lists of indices that share a batch: equal padded length, at most ``max_samples`` padded samples (or one clip).

    ``lengths`` are in samples, before padding and cropping. Shortest batches first, indices ascending within each
    padded length, so the plan depends on nothing but its arguments.
    """
    padded = [padded_length(encoder, n) for n in lengths]
    by_length: dict[int, list[int]] = {}
    for index in range(len(padded)):
        by_length.setdefault(padded[index], []).append(index)
    batches = []
    for size, indices in sorted(by_length.items()):
        step = max(1, max_samples // max(size, 1))
        batches += [indices[i : i + step] for i in range(0, len(indices), step)]
    return batches


def collate(encoder: Encoder, waves: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """(wave (B, T) float32, length (B,) int64) on the encoder's device: fitted to the card's bounds, zero-padded."""
    import torch

    fitted = [fit_length(wave, encoder.card) for wave in waves]
    size = max(padded_length(encoder, len(wave)) for wave in fitted)
    wave = torch.zeros(len(fitted), size)
    for row, clip in zip(wave, fitted, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    device = _device(encoder)
    return wave.to(device), torch.tensor([len(clip) for clip in fitted], device=device)


def fit_length(wave: np.ndarray, card: EncoderCard) -> np.ndarray:
    """The waveform zero-padded at its end to ``card.min_s`` or cropped at its start to ``card.max_s``, float32."""
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


def _device(encoder: Encoder) -> torch.device | str:
    """Where the encoder's first tensor lies; the CPU for one without any."""
    return next((t.device for t in _tensors(encoder)), "cpu")


def _tensors(encoder: Encoder) -> Iterator[torch.Tensor]:
    return itertools.chain(encoder.parameters(), encoder.buffers())


def _checked(wave: np.ndarray, index: int) -> np.ndarray:
    """The wave, after one look at all that would make its embedding meaningless. Raises ``BadInput``."""
    where, remedy = f"wave {index}", "pass mono float arrays in [-1, 1] at the encoder's rate"
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
    return wave


def _check_wanted(card: EncoderCard, wanted: Sequence[tuple[int, str]]) -> None:
    """Refuses what no encoder has (``UnknownId``) and what this one does not offer (``BadInput``)."""
    for layer, pooling in wanted:
        if pooling not in POOLINGS:
            raise UnknownId("pooling", pooling, POOLINGS)
        if pooling not in card.dims:
            raise BadInput(card.id, f"does not offer pooling {pooling!r}", f"take one of {', '.join(card.dims)}")
        if pooling == "published" and layer not in (-1, card.pool_layer, card.layers - 1):
            raise BadInput(card.id, f"'published' has no layer {layer}", "ask for it without a layer")
