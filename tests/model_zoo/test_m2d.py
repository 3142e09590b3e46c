import numpy as np
import pytest
import torch

from bench.base.errors import CheckpointError
from bench.encoders.batches import collate
from bench.encoders.contract import check_encoder
from bench.encoders.pooling import pool
from bench.encoders.weights.read import load_content
from model_zoo import m2d
from parity.golden import Golden, synthetic_signal

CARDS = {card.id: card for card in m2d.CARDS}
BASE, FINE = CARDS["m2d.80x608p16x16"], CARDS["m2d.80x200p16x4"]


@pytest.fixture
def checkpoint(golden, tmp_path):
    return Golden(golden, "m2d_80x608p16x16").checkpoint(tmp_path)


@pytest.fixture
def fine(golden, tmp_path):
    return Golden(golden, "m2d_80x200p16x4").checkpoint(tmp_path)


@pytest.fixture
def tensors(checkpoint):
    return load_content(checkpoint)["model"]


def _saved(folder, name, tensors):
    (folder / name).mkdir(exist_ok=True)
    torch.save({"model": tensors}, folder / name / "checkpoint-300.pth")
    return folder / name / "checkpoint-300.pth"


@pytest.mark.long
def test_fits_the_contract(fine):
    encoder = m2d.build(FINE, fine)
    assert encoder.card.dims["published"] == encoder.card.dims["freq"] == 5 * 192
    assert encoder.card.grid == (0.04, 5)
    assert check_encoder(encoder) == []


def test_a_minute_is_cut_into_chunks(checkpoint):
    encoder = m2d.build(BASE, checkpoint)
    wave, length = collate(encoder, [np.tile(synthetic_signal(4.0, 16000), 15)])
    with torch.inference_mode():
        tokens, frames = encoder(wave, length), encoder.fbank(wave, length)
        assert frames.shape == (1, 6001, 80)
        embed = encoder.net.patch_embed
        outputs = [encoder.net(embed(c.transpose(1, 2)[:, None])) for c in frames[:, : 9 * 608].split(608, dim=1)]
    last = tokens.layers[-1]
    assert last.hidden.shape == (1, 9 * 38 + 34, 5, 192)  # 529 frames are left: 34 patches with their padding
    assert last.length.tolist() == [9 * 38 + 34]
    third = outputs[2][0][:, 1:].unflatten(1, (5, 38)).transpose(1, 2)
    torch.testing.assert_close(tokens.layers[0].hidden[:, 2 * 38 : 3 * 38], third)
    torch.testing.assert_close(tokens.clip, pool(tokens, -1, "freq"))
    torch.testing.assert_close(pool(tokens, 0, "cls"), tokens.layers[0].cls)


def test_ragged_clips_are_as_alone(checkpoint):
    encoder = m2d.build(BASE, checkpoint)
    waves = [synthetic_signal(seconds, 16000) for seconds in (0.02, 6.2, 0.9, 7.3)]
    with torch.inference_mode():
        together = encoder(*collate(encoder, waves))
        for row, wave in enumerate(waves):
            alone = encoder(*collate(encoder, [wave]))
            for pooling in ("mean", "cls", "published"):
                torch.testing.assert_close(pool(together, -1, pooling)[row], pool(alone, -1, pooling)[0])


def test_sizes_in_a_name():
    assert m2d.sizes_in_name("m2d_vit_base-80x608p16x16-221006-mr7") == (80, 608, (16, 16), 16000)
    assert m2d.sizes_in_name("m2d_vit_base-80x608p16x16p16k-250826-AS+Resp400K") == (80, 608, (16, 16), 16000)
    assert m2d.sizes_in_name("m2d_vit_base-80x1001p16x16p32k-240413_AS-FT_enconly") == (80, 1001, (16, 16), 32000)
    assert m2d.sizes_in_name("m2d.clap") is None


def test_geometry_and_rate_come_from_the_folder_where_it_is_kept(tensors, tmp_path):
    slow = m2d.build(BASE, _saved(tmp_path, "weights", tensors))
    assert slow.card.sample_rate == 16000 and slow.chunk == 608
    fast = m2d.build(CARDS["m2d.clap"], _saved(tmp_path, "m2d_clap_vit_base-80x608p16x16p32k-x", tensors))
    assert fast.card.sample_rate == 32000 and "32 kHz" in fast.card.frontend
    assert fast.frontend.fft == 800 and fast.card.grid == slow.card.grid
    wide = tensors | {"pos_embed": torch.zeros(1, 1 + 5 * 62, 192)}
    encoder = m2d.build(CARDS["m2d.clap"], _saved(tmp_path, "m2d_clap_vit_base-80x1001p16x16p16kpBpTI-2025", wide))
    assert encoder.chunk == 992 and "chunks of 992 frames" in encoder.card.frontend


def test_32_khz_fits_the_contract(tensors, tmp_path):
    path = _saved(tmp_path, "m2d_vit_base-80x608p16x16p32k-x", tensors)
    assert check_encoder(m2d.build(BASE, path)) == []


@pytest.mark.parametrize("prefix", m2d.PREFIXES)
def test_encoders_within_larger_files(checkpoint, tensors, tmp_path, prefix):
    state = {prefix + key: tensor for key, tensor in tensors.items()}
    extras = [
        f"{prefix}head.weight",
        "audio_proj.0.weight",
        "text_encoder.x",
        "target_blocks.0.norm1.bias",
        "mask_token",
    ]
    extras += ["decoder_embed.weight", "module.head.mlp.bias", "logit_scale"]
    encoder = m2d.build(BASE, _saved(tmp_path, "weights", state | {key: torch.zeros(1) for key in extras}))
    state, plain = encoder.state_dict(), m2d.build(BASE, checkpoint).state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in plain.items())


def test_only_files_of_2022_may_lack_statistics(tensors, tmp_path):
    bare = {key: tensor for key, tensor in tensors.items() if key != "norm_stats"}
    encoder = m2d.build(BASE, _saved(tmp_path, "m2d_vit_base-80x608p16x16-221006-mr7", bare))
    torch.testing.assert_close(encoder.net.norm_stats, torch.tensor([-7.1, 4.2]))
    for folder in ("weights", "m2d_vit_base-80x608p16x16p16k-250826-AS+Resp400K", "m2d-80x608p16x16-2210061"):
        with pytest.raises(CheckpointError, match="lacks norm_stats"):
            m2d.build(BASE, _saved(tmp_path, folder, bare))


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("backbone.", "norm_stats"),
        ("model.backbone.", "model.norm_stats"),
        ("module.ar.runtime.backbone.", "module.ar.runtime.norm_stats"),
    ],
)
@pytest.mark.parametrize("folder", ["weights", "m2d_vit_base-80x608p16x16-221006-mr7"])
def test_statistics_may_lie_outside_the_prefix(tensors, tmp_path, prefix, name, folder):
    inside = {prefix + key: tensor for key, tensor in tensors.items() if key != "norm_stats"}
    own = torch.tensor([-5.5, 3.25])
    encoder = m2d.build(BASE, _saved(tmp_path, folder, inside | {name: own}))
    torch.testing.assert_close(encoder.net.norm_stats, own, rtol=0, atol=0)
    several = inside | {name: own, "module.student.norm_stats": own, "module.teacher.norm_stats": own}
    with pytest.raises(CheckpointError, match=r"holds several norm_stats \(.*, module\.student\.norm_stats"):
        m2d.build(BASE, _saved(tmp_path, folder, several))
    own_first = several | {f"{prefix}norm_stats": own + 1}
    if prefix.startswith("module."):  # what else is there is then held to the list of what may be ignored
        assert torch.equal(m2d.build(BASE, _saved(tmp_path, folder, own_first)).net.norm_stats, own + 1)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"blocks.0.attn.proj.bias": None}, r"missing: blocks\.0\.attn\.proj\.bias"),
        ({"norm.weight": torch.full((192,), float("nan"))}, r"not finite: norm\.weight"),
        ({"extra": torch.zeros(1)}, "neither used nor declared ignored: extra"),
        ({"pos_embed": torch.zeros(1, 192, 192)}, "has 191 positions of 16 x 16 patches"),
        ({"pos_embed": None}, "lacks the tensors of M2D"),
        ({"blocks.0.mlp.fc1.weight": None}, "lacks the tensors of a vision transformer"),
    ],
)
@pytest.mark.parametrize("folder", ["m2d_vit_base-80x608p16x16-x", "weights"])
def test_other_files_are_refused(tensors, tmp_path, folder, change, problem):
    state = {key: tensor for key, tensor in (tensors | change).items() if tensor is not None}
    with pytest.raises(CheckpointError, match=problem):
        m2d.build(BASE, _saved(tmp_path, folder, state))


def test_contradictions_are_refused(tensors, fine, tmp_path):
    with pytest.raises(CheckpointError, match=r"patches of 16 x 4 .*, m2d\.80x608p16x16 others"):
        m2d.build(BASE, fine)
    with pytest.raises(CheckpointError, match="190 positions of 16 x 16 patches, its folder says"):
        m2d.build(FINE, _saved(tmp_path, "m2d_vit_base-80x200p16x4-x", tensors))


def test_untrained(monkeypatch):
    monkeypatch.setattr(m2d, "BASE", (64, 1, 64))
    torch.manual_seed(0)
    first = m2d.build(FINE)
    torch.manual_seed(0)
    second = m2d.build(FINE)
    state = first.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in second.state_dict().items())
    assert first.net.grid == (5, 50) and first.patch == (16, 4)
    assert check_encoder(first) == []


def test_the_respiratory_encoder_saw_what_its_authors_notebooks_collect():
    card = next(card for card in m2d.CARDS if card.id == "m2d.resp")
    assert set(card.trained_on) == {"audioset", "icbhi", "coughvid", "hf_lung"}
    assert "as far as is known" in card.notes  # the released file is of a later date than the run they tell of


def test_the_licence_of_the_weights_is_plain():
    for card in m2d.CARDS:
        assert "NTT evaluation licence" in card.licence and "NTT" in card.notes
        assert all("NTT evaluation licence" in w.licence for w in card.weights)
        assert card.dims["published"] == 3840
