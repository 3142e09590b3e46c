import pytest
import torch

from bench.base.errors import CheckpointError
from model_zoo._adapters import checkpoint


def _state():
    return {k: v.clone() for k, v in torch.nn.Linear(3, 2).state_dict().items()}


def test_load_strict_copies_casts_and_ignores_what_is_declared():
    net, state = torch.nn.Linear(3, 2), _state()
    half = {k: v.half() for k, v in state.items()}
    checkpoint.load_strict(net, half | {"head.weight": torch.zeros(1)}, [r"head\..*"])
    assert net.weight.dtype == torch.float32
    assert torch.equal(net.weight, state["weight"].half().float())
    eighth = {k: v.to(torch.float8_e4m3fn) for k, v in state.items()}
    checkpoint.load_strict(net, eighth)
    assert torch.equal(net.weight, eighth["weight"].float())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.pop("bias"), "1 missing: bias"),
        (lambda s: s.update(bias=torch.zeros(7)), r"misshapen: bias is \(7,\) and should be \(2,\)"),
        (lambda s: s.update(extra=torch.zeros(1)), "neither used nor declared ignored: extra"),
        (lambda s: s.update(bias=torch.tensor([0.0, float("nan")])), "not finite: bias"),
        (lambda s: s.update(bias=torch.tensor([0.0, 1e300], dtype=torch.float64)), "not finite: bias"),
        (lambda s: s.update(weight=s["weight"].to(torch.int8)), "of whole numbers in the place of weights: weight"),
        (
            lambda s: s.update(weight=torch.quantize_per_tensor(s["weight"], 0.1, 0, torch.qint8)),
            "of whole numbers in the place of weights: weight",
        ),
        (lambda s: s.update(bias=torch.full((2,), 1e300, dtype=torch.float64)), "not finite: bias"),
        (lambda s: s.update(weight=s["weight"].to_sparse()), "without values, or sparse: weight"),
        (lambda s: s.update(weight=s["weight"].to("meta")), "without values, or sparse: weight"),
        (lambda s: s.update({f"x{i}": torch.zeros(1) for i in range(9)}), "9 neither .*: x0, x1, x2, x3, x4, …"),
    ],
)
def test_load_strict_refuses_any_gap(change, told):
    state = _state()
    change(state)
    with pytest.raises(CheckpointError, match=f"net.pt: .*{told}"):
        checkpoint.load_strict(torch.nn.Linear(3, 2), state, [r"head\..*"], "net.pt")


@pytest.mark.parametrize("kind", [torch.nn.BatchNorm1d, torch.nn.SyncBatchNorm])
def test_batches_that_nothing_depends_on_need_not_be_counted(kind):
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), kind(2))
    state = {name: tensor.clone() + 1 for name, tensor in net.state_dict().items()}
    counted = state.pop("1.num_batches_tracked")
    checkpoint.load_strict(net, state)
    assert torch.equal(net[1].running_mean, state["1.running_mean"])
    checkpoint.load_strict(net, state | {"1.num_batches_tracked": counted})
    assert net[1].num_batches_tracked == counted
    del state["1.running_mean"]
    with pytest.raises(CheckpointError, match=r"1 missing: 1\.running_mean"):
        checkpoint.load_strict(net, state)


def test_a_mean_over_all_batches_needs_their_number():
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(2, momentum=None))
    state = {name: tensor for name, tensor in net.state_dict().items() if "tracked" not in name}
    with pytest.raises(CheckpointError, match=r"1 missing: 0\.num_batches_tracked"):
        checkpoint.load_strict(net, state)
