import math

import pytest

from bench.finetune.recipe import Schedule
from bench.finetune.training.schedule import rate_factor


def curve(steps_per_epoch, epochs, **settings):
    return [rate_factor(Schedule(**settings), s, steps_per_epoch, epochs) for s in range(steps_per_epoch * epochs)]


def test_cosine_with_warm_up_by_hand():
    told = curve(2, 3, warmup_epochs=1.0, floor=0.1)
    rest = [0.1 + 0.9 * (1 + math.cos(math.pi * share)) / 2 for share in (0, 0.25, 0.5, 0.75)]
    assert told == pytest.approx([0.5, 1.0, *rest])


def test_cosine_by_epoch_ends_on_the_floor_as_patch_mix_does():
    lr, epochs = 5e-5, 50
    told = curve(3, epochs, unit="epoch", floor=1e-3)
    for epoch in range(1, epochs + 1):
        least = lr * 0.1**3
        published = least + (lr - least) * (1 + math.cos(math.pi * epoch / epochs)) / 2
        assert [lr * each for each in told[3 * (epoch - 1) : 3 * epoch]] == pytest.approx([published] * 3)


def test_cycle_is_torchs_annealing_run_past_its_end():
    import torch

    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 4, eta_min=1e-3)
    expected = []
    for _ in range(11):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        theirs.step()
    assert curve(1, 11, kind="cycle", unit="epoch", period=4, floor=1e-3) == pytest.approx(expected)


def test_constant_warms_up_and_stays():
    assert curve(4, 2, kind="constant", warmup_epochs=0.5) == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 1])
