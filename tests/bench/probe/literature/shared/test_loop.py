"""Losses, batches and learning rates against torch's own."""

import numpy as np
import pytest
import torch

from bench.probe.literature.shared.loop import Criterion, cosine_rate, seeded_generator, shuffled_batches


def test_losses_are_those_of_torch():
    logits = torch.randn(2, 5, 3, generator=seeded_generator("losses"))
    classes = torch.tensor([0, 2, 1, 1, 0])
    expected = [torch.nn.functional.cross_entropy(one, classes) / 3 for one in logits]
    torch.testing.assert_close(
        Criterion("multiclass", "auroc", scale=1 / 3).loss(logits, classes), torch.stack(expected)
    )
    labels = (torch.rand(5, 3, generator=seeded_generator("labels")) > 0.5).float()
    expected = [torch.nn.functional.binary_cross_entropy_with_logits(one, labels) for one in logits]
    torch.testing.assert_close(Criterion("multilabel", "ap.bits").loss(logits, labels), torch.stack(expected))
    targets = logits[0, :, :1] + 2
    got = Criterion("regression", "mae").loss(logits[:, :, :1], targets)
    assert got[0].item() == pytest.approx(4) and got[1] == pytest.approx(((logits[1, :, :1] - targets) ** 2).mean())


def test_higher_is_better_whatever_the_metric():
    criterion = Criterion("regression", "mae")
    assert criterion.judge(np.array([1.0, 3.0]), np.array([[2.0], [3.0]])) == -0.5
    assert Criterion("multiclass", "auroc").judge(np.array([0, 1]), np.array([[0.0, -1.0], [0.0, 1.0]])) == 1


def test_batches_hold_every_row_once_and_each_seed_has_its_own_order():
    epochs = shuffled_batches([seeded_generator(0), seeded_generator(1)], 10, 4)
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
        assert cosine_rate(1e-3, 1e-4, step / 20) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-6)
        optimiser.step()
        schedule.step()
