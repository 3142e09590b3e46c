import pytest
import torch
from torch import nn

from model_zoo._networks.recompute import recomputed


def plain(module, forward, *inputs):
    return forward(*inputs)


def trained(run, training=True):
    """Loss, gradients and state after two steps."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
    net.train(training)
    for _ in range(2):
        x = torch.randn(6, 4, requires_grad=True)
        loss = run(net, net, x).square().mean()
        loss.backward()
    return [loss, x.grad, *(p.grad for p in net.parameters()), *net.state_dict().values()]


@pytest.mark.parametrize("training", [True, False])
def test_loss_gradients_and_what_batchnorm_measures_are_those_of_one_pass(training):
    once, again = trained(plain, training), trained(recomputed, training)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def test_nothing_inside_is_kept():
    net, sizes = nn.Sequential(nn.Linear(4, 1000), nn.BatchNorm1d(1000), nn.ReLU(), nn.Linear(1000, 3)), []
    for run in (plain, recomputed):
        kept = 0

        def keep(tensor):
            nonlocal kept
            kept += tensor.numel() if not isinstance(tensor, nn.Parameter) else 0
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            run(net, net, torch.randn(6, 4, requires_grad=True))
        sizes.append(kept)
    assert sizes[0] > 12_000 and sizes[1] < 100
