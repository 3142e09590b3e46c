import numpy as np
import pytest
import torch

from bench.probe.goal import Goal
from bench.probe.heads.protobin import BinaryPrototypes, ProtobinStyleProbe, dropout, signs

TWO = Goal(("a", "b"))
FOLDS, CANDIDATES, ROWS, STEPS, WIDTH, COLUMNS = 2, 3, 4, 5, 6, 2


def drawn(head, shape, seed=0):
    """(parameters, rows, noise, weights of the outputs) in float64."""
    rng = np.random.default_rng(seed)
    first = head.initial_parameters(shape, COLUMNS, torch.Generator().manual_seed(0))
    p = {
        name: torch.from_numpy(rng.standard_normal((FOLDS, CANDIDATES, *value.shape))).requires_grad_(True)
        for name, value in first.items()
    }
    x = torch.from_numpy(rng.standard_normal((FOLDS, ROWS, *shape)))
    noise = torch.stack([head.draw_noise(ROWS, rng) for _ in range(FOLDS)]).double()
    return p, x, noise, torch.from_numpy(rng.standard_normal((FOLDS, CANDIDATES, ROWS, COLUMNS)))


def reference(p, x, noise, direction):
    """Outputs and gradients of Σ direction · outputs, one fold, candidate, row and prototype after another."""
    signed, outer, bias = (p[name].detach().numpy() for name in ("prototypes", "outer", "outer_bias"))
    signed = np.where(signed >= 0, 1.0, -1.0)
    x, noise, direction = (value.numpy() for value in (x, noise, direction))
    outputs = np.zeros(direction.shape)
    gradients = {"prototypes": np.zeros(signed.shape), "outer": np.zeros(outer.shape), "outer_bias": direction.sum(2)}
    for f, c, b in np.ndindex(outputs.shape[:3]):
        outputs[f, c, b] = bias[f, c]
        for k, prototype in enumerate(signed[f, c]):
            length = np.sqrt(len(prototype))  # of signs
            cosines = [token @ prototype / np.linalg.norm(token) / length for token in x[f, b]]
            nearest = int(np.argmax(cosines))
            outputs[f, c, b] += noise[f, b, k] * cosines[nearest] * outer[f, c, k]
            gradients["outer"][f, c, k] += noise[f, b, k] * cosines[nearest] * direction[f, c, b]
            token = x[f, b, nearest] / np.linalg.norm(x[f, b, nearest])
            moved = (token - cosines[nearest] * prototype / length) / length  # of a cosine, as the signs move
            gradients["prototypes"][f, c, k] += noise[f, b, k] * moved * (outer[f, c, k] @ direction[f, c, b])
    return outputs, gradients


def test_outputs_and_gradients_are_those_of_loops():
    head = BinaryPrototypes(7)
    p, x, noise, direction = drawn(head, (STEPS, WIDTH))
    wanted, gradients = reference(p, x, noise, direction)
    outputs = head.outputs(p, x, noise)
    np.testing.assert_allclose(outputs.detach(), wanted, rtol=1e-10, atol=1e-12)
    for (name, _), found in zip(p.items(), torch.autograd.grad((outputs * direction).sum(), p.values()), strict=True):
        np.testing.assert_allclose(found, gradients[name], rtol=1e-10, atol=1e-12, err_msg=name)


def test_signs_keep_the_gradient_of_the_values():
    values = torch.tensor([-2.0, -1e-30, 0.0, 3.0], requires_grad=True)
    found = signs(values)
    assert found.tolist() == [-1, -1, 1, 1]
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert torch.autograd.grad((found * weights).sum(), values)[0].equal(weights)


def test_a_fifth_is_dropped_and_the_mean_stays():
    factors = dropout(200, 500, np.random.default_rng(0))
    assert set(factors.unique().tolist()) == {0.0, 1.25}
    assert abs(float(factors.mean()) - 1) < 4 * 0.5 / np.sqrt(factors.numel())  # four deviations of 1.25 · √(0.8 · 0.2)


def test_a_token_of_zeros_and_scale_change_nothing():
    head = BinaryPrototypes(7)
    p, x, _, _ = drawn(head, (STEPS, WIDTH))
    plain = head.outputs(p, x, None)
    torch.testing.assert_close(head.outputs(p, x * 8, None), plain)
    x[0, 0, 0] = 0
    assert head.outputs(p, x, None).isfinite().all()


def patterned(n=300, steps=8, width=16, seed=0):
    """One token of noise carries its class's pattern of signs, the others a share of its opposite: no mean is left."""
    rng = np.random.default_rng(seed)
    patterns = np.where(np.random.default_rng(7).random((2, width)) < 0.5, -1.0, 1.0)
    y = rng.integers(0, 2, n)
    share = np.full((n, steps), -1.0 / (steps - 1))
    share[np.arange(n), rng.integers(0, steps, n)] = 1
    noise = rng.standard_normal((n, steps, width))
    noise -= noise.mean(1, keepdims=True)
    return noise + 2 * share[:, :, None] * patterns[y][:, None], y, np.arange(n) // 5


@pytest.mark.long
def test_it_finds_the_pattern_of_one_token_where_the_mean_does_not():
    x, y, groups = patterned()
    held, labels, _ = patterned(seed=1)
    np.testing.assert_allclose(x.mean(1), 0, atol=1e-12)
    probe = ProtobinStyleProbe(TWO, prototypes=(32,), rates=(1e-2, 1e-1)).fit(x, y, groups)
    assert TWO.value(labels, probe.predict_scores(held)) > 0.9


def test_the_order_of_tokens_does_not_count():
    x, y, groups = patterned(n=100)
    probe = ProtobinStyleProbe(TWO, prototypes=(8,), rates=(1e-2,), epochs=3).fit(x, y, groups)
    np.testing.assert_allclose(probe.predict_scores(x[:, ::-1]), probe.predict_scores(x), atol=1e-5)
