import pytest
import torch
from torch.nn.functional import max_pool2d

from model_zoo._adapters import row_ends
from model_zoo._networks.inception import halved


def usual(x, rows):
    """Maxima of positive parts, by PyTorch's own functions."""
    return max_pool2d(row_ends.zero_behind(x.relu(), rows), 2, ceil_mode=True)


@pytest.mark.parametrize("counts", [(9, 9, 9, 9, 9), (9, 4, 1, 8, 7)])  # more rows than are done at a time
@pytest.mark.parametrize("form", [torch.channels_last, torch.contiguous_format])
def test_maxima_and_their_gradients_are_those_of_pytorch_to_the_bit(counts, form):
    rows, generator = row_ends.ends(counts, 2, torch.device("cpu")), torch.Generator().manual_seed(0)
    for bands in (1, 2, 5, 64):
        # few values, so that windows hold equal ones and zeros
        x = torch.randint(-2, 3, (5, 3, 9, bands), generator=generator).float().to(memory_format=form)
        found = []
        for function in (usual, lambda x, rows: halved(x, rows)[0]):
            given = x.clone().requires_grad_()
            out = function(given, rows)
            out.backward(torch.randn(out.shape, generator=torch.Generator().manual_seed(1)))
            with torch.no_grad():
                found.append((out, given.grad, function(x.clone(), rows)))
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert rows is None or halved(x, rows)[1].counts == tuple(-(-count // 2) for count in counts)


def test_one_byte_for_each_maximum_is_kept():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes) or t, lambda t: t):
        out, _ = halved(torch.randn(2, 4, 8, 6, requires_grad=True), None)
    assert sum(kept) == 5 * out.numel()  # and its value
