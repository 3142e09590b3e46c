import pytest
import torch

from bench.base.errors import CheckpointError
from bench.encoders.weights.read import load_content
from model_zoo._adapters.checkpoint import load_strict
from model_zoo._networks import swin
from parity.golden import Golden

SMALL = swin.Geometry((8, 16, 32, 64), (1, 1, 2, 2), ((False,), (False, True), (False, True, False), (False, False)))
PREFIX = "encoder.encoder.htsat."


@pytest.fixture
def trunk():
    torch.manual_seed(0)
    return swin.HTSAT(SMALL).eval()


def _released(net: swin.HTSAT) -> dict[str, torch.Tensor]:
    """The net's tensors with the constants that released files hold beside them."""
    blocks = {f"layers.{i}.blocks.{j}": b for i, stage in enumerate(net.layers) for j, b in enumerate(stage.blocks)}
    masks = {f"{name}.attn_mask": block.mask for name, block in blocks.items() if block.mask is not None}
    return (
        net.state_dict() | masks | {f"{name}.attn.relative_position_index": b.attn.index for name, b in blocks.items()}
    )


def test_geometry_is_read_from_the_file(trunk):
    tensors = _released(trunk)
    assert swin.read_geometry(tensors, "file") == SMALL
    load_strict(trunk, tensors, swin.IGNORED)
    with torch.device("meta"):
        assert swin.read_geometry(_released(swin.HTSAT(swin.TINY)), "file") == swin.TINY


def test_which_blocks_are_shifted_follows_from_their_place_not_from_masks(trunk):
    tensors = _released(trunk)
    masks = [key for key in tensors if key.endswith("attn_mask")]
    assert masks == ["layers.1.blocks.1.attn_mask", "layers.2.blocks.1.attn_mask"]
    for lost in ([masks[0]], [masks[1]], masks):
        assert swin.read_geometry({k: t for k, t in tensors.items() if k not in lost}, "file") == SMALL
    for key in ("layers.1.blocks.0.attn_mask", "layers.3.blocks.1.attn_mask"):  # even; its image is one window
        with pytest.raises(CheckpointError, match=f"blocks that HTS-AT does not shift: {key}"):
            swin.read_geometry(tensors | {key: torch.zeros(1)}, "file")


def test_another_network_is_refused(trunk):
    with pytest.raises(CheckpointError, match=r"net\.pt.*lacks the tensors of an HTS-AT trunk"):
        swin.read_geometry({"conv.weight": torch.zeros(1)}, "net.pt")
    tensors = _released(trunk)
    del tensors["layers.1.blocks.1.attn.relative_position_bias_table"]
    with pytest.raises(CheckpointError, match=r"missing: layers\.1\.blocks\.1\.attn\.relative"):
        load_strict(trunk, tensors, swin.IGNORED)


def test_computed_constants_equal_the_files(golden, tmp_path):
    content = load_content(Golden(golden, "opera_ct").checkpoint(tmp_path))["state_dict"]
    tensors = {key.removeprefix(PREFIX): tensor for key, tensor in content.items()}
    net = swin.HTSAT(swin.read_geometry(tensors, "file"))
    constants = {k: t for k, t in _released(net).items() if k.endswith(("attn_mask", "relative_position_index"))}
    assert len(constants) == 6
    for key, computed in constants.items():
        torch.testing.assert_close(computed, tensors[key], atol=0, rtol=0)


def test_time_quarters_are_put_in_order():
    mel = torch.randn(2, 1, 1024, 64)
    patches = torch.nn.functional.avg_pool2d(swin.stack_quarters(mel), 4)  # (B, 1, 64, 64)
    tokens = swin.unstack_quarters(patches.permute(0, 2, 3, 1))[..., 0]
    torch.testing.assert_close(tokens, torch.nn.functional.avg_pool2d(mel, 4)[:, 0])


def test_windows_and_their_inverse():
    image = torch.randn(2, 16, 16, 3)
    windows = swin.split_windows(image, 8)
    assert windows.shape == (2, 4, 64, 3)
    torch.testing.assert_close(windows[0, 1], image[0, :8, 8:].flatten(0, 1))
    torch.testing.assert_close(swin.join_windows(windows, 16), image)


@pytest.mark.parametrize("frames", [1, 251, 1024])
def test_every_stage_comes_back_whatever_the_length(trunk, frames):
    with torch.inference_mode():
        outputs = trunk(trunk.patches(torch.rand(2, frames, 64)))
    assert [tuple(x.shape) for x in outputs] == [(2, 256, 16, 8), (2, 128, 8, 16), (2, 64, 4, 32), (2, 32, 2, 64)]
    torch.testing.assert_close(outputs[-1].mean(-1), torch.zeros(2, 32, 2), atol=1e-5, rtol=0)  # normed


def test_training_measures_statistics_and_reaches_every_parameter(trunk):
    trunk.train()
    mel = torch.rand(2, 100, 64) + 3.0
    sum(x.square().mean() for x in trunk(trunk.patches(trunk.normalised(mel)))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trunk.parameters())
    assert (trunk.bn0.running_mean > 0.3).all()
