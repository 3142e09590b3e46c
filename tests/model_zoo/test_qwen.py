import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.base.optional_imports import import_torchaudio
from bench.encoders.batches import embed
from bench.encoders.contract import check_encoder
from model_zoo import qwen
from reduced import assert_rows_stay_apart

TINY = {
    "d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 1, "encoder_ffn_dim": 96, "num_mel_bins": 128,
}  # fmt: skip
AUDIO, OMNI = "qwen.2_audio_7b", "qwen.2_5_omni_7b"
SECONDS = (0.05, 0.07, 1.3, 1.99, 2.0, 2.013, 5.555, 29.99, 30.0)


def library(id):
    """The library's tower, small and random."""
    import_torchaudio()
    from transformers import Qwen2_5OmniAudioEncoderConfig, Qwen2AudioEncoderConfig
    from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniAudioEncoder
    from transformers.models.qwen2_audio.modeling_qwen2_audio import Qwen2AudioEncoder

    torch.manual_seed(0)
    if id == OMNI:
        net = Qwen2_5OmniAudioEncoder(Qwen2_5OmniAudioEncoderConfig(**TINY, output_dim=48))
    else:
        net = Qwen2AudioEncoder(Qwen2AudioEncoderConfig(**TINY))
    for parameter in net.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.1)
    return net.eval()


@pytest.fixture(scope="module", params=[AUDIO, OMNI])
def case(request, tmp_path_factory):
    """(card, the library's tower, a folder of the whole model in shards, one of them without any of the tower)."""
    net, folder = library(request.param), tmp_path_factory.mktemp("qwen")
    prefix = "thinker.audio_tower." if request.param == OMNI else "audio_tower."
    tower = {prefix + name: tensor.clone() for name, tensor in net.state_dict().items()}
    rest = {"language_model.x" if request.param == AUDIO else "thinker.model.x": torch.zeros(1)}
    names = list(tower)
    shards = [{name: tower[name] for name in names[:9]} | rest, {name: tower[name] for name in names[9:]}]
    places = {name: f"model-0000{i}-of-00003.safetensors" for i, held in enumerate(shards, 1) for name in held}
    places["lm_head.weight"] = "model-00003-of-00003.safetensors"  # a shard that is not there
    for i, held in enumerate(shards, 1):
        save_file(held, folder / f"model-0000{i}-of-00003.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return registry.encoder_card(request.param), net, folder


def _clip(seconds):
    n = round(16000 * seconds)
    return (0.1 * np.random.default_rng(n).standard_normal(n) * np.linspace(1, 0.01, n)).astype(np.float32)


def theirs(net, wave):
    """The tower's output (T', D) as the library's own model calls it on a clip."""
    from transformers import WhisperFeatureExtractor
    from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniAudioEncoder

    omni = isinstance(net, Qwen2_5OmniAudioEncoder)
    extractor = WhisperFeatureExtractor(feature_size=128, chunk_length=300 if omni else 30, return_attention_mask=True)
    fed = extractor(wave, sampling_rate=16000, return_tensors="pt", return_attention_mask=True)
    frames = int(fed.attention_mask.sum())
    tokens, pairs = net._get_feat_extract_output_lengths(torch.tensor(frames))
    if omni:
        feature = fed.input_features[0][:, :frames]
        return net(feature, feature_lens=torch.tensor([frames]), aftercnn_lens=tokens[None]).last_hidden_state
    mask = torch.zeros(1, 1, 1500, 1500).masked_fill(torch.arange(1500) >= tokens, torch.finfo(torch.float32).min)
    return net(fed.input_features, attention_mask=mask).last_hidden_state[0, :pairs]


@pytest.mark.parametrize("seconds", SECONDS)
def test_tokens_equal_the_librarys_on_a_folder_in_shards(case, seconds):
    card, net, folder = case
    encoder, wave = qwen.build(card, folder), _clip(seconds)
    with torch.inference_mode():
        ours, expected = encoder(torch.from_numpy(wave)[None], torch.tensor([len(wave)])), theirs(net, wave)
    last = ours.layers[-1]
    assert int(last.length) == len(expected) == len(wave) // 640 + (len(wave) % 640 > 320)
    torch.testing.assert_close(last.hidden[0, : len(expected), 0], expected, atol=2e-5, rtol=2e-5)
    assert [grid.hop_s for grid in ours.layers] == ([0.02, 0.04, 0.04] if card.id == OMNI else [0.02, 0.04])
    assert encoder.card.layers == len(ours.layers)


@pytest.mark.long
def test_fits_the_contract(case):
    card, _, folder = case
    assert check_encoder(qwen.build(card, folder)) == []


def test_rows_of_a_mixed_batch_stay_apart(case):
    card, _, folder = case
    encoder = qwen.build(card, folder)
    assert encoder.ragged
    assert_rows_stay_apart(encoder)


def test_the_spectrogram_can_be_tapped(case):
    card, _, folder = case
    encoder, seen = qwen.build(card, folder), []
    wave = torch.from_numpy(_clip(1.3))[None]
    with torch.inference_mode():
        plain = encoder(wave, torch.tensor([20800])).layers[-1].hidden
        encoder.taps["spectrogram"] = lambda x: (seen.append(x), x)[1]
        assert torch.equal(encoder(wave, torch.tensor([20800])).layers[-1].hidden, plain)
    assert encoder.band_hz.shape == seen[0].shape[2:] == (128,)


def test_the_tower_alone_is_a_file_too(case, tmp_path):
    card, net, folder = case
    save_file(
        {name: tensor.clone().half() for name, tensor in net.state_dict().items()}, tmp_path / "tower.safetensors"
    )
    encoder = qwen.build(card, tmp_path / "tower.safetensors")
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    np.testing.assert_allclose(
        embed(encoder, [_clip(1.0)]), embed(qwen.build(card, folder), [_clip(1.0)]), atol=2e-2, rtol=2e-2
    )


def test_gaps_are_refused(case, tmp_path):
    card, net, _ = case
    tensors = {f"audio_tower.{name}": tensor.clone() for name, tensor in net.state_dict().items()}
    save_file(tensors | {"audio_tower.extra": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="neither used nor declared ignored: extra"):
        qwen.build(card, tmp_path)
    tensors.pop("audio_tower.layers.1.fc1.bias")
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"missing: layers\.1\.fc1\.bias"):
        qwen.build(card, tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="lacks the tensors of a Qwen audio encoder"):
        qwen.build(card, tmp_path)


@pytest.mark.parametrize(
    ("id", "lie", "said"),
    [
        (AUDIO, {"audio_config": {"encoder_layers": 4}}, "audio_config.encoder_layers"),
        (AUDIO, {"model_type": "whisper"}, "model_type"),
        (OMNI, {"thinker_config": {"audio_config": {"n_window": 50}}}, "thinker_config.audio_config.n_window"),
    ],
)
def test_settings_of_another_model_than_the_tensors_are_refused(id, lie, said, tmp_path):
    save_file(
        {f"audio_tower.{k}": v.clone() for k, v in library(id).state_dict().items()}, tmp_path / "model.safetensors"
    )
    (tmp_path / "config.json").write_text(json.dumps(lie))
    with pytest.raises(CheckpointError, match=f"its config.json says {said}"):
        qwen.build(registry.encoder_card(id), tmp_path)
