import torch
from torch import nn

from bench.finetune.recipe import Averaging
from bench.finetune.training.averaging import Averager


def walk(kind, decay, steps=3):
    """(weights after every step, averager, module): a step adds 1 to the weight."""
    module = nn.Linear(1, 1)
    nn.init.zeros_(module.weight)
    nn.init.zeros_(module.bias)
    module.bias.requires_grad_(False)
    averager = Averager(Averaging(kind, decay), {"model": module})
    seen = []
    for _ in range(steps):
        with torch.no_grad():
            module.weight += 1
            module.bias += 1
        averager.update()
        seen.append(float(module.weight.detach()))
    return seen, averager, module


def test_step_averaging_moves_the_weights_half_of_the_way_back():
    seen, _, module = walk("step", 0.5)
    assert seen == [0.5, 1.0, 1.5]  # θ <- .5 θ_before + .5 (θ_before + 1)
    assert float(module.bias.detach()) == 3.0  # what is not trained is no average


def test_ema_is_lent_and_given_back():
    seen, averager, module = walk("ema", 0.5)
    assert seen == [1.0, 2.0, 3.0]
    with averager.for_prediction():
        assert float(module.weight.detach()) == 0.5 * 3 + 0.25 * 2 + 0.125 * 1
    assert float(module.weight.detach()) == 3.0


def test_none_keeps_nothing():
    seen, averager, _ = walk("none", 0.5)
    assert seen == [1.0, 2.0, 3.0] and averager.state() == {}


def test_a_checkpoint_restores_the_average():
    _, averager, _ = walk("ema", 0.5)
    module = nn.Linear(1, 1)
    module.bias.requires_grad_(False)
    other = Averager(averager.averaging, {"model": module})
    other.restore(averager.state())
    assert torch.equal(other.averages["model.weight"], averager.averages["model.weight"])
    assert other.averages["model.weight"] is not averager.averages["model.weight"]


def test_running_statistics_are_averaged_and_counters_are_not():
    module = nn.BatchNorm1d(2)
    averager = Averager(Averaging("step", 0.5), {"m": module})
    assert "m.running_mean" in averager.averages and "m.num_batches_tracked" not in averager.averages
