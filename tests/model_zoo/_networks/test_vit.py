import pytest
import torch

from bench.base.errors import CheckpointError
from model_zoo._networks import vit

SMALL = vit.Geometry(64, 2, 96)


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = vit.PatchEncoder(SMALL, (4, 2), (3, 5)).eval()
    net.initialise()
    torch.nn.init.normal_(net.cls_token)
    return net


def test_geometry_is_read_from_the_tensors(net):
    assert vit.read_geometry(net.state_dict(), "file") == SMALL
    bare = vit.PatchEncoder(SMALL._replace(bias=False), (4, 2), (3, 5))
    assert vit.read_geometry(bare.state_dict(), "file", bias=False) == SMALL._replace(bias=False)
    assert vit.read_geometry(bare.state_dict(), "file") == SMALL  # so that loading says what is missing
    with pytest.raises(CheckpointError, match="file: lacks the tensors of a vision transformer"):
        vit.read_geometry({"x": torch.zeros(1)}, "file")
    with pytest.raises(CheckpointError, match="100 channels, which heads of 64 do not divide"):
        vit.read_geometry({"blocks.0.mlp.fc1.weight": torch.zeros(8, 100)}, "file")


def test_small_images_take_the_first_rows_and_columns_of_the_positions(net):
    image = torch.randn(2, 1, 8, 6)
    with torch.inference_mode():
        first = net.cls_token + net.pos_embed[:, :1]
        table = net.pos_embed[0, 1:].view(3, 5, 64)
        patches = net.patch_embed(image)  # (B, D, 2, 3)
        found = net(patches)[-1]
        tokens = [patches[:, :, i, j] + table[i, j] for i in range(2) for j in range(3)]
        x = torch.cat([first.expand(2, -1, -1), torch.stack(tokens, dim=1)], dim=1)
        for block in net.blocks:
            x = block(x)
    torch.testing.assert_close(found, x)


def test_masked_tokens_are_not_attended_to(net):
    x = torch.randn(1, 6, 64)
    mask = (torch.arange(6) < 4)[None, None, None]
    with torch.inference_mode():
        found = [y[:, :4] for y in vit.outputs(net.blocks, x, mask)]
        alone = list(vit.outputs(net.blocks, x[:, :4]))
    torch.testing.assert_close(found, alone)


def test_initialisation_follows_the_global_seed(net):
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        net.initialise()
        states.append({key: tensor.clone() for key, tensor in net.state_dict().items()})
    assert all(torch.equal(tensor, states[1][key]) for key, tensor in states[0].items())
    assert float(states[0]["blocks.0.attn.qkv.bias"].abs().max()) == 0
    torch.testing.assert_close(states[0]["pos_embed"][0, 1:], vit.sinusoids(64, (3, 5)))


def test_sinusoids_tell_every_position_apart():
    table = vit.sinusoids(64, (3, 5))
    assert table.shape == (15, 64)
    grid = table.view(3, 5, 64)
    torch.testing.assert_close(grid[0, :, :32], grid[2, :, :32])  # the first half tells the column
    torch.testing.assert_close(grid[:, 0, 32:], grid[:, 4, 32:])  # the second half the row
    torch.testing.assert_close(grid[0, 1, :16], torch.sin(10000.0 ** -(torch.arange(16) / 16)))
    assert float(torch.cdist(table, table).fill_diagonal_(1).min()) > 0.1


@pytest.mark.parametrize("frames", [1, 4, 8, 11])
def test_chunks_are_encoded_one_by_one(frames):
    x = torch.randn(3, frames, 2)

    def encode(chunk):
        assert chunk.shape[1] <= 4
        return [chunk - chunk.mean(dim=1, keepdim=True), chunk.sum(dim=1, keepdim=True)]

    centred, sums = vit.chunked(x, 4, encode)
    parts = [encode(part) for part in x.split(4, dim=1)]
    torch.testing.assert_close(centred, torch.cat([part[0] for part in parts], dim=1))
    torch.testing.assert_close(sums, torch.cat([part[1] for part in parts], dim=1))
