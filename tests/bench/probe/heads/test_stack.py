import numpy as np
import pytest
import torch

from bench.probe.heads.layer_mix import Mixture
from bench.probe.heads.mlp import HiddenLayer
from bench.probe.heads.stack import (
    WEIGHT_DECAY,
    Candidate,
    Stack,
    TrainingRows,
    batch_size,
    feature_scaler,
    loss_weights,
)


def rows(n=40, shape=(3, 5), kind="multiclass", seed=0):
    rng = np.random.default_rng(seed)
    y = torch.from_numpy(rng.integers(0, 2, n))
    x = torch.from_numpy(rng.standard_normal((n, *shape)) * 3 + 7).float()
    return TrainingRows(x, torch.nn.functional.one_hot(y, 2).float(), kind)


@pytest.mark.long
def test_every_slice_moves_as_torch_would_move_it_alone():
    data, training_rows = rows(), [np.arange(30), np.arange(10, 40)]
    candidates = [Candidate(1e-3), Candidate(1e-1)]
    stack = Stack(Mixture(rate_factors={}), candidates, data, training_rows, 64, [(0, 0), (0, 1)])
    start = {name: value.clone() for name, value in stack.parameters.items()}
    for _ in range(6):
        stack.epoch()
    for fold, index in enumerate(training_rows):
        x = stack.scalers[fold](data.x[index])
        for c, candidate in enumerate(candidates):
            own = {name: value[fold, c].clone().requires_grad_() for name, value in start.items()}
            matrices = [value for value in own.values() if value.ndim > 1]
            vectors = [value for value in own.values() if value.ndim == 1]
            groups = [
                {"params": matrices, "weight_decay": WEIGHT_DECAY},
                {"params": vectors, "weight_decay": 0.0},
            ]
            optimiser = torch.optim.AdamW(groups, lr=candidate.rate)
            for _ in range(6):  # one batch an epoch, so its order does not count
                mixed = torch.einsum("l,nld->nd", own["mixture"].softmax(0), x)
                logits = mixed @ own["outer"] + own["outer_bias"]
                loss = torch.nn.functional.cross_entropy(logits, data.targets[index].argmax(1))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            for name, value in own.items():
                torch.testing.assert_close(stack.parameters[name][fold, c], value.detach(), atol=1e-5, rtol=1e-4)


def test_a_fold_alone_and_among_others_is_the_same():
    data = rows(shape=(5,))
    training_rows = [np.arange(32), np.arange(8, 40)]
    candidates = [Candidate(1e-3), Candidate(1e-2, "balanced")]
    both = Stack(HiddenLayer(8), candidates, data, training_rows, 16, [(3, 0), (3, 1)])
    alone = Stack(HiddenLayer(8), candidates, data, training_rows[1:], 16, [(3, 1)])
    for _ in range(3):
        both.epoch()
        alone.epoch()
    for name, value in alone.parameters.items():
        torch.testing.assert_close(both.parameters[name][1], value[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("averaged", [(0,), (0, 1)])
def test_rows_are_standardised_by_the_training_rows_alone(averaged):
    data = rows().x
    data[:, :, 2] = 0.1  # does not vary
    index = np.arange(5, 25)
    scaled = feature_scaler(data, index, averaged)(data[index]).double()
    torch.testing.assert_close(scaled.mean(averaged), torch.zeros_like(scaled.mean(averaged)), atol=1e-6, rtol=0)
    spread = scaled.square().mean(averaged).sqrt()
    assert torch.all(spread[..., 2] == 0)
    torch.testing.assert_close(spread[..., :2], torch.ones_like(spread[..., :2]), atol=1e-5, rtol=0)


def test_balanced_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    data = rows()
    expected = compute_class_weight("balanced", classes=np.arange(2), y=data.targets[:30].argmax(1).numpy())
    np.testing.assert_allclose(loss_weights(data, np.arange(30), "balanced")[1], expected, rtol=1e-6)
    labels = TrainingRows(data.x, data.targets, "multilabel")
    present = data.targets.sum(0)
    np.testing.assert_allclose(loss_weights(labels, np.arange(40), "balanced")[1], 40 / (2 * present), rtol=1e-6)


def test_batches_are_a_sixteenth_within_bounds():
    assert [batch_size(n) for n in (20, 1600, 100_000)] == [16, 100, 256]
