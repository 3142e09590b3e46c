import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.base.errors import CheckpointError
from bench.base.optional_imports import import_torchaudio
from bench.encoders.contract import check_encoder
from model_zoo import w2v_bert
from reduced import assert_rows_stay_apart

CARD = w2v_bert.CARDS[0]
TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 96}


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """The library's model, small and random, and its folder, with a head."""
    import_torchaudio()
    from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertForSequenceClassification

    torch.manual_seed(0)
    model = Wav2Vec2BertForSequenceClassification(Wav2Vec2BertConfig(**TINY)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.2)
    folder = tmp_path_factory.mktemp("w2v_bert")
    model.save_pretrained(folder)
    SeamlessM4TFeatureExtractor().save_pretrained(folder)
    return model.wav2vec2_bert, folder


def _clip(samples):
    return (0.02 + 0.1 * np.random.default_rng(samples).standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize("samples", [880, 1039, 1040, 16000, 23456, 80000])
def test_front_end_and_layers_equal_the_librarys(net, samples):
    from transformers import SeamlessM4TFeatureExtractor

    model, folder = net
    encoder, wave = w2v_bert.build(CARD, folder), _clip(samples)
    fed = SeamlessM4TFeatureExtractor()(wave, sampling_rate=16000, return_tensors="pt")
    tokens = int(fed.attention_mask.sum())  # an odd last frame makes a token that is masked
    ours = encoder.fbank(torch.from_numpy(wave)[None], torch.tensor([samples]))[0]
    theirs = fed.input_features[0].unflatten(1, (2, 80)).flatten(0, 1)[: 2 * tokens]
    torch.testing.assert_close(ours[: 2 * tokens], theirs, atol=2e-4, rtol=2e-4)
    with torch.inference_mode():
        found = encoder(torch.from_numpy(wave)[None], torch.tensor([samples])).layers
        expected = model(**fed, output_hidden_states=True).hidden_states
    assert len(found) == len(expected) - 1 == encoder.card.layers == 2
    for ours, theirs in zip(found, expected[1:], strict=True):
        assert ours.length.tolist() == [tokens]
        torch.testing.assert_close(ours.hidden[0, :tokens, 0], theirs[0, :tokens], atol=3e-4, rtol=3e-4)


@pytest.mark.long
def test_fits_the_contract(net):
    assert check_encoder(w2v_bert.build(CARD, net[1])) == []


def test_rows_of_a_mixed_batch_stay_apart(net):
    encoder = w2v_bert.build(CARD, net[1])
    assert encoder.ragged
    assert_rows_stay_apart(encoder)


@pytest.mark.parametrize(
    ("file", "lie"),
    [
        ("config.json", {"position_embeddings_type": "rotary"}),
        ("config.json", {"num_attention_heads": 2}),
        ("config.json", {"add_adapter": True}),
        ("preprocessor_config.json", {"sampling_rate": 8000}),
        ("preprocessor_config.json", {"stride": 1}),
    ],
)
def test_settings_of_another_model_are_refused(net, tmp_path, file, lie):
    for path in net[1].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / file
    path.write_text(json.dumps(json.loads(path.read_text()) | lie))
    with pytest.raises(CheckpointError, match=f"its {file} says {next(iter(lie))}"):
        w2v_bert.build(CARD, tmp_path)


def test_gaps_and_strangers_are_refused(net, tmp_path):
    tensors = load_file(net[1] / "model.safetensors")
    gone = "wav2vec2_bert.encoder.layers.1.conv_module.depthwise_conv.weight"
    save_file({name: tensor for name, tensor in tensors.items() if name != gone}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"missing: encoder\.layers\.1\.conv_module\.depthwise_conv\.weight"):
        w2v_bert.build(CARD, tmp_path / "a.safetensors")
    name = "wav2vec2_bert.feature_projection.layer_norm.weight"
    wide = {name.replace("layer_norm", "projection"): torch.zeros(64, 320), name: torch.zeros(320)}
    save_file(tensors | wide, tmp_path / "b.safetensors")
    with pytest.raises(CheckpointError, match="takes 320 values a token, not 2 frames of 80 bands"):
        w2v_bert.build(CARD, tmp_path / "b.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "c.safetensors")
    with pytest.raises(CheckpointError, match=r"lacks the tensors of w2v-BERT 2\.0"):
        w2v_bert.build(CARD, tmp_path / "c.safetensors")
