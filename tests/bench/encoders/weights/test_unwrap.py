import pytest
import torch

from bench.base.errors import CheckpointError
from bench.encoders.weights.read import load_tensors
from bench.encoders.weights.unwrap import BESIDE, OUTSIDE, unwrap

NET = {"stem.weight": torch.ones(2), "blocks.0.norm.bias": torch.zeros(3), "blocks.1.norm.bias": torch.ones(3)}
ANCHORS = ("stem.weight", "blocks.0.norm.bias")


def prefixed(prefix, tensors=NET):
    return {prefix + name: tensor for name, tensor in tensors.items()}


WRAPPED = {
    "plain": NET,
    "module.": prefixed("module."),
    "net.": prefixed("net."),
    "encoder.backbone.": prefixed("encoder.backbone."),
    "compiled": prefixed("_orig_mod."),
    "compiled blocks": {name.replace("blocks.", "blocks._orig_mod."): tensor for name, tensor in NET.items()},
    "sharded and compiled": prefixed("module._orig_mod._fsdp_wrapped_module."),
    "state_dict": {"state_dict": NET, "epoch": 3},
    "model": {"model": NET, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-3}]}},
    "model_state_dict": {"model_state_dict": NET},
    "lightning": {"state_dict": prefixed("net."), "pytorch-lightning_version": "2.1", "hyper_parameters": {"lr": 1e-3}},
    "nested": {"checkpoint": {"weights": {"model": prefixed("module.")}}},
    "counters beside tensors": NET | {"epoch": 3, "name": "net"},
}


@pytest.mark.parametrize("form", WRAPPED)
def test_a_network_is_found_whatever_wraps_it(form, tmp_path):
    torch.save(WRAPPED[form], tmp_path / "net.pt")
    tensors = load_tensors(tmp_path / "net.pt", *ANCHORS)
    assert tensors.keys() == NET.keys()
    assert all(torch.equal(tensor, NET[name]) for name, tensor in tensors.items())


@pytest.mark.parametrize("wrapped", ["", "module.", "_orig_mod.", "net."])
@pytest.mark.parametrize("around", ["", "model.", "ema_model."])
@pytest.mark.parametrize("entry", ["", "state_dict"])
def test_the_count_beside_averaged_weights_is_left_out(wrapped, around, entry):
    averaged = prefixed(f"{around}module.{wrapped}") | {f"{around}n_averaged": torch.tensor(7)}
    tensors = unwrap({entry: averaged} if entry else averaged, ANCHORS, "file")
    assert tensors.keys() == NET.keys()


def test_what_torch_makes_of_averages_is_read(tmp_path):
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    averaged = torch.optim.swa_utils.AveragedModel(net, use_buffers=True)
    averaged.update_parameters(net)
    torch.save(averaged.state_dict(), tmp_path / "net.pt")
    assert load_tensors(tmp_path / "net.pt", "0.weight").keys() == net.state_dict().keys()


@pytest.mark.parametrize(
    ("beside", "told"),
    [
        ({"n_averaged": torch.ones(2)}, "n_averaged"),  # no count
        ({"net.n_averaged": torch.tensor(1)}, "net.n_averaged"),  # of something else
        ({"module.n_averaged": torch.tensor(1)}, "n_averaged"),  # of the network itself
    ],
)
def test_another_tensor_of_that_name_is_kept(beside, told):
    assert unwrap(prefixed("module.") | beside, ANCHORS, "file").keys() - NET.keys() in ({told}, {f"{OUTSIDE}{told}"})
    assert "n_averaged" in unwrap(NET | {"n_averaged": torch.tensor(1)}, ANCHORS, "file")


def test_one_anchor_that_is_lost_does_not_hide_the_wrapper():
    cut = {name: tensor for name, tensor in prefixed("module.").items() if not name.endswith("stem.weight")}
    assert unwrap({"model": cut}, ANCHORS, "file").keys() == NET.keys() - {"stem.weight"}


def test_tensors_beside_the_network_can_be_ignored_but_never_loaded():
    beside = {"module.head.weight": torch.ones(1), "module.stem.weight": torch.zeros(2), "other.bias": torch.ones(1)}
    tensors = unwrap(prefixed("module.net.") | beside, ANCHORS[1:], "file", prefixes=["net."])
    assert torch.equal(tensors["stem.weight"], NET["stem.weight"])
    assert tensors.keys() - NET.keys() == {
        f"{BESIDE}head.weight", f"{BESIDE}stem.weight", f"{OUTSIDE}other.bias"
    }  # fmt: skip


def test_what_a_module_of_ones_own_has_around_the_network_is_told_from_what_lies_in_it():
    own = {"head.weight": torch.ones(1), "model.loss.weight": torch.ones(1), "model.net.extra": torch.ones(1)}
    tensors = unwrap({"state_dict": prefixed("model.net.") | own}, ANCHORS, "file")
    assert tensors.keys() - NET.keys() == {f"{OUTSIDE}head.weight", f"{OUTSIDE}model.loss.weight", "extra"}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"model": NET, "ema": NET}, "entry 'model'; entry 'ema'"),
        ({"state_dict": prefixed("net.") | prefixed("ema.")}, r"entry 'state_dict', prefix 'net\.'; .* prefix 'ema\.'"),
        (prefixed("student.") | prefixed("teacher."), r"prefix 'student\.'; prefix 'teacher\.'"),
        (NET | {"ema": NET}, "the top level; entry 'ema'"),
        ({"model": NET, "state": {"ema": prefixed("module.")}}, r"entry 'model'; entry 'state/ema', prefix 'module\.'"),
    ],
)
def test_what_could_be_meant_twice_is_refused_by_name(content, named):
    with pytest.raises(CheckpointError, match=rf"file: holds the network in 2 places \({named}\)"):
        unwrap(content, ANCHORS, "file")


def test_a_family_says_which_is_meant():
    other = {name: tensor + 5 for name, tensor in NET.items()}
    both = {"model": NET, "ema": other}
    assert torch.equal(unwrap(both, ANCHORS, "file", entry="ema")["stem.weight"], other["stem.weight"])
    both = {"state_dict": prefixed("module.model.student.") | prefixed("module.model.teacher.", other)}
    tensors = unwrap(both, ANCHORS, "file", entry="state_dict", prefixes=["model.teacher."])
    assert torch.equal(tensors["stem.weight"], other["stem.weight"])
    assert f"{BESIDE}model.student.stem.weight" in tensors  # as in a file that nothing wraps
    with pytest.raises(CheckpointError, match="2 places"):
        unwrap(both, ANCHORS, "file", prefixes=["model."])  # of neither


def test_a_plain_network_is_taken_with_all_that_is_beside_it():
    tensors = unwrap(NET | prefixed("ema."), ANCHORS, "file")
    assert tensors.keys() == (NET | prefixed("ema.")).keys()  # which strict loading refuses


def test_names_that_fall_together_are_refused():
    with pytest.raises(CheckpointError, match=r"holds stem\.weight twice"):
        unwrap(NET | {"_orig_mod.stem.weight": torch.ones(2)}, ANCHORS, "file")


def test_a_name_that_only_ends_alike_is_no_place():
    tensors = {"my_stem.weight": torch.ones(2)}
    assert unwrap(tensors, ANCHORS, "file") == tensors


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"a": {"x": torch.ones(1)}, "b": {"y": torch.ones(1)}}, "holds tensors in the entries a, b"),
        ({"epoch": 3, "args": {"lr": 1e-3}}, "holds no tensors by name"),
        ({"w": [torch.ones(1)]}, "holds no tensors by name"),
    ],
)
def test_files_of_something_else_are_told(content, told):
    with pytest.raises(CheckpointError, match=told):
        unwrap(content, ANCHORS, "file")
    lone = {"state_dict": {"x": torch.ones(1)}, "epoch": 3}
    assert unwrap(lone, ANCHORS, "file").keys() == {"x"}  # the family says what it lacks


def test_a_mapping_that_holds_itself_is_read():
    content = {"model": dict(NET)}
    content["self"] = content
    assert unwrap(content, ANCHORS, "file").keys() == NET.keys()
