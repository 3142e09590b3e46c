"""Lungmix-style mixing: two waveforms under a mask of loudness and chance, labels mixed by each clip's share of it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.base.settings import Rule, number, rules
from bench.finetune.methods.shared.base import Method, MicroBatch, TrainableModel, TrainingFacts
from bench.finetune.methods.shared.cross_entropy import mixed_cross_entropy
from bench.finetune.methods.shared.mixing import WavePairs, draw_partners, draw_shares, overlay, pair_waves

_WHOLE = number(1, whole=True)
ODD = Rule(lambda value: _WHOLE.holds(value) and value % 2 == 1, "an odd whole number of at least 1")


def loud_samples(wave: Tensor, window: int) -> Tensor:
    """Find loud samples (B, T) bool: those within an odd ``window`` around |x| > |mean + 2 standard deviations|."""
    beyond = wave.abs() > (wave.mean(1, keepdim=True) + 2 * wave.std(1, keepdim=True, correction=0)).abs()
    return F.max_pool1d(beyond.float()[:, None], window, 1, window // 2)[:, 0] > 0


def hold(coin: Tensor, window: int, length: int) -> Tensor:
    """Repeat each value of ``coin`` (B, ≥ length / window) for ``window`` samples: (B, length)."""
    return coin.repeat_interleave(window, 1)[:, :length]


def lung_mask(pair: WavePairs, share: Tensor, coin: Tensor, window: int) -> Tensor:
    """Compute each sample's weight of the own clip.

    Parameters
    ----------
    pair
        Each clip and its partner, (B, T).
    share
        (B,) weight where either of the two is loud.
    coin
        (B, blocks) weight elsewhere, 0 or 1, each held for ``window`` samples.
    window
        Odd number of samples.

    Returns
    -------
    Tensor
        (B, T) in [0, 1].

    References
    ----------
    Ge et al., ICASSP 2025 (arXiv:2501.00064), whose released mask draws 0 or 1 for each sample.
    """
    either = loud_samples(pair.own, window) | loud_samples(pair.other, window)
    return torch.where(either, share[:, None], hold(coin, window, pair.own.shape[1]))


def mask_share(mask: Tensor, audible: Tensor) -> Tensor:
    """Average the mask over audible samples: (B,) from two tensors (B, T)."""
    return (mask * audible).sum(1) / audible.sum(1).clamp_min(1)


class LungMix(Method):
    """Cross-entropy of waveforms mixed under a mask of loudness and chance.

    ``alpha``: λ of each clip is drawn from Beta(alpha, alpha); ``window``: odd number of samples over which loudness
    is widened and chance is held. The partner starts at a random sample, and is repeated from there.
    """

    name = "lungmix-style"
    formula = (
        "x = m x_a + (1 - m) x_b;  m = l ~ Beta(a, a) where either is loud (|x| > |mean + 2 sd|), else 0 or 1;  "
        "L = s CE(f(x), y_a) + (1 - s) CE(f(x), y_b), s = mean of m"
    )
    source = "after Lungmix, Ge et al., ICASSP 2025 (arXiv:2501.00064) and its released mask"
    ours = (
        "labels are mixed by share, not replaced with their union; the released code draws 0 or 1 for each sample, "
        "which is white noise: here it is held for a window"
    )
    limits = rules(alpha=number(0, above=True), window=ODD)

    def __init__(self, facts: TrainingFacts, alpha: float = 0.5, window: int = 201):
        super().__init__(facts, alpha=alpha, window=window)
        self.alpha, self.window = alpha, window

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Mix the waveforms and compute the cross-entropy of both labels."""
        clips, samples = batch.wave.shape
        partner = draw_partners(batch)
        start = torch.randint(samples, (clips,), generator=batch.generator)
        coin = torch.randint(2, (clips, -(-samples // self.window)), generator=batch.generator)
        share = draw_shares(batch, self.alpha, clips).to(batch.wave)
        pair = pair_waves(batch, partner, start.to(batch.wave.device))
        mask = lung_mask(pair, share, coin.to(batch.wave), self.window)
        mixed = batch._replace(wave=overlay(pair, mask), length=pair.length)
        logits = model.logits(model.features(mixed))
        return mixed_cross_entropy(logits, batch.label, batch.label[partner], mask_share(mask, pair.audible))
