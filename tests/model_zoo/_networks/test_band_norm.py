"""The batch norm over bands: torch's gradient on a CPU is wrong for inputs of some strides, ours must not have them."""

import pytest
import torch

from model_zoo._networks import cnn14
from model_zoo._networks.cnn14 import Cnn14


@pytest.mark.parametrize("training", [False, True])
def test_its_gradient_is_that_of_the_formula(training):
    net = Cnn14(cnn14.Geometry((4, 6, 8, 10, 12, 14), 16)).double().train(training)
    generator = torch.Generator().manual_seed(0)
    mel, weight = (torch.randn(3, 40, 64, generator=generator, dtype=torch.float64) for _ in range(2))
    mean, var = (mel.mean((0, 1)), mel.var((0, 1), unbiased=False)) if training else (torch.zeros(64), torch.ones(64))
    (net.normalised(mel) * weight).sum().backward()
    torch.testing.assert_close(net.bn0.weight.grad, (weight * (mel - mean) / (var + net.bn0.eps).sqrt()).sum((0, 1)))
    torch.testing.assert_close(net.bn0.bias.grad, weight.sum((0, 1)))
