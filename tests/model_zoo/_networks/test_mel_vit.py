import json

import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.encoders.batches import collate, embed
from bench.encoders.pooling import pool
from model_zoo import ced, dasheng
from parity.golden import COMPACT, Golden, synthetic_signal

MODULES = {"dasheng": dasheng, "ced": ced}


@pytest.fixture(params=["dasheng", "ced"])
def family(request):
    return request.param


@pytest.fixture
def weights(family, tmp_path):
    return Golden(COMPACT, family).checkpoint(tmp_path)


def build(family, weights, policy=""):
    return MODULES[family].build(registry.encoder_card(f"{family}.base{policy}"), weights)


def encoded(encoder, *waves):
    with torch.inference_mode():
        return encoder(*collate(encoder, list(waves)))


def test_both_released_layouts_are_the_same_network(family, weights, tmp_path):
    (tmp_path / "other").mkdir()
    wave = [synthetic_signal(1.0, 16000)]
    zenodo = Golden(COMPACT, family).checkpoint(tmp_path / "other", "zenodo")
    np.testing.assert_array_equal(embed(build(family, zenodo), wave, None), embed(build(family, weights), wave, None))


def test_a_silent_clip_is_the_same_beside_a_loud_one(family, weights):
    """The originals take the floor of decibels from the loudest value of the batch."""
    encoder = build(family, weights)
    quiet, loud = 1e-4 * synthetic_signal(1.0, 16000), synthetic_signal(1.0, 16000)
    torch.testing.assert_close(encoded(encoder, quiet, loud).clip[:1], encoded(encoder, quiet).clip, atol=1e-5, rtol=0)


def test_what_does_not_fit_is_refused(family, weights, tmp_path):
    tensors = torch.load(weights, weights_only=True)
    bias = "encoder.blocks.1.attn.qkv.bias"

    def changed(**other):
        path = tmp_path / "other.pt"
        torch.save({name: tensor for name, tensor in (tensors | other).items() if tensor is not None}, path)
        return path

    for change, problem in (
        ({bias: None}, r"missing: blocks\.1\.attn\.qkv\.bias"),
        ({bias: torch.zeros(7)}, r"misshapen: blocks\.1\.attn\.qkv\.bias"),
        ({"encoder.init_bn.weight": None, "encoder.init_bn.1.weight": None}, r"missing: init_bn\.weight"),
        ({"encoder.time_pos_embed": torch.zeros(1, 128, 1, 9)}, "x 9 patches"),
        ({"encoder.freq_pos_embed": None}, "lacks positions or patches"),
        ({"encoder.cls_token": torch.zeros(1)}, "neither used nor declared ignored: cls_token"),
    ):
        with pytest.raises(CheckpointError, match=problem):
            build(family, changed(**change))


def test_a_configuration_of_other_heads_is_refused(family, weights, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    torch.save(torch.load(weights, weights_only=True), folder / "pytorch_model.bin")
    for heads in (2, 4):
        given = {"num_heads": heads}
        (folder / "config.json").write_text(json.dumps({"encoder_kwargs": given} if family == "dasheng" else given))
        if heads == 2:
            build(family, folder)
            continue
        with pytest.raises(CheckpointError, match="num_heads 4 instead of 2"):
            build(family, folder)


def test_the_classifier_of_a_fine_tuned_file_is_ignored(family, weights, tmp_path):
    tensors = torch.load(weights, weights_only=True) | {"outputlayer.1.weight": torch.zeros(5, 128)}
    torch.save(tensors, tmp_path / "tuned.pt")
    assert build(family, tmp_path / "tuned.pt").card.layers == 2


def test_dasheng_cuts_long_clips_into_chunks_that_know_nothing_of_each_other(tmp_path):
    encoder = build("dasheng", Golden(COMPACT, "dasheng").checkpoint(tmp_path))
    frames = encoder.net.normalised(encoder.fbank(*collate(encoder, [synthetic_signal(12.0, 16000)])))
    hidden = encoded(encoder, synthetic_signal(12.0, 16000)).layers[-1].hidden
    parts = [encoder.net(encoder.net.patches(part))[-1] for part in (frames[:, :1008], frames[:, 1008:])]
    assert [part.shape[1] for part in parts] == [252, 48]
    torch.testing.assert_close(hidden, torch.cat(parts, dim=1))


@pytest.mark.parametrize(("samples", "tokens"), [(161280 - 1, 252), (161280, 252), (161280 + 3 * 160, 253)])
def test_dasheng_drops_frames_short_of_a_token(tmp_path, samples, tokens):
    encoder = build("dasheng", Golden(COMPACT, "dasheng").checkpoint(tmp_path))
    assert encoded(encoder, synthetic_signal(11.0, 16000)[:samples]).layers[-1].hidden.shape[1:3] == (tokens, 1)


def test_evar_publishes_the_sigmoid_of_the_mean(tmp_path):
    weights, wave = Golden(COMPACT, "dasheng").checkpoint(tmp_path), synthetic_signal(1.0, 16000)
    mean, published = (encoded(build("dasheng", weights, policy), wave).clip for policy in ("", "@evar"))
    torch.testing.assert_close(published, mean.sigmoid())


@pytest.mark.parametrize(
    ("frames", "columns", "heard"),
    [(16, 1, 1), (1012, 63, 63), (1013, 126, 64), (1012 + 1010, 126, 126), (2024, 126, 126), (2025, 189, 127)],
)
def test_ced_fills_the_last_of_several_chunks_up(tmp_path, frames, columns, heard):
    encoder = build("ced", Golden(COMPACT, "ced").checkpoint(tmp_path))
    grid = encoded(encoder, synthetic_signal(21.0, 16000)[: 160 * (frames - 1)]).layers[-1]
    assert (grid.hidden.shape[1], int(grid.length), int(grid.valid)) == (columns, columns, heard)


def test_ced_averages_padding_only_where_it_is_asked_for(tmp_path):
    encoder = build("ced", Golden(COMPACT, "ced").checkpoint(tmp_path))
    tokens = encoded(encoder, synthetic_signal(12.0, 16000))
    hidden = tokens.layers[-1].hidden
    torch.testing.assert_close(pool(tokens, -1, "mean"), tokens.clip)
    torch.testing.assert_close(pool(tokens, -1, "mean_valid"), hidden[:, : 63 + -(-189 // 16)].mean(dim=(1, 2)))


def test_heads_of_the_wide_release_have_eighty_channels():
    from model_zoo._networks import mel_vit, vit

    assert [mel_vit.with_heads(vit.Geometry(*sizes[:3])).head for sizes in dasheng.SIZES.values()] == [64, 80, 64]


def test_untrained_networks_are_those_of_the_card():
    torch.manual_seed(0)
    encoder = ced.build(registry.encoder_card("ced.tiny"))
    assert sum(p.numel() for p in encoder.parameters()) == encoder.card.params
    assert 0.015 < float(encoder.net.time_pos_embed.detach().std()) < 0.025
