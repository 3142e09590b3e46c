"""Lungmix-style mixing: two waveforms under a mask of loudness and chance, labels mixed by each clip's share of it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.base.errors import BadInput
from bench.base.settings import Rule, number, one_of, rules
from bench.finetune.methods.shared.base import Method, MicroBatch, TrainableModel, TrainingFacts
from bench.finetune.methods.shared.cross_entropy import cross_entropy, mixed_cross_entropy
from bench.finetune.methods.shared.mixing import WavePairs, draw_partners, draw_shares, overlay, pair_waves

LOUDNESS, CHANCE, SHARE, UNION = "loudness", "chance", "share", "union"
_WHOLE = number(1, whole=True)
ODD = Rule(lambda value: _WHOLE.holds(value) and value % 2 == 1, "an odd whole number of at least 1")


def loud_samples(wave: Tensor, window: int) -> Tensor:
    """Find loud samples (B, T) bool: those within an odd ``window`` around |x| > |mean + 2 standard deviations|."""
    beyond = wave.abs() > (wave.mean(1, keepdim=True) + 2 * wave.std(1, keepdim=True, correction=0)).abs()
    return F.max_pool1d(beyond.float()[:, None], window, 1, window // 2)[:, 0] > 0


def hold(coin: Tensor, window: int, length: int) -> Tensor:
    """Repeat each value of ``coin`` (B, ≥ length / window) for ``window`` samples: (B, length)."""
    return coin.repeat_interleave(window, 1)[:, :length]


def lung_mask(pair: WavePairs, share: Tensor, coin: Tensor, window: int, held: int) -> Tensor:
    """Compute each sample's weight of the own clip.

    Parameters
    ----------
    pair
        Each clip and its partner, (B, T).
    share
        (B,) weight where either of the two is loud.
    coin
        (B, blocks) weight elsewhere, 0 or 1, each held for ``held`` samples.
    window
        Odd number of samples by which loudness is widened; 1 does not.
    held
        Number of samples.

    Returns
    -------
    Tensor
        (B, T) in [0, 1].

    References
    ----------
    Ge et al., ICASSP 2025 (arXiv:2501.00064).
    """
    either = loud_samples(pair.own, window) | loud_samples(pair.other, window)
    return torch.where(either, share[:, None], hold(coin, held, pair.own.shape[1]))


def mask_share(mask: Tensor, audible: Tensor) -> Tensor:
    """Average the mask over audible samples: (B,) from two tensors (B, T)."""
    return (mask * audible).sum(1) / audible.sum(1).clamp_min(1)


class LungMix(Method):
    """Cross-entropy of waveforms mixed under a mask of loudness and chance.

    ``mask``: ``loudness``, λ of each clip from Beta(alpha, alpha) where either clip is loud and a coin elsewhere, or
    the coin by ``chance`` everywhere. ``window``: odd number of samples by which loudness is widened (1: not);
    ``held``: samples for which a throw of the coin holds. ``labels`` are mixed by each clip's ``share``, or replaced
    with their ``union``, bit by bit: of normal, crackle, wheeze and both. The partner starts at a random sample, and
    is repeated from there.
    """

    name = "lungmix-style"
    formula = (
        "x = m x_a + (1 - m) x_b;  m = l ~ Beta(a, a) where either is loud (|x| > |mean + 2 sd|), else 0 or 1;  "
        "L = s CE(f(x), y_a) + (1 - s) CE(f(x), y_b), s = mean of m"
    )
    source = "after Lungmix, Ge et al., ICASSP 2025 (arXiv:2501.00064) and its released code"
    ours = (
        "labels are mixed by share (the paper: labels = union) and a throw of the coin holds for 201 samples, as one "
        "for each is white noise. The released code computes its mask and never applies it: its mixture is mask = "
        "chance, held = 1, labels = union; widening of loudness (window = 201) is off there by default, as here; it "
        "delays the partner behind a run of its mean, here the partner is repeated"
    )
    limits = rules(
        alpha=number(0, above=True),
        mask=one_of(LOUDNESS, CHANCE),
        window=ODD,
        held=number(1, whole=True),
        labels=one_of(SHARE, UNION),
    )

    def __init__(
        self,
        facts: TrainingFacts,
        alpha: float = 0.5,
        mask: str = LOUDNESS,
        window: int = 1,
        held: int = 201,
        labels: str = SHARE,
    ):
        super().__init__(facts, alpha=alpha, mask=mask, window=window, held=held, labels=labels)
        if labels == UNION and facts.classes not in (2, 4):
            problem = f"labels = 'union' for {facts.classes} classes"
            raise BadInput(
                self.name, problem, "it is defined for normal and abnormal, or normal, crackle, wheeze, both"
            )
        self.alpha, self.mask, self.window, self.held, self.labels = alpha, mask, window, held, labels

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Mix the waveforms and compute the cross-entropy of both labels, or of their union."""
        clips, samples = batch.wave.shape
        partner = draw_partners(batch)
        start = torch.randint(samples, (clips,), generator=batch.generator)
        coin = torch.randint(2, (clips, -(-samples // self.held)), generator=batch.generator).to(batch.wave)
        share = draw_shares(batch, self.alpha, clips).to(batch.wave)
        pair = pair_waves(batch, partner, start.to(batch.wave.device))
        if self.mask == CHANCE:
            mask = hold(coin, self.held, samples)
        else:
            mask = lung_mask(pair, share, coin, self.window, self.held)
        mixed = batch._replace(wave=overlay(pair, mask), length=pair.length)
        logits, other = model.logits(model.features(mixed)), batch.label[partner]
        if self.labels == UNION:
            return cross_entropy(logits, batch.label | other)
        return mixed_cross_entropy(logits, batch.label, other, mask_share(mask, pair.audible))
