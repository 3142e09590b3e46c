import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.base.optional_imports import import_torchaudio
from bench.encoders.batches import embed
from bench.encoders.contract import check_encoder
from model_zoo import beats
from model_zoo._networks.beats import Beats, Geometry, buckets, initialise
from parity.golden import Golden

SMALL = Geometry(layers=2, width=32, hidden=48, heads=2, embed=16, kernel=8, groups=4)
CFG = {
    "encoder_layers": 2,
    "encoder_embed_dim": 32,
    "encoder_ffn_embed_dim": 48,
    "encoder_attention_heads": 2,
    "embed_dim": 16,
    "input_patch_size": 16,
    "conv_bias": False,
    "conv_pos": 8,
    "conv_pos_groups": 4,
    "num_buckets": 320,
    "max_distance": 800,
    "deep_norm": True,
    "finetuned_model": False,
    **beats.WRITTEN,
}


@pytest.fixture(scope="module")
def tensors():
    torch.manual_seed(0)
    net = Beats(SMALL)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return net.state_dict()


@pytest.fixture
def stored(tmp_path):
    """Writes a checkpoint and gives its path."""

    def write(tensors, cfg=CFG):
        torch.save({"cfg": cfg, "model": tensors}, tmp_path / "beats.pt")
        return tmp_path / "beats.pt"

    return write


def _card(id="beats.iter3"):
    return registry.encoder_card(id)


def _clips(*sizes):
    rng = np.random.default_rng(0)
    return [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in sizes]


@pytest.mark.long
@pytest.mark.parametrize("policy", ["", "@upstream-mask"])
def test_fits_the_contract(policy, tensors, stored):
    assert check_encoder(beats.build(_card(f"beats.iter3{policy}"), stored(tensors))) == []


def test_geometry_comes_from_the_file(golden, tmp_path):
    encoder = beats.build(_card(), Golden(golden, "beats").checkpoint(tmp_path))
    assert encoder.net.encoder.size == Geometry(layers=3, width=192, hidden=768, heads=6, embed=128)
    assert (encoder.card.layers, encoder.card.dims["mean"], encoder.card.dims["freq"]) == (3, 192, 8 * 192)


def test_clips_with_as_many_patches_share_a_batch_and_change_nothing(tensors, stored):
    encoder = beats.build(_card(), stored(tensors))
    sizes = (2800, 2801, 5359, 5360)  # 16 to 31 frames make one column of patches, 32 make two
    assert [encoder.batch_length(n) for n in sizes] == [5359, 5359, 5359, 7919]
    clips = _clips(*sizes)
    alone = np.concatenate([embed(encoder, [clip], "freq") for clip in clips])
    np.testing.assert_allclose(embed(encoder, clips, "freq"), alone, rtol=1e-4, atol=1e-5)
    wave = torch.zeros(4, 7919)
    for row, clip in zip(wave, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    with torch.inference_mode():
        tokens = encoder(wave, torch.tensor(sizes))
    assert tokens.layers[-1].length.tolist() == [1, 1, 1, 2]
    np.testing.assert_allclose(tokens.clip, embed(encoder, clips, "mean"), rtol=1e-4, atol=1e-5)


def test_the_mask_changes_short_clips_only(tensors, stored):
    path = stored(tensors)
    alone, masked = (beats.build(_card(f"beats.iter3{policy}"), path) for policy in ("", "@upstream-mask"))
    short, long = _clips(16000, 170000)
    np.testing.assert_allclose(embed(masked, [long], None), embed(alone, [long], None), rtol=1e-4, atol=1e-5)
    gap = np.abs(embed(masked, [short], None) - embed(alone, [short], None)).max()
    assert 1e-3 < gap < 1
    with torch.inference_mode():
        tokens = masked(torch.from_numpy(short)[None], torch.tensor([16000]))
    assert masked.unmasked(torch.tensor([16000]), 160000).tolist() == [50]  # of 100 frames, in steps of two
    assert tokens.layers[-1].length.tolist() == [6]  # columns of eight


def test_a_fine_tuned_file_gives_tokens_and_never_class_probabilities(tensors, stored):
    clips = _clips(20000)
    plain = embed(beats.build(_card(), stored(tensors)), clips, None)
    head = {"predictor.weight": torch.ones(527, 32), "predictor.bias": torch.ones(527)}
    tuned = stored(tensors | head, CFG | {"finetuned_model": True, "predictor_class": 527})
    np.testing.assert_array_equal(embed(beats.build(_card("beats.iter3_ft"), tuned), clips, None), plain)
    with pytest.raises(CheckpointError, match=r"is a fine-tuned file.*load it as beats\.iter3_ft"):
        beats.build(_card(), tuned)
    with pytest.raises(CheckpointError, match=r"is a self-supervised file.*load it as beats\.iter3"):
        beats.build(_card("beats.iter3_ft@upstream-mask"), stored(tensors))


@pytest.mark.parametrize("plain", ["beats.iter3_plus_as2m", "beats.iter3_plus_as20k"])
def test_the_files_of_iter3_plus_are_the_same_network(plain, tensors, stored):
    clips = _clips(20000)
    known = embed(beats.build(_card(), stored(tensors)), clips, None)
    np.testing.assert_array_equal(embed(beats.build(_card(plain), stored(tensors)), clips, None), known)
    with pytest.raises(CheckpointError, match=rf"is a self-supervised file.*load it as {plain}$"):
        beats.build(_card(f"{plain}_ft2"), stored(tensors))
    head = {"predictor.weight": torch.ones(527, 32), "predictor.bias": torch.ones(527)}
    tuned = stored(tensors | head, CFG | {"finetuned_model": True, "predictor_class": 527, "dropout": 0.1})
    for run in ("_ft", "_ft2"):
        np.testing.assert_array_equal(embed(beats.build(_card(plain + run), tuned), clips, None), known)
    with pytest.raises(CheckpointError, match=rf"is a fine-tuned file.*load it as {plain}_ft$"):
        beats.build(_card(plain), tuned)
    files = [weights.file for run in ("", "_ft", "_ft2") for weights in _card(plain + run).weights]
    assert len(set(files)) == 3 and all(plain.rpartition("_")[2].upper() in file for file in files)


def test_files_that_do_not_fit_are_refused(tensors, stored, tmp_path):
    spare = dict(tensors)
    spare.pop("encoder.layers.1.fc2.bias")
    with pytest.raises(CheckpointError, match=r"missing: encoder\.layers\.1\.fc2\.bias"):
        beats.build(_card(), stored(spare))
    with pytest.raises(CheckpointError, match="neither used nor declared ignored: decoder"):
        beats.build(_card(), stored(tensors | {"decoder": torch.zeros(1)}))
    with pytest.raises(CheckpointError, match="layer_norm_first True instead of False"):
        beats.build(_card(), stored(tensors, CFG | {"layer_norm_first": True}))
    with pytest.raises(CheckpointError, match="encoder_layers 12 instead of 2"):
        beats.build(_card(), stored(tensors, CFG | {"encoder_layers": 12}))
    with pytest.raises(CheckpointError, match=r"lacks the cfg.*max_distance"):
        beats.build(_card(), stored(tensors, {k: v for k, v in CFG.items() if k != "max_distance"}))
    torch.save(dict(tensors), tmp_path / "bare.pt")
    with pytest.raises(CheckpointError, match=r"bare\.pt: lacks the cfg"):
        beats.build(_card(), tmp_path / "bare.pt")


def test_tied_copies_of_the_position_table_are_ignored(tensors, stored):
    table = "encoder.layers.{}.self_attn.relative_attention_bias.weight".format
    copies = tensors | {table(1): tensors[table(0)]}
    clips = _clips(9000)
    ours = embed(beats.build(_card(), stored(copies)), clips, None)
    np.testing.assert_array_equal(ours, embed(beats.build(_card(), stored(tensors)), clips, None))


def test_buckets_equal_wavlm_beyond_the_longest_distance():
    import_torchaudio()
    from transformers.models.wavlm.modeling_wavlm import WavLMAttention

    theirs = WavLMAttention(8, 2, num_buckets=320, max_distance=800)
    distance = torch.arange(-1500, 1501)
    assert torch.equal(buckets(distance, 320, 800), theirs._relative_positions_bucket(distance))


def test_untrained_networks_follow_the_seed_and_stay_alive():
    nets = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        nets.append(Beats(SMALL).eval())
        initialise(nets[-1])
    x = torch.randn(1, 64, 128)
    with torch.inference_mode():
        first, same, other = (net(net.patches(x))[-1] for net in nets)
    assert torch.equal(first, same)
    assert not torch.allclose(first, other)
    assert first.std() > 0.1
