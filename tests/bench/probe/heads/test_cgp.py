import numpy as np
import pytest
import torch

from bench.base.errors import BadInput
from bench.probe.goal import Goal
from bench.probe.heads.cgp import CgpStyleProbe, GatedPrototypes
from tests.bench.probe.heads.test_protobin import STEPS, WIDTH, drawn

TWO = Goal(("a", "b"))
LAYERS = 3


def unit(vector):
    return vector / np.linalg.norm(vector)


def reference(p, x, noise, direction):
    """Outputs and gradients of Σ direction · outputs, one fold, candidate, row and prototype after another."""
    names = ("mixture", "prototypes", "outer", "outer_bias")
    mixture, prototypes, outer, bias = (p[name].detach().numpy() for name in names)
    x, noise, direction = (value.numpy() for value in (x, noise, direction))
    outputs, count = np.zeros(direction.shape), prototypes.shape[2]
    gradients = {name: np.zeros(p[name].shape) for name in names} | {"outer_bias": direction.sum(2)}
    for f, c, b in np.ndindex(outputs.shape[:3]):
        gate = np.exp(mixture[f, c]) / np.exp(mixture[f, c]).sum()
        tokens = np.stack([[unit(token) for token in layer] for layer in x[f, b]])  # (L, T, D)
        mixed = sum(weight * layer for weight, layer in zip(gate, tokens, strict=True))  # (T, D)
        outputs[f, c, b] = bias[f, c]
        of_gate = np.zeros(len(gate))
        for k, prototype in enumerate(prototypes[f, c]):
            products = mixed @ unit(prototype)
            low, high = int(np.argmin(products)), int(np.argmax(products))
            for place, taken in ((k, [low]), (count + k, range(len(products))), (2 * count + k, [high])):
                factor = noise[f, b, place]
                value = np.mean([products[t] for t in taken])
                outputs[f, c, b] += factor * value * outer[f, c, place]
                gradients["outer"][f, c, place] += factor * value * direction[f, c, b]
                pull = factor * (outer[f, c, place] @ direction[f, c, b])
                token = np.mean([mixed[t] for t in taken], axis=0)
                moved = (token - value * unit(prototype)) / np.linalg.norm(prototype)
                gradients["prototypes"][f, c, k] += pull * moved
                for layer, layer_tokens in enumerate(tokens):
                    of_gate[layer] += pull * np.mean([layer_tokens[t] @ unit(prototype) for t in taken])
        gradients["mixture"][f, c] += gate * (of_gate - gate @ of_gate)
    return outputs, gradients


def test_outputs_and_gradients_are_those_of_loops():
    head = GatedPrototypes(7)
    p, x, noise, direction = drawn(head, (LAYERS, STEPS, WIDTH))
    wanted, gradients = reference(p, x, noise, direction)
    outputs = head.outputs(p, x, noise)
    np.testing.assert_allclose(outputs.detach(), wanted, rtol=1e-10, atol=1e-12)
    for (name, _), found in zip(p.items(), torch.autograd.grad((outputs * direction).sum(), p.values()), strict=True):
        np.testing.assert_allclose(found, gradients[name], rtol=1e-10, atol=1e-12, err_msg=name)


def layered(informative, n=300, seed=0):
    """Layers of different magnitudes; one step of one layer tells the label, in channel 0."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = rng.standard_normal((n, 4, 6, 8))
    x[np.arange(n), informative, rng.integers(0, 6, n), 0] += 6 * (2 * y - 1)
    return x * (10.0 ** np.arange(-2, 2))[:, None, None], y, np.arange(n) // 5


@pytest.mark.long
@pytest.mark.parametrize("informative", [0, 2])
def test_the_weight_goes_to_the_layer_that_tells(informative):
    x, y, groups = layered(informative)
    probe = CgpStyleProbe(TWO, prototypes=(32,), rates=(1e-2, 1e-1)).fit(x, y, groups)
    weights = probe.best_params_["layer_weights"]
    assert len(weights) == 4 and np.argmax(weights) == informative
    assert sum(weights) == pytest.approx(1, abs=4 * 5e-5)  # each is rounded to four places
    held, labels, _ = layered(informative, seed=1)
    assert TWO.value(labels, probe.predict_scores(held)) > 0.85


def test_one_layer_is_refused():
    x, y, groups = layered(0, n=40)
    with pytest.raises(BadInput, match="take the protocol protobin-style"):
        CgpStyleProbe(TWO).fit(x[:, :1], y, groups)
