"""Single steps against hand-computed ones and torch's own optimisers."""

import math

import numpy as np
import pytest
import torch

from bench.probe.literature.shared.loop import seeded_generator
from bench.probe.literature.shared.replicas import (
    CLIP_EPSILON,
    Adam,
    LinearReplicas,
    Momentum,
    clip_gradients,
    normal_layer,
    uniform_layer,
)


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
    drawn = seeded_generator("adam")
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
    got = clip_gradients([weight, bias], 1.0)
    factor = 1 / (5 + CLIP_EPSILON)  # of the first, whose norm is 5; the second has 0.5 and stays
    np.testing.assert_allclose(torch.cat([g.flatten(1) for g in got], 1), [[3 * factor, 4 * factor], [0.3, 0.4]])


def test_rows_shared_by_all_replicas_and_rows_of_their_own_give_the_same():
    drawn = [seeded_generator("a"), seeded_generator("b")]
    stack = LinearReplicas(
        *uniform_layer(drawn, 6, 3), norm=[torch.full((2, 1, 6), 2.0), torch.ones(2, 1, 6)], scale=3, shift=1
    )
    x = torch.randn(4, 6, generator=drawn[0])
    shared = stack.logits(x)
    torch.testing.assert_close(shared, stack.logits(x.expand(2, 4, 6)))
    torch.testing.assert_close(shared[1], stack.replica(1).logits(x)[0])
    plain = LinearReplicas(*normal_layer(drawn, 6, 3))
    torch.testing.assert_close(plain.logits(x), plain.logits(x.expand(2, 4, 6)))
    assert (plain.parameters[1] == 0).all() and 0.003 < plain.parameters[0].std() < 0.03
