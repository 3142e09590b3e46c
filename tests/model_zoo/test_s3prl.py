import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import BadInput, CheckpointError, UnknownId
from bench.encoders.batches import collate, embed
from bench.encoders.contract import check_encoder
from bench.encoders.load import load_encoder
from bench.encoders.pooling import pool
from model_zoo import s3prl
from model_zoo._adapters import s3prl_upstreams

pytestmark = pytest.mark.filterwarnings("ignore:::s3prl", "ignore:::torch")
PLAN = "[(16,10,5)] + [(16,3,2)] * 4 + [(16,2,2)] * 2"
SIZES = {
    "encoder_layers": 2, "encoder_embed_dim": 32, "encoder_ffn_embed_dim": 48, "encoder_attention_heads": 2,
    "conv_feature_layers": PLAN, "conv_pos_groups": 4, "final_dim": 16,
}  # fmt: skip
CARDS = {card.id.removeprefix("s3prl."): card for card in s3prl.CARDS}
ALL = ("fbank", "mfcc", "hubert", "wav2vec2", "wavlm", "byol_s")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """{entry: random checkpoint in s3prl's own format, or None}."""
    folder = tmp_path_factory.mktemp("s3prl")
    found = dict.fromkeys(ALL)
    for name in s3prl_upstreams.UNTRAINED:
        with s3prl_upstreams.legacy_torchaudio():
            sizes = {} if name == "byol_s" else SIZES
            torch.manual_seed(0)
            found[name] = folder / f"{name}.pt"
            torch.save(s3prl_upstreams.UNTRAINED[name](**sizes), found[name])
    return found


@pytest.fixture(scope="module")
def encoders(checkpoints):
    built = {name: s3prl.build(CARDS[name], checkpoints[name]) for name in ALL}
    for encoder in built.values():
        encoder.weights_digest = "tested"
    return built


def clip(n, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def expert(name, path):
    """s3prl's own object, made by its own entry for local files where there is one."""
    with s3prl_upstreams.legacy_torchaudio():
        import s3prl.upstream.baseline.hubconf as baseline
        import s3prl.upstream.byol_s.expert as byol_s
        import s3prl.upstream.hubert.hubconf as hubert
        import s3prl.upstream.wav2vec2.hubconf as wav2vec2
        import s3prl.upstream.wavlm.hubconf as wavlm

        match name:
            case "fbank" | "mfcc":
                return getattr(baseline, name)().eval()
            case "byol_s":
                return byol_s.UpstreamExpert(ckpt=str(path), model_name="default").eval()
        return getattr({"hubert": hubert, "wav2vec2": wav2vec2, "wavlm": wavlm}[name], f"{name}_local")(
            str(path)
        ).eval()


@pytest.mark.long
@pytest.mark.parametrize("name", ALL)
def test_layers_equal_s3prls_on_a_clip_alone(name, encoders, checkpoints):
    encoder, wave = encoders[name], clip(9000)
    with torch.inference_mode():
        theirs = expert(name, checkpoints[name])([torch.from_numpy(wave)])["hidden_states"]
        ours = encoder(*collate(encoder, [clip(9000, 1), wave, clip(5000)])).layers
    assert encoder.card.layers == len(theirs)
    for grid, other in zip(ours, theirs, strict=True):
        steps = int(grid.length[1])
        torch.testing.assert_close(grid.hidden[1, :steps, 0], other[0], atol=1e-4, rtol=1e-4)
        assert grid.hop_s == CARDS[name].grid[0]


@pytest.mark.long
@pytest.mark.parametrize("name", ["fbank", "mfcc", "hubert", "wav2vec2", "wavlm"])
def test_fits_the_contract(name, encoders):
    assert check_encoder(encoders[name]) == []


def test_byol_s_keeps_clips_apart_and_learns(encoders):
    encoder, waves = encoders["byol_s"], [clip(3000), 0.01 * clip(3000, 1), clip(700)]
    together, alone = embed(encoder, waves), np.concatenate([embed(encoder, [wave]) for wave in waves])
    np.testing.assert_allclose(together, alone, atol=1e-4 * np.abs(alone).max())
    pool(encoder(*collate(encoder, waves[:1]))).sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())
    assert np.isfinite(embed(encoder, [np.zeros(1, np.float32)])).all()


def test_convolutions_learn_and_heads_are_frozen(encoders):
    for name in ("hubert", "wav2vec2", "wavlm"):
        frozen = {
            n.removeprefix("upstream.model.") for n, p in encoders[name].named_parameters() if not p.requires_grad
        }
        assert "mask_emb" in frozen
        assert not any(n.startswith(("feature_extractor", "encoder")) for n in frozen)


def test_cards_of_what_is_built_and_of_what_is_not(encoders):
    for name in ALL:
        built, known = encoders[name].card, CARDS[name]
        assert list(built.dims) == list(known.dims)
        assert built.grid == known.grid
    assert encoders["byol_s"].card == CARDS["byol_s"]
    other = registry.encoder_card("s3prl.hubert_large_ll60k")
    assert (other.layers, other.weights[0].file) == (0, "hubert_large_ll60k.pt")
    assert registry.encoder_card("s3prl.mel").weights == ()
    for wrong in ("s3prl.hubertt", "s3prl.", "s3prl", "s3prl.hubert_local"):
        with pytest.raises(UnknownId):
            registry.encoder_card(wrong)


def test_other_entries_take_their_sizes_from_what_is_built(checkpoints):
    large = load_encoder("s3prl.hubert_large_ll60k", checkpoints["hubert"])
    assert (large.card.dims["mean"], large.card.layers) == (32, 3)
    mel = load_encoder("s3prl.mel")
    assert dict(mel.card.dims) == {"max": 80}
    assert embed(mel, [clip(4000)], None).shape == (1, 80)


@pytest.mark.parametrize("name", ["hubert", "wav2vec2", "wavlm"])
def test_the_last_layer_of_pre_norm_models_is_normed(name, tmp_path):
    with s3prl_upstreams.legacy_torchaudio():
        torch.save(s3prl_upstreams.UNTRAINED[name](**SIZES | {"layer_norm_first": True}), tmp_path / "x.pt")
    encoder = s3prl.build(CARDS[name], tmp_path / "x.pt")
    last = encoder(*collate(encoder, [clip(6000)])).layers[-1].hidden
    torch.testing.assert_close(last.mean(-1), torch.zeros(last.shape[:-1]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["hubert", "wavlm"])
def test_torchs_warnings_of_what_s3prl_uses_are_not_shown(monkeypatch, name):
    make = s3prl_upstreams.UNTRAINED[name]
    monkeypatch.setitem(s3prl_upstreams.UNTRAINED, name, lambda: make(**SIZES))
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        embed(load_encoder(f"random.s3prl.{name}"), [clip(3000)])
    assert not shown, [str(warning.message) for warning in shown]


def test_untrained_forms(monkeypatch):
    monkeypatch.setitem(
        s3prl_upstreams.UNTRAINED, "hubert", lambda make=s3prl_upstreams.UNTRAINED["hubert"]: make(**SIZES)
    )
    twin = load_encoder("random.s3prl.hubert")
    assert embed(twin, [clip(3000)]).shape == (1, 32)
    with pytest.raises(UnknownId):
        load_encoder("random.s3prl.tera")  # nothing here knows how to make its checkpoint


def test_code_in_a_checkpoint_is_never_run(checkpoints, tmp_path):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (marker.touch, ())

    torch.save({"model_weight": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"asks to build or call"):
        s3prl.build(CARDS["hubert"], tmp_path / "evil.pt")
    content = torch.load(checkpoints["hubert"], weights_only=True)
    content["model_cfg"]["conv_feature_layers"] = f"__import__('pathlib').Path({str(marker)!r}).touch() or {PLAN}"
    torch.save(content, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="which s3prl may run as code"):
        s3prl.build(CARDS["hubert"], tmp_path / "evil.pt")
    assert not marker.exists()


def test_settings_that_are_not_read_are_no_settings(checkpoints, tmp_path):
    for value in (Path("x"), np.ones(2), np.dtype("f4")):
        content = torch.load(checkpoints["hubert"], weights_only=True)
        content["model_cfg"]["extractor_mode"] = value
        torch.save(content, tmp_path / "hubert.pt")
        with pytest.raises(CheckpointError, match=r"holds (pathlib\.PosixPath|Array|Kind), which is not read here"):
            s3prl.build(CARDS["hubert"], tmp_path / "hubert.pt")


def test_a_checkpoint_may_hold_itself(checkpoints, tmp_path):
    content = torch.load(checkpoints["hubert"], weights_only=True)
    content["self"] = [content]
    torch.save(content, tmp_path / "hubert.pt")
    assert s3prl_upstreams.read_checkpoint(tmp_path / "hubert.pt").keys() == content.keys()


def test_wrong_and_incomplete_checkpoints_are_refused(checkpoints, tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot build or run wavlm \(KeyError: .cfg"):
        s3prl.build(CARDS["wavlm"], checkpoints["hubert"])
    content = torch.load(checkpoints["hubert"], weights_only=True)
    content["model_weight"].pop("encoder.layers.1.fc1.bias")
    torch.save(content, tmp_path / "hubert.pt")
    with pytest.raises(CheckpointError, match=r"Missing key.*encoder\.layers\.1\.fc1\.bias"):
        s3prl.build(CARDS["hubert"], tmp_path / "hubert.pt")
    with pytest.raises(CheckpointError, match="more than one file"):
        s3prl.build(registry.encoder_card("s3prl.vggish"), checkpoints["byol_s"])


def test_nothing_is_left_behind(checkpoints):
    load, torchaudio = torch.load, sys.modules["torchaudio"]
    s3prl.build(CARDS["hubert"], checkpoints["hubert"])
    assert torch.load is load
    assert not hasattr(torchaudio, "set_audio_backend")


def test_without_s3prl_everything_else_stands(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3prl", None)
    s3prl.entries.cache_clear()
    try:
        assert "s3prl.hubert" in registry.ids(registry.ENCODERS)
        assert registry.encoder_card("s3prl.fbank").id == "s3prl.fbank"
        with pytest.raises(BadInput, match="s3prl is not installed"):
            load_encoder("s3prl.fbank")
    finally:
        s3prl.entries.cache_clear()
