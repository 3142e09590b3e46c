"""The learning rate as a pure function of the step, without state."""

from __future__ import annotations

import math

from bench.finetune.recipe import Schedule


def rate_factor(schedule: Schedule, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Compute what the learning rate is multiplied by at a step.

    During a warm-up of w epochs it is (step + 1) / (w · steps per epoch). After it, ``constant`` is 1; the others are
    f + (1 − f)(1 + cos πp) / 2 with the floor f, where

    * ``cosine`` by ``step``: p rises from 0 at the end of the warm-up towards 1 at the last step's end [1]_;
    * ``cosine`` by ``epoch``: the whole epoch e (from 1) has p = e / epochs, so the last one trains at the floor, as
      Patch-Mix does [2]_;
    * ``cycle``: p = e / period with e from 0, whole epochs or by step; the rate rises again after ``period``, as with
      torch's ``CosineAnnealingLR`` run for longer than its T_max [3]_.

    Parameters
    ----------
    schedule
        The recipe's kind, unit, warm-up, floor and period.
    step
        From 0 to ``epochs * steps_per_epoch`` − 1.
    steps_per_epoch, epochs
        The length of the run.

    References
    ----------
    .. [1] Loshchilov and Hutter, SGDR, ICLR 2017 (arXiv:1608.03983).
    .. [2] Bae et al., Interspeech 2023 (arXiv:2305.14032), released code.
    .. [3] Moummad and Farrugia, WASPAA 2023 (arXiv:2210.16192), released code.
    """
    warmup_steps = schedule.warmup_epochs * steps_per_epoch
    if step < warmup_steps:
        return min(1.0, (step + 1) / warmup_steps)
    if schedule.kind == "constant":
        return 1.0
    epoch = step // steps_per_epoch
    if schedule.kind == "cycle":
        progress = (epoch if schedule.unit == "epoch" else step / steps_per_epoch) / schedule.period
    elif schedule.unit == "epoch":
        progress = (epoch + 1) / epochs
    else:
        progress = (step - warmup_steps) / (epochs * steps_per_epoch - warmup_steps)
    return schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * progress)) / 2
