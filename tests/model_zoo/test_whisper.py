import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench.base.errors import CheckpointError
from bench.base.optional_imports import import_torchaudio
from bench.encoders.batches import embed, encode_batch
from bench.encoders.contract import check_encoder
from bench.encoders.load import load_encoder
from model_zoo import whisper
from reduced import assert_rows_stay_apart

CARD = whisper.CARDS[0]
SHORT = dataclasses.replace(CARD, policy="short")
TINY = {"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 1, "encoder_ffn_dim": 96}


@pytest.fixture(scope="module", params=[80, 128])
def net(request):
    """A tiny encoder with the bands of the base release, or with those of large-v3."""
    import_torchaudio()
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    torch.manual_seed(0)
    return WhisperEncoder(WhisperConfig(**TINY, num_mel_bins=request.param)).eval()


@pytest.fixture(scope="module")
def folder(net, tmp_path_factory):
    """A transformers folder with the tiny net, as a full checkpoint names it."""
    return _saved(tmp_path_factory.mktemp("whisper"), _tensors(net) | {"model.decoder.x": torch.zeros(1)})


def _tensors(net):
    return {f"model.encoder.{k}": v.clone() for k, v in net.state_dict().items()}


def _saved(path, tensors):
    save_file(tensors, path / "model.safetensors")
    return path


def _clip(seconds, seed=0):
    n = round(16000 * seconds)
    return (0.1 * np.random.default_rng(seed).standard_normal(n) * np.linspace(0, 1, n)).astype(np.float32)


def test_front_end_equals_the_feature_extractor(net, folder):
    from transformers import WhisperFeatureExtractor

    encoder = whisper.build(CARD, folder)
    for wave in (_clip(1.3), _clip(30.0), np.zeros(8000, np.float32)):
        extractor = WhisperFeatureExtractor(feature_size=net.num_mel_bins)
        theirs = extractor(wave, sampling_rate=16000, return_tensors="pt").input_features
        padded = torch.zeros(1, 480000)
        padded[0, : len(wave)] = torch.from_numpy(wave)
        torch.testing.assert_close(encoder.log_mel(padded), theirs, atol=1e-5, rtol=1e-5)


def test_upstream_tokens_equal_transformers(net, folder):
    encoder = whisper.build(CARD, folder)
    wave = torch.from_numpy(_clip(1.3))[None]
    with torch.inference_mode():
        tokens = encoder(wave, torch.tensor([wave.shape[1]]))
        theirs = net(
            encoder.log_mel(torch.nn.functional.pad(wave, (0, 480000 - wave.shape[1]))), output_hidden_states=True
        )
    torch.testing.assert_close(tokens.layers[-1].hidden[:, :, 0], theirs.last_hidden_state, atol=1e-5, rtol=1e-5)
    assert len(tokens.layers) == 2
    assert tokens.layers[-1].length.tolist() == [1500]
    assert tokens.layers[-1].valid.tolist() == [65]


def test_short_frames_are_the_first_frames_of_upstream(folder):
    encoder = whisper.build(SHORT, folder)
    wave = torch.from_numpy(_clip(2.5))[None]
    assert encoder.batch_length(wave.shape[1]) == 40000
    full = encoder.log_mel(torch.nn.functional.pad(wave, (0, 440000)))
    torch.testing.assert_close(encoder.log_mel(wave), full[..., :250], atol=1e-5, rtol=1e-5)


def test_short_pads_to_two_seconds_then_in_steps(folder):
    encoder = whisper.build(SHORT, folder)
    assert [encoder.batch_length(n) for n in (1, 32000, 32001, 480000)] == [32000, 32000, 33600, 480000]
    found = encode_batch(encoder, [_clip(0.7), _clip(1.9)], [(-1, "mean"), (0, "mean_valid")])
    assert {k: v.shape for k, v in found.items()} == {(-1, "mean"): (2, 64), (0, "mean_valid"): (2, 64)}


def test_short_fits_the_contract(folder):
    assert check_encoder(whisper.build(SHORT, folder)) == []


@pytest.mark.parametrize("form", ["safetensors", "torch", "shards"])
@pytest.mark.parametrize("wrapper", ["", "model.", "net.model."])
def test_a_head_of_ones_own_is_named_and_the_decoder_is_not(net, tmp_path, form, wrapper):
    own = {f"{wrapper}encoder.{k}": v.clone() for k, v in net.state_dict().items()}
    others = {
        name: torch.zeros(1)
        for name in (f"{wrapper}decoder.x", "proj_out.weight", f"{wrapper}projector.bias", "classifier.weight")
    }
    path = tmp_path / "own.pt"
    if form == "torch":
        torch.save(own | others | {"epoch": 3}, path)
    elif form == "safetensors":
        save_file(own | others, path)
    else:
        save_file(own, tmp_path / "a.safetensors")
        save_file(others, tmp_path / "b.safetensors")
        path = tmp_path / "model.safetensors.index.json"
        places = dict.fromkeys(own, "a.safetensors") | dict.fromkeys(others, "b.safetensors")
        path.write_text(json.dumps({"weight_map": places}))
    assert set(whisper.build(CARD, path).encoder.unused_tensors) == {"classifier.weight", "projector.bias"}


def test_rows_of_a_mixed_batch_stay_apart(folder):
    encoder = whisper.build(SHORT, folder)
    assert encoder.ragged and not whisper.build(CARD, folder).ragged
    assert_rows_stay_apart(encoder)


def test_the_spectrogram_can_be_tapped(folder):
    encoder, seen = whisper.build(SHORT, folder), []
    wave = torch.from_numpy(_clip(2.5))[None]
    with torch.inference_mode():
        plain = encoder(wave, torch.tensor([40000])).layers[-1].hidden
        encoder.taps["spectrogram"] = lambda x: (seen.append(x), x)[1]
        tapped = encoder(wave, torch.tensor([40000])).layers[-1].hidden
    assert torch.equal(tapped, plain)
    torch.testing.assert_close(seen[0], encoder.log_mel(wave).transpose(1, 2))
    assert encoder.band_hz.shape == seen[0].shape[2:]


def test_clips_beyond_thirty_seconds_are_cropped(folder):
    encoder, wave = whisper.build(SHORT, folder), _clip(31.0)
    np.testing.assert_allclose(embed(encoder, [wave]), embed(encoder, [wave[:480000]]))


def test_half_precision_is_computed_in_single(net, tmp_path):
    half = {k: v.half() for k, v in _tensors(net).items()}
    encoder = whisper.build(SHORT, _saved(tmp_path, half))
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}


def test_gaps_are_refused(net, tmp_path):
    tensors = _tensors(net)
    tensors.pop("model.encoder.layers.1.fc1.bias")
    with pytest.raises(CheckpointError, match=r"missing: layers\.1\.fc1\.bias"):
        whisper.build(CARD, _saved(tmp_path, tensors))
    with pytest.raises(CheckpointError, match="lacks the tensors of a Whisper encoder"):
        whisper.build(CARD, _saved(tmp_path, {"x": torch.zeros(1)}))
    tensors["model.encoder.conv1.weight"] = torch.zeros(48, 80, 3)
    with pytest.raises(CheckpointError, match="has 48 channels, which heads of 64 do not divide"):
        whisper.build(CARD, _saved(tmp_path, tensors))


@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "lie"),
    [
        ("config.json", {"d_model": 128}),
        ("config.json", {"encoder_layers": 1}),
        ("config.json", {"encoder_attention_heads": 4}),
        ("config.json", {"activation_function": "relu"}),
        ("preprocessor_config.json", {"sampling_rate": 8000}),
        ("preprocessor_config.json", {"feature_size": 64}),
        ("preprocessor_config.json", {"chunk_length": 10}),
    ],
)
def test_settings_of_another_model_than_the_tensors_are_refused(net, tmp_path, file, lie):
    from transformers import WhisperFeatureExtractor

    _saved(tmp_path, _tensors(net))
    net.config.save_pretrained(tmp_path)
    WhisperFeatureExtractor(feature_size=net.num_mel_bins).save_pretrained(tmp_path)
    whisper.build(CARD, tmp_path)
    path = tmp_path / file
    path.write_text(json.dumps(json.loads(path.read_text()) | lie))
    with pytest.raises(CheckpointError, match=f"its {file} says {next(iter(lie))}"):
        whisper.build(CARD, tmp_path)


def test_released_weights_fit_the_card(real_data, monkeypatch):
    monkeypatch.setenv("RESPBENCH_WEIGHTS", str(real_data / "weights"))
    encoder = load_encoder("whisper.base@short")
    assert encoder.card.id == "whisper.base@short"
    assert encoder.card.dims == CARD.dims
    assert sum(p.numel() for p in encoder.parameters()) == CARD.params
    wave = _clip(1.0)
    embedding = embed(encoder, [wave], None)
    assert embedding.shape == (1, 512)
    assert np.isfinite(embedding).all()
