"""Checks the encoder contract on any encoder, such as an adapter of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from bench.base.errors import BadInput, RespBenchError
from bench.encoders.batches import bounded_length, collate, embed, encode_batch, padded_length
from bench.encoders.pooling import POOLINGS, LayerPooling, pool
from bench.types import Encoder, Grid, Tokens

INVARIANCE = 1e-4  # largest difference allowed between a clip alone and in a batch, relative to the largest value
SECONDS = (1.3, 2.1, 0.8)  # of the test clips; sorting them is not its own inverse, so that a mixed-up order shows
# Of a mixed batch: longer than a chunk of any network, the shortest clip that the card allows, and clips whose frames
# of 10 ms stay odd when they are halved again and again, rounding up or down.
MIXED = (12.3, 0.0, 1.27, 1.29)

Vectors = dict[str, torch.Tensor]  # {pooling: (B, P)}


@dataclass(frozen=True)
class Examination:
    """The outcome of checking the contract: each violation explained, and the measured batch invariance.

    ``invariance`` is the largest difference between a clip alone and in a batch, relative to the largest value; None
    where that could not be measured.
    """

    problems: tuple[str, ...]
    invariance: float | None


def check_encoder(encoder: Encoder) -> list[str]:
    """Finds every violation of the encoder contract (``bench.types.Encoder``).

    Checks: card and mode; shapes and lengths of the tokens; ``card.dims``; finite answers to noise, silence, a
    constant, clicks, one sample, 50 ms and 60 s; NaN refused; the same answer twice; a clip alone, beside one of equal
    padded length, in a ragged batch and with garbage behind its end gives the same tokens; a gradient reaches every
    weight and is not zero at the first. No policy is exempt: one that reproduces an original's padding mask fixes the
    length of the batch that it stands for. Threads that call it at once get the same where it says that they may share
    it. Where the encoder is ``ragged``, a batch of very different lengths gives each clip's tokens in every layer.
    It takes some twenty forward passes of short clips and leaves weights and mode as they were.

    Returns
    -------
    list of str
        One explanation per violation; empty when there is none.
    """
    return list(examine(encoder).problems)


def examine(encoder: Encoder) -> Examination:
    """As ``check_encoder``, with the measured batch invariance."""
    subject = Subject(encoder)
    problems = tuple(problem for check in CHECKS for problem in _guarded(check, subject))
    return Examination(problems, max(subject.gaps) if subject.gaps else None)


class Subject:
    """An encoder under examination and its answers to the test clips, each computed once."""

    def __init__(self, encoder: Encoder):
        self.encoder = encoder
        self.card = encoder.card
        self.gaps: list[float] = []

    def noise(self, seconds: float) -> np.ndarray:
        """Seeded noise with a tone under a slow swell, in [-1, 1]."""
        n = max(1, round(seconds * self.card.sample_rate))
        t = np.arange(n) / self.card.sample_rate
        rng = np.random.default_rng(round(1000 * seconds))
        wave = 0.05 * rng.standard_normal(n) + 0.3 * np.sin(2 * np.pi * 220 * t) * np.sin(2 * np.pi * (0.4 * t + 0.1))
        return wave.clip(-1, 1).astype(np.float32)

    @cached_property
    def clips(self) -> list[np.ndarray]:
        """The test clips, of ``SECONDS``."""
        return [self.noise(seconds) for seconds in SECONDS]

    @cached_property
    def alone(self) -> list[Vectors]:
        """Each clip by itself."""
        return [self.vectors(self.tokens(*collate(self.encoder, [clip]))) for clip in self.clips]

    @cached_property
    def pair(self) -> Tokens:
        """Another clip, the longest that shares a padded length with the first, and the first clip."""
        clip = self.clips[0]
        n = padded_length(self.encoder, len(clip))
        longest = n if padded_length(self.encoder, n) == n else len(clip)
        other = self.noise(longest / self.card.sample_rate)[::-1].copy()
        return self.tokens(*collate(self.encoder, [other, clip]))

    def ragged(self, tail: float) -> Tokens:
        """All clips in one batch, ``tail`` being the height of an alternating tone behind their ends."""
        wave, length = collate(self.encoder, self.clips)
        time = torch.arange(wave.shape[1], device=wave.device)
        return self.tokens(torch.where(time < length[:, None], wave, tail * (1 - time % 2 * 2)), length)

    @cached_property
    def dirty(self) -> Tokens:
        """All clips in one batch, with a loud tone behind their ends."""
        return self.ragged(0.9)

    def tokens(self, wave: torch.Tensor, length: torch.Tensor) -> Tokens:
        """The encoder's answer without gradients."""
        with torch.inference_mode():
            return self.encoder(wave, length)

    @property
    def offered(self) -> list[LayerPooling]:
        """The pooled layer under every pooling that the card offers."""
        return [(self.card.pool_layer, pooling) for pooling in self.card.dims if pooling in POOLINGS]

    def vectors(self, tokens: Tokens) -> Vectors:
        """The tokens under every pooling that is offered."""
        return {pooling: pool(tokens, layer, pooling) for layer, pooling in self.offered}


def _guarded(check: Callable[[Subject], Iterator[str]], subject: Subject) -> list[str]:
    """A check's findings; an exception in a foreign adapter is one of them, so that the other checks still run."""
    problems = []
    try:
        for problem in check(subject):
            problems.append(problem)
    except (RespBenchError, RuntimeError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        problems.append(f"{check.__name__.strip('_')}: raised {type(error).__name__}: {error}")
    return problems


def _card_and_mode(subject: Subject) -> Iterator[str]:
    card, encoder = subject.card, subject.encoder
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


def _shapes(subject: Subject) -> Iterator[str]:
    for tokens, rows in ((subject.pair, 2), (subject.dirty, len(SECONDS))):
        if len(tokens.layers) != subject.card.layers:
            yield f"{len(tokens.layers)} layers come back, the card says {subject.card.layers}"
        for grid in tokens.layers:
            shape = tuple(grid.hidden.shape)
            if len(shape) != 4 or shape[0] != rows:
                yield f"layer {grid.name}: hidden is {shape}, not (batch {rows}, T', F', D)"
                continue
            counts = {"length": grid.length} | ({} if grid.valid is None else {"valid": grid.valid})
            for name, count in counts.items():
                if tuple(count.shape) != (rows,) or count.dtype != torch.int64:
                    yield f"layer {grid.name}: {name} is {count.dtype} {tuple(count.shape)}, not int64 ({rows},)"
                elif not bool(((count >= 1) & (count <= shape[1])).all()):
                    yield f"layer {grid.name}: {name} {count.tolist()} lies outside 1 to T' = {shape[1]}"
        pooled = tokens.layers[subject.card.pool_layer]
        hop_s, bands = subject.card.grid
        if hop_s and (pooled.hidden.shape[2] != bands or not np.isclose(pooled.hop_s, hop_s)):
            actual = f"F' {pooled.hidden.shape[2]} and hop {pooled.hop_s} s"
            yield f"the pooled grid has {actual}, the card says {bands} and {hop_s} s"


def _dimensions(subject: Subject) -> Iterator[str]:
    for pooling, vector in subject.alone[0].items():
        if tuple(vector.shape) != (1, subject.card.dims[pooling]):
            size = tuple(vector.shape)
            yield f"pooling {pooling!r} gives {size}, card.dims says {subject.card.dims[pooling]} features"


def _finite(subject: Subject) -> Iterator[str]:
    rate = subject.card.sample_rate
    cases = {
        "silence": np.zeros(rate),
        "one sample": np.full(1, 0.5),
        "a clip of 50 ms": subject.noise(0.05),
        "a clip of 60 s": subject.noise(60.0),
        "a constant": np.full(rate, 0.5),
        "full-scale clicks": np.sign(subject.noise(1.0)) * (np.arange(rate) % 997 == 0),
    }
    for name, wave in cases.items():
        for (_, pooling), vector in encode_batch(subject.encoder, [wave.astype(np.float32)], subject.offered).items():
            if not np.isfinite(vector).all():
                yield f"{name} gives NaN or infinity under pooling {pooling!r}; legal audio needs finite answers"
    for seconds, alone in zip(SECONDS, subject.alone, strict=True):
        for pooling, embedding in alone.items():
            if not bool(embedding.isfinite().all()):
                yield f"noise of {seconds} s gives NaN or infinity under pooling {pooling!r}"


def _refusal(subject: Subject) -> Iterator[str]:
    wave = subject.noise(1.0)
    wave[len(wave) // 2] = np.nan
    try:
        embed(subject.encoder, [wave], subject.offered[0][1], layer=subject.card.pool_layer)
    except BadInput:
        return
    yield "a clip that holds NaN is answered; it must be refused"


def _determinism(subject: Subject) -> Iterator[str]:
    again = subject.vectors(subject.tokens(*collate(subject.encoder, subject.clips[-1:])))
    for pooling, vector in subject.alone[-1].items():
        if _distance(vector, again[pooling]) > INVARIANCE / 10:
            yield f"pooling {pooling!r} differs between two calls on the same clip; no randomness in eval mode"


def _threads(subject: Subject) -> Iterator[str]:
    if not getattr(subject.encoder, "threads_may_share", False):
        return
    with ThreadPoolExecutor(len(SECONDS)) as pool:
        answers = pool.map(
            lambda clip: subject.vectors(subject.tokens(*collate(subject.encoder, [clip]))), subject.clips
        )
    for seconds, alone, beside in zip(SECONDS, subject.alone, answers, strict=True):
        for pooling, vector in alone.items():
            if (gap := _distance(beside[pooling], vector)) > INVARIANCE:
                what = f"a clip of {seconds} s differs by {gap:.1e} where threads call the encoder at once"
                yield f"pooling {pooling!r}: {what}; keep no call's values in it, or say threads_may_share = False"


def _invariance(subject: Subject) -> Iterator[str]:
    pair = subject.vectors(subject.pair)
    for pooling, vector in subject.alone[0].items():
        subject.gaps.append(gap := _distance(pair[pooling][1], vector[0]))
        if gap > INVARIANCE:
            difference = f"differ by {gap:.1e} (limit {INVARIANCE:g}); batch mates leak in"
            yield f"pooling {pooling!r}: a clip alone and beside one of equal padded length {difference}"
    dirty, clean = subject.vectors(subject.dirty), None
    for pooling, vectors in dirty.items():
        for row, alone in enumerate(subject.alone):
            subject.gaps.append(gap := _distance(vectors[row], alone[pooling][0]))
            if gap <= INVARIANCE:
                continue
            clean = clean or subject.vectors(subject.ragged(0.0))
            if (leak := _distance(clean[pooling][row], alone[pooling][0])) > INVARIANCE:
                yield (
                    f"pooling {pooling!r}: a clip of {SECONDS[row]} s alone and in a ragged batch differ by {leak:.1e}"
                    f" (limit {INVARIANCE:g}); padding or batch mates leak in"
                )
            else:
                yield f"pooling {pooling!r} changes by {gap:.1e} with what lies behind a clip's end; mask it"


def _raggedness(subject: Subject) -> Iterator[str]:
    if not getattr(subject.encoder, "ragged", False):
        return
    clips = [subject.noise(max(seconds, subject.card.min_s)) for seconds in MIXED]
    together = subject.tokens(*collate(subject.encoder, clips))
    for row, clip in enumerate(clips):
        alone = subject.tokens(*collate(subject.encoder, [clip]))
        what = f"a clip of {len(clip) / subject.card.sample_rate:.3g} s alone and in a batch of other lengths"
        for mixed, single in zip(together.layers, alone.layers, strict=True):
            for name, gap in _row_gaps(mixed, row, single):
                subject.gaps.append(gap)
                if gap > INVARIANCE:
                    yield f"layer {mixed.name}: {name} of {what} differ by {gap:.1e} (limit {INVARIANCE:g})"
        if alone.clip is not None and together.clip is not None:
            subject.gaps.append(gap := _distance(together.clip[row], alone.clip[0]))
            if gap > INVARIANCE:
                yield f"the published embeddings of {what} differ by {gap:.1e} (limit {INVARIANCE:g})"


def _row_gaps(mixed: Grid, row: int, single: Grid) -> Iterator[tuple[str, float]]:
    """(what, distance) of a batch's row from the grid of the clip alone; infinite where numbers of tokens differ."""
    for name in ("length", "valid"):
        together, alone = getattr(mixed, name), getattr(single, name)
        if alone is not None:
            yield name, 0.0 if together is not None and int(together[row]) == int(alone[0]) else float("inf")
    count = min(int(single.length[0]), mixed.hidden.shape[1])
    yield "tokens", _distance(mixed.hidden[row, :count], single.hidden[0, :count])
    if single.cls is not None:
        yield "class token", _distance(mixed.cls[row], single.cls[0]) if mixed.cls is not None else float("inf")


def _gradient(subject: Subject) -> Iterator[str]:
    weights = {name: p for name, p in subject.encoder.named_parameters() if p.requires_grad}
    if not weights:
        return
    tokens = subject.encoder(*collate(subject.encoder, subject.clips[-1:]))
    total = torch.stack([pool(tokens, layer, pooling).square().mean() for layer, pooling in subject.offered]).sum()
    if not total.requires_grad:
        yield "no gradient reaches the weights: the output is detached, so the encoder cannot be fine-tuned"
        return
    grads = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
    gradients: dict[str, torch.Tensor | None] = dict(zip(weights, grads, strict=True))
    if lost := [name for name, grad in gradients.items() if grad is None]:
        yield f"no gradient reaches {len(lost)} of {len(weights)} weights, first {lost[0]}"
    if broken := [name for name, grad in gradients.items() if grad is not None and not bool(grad.isfinite().all())]:
        yield f"the gradient of {len(broken)} weights is not finite, first {broken[0]}"
    first = next((name for name, weight in weights.items() if weight.ndim > 1), None)
    if first and (grad := gradients[first]) is not None and not bool(grad.any()):
        yield f"the gradient of the first layer ({first}) is zero throughout"


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest absolute difference relative to the largest value (or to 1e-6); infinite when a value is not finite."""
    gap = float((a - b).abs().max() / b.abs().max().clamp_min(1e-6))
    return gap if np.isfinite(gap) else float("inf")


CHECKS = (
    _card_and_mode,
    _shapes,
    _dimensions,
    _finite,
    _refusal,
    _determinism,
    _threads,
    _invariance,
    _raggedness,
    _gradient,
)
