"""The encoder contract as tests that anyone can run on an adapter of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from bench.encoders import bounded_length, collate, encode_batch, padded_length
from bench.errors import RespBenchError
from bench.pooling import POOLINGS, pool
from bench.types import Encoder, Tokens

INVARIANCE = 1e-4  # largest difference allowed between a clip alone and in a batch, relative to the largest value
SECONDS = (0.8, 1.3, 2.1)  # lengths of the probing clips


def check_encoder(encoder: Encoder) -> list[str]:
    """Every violation of the encoder contract (``bench.types.Encoder``), each explained; empty when there is none.

    Checks: card and mode; shapes and lengths of the tokens; ``card.dims``; finite answers to noise, silence, one
    sample and a clip beyond ``max_s``; the same answer twice; a clip alone, in a batch of equals, in a ragged batch
    and with garbage behind its end gives the same tokens; a gradient reaches the weights. Takes some ten forward
    passes on clips of about 2 s and leaves weights and mode as they were.
    """
    return [problem for check in CHECKS for problem in _guarded(check, encoder)]


def _guarded(check: Callable[[Encoder], Iterator[str]], encoder: Encoder) -> list[str]:
    """A check's findings; an exception in a foreign adapter is one of them, so that the other checks still run."""
    problems = []
    try:
        for problem in check(encoder):
            problems.append(problem)
    except (RespBenchError, RuntimeError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        problems.append(f"{check.__name__.strip('_')}: raised {type(error).__name__}: {error}")
    return problems


def _noise(encoder: Encoder, seconds: float) -> np.ndarray:
    """Seeded noise with a tone under a slow swell, in [-1, 1]."""
    n = max(1, round(seconds * encoder.card.sample_rate))
    t = np.arange(n) / encoder.card.sample_rate
    rng = np.random.default_rng(round(1000 * seconds))
    wave = 0.05 * rng.standard_normal(n) + 0.3 * np.sin(2 * np.pi * 220 * t) * np.sin(2 * np.pi * (0.4 * t + 0.1))
    return wave.clip(-1, 1).astype(np.float32)


def _answer(encoder: Encoder, wave: torch.Tensor, length: torch.Tensor) -> Tokens:
    with torch.inference_mode():
        return encoder(wave, length)


def _offered(encoder: Encoder) -> list[tuple[int, str]]:
    return [(encoder.card.pool_layer, pooling) for pooling in encoder.card.dims if pooling in POOLINGS]


def _card_and_mode(encoder: Encoder) -> Iterator[str]:
    card = encoder.card
    for pooling in card.dims:
        if pooling not in POOLINGS:
            yield f"card.dims offers pooling {pooling!r}, which does not exist; known: {', '.join(POOLINGS)}"
    if card.default_pooling not in card.dims:
        yield f"card.default_pooling {card.default_pooling!r} is not in card.dims"
    if card.policy not in card.policies:
        yield f"card.policy {card.policy!r} is not in card.policies {card.policies}"
    if not getattr(encoder, "weights_digest", ""):
        yield "weights_digest is not set; bench.load_encoder sets it, 'none' without weights"
    if training := [name or "encoder" for name, module in encoder.named_modules() if module.training]:
        yield f"{len(training)} modules are in training mode, first {training[0]}; call eval()"
    for n in (1, 1000, card.sample_rate, 3 * card.sample_rate):
        if (padded := padded_length(encoder, n)) < bounded_length(n, card):
            yield f"batch_length gives {padded} samples for a clip of {n}, cutting it"


def _shapes(encoder: Encoder) -> Iterator[str]:
    for seconds in SECONDS:
        wave, length = collate(encoder, [_noise(encoder, seconds)] * 2)
        tokens = _answer(encoder, wave, length)
        if len(tokens.layers) != encoder.card.layers:
            yield f"{len(tokens.layers)} layers come back, the card says {encoder.card.layers}"
        for grid in tokens.layers:
            shape = tuple(grid.hidden.shape)
            if len(shape) != 4 or shape[0] != 2:
                yield f"layer {grid.name}: hidden is {shape}, not (batch 2, T', F', D)"
                continue
            for name, count in (("length", grid.length), ("valid", grid.valid)):
                if count is None and name == "valid":
                    continue
                if tuple(count.shape) != (2,) or count.dtype != torch.int64:
                    yield f"layer {grid.name}: {name} is {count.dtype} {tuple(count.shape)}, not int64 (2,)"
                elif not bool(((count >= 1) & (count <= shape[1])).all()):
                    yield f"layer {grid.name}: {name} {count.tolist()} lies outside 1 to T' = {shape[1]}"
        pooled = tokens.layers[encoder.card.pool_layer]
        hop_s, bands = encoder.card.grid
        if hop_s and (pooled.hidden.shape[2] != bands or not np.isclose(pooled.hop_s, hop_s)):
            found = f"F' {pooled.hidden.shape[2]} and hop {pooled.hop_s} s"
            yield f"the pooled grid has {found}, the card says {bands} and {hop_s} s"


def _dimensions(encoder: Encoder) -> Iterator[str]:
    tokens = _answer(encoder, *collate(encoder, [_noise(encoder, SECONDS[0])]))
    for layer, pooling in _offered(encoder):
        size = tuple(pool(tokens, layer, pooling).shape)
        if size != (1, encoder.card.dims[pooling]):
            yield f"pooling {pooling!r} gives {size}, card.dims says {encoder.card.dims[pooling]} features"


def _finite(encoder: Encoder) -> Iterator[str]:
    rate, card = encoder.card.sample_rate, encoder.card
    long_s = min(2 * card.max_s, 70.0) if card.max_s else 12.0
    cases = {
        "noise": _noise(encoder, 1.0),
        "silence": np.zeros(rate, np.float32),
        "one sample": np.full(1, 0.5, np.float32),
        f"a clip of {long_s:g} s": _noise(encoder, long_s),
        "a constant": np.full(rate, 0.5, np.float32),
        "full-scale clicks": np.sign(_noise(encoder, 1.0)) * (np.arange(rate) % 997 == 0),
    }
    for name, wave in cases.items():
        for (_, pooling), vector in encode_batch(encoder, [wave.astype(np.float32)], _offered(encoder)).items():
            if not np.isfinite(vector).all():
                yield f"{name} gives NaN or infinity under pooling {pooling!r}; legal audio needs finite answers"


def _determinism(encoder: Encoder) -> Iterator[str]:
    batch = collate(encoder, [_noise(encoder, SECONDS[1])])
    first, second = _vectors(encoder, *batch), _vectors(encoder, *batch)
    for pooling, vector in first.items():
        if _distance(vector, second[pooling]) > INVARIANCE / 10:
            yield f"pooling {pooling!r} differs between two calls on the same clip; no randomness in eval mode"


def _invariance(encoder: Encoder) -> Iterator[str]:
    clips = [_noise(encoder, seconds) for seconds in SECONDS]
    alone = [_vectors(encoder, *collate(encoder, [clip])) for clip in clips]
    equal = _vectors(encoder, *collate(encoder, [clips[1], clips[1][::-1].copy(), clips[1]]))
    wave, length = collate(encoder, clips)
    ragged = _vectors(encoder, wave, length)
    time = torch.arange(wave.shape[1], device=wave.device)
    dirty = torch.where(time < length[:, None], wave, 0.9 * (1 - time % 2 * 2))  # a loud alternating tail
    for pooling in equal:
        for row, clip in ((0, 1), (2, 1)):
            if (gap := _distance(equal[pooling][row], alone[clip][pooling][0])) > INVARIANCE:
                yield f"pooling {pooling!r}: a clip alone and among equals differ by {gap:.1e} (limit {INVARIANCE:g})"
        for row in range(len(clips)):
            if (gap := _distance(ragged[pooling][row], alone[row][pooling][0])) > INVARIANCE:
                yield (
                    f"pooling {pooling!r}: a clip of {SECONDS[row]} s alone and in a ragged batch differ by {gap:.1e}"
                    f" (limit {INVARIANCE:g}); padding or batch mates leak in"
                )
    for pooling, vector in _vectors(encoder, dirty, length).items():
        if (gap := _distance(vector, ragged[pooling])) > INVARIANCE:
            yield f"pooling {pooling!r} changes by {gap:.1e} with what lies behind a clip's end; mask it"


def _gradient(encoder: Encoder) -> Iterator[str]:
    weights = {name: p for name, p in encoder.named_parameters() if p.requires_grad}
    if not weights:
        return
    wave, length = collate(encoder, [_noise(encoder, SECONDS[0])])
    tokens = encoder(wave, length)
    total = sum(pool(tokens, layer, pooling).square().mean() for layer, pooling in _offered(encoder))
    if not total.requires_grad:
        yield "no gradient reaches the weights: the output is detached, so the encoder cannot be fine-tuned"
        return
    grads = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
    if lost := [name for name, grad in zip(weights, grads, strict=True) if grad is None]:
        yield f"no gradient reaches {len(lost)} of {len(weights)} weights, first {lost[0]}"
    if broken := [n for n, g in zip(weights, grads, strict=True) if g is not None and not bool(g.isfinite().all())]:
        yield f"the gradient of {len(broken)} weights is not finite, first {broken[0]}"


def _vectors(encoder: Encoder, wave: torch.Tensor, length: torch.Tensor) -> dict[str, torch.Tensor]:
    tokens = _answer(encoder, wave, length)
    return {pooling: pool(tokens, layer, pooling) for layer, pooling in _offered(encoder)}


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest absolute difference relative to the largest value (or to 1e-6); infinite when a value is not finite."""
    gap = float((a - b).abs().max() / b.abs().max().clamp_min(1e-6))
    return gap if np.isfinite(gap) else float("inf")


CHECKS = (_card_and_mode, _shapes, _dimensions, _finite, _determinism, _invariance, _gradient)
