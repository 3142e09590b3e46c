"""Single steps against hand-computed ones and torch's own optimisers."""

import math

import numpy as np
import pytest
import torch

from bench.probe.literature._stack import CLIP_EPSILON, Adam, LinearStack, Momentum, clipped, normal, uniform
from bench.probe.literature._training import Criterion, cosine, generator, shuffled


def test_two_steps_of_adam_by_hand():
    theta = torch.tensor([[2.0]])
    adam = Adam([theta], decay=0.5)
    adam.step([torch.tensor([[3.0]])], 0.1)
    # gradient 3 + 0.5 · 2 = 4: m = 0.4, v = 0.016; corrected 4 and 16; the step is 0.1 · 4 / (4 + 1e-8)
    assert theta.item() == pytest.approx(1.9, abs=1e-6)
    adam.step([torch.tensor([[-1.0]])], 0.1)
    # gradient −1 + 0.5 · 1.9 = −0.05: m = 0.9 · 0.4 − 0.005 = 0.355, v = 0.999 · 0.016 + 2.5e-6 = 0.0159865
    step = 0.1 * (0.355 / (1 - 0.9**2)) / (math.sqrt(0.0159865 / (1 - 0.999**2)) + 1e-8)
    assert theta.item() == pytest.approx(1.9 - step, abs=1e-6)


def test_two_steps_of_momentum_by_hand():
    theta = torch.tensor([[1.0], [1.0]])
    descent = Momentum([theta])
    rates = torch.tensor([0.1, 0.01])
    descent.step([torch.tensor([[2.0], [2.0]])], rates)
    descent.step([torch.tensor([[1.0], [1.0]])], rates)
    # velocities 2, then 0.9 · 2 + 1 = 2.8
    np.testing.assert_allclose(theta.ravel(), [1 - 0.1 * 4.8, 1 - 0.01 * 4.8], rtol=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_is_that_of_torch(decay):
    drawn = generator("adam")
    ours = torch.randn(3, 5, 2, generator=drawn)
    theirs = ours.clone().requires_grad_()
    reference, adam = torch.optim.Adam([theirs], lr=1e-2, weight_decay=decay), Adam([ours], decay)
    for _ in range(20):
        gradient = torch.randn(3, 5, 2, generator=drawn)
        theirs.grad = gradient.clone()
        reference.step()
        adam.step([gradient], torch.full((3,), 1e-2))
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)


def test_every_replica_is_clipped_by_its_own_norm():
    weight = torch.tensor([[[3.0]], [[0.3]]])
    bias = torch.tensor([[[4.0]], [[0.4]]])
    got = clipped([weight, bias], 1.0)
    factor = 1 / (5 + CLIP_EPSILON)  # of the first, whose norm is 5; the second has 0.5 and stays
    np.testing.assert_allclose(torch.cat([g.flatten(1) for g in got], 1), [[3 * factor, 4 * factor], [0.3, 0.4]])


def test_rows_shared_by_all_replicas_and_rows_of_their_own_give_the_same():
    drawn = [generator("a"), generator("b")]
    stack = LinearStack(*uniform(drawn, 6, 3), norm=[torch.full((2, 1, 6), 2.0), torch.ones(2, 1, 6)], scale=3, shift=1)
    x = torch.randn(4, 6, generator=drawn[0])
    shared = stack.logits(x)
    torch.testing.assert_close(shared, stack.logits(x.expand(2, 4, 6)))
    torch.testing.assert_close(shared[1], stack.replica(1).logits(x)[0])
    plain = LinearStack(*normal(drawn, 6, 3))
    torch.testing.assert_close(plain.logits(x), plain.logits(x.expand(2, 4, 6)))
    assert (plain.parameters[1] == 0).all() and 0.003 < plain.parameters[0].std() < 0.03


def test_losses_are_those_of_torch():
    logits = torch.randn(2, 5, 3, generator=generator("losses"))
    classes = torch.tensor([0, 2, 1, 1, 0])
    expected = [torch.nn.functional.cross_entropy(one, classes) / 3 for one in logits]
    torch.testing.assert_close(
        Criterion("multiclass", "auroc", scale=1 / 3).loss(logits, classes), torch.stack(expected)
    )
    labels = (torch.rand(5, 3, generator=generator("labels")) > 0.5).float()
    expected = [torch.nn.functional.binary_cross_entropy_with_logits(one, labels) for one in logits]
    torch.testing.assert_close(Criterion("multilabel", "ap.bits").loss(logits, labels), torch.stack(expected))
    targets = logits[0, :, :1] + 2
    got = Criterion("regression", "mae").loss(logits[:, :, :1], targets)
    assert got[0].item() == pytest.approx(4) and got[1] == pytest.approx(((logits[1, :, :1] - targets) ** 2).mean())


def test_higher_is_better_whatever_the_metric():
    criterion = Criterion("regression", "mae")
    assert criterion.judged(np.array([1.0, 3.0]), np.array([[2.0], [3.0]])) == -0.5
    assert Criterion("multiclass", "auroc").judged(np.array([0, 1]), np.array([[0.0, -1.0], [0.0, 1.0]])) == 1


def test_batches_hold_every_row_once_and_each_seed_has_its_own_order():
    epochs = shuffled([generator(0), generator(1)], 10, 4)
    first, second = epochs(0), epochs(1)
    assert [tuple(batch.shape) for batch in first] == [(2, 4), (2, 4), (2, 2)]
    for order in (torch.cat(first, 1), torch.cat(second, 1)):
        assert (order.sort(1).values == torch.arange(10)).all()
        assert (order[0] != order[1]).any()
    assert (torch.cat(first, 1) != torch.cat(second, 1)).any()


def test_the_cosine_is_that_of_torch():
    theta = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([theta], lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 20, eta_min=1e-4)
    for step in range(20):
        assert cosine(1e-3, 1e-4, step / 20) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-6)
        optimiser.step()
        schedule.step()
