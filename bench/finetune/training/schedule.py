"""The learning rate as a pure function of the step, so that there is no state to keep."""

from __future__ import annotations

import math

from bench.finetune.recipe import Schedule


def factor(schedule: Schedule, step: int, steps_per_epoch: int, epochs: int) -> float:
    """What the learning rate is multiplied by at ``step`` (from 0) of ``epochs * steps_per_epoch``.

    With p the share done, floor f and warm-up of w epochs, f + (1 − f)(1 + cos πp) / 2, where

    * ``cosine`` by ``step``: rising linearly, (step + 1) / (w · steps per epoch), during the warm-up, then p from 0 at
      its end towards 1 at the last step's end (Loshchilov and Hutter, SGDR, ICLR 2017);
    * ``cosine`` by ``epoch``: the whole epoch e (from 1) has p = e / epochs, so the last one trains at the floor, as
      Patch-Mix does (Bae et al., Interspeech 2023); a warm-up is as above;
    * ``cycle``: p = e / period with e from 0, whole epochs or by step; it goes up again after ``period``, as
      torch's ``CosineAnnealingLR`` does when it is run for longer than its T_max (Moummad and Farrugia, 2023).
    """
    warm = schedule.warmup_epochs * steps_per_epoch
    if step < warm:
        return min(1.0, (step + 1) / warm)
    if schedule.kind == "constant":
        return 1.0
    epoch = step // steps_per_epoch
    if schedule.kind == "cycle":
        share = (epoch if schedule.unit == "epoch" else step / steps_per_epoch) / schedule.period
    elif schedule.unit == "epoch":
        share = (epoch + 1) / epochs
    else:
        share = (step - warm) / (epochs * steps_per_epoch - warm)
    return schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * share)) / 2
