"""wav2vec 2.0, HuBERT, WavLM and data2vec: one adapter, four families."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.base.optional_imports import import_torchaudio
from bench.encoders.batches import collate, embed
from bench.encoders.contract import check_encoder
from bench.finetune.model.lora import add_adapters
from bench.finetune.recipe import Lora
from model_zoo import data2vec, hubert, s3prl, wav2vec2, wavlm
from model_zoo._adapters.s3prl_upstreams import UNTRAINED, legacy_torchaudio
from model_zoo._adapters.speech_transformers import OFF, read_geometry, rename_tensors
from reduced import assert_rows_stay_apart

FAMILIES = {
    "wav2vec2": (wav2vec2, "Wav2Vec2Model"),
    "hubert": (hubert, "HubertModel"),
    "wavlm": (wavlm, "WavLMModel"),
    "data2vec": (data2vec, "Data2VecAudioModel"),
}
SIZES = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 96,
    "conv_dim": [16] * 7, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
PLAN = "[(16,10,5)] + [(16,3,2)] * 4 + [(16,2,2)] * 2"
FAIRSEQ_SIZES = {
    "encoder_layers": 2, "encoder_embed_dim": 64, "encoder_ffn_embed_dim": 96, "encoder_attention_heads": 2,
    "conv_feature_layers": PLAN, "conv_pos_groups": 4,
}  # fmt: skip


def library():
    import_torchaudio()
    import transformers

    return transformers


def drawn(module):
    """The module with parameters of which none is at a value that hides faults."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.2)
    return module.eval()


def made(model, folder, normalised=True, head=None, **sizes):
    """A random model of the library, saved with its feature extractor."""
    transformers = library()
    torch.manual_seed(0)
    network = getattr(transformers, head or model)
    net = drawn(network(network.config_class(**SIZES | sizes)))
    net.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=normalised).save_pretrained(folder)
    return SimpleNamespace(net=getattr(net, net.base_model_prefix) if head else net, folder=folder)


@pytest.fixture(scope="module", params=FAMILIES)
def tiny(request, tmp_path_factory):
    family, model = FAMILIES[request.param]
    saved = made(model, tmp_path_factory.mktemp(request.param), normalised=request.param != "wavlm")
    return SimpleNamespace(family=family, card=family.CARDS[0], model=model, **vars(saved))


def clip(n, seed=0):
    return (0.02 + 0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def layers(encoder, wave):
    with torch.inference_mode():
        return [grid.hidden[:, :, 0] for grid in encoder(*collate(encoder, [wave])).layers]


@pytest.mark.parametrize("n", [400, 16000, 23457])
def test_front_end_and_layers_equal_the_librarys(tiny, n):
    encoder, wave = tiny.family.build(tiny.card, tiny.folder), clip(n)
    extractor = library().AutoFeatureExtractor.from_pretrained(tiny.folder)
    fed = extractor(wave, sampling_rate=16000, return_tensors="pt").input_values
    torch.testing.assert_close(encoder.waveform(torch.from_numpy(wave)[None]), fed, atol=1e-5, rtol=1e-5)
    with torch.inference_mode():
        theirs = tiny.net(fed, output_hidden_states=True).hidden_states
    assert encoder.card.layers == len(theirs) - 1 == 2
    for ours, other in zip(layers(encoder, wave), theirs[1:], strict=True):
        torch.testing.assert_close(ours, other, atol=1e-4, rtol=1e-4)


@pytest.mark.long
def test_fits_the_contract(tiny):
    encoder = tiny.family.build(tiny.card, tiny.folder)
    assert check_encoder(encoder) == []
    assert embed(encoder, [clip(1), clip(16000)], None).shape == (2, 64)


@pytest.mark.parametrize("size", ["base", "large"])
def test_rows_of_a_mixed_batch_stay_apart(tiny, size, tmp_path):
    folder = tiny.folder
    if size == "large":
        folder = made(tiny.model, tmp_path, **({} if tiny.model == "Data2VecAudioModel" else LARGE)).folder
    encoder = tiny.family.build(tiny.card, folder)
    assert encoder.ragged
    assert_rows_stay_apart(encoder)


def test_low_rank_adapters_learn_wherever_they_are(tiny):
    """WavLM's attention reads its projections' weights in one fused call, where an adapter would be dead."""
    encoder = tiny.family.build(tiny.card, tiny.folder)
    add_adapters(encoder, Lora(rank=2), tiny.card.id)
    encoder(*collate(encoder, [clip(16000)])).layers[-1].hidden.square().sum().backward()
    learning = {name: p.grad for name, p in encoder.named_parameters() if p.requires_grad}
    assert any("dense" in name for name in learning)
    assert any("q_proj" in name for name in learning) == (tiny.model != "WavLMModel")
    assert [name for name, grad in learning.items() if grad is None] == []


def test_geometry_from_the_tensors_alone(tiny, tmp_path):
    tensors = load_file(tiny.folder / "model.safetensors")
    encoder = tiny.family.build(tiny.card, tiny.folder)
    geometry = read_geometry(rename_tensors(tensors), "here")
    told = encoder.model.config.to_dict()
    assert {k: told[k] for k in geometry if k in told and k != "num_attention_heads"} == {
        k: v for k, v in geometry.items() if k in told and k != "num_attention_heads"
    }
    save_file(tensors, tmp_path / "bare.safetensors")  # heads of 64 channels where nothing says otherwise
    assert tiny.family.build(tiny.card, tmp_path / "bare.safetensors").card.dims == encoder.card.dims


@pytest.mark.parametrize("name", ["wav2vec2", "hubert", "wavlm"])
def test_large_models_end_in_a_norm_and_take_normalised_clips(name, tmp_path):
    family, model = FAMILIES[name]
    sizes = LARGE | {"num_attention_heads": 1}
    saved = made(model, tmp_path, **sizes)
    wave = clip(9000)
    with torch.inference_mode():
        fed = torch.from_numpy((wave - wave.mean()) / np.sqrt(wave.var() + 1e-7))[None]
        theirs = saved.net(fed).last_hidden_state
    for file in ("config.json", "preprocessor_config.json", None):  # both, then neither
        torch.testing.assert_close(
            layers(family.build(family.CARDS[0], tmp_path), wave)[-1], theirs, atol=1e-4, rtol=1e-4
        )
        if file:
            (tmp_path / file).unlink()


def test_released_defaults_where_no_settings_say(tiny, tmp_path):
    save_file(load_file(tiny.folder / "model.safetensors"), tmp_path / "bare.safetensors")
    encoder = tiny.family.build(tiny.card, tmp_path / "bare.safetensors")
    assert encoder.normalised == (tiny.model != "WavLMModel")


def test_without_weights_the_large_model_takes_normalised_clips_too():
    library()
    with torch.device("meta"):
        assert wavlm.build(registry.encoder_card("wavlm.large"), None).normalised


def test_raw_leaves_the_waveform_as_it_is(tmp_path):
    made("HubertModel", tmp_path)
    wave = torch.from_numpy(clip(5000))[None]
    encoder = hubert.build(registry.encoder_card("hubert.base@raw"), tmp_path)
    assert torch.equal(encoder.waveform(wave), wave)
    assert not torch.equal(hubert.build(hubert.CARDS[0], tmp_path).waveform(wave), wave)


def test_heads_old_weight_norm_and_half_precision(tmp_path):
    saved = made("Wav2Vec2Model", tmp_path, head="Wav2Vec2ForPreTraining")
    wave = clip(8000)
    ours = layers(wav2vec2.build(wav2vec2.CARDS[0], tmp_path), wave)[-1]
    tensors = load_file(tmp_path / "model.safetensors")
    assert {"quantizer.codevectors", "wav2vec2.masked_spec_embed"} <= tensors.keys()
    old = {
        k.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): v
        for k, v in tensors.items()
    }
    assert "wav2vec2.encoder.pos_conv_embed.conv.weight_g" in old
    (tmp_path / "model.safetensors").unlink()
    torch.save(old, tmp_path / "pytorch_model.bin")
    assert torch.equal(layers(wav2vec2.build(wav2vec2.CARDS[0], tmp_path), wave)[-1], ours)
    torch.save({k: v.half() for k, v in old.items()}, tmp_path / "pytorch_model.bin")
    half = wav2vec2.build(wav2vec2.CARDS[0], tmp_path)
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    assert not hasattr(saved.net, "quantizer")


def test_gaps_and_strangers_are_refused(tiny, tmp_path):
    tensors = load_file(tiny.folder / "model.safetensors")

    def refused(change, match):
        save_file(tensors | change, tmp_path / "model.safetensors")
        with pytest.raises(CheckpointError, match=match):
            tiny.family.build(tiny.card, tmp_path)

    refused({"encoder.extra": torch.zeros(1)}, "neither used nor declared ignored: encoder.extra")
    refused({"encoder.layer_norm.bias": torch.zeros(3)}, "misshapen: encoder.layer_norm.bias")
    tensors.pop("encoder.layers.1.final_layer_norm.bias")
    refused({}, r"missing: encoder\.layers\.1\.final_layer_norm\.bias")
    tensors.clear()
    refused({"x": torch.zeros(1)}, "lacks the tensors of a speech transformer")


def test_settings_are_checked(tiny, tmp_path):
    save_file(load_file(tiny.folder / "model.safetensors"), tmp_path / "model.safetensors")
    for content, match in (
        ('{"model_type": "whisper"}', f"is a whisper model, not {tiny.model}"),
        ("{", "is not JSON"),
        ("[]", "holds a list"),
        (json.dumps({"num_attention_heads": 7}), f"give no {tiny.model}"),
        (json.dumps({"conv_stride": [5, 2]}), f"give no {tiny.model}"),
    ):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(CheckpointError, match=match):
            tiny.family.build(tiny.card, tmp_path)


@pytest.mark.parametrize(
    ("file", "lie", "said"),
    [
        ("config.json", {"num_hidden_layers": 1}, "neither used nor declared ignored: encoder.layers.1"),
        ("config.json", {"num_hidden_layers": 3}, "missing: encoder.layers.2"),
        ("config.json", {"hidden_size": 32}, "misshapen"),
        ("config.json", {"conv_stride": [5, 2, 2, 2, 2, 2, 1]}, "a token every 160 samples .* this family has 320"),
        ("config.json", {"conv_dim": [16] * 6 + [8]}, "misshapen"),
        ("preprocessor_config.json", {"sampling_rate": 44100}, "says sampling_rate 44100 instead of 16000"),
    ],
)
def test_settings_of_another_model_than_the_tensors_are_refused(tiny, tmp_path, file, lie, said):
    for path in tiny.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / file).write_text(json.dumps(json.loads((tmp_path / file).read_text()) | lie))
    with pytest.raises(CheckpointError, match=said):
        tiny.family.build(tiny.card, tmp_path)


def test_twins_start_anew_from_the_global_generator(monkeypatch):
    transformers = library()
    config = transformers.WavLMModel.config_class
    monkeypatch.setattr(transformers.WavLMModel, "config_class", lambda **off: config(**SIZES | off))
    built = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        built.append(wavlm.build(wavlm.CARDS[0], None).model.encoder.layers[0].attention.k_proj.weight)
    assert torch.equal(built[0], built[2])
    assert not torch.equal(built[0], built[1])


@pytest.mark.parametrize("name", FAMILIES)
def test_card_counts_what_is_built(name):
    family, model = FAMILIES[name]
    network = getattr(library(), model)
    with torch.device("meta"):
        net = network(network.config_class(**OFF))
    assert sum(p.numel() for p in net.parameters()) == family.CARDS[0].params
    assert net.config.num_hidden_layers == family.CARDS[0].layers


# fairseq's and Microsoft's names, as s3prl carries their networks
NAMES = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"(feature_extractor\.conv_layers\.\d+)\.0\.(.*)", r"\1.conv.\2"),
        (r"(feature_extractor\.conv_layers\.\d+)\.2\.(?:1\.)?(.*)", r"\1.layer_norm.\2"),
        (r"post_extract_proj\.(.*)", r"feature_projection.projection.\1"),
        (r"layer_norm\.(.*)", r"feature_projection.layer_norm.\1"),
        (r"encoder\.pos_conv\.0\.(weight_.|bias)", r"encoder.pos_conv_embed.conv.\1"),
        (r"encoder\.pos_conv\.(\d+)\.0\.(.*)", r"encoder.pos_conv_embed.layers.\1.conv.\2"),
        (r"(encoder\.layers\.\d+)\.self_attn\.relative_attention_bias\.(.*)", r"\1.attention.rel_attn_embed.\2"),
        (r"(encoder\.layers\.\d+)\.self_attn\.grep_linear\.(.*)", r"\1.attention.gru_rel_pos_linear.\2"),
        (r"(encoder\.layers\.\d+)\.self_attn\.grep_a", r"\1.attention.gru_rel_pos_const"),
        (r"(encoder\.layers\.\d+)\.self_attn\.(.*)", r"\1.attention.\2"),
        (r"(encoder\.layers\.\d+)\.self_attn_layer_norm\.(.*)", r"\1.layer_norm.\2"),
        (r"(encoder\.layers\.\d+)\.fc1\.(.*)", r"\1.feed_forward.intermediate_dense.\2"),
        (r"(encoder\.layers\.\d+)\.fc2\.(.*)", r"\1.feed_forward.output_dense.\2"),
        (r"(encoder\.(?:layers\.\d+\.final_layer_norm|layer_norm)\..*)", r"\1"),
    )
)


def ported(tensors):
    """The authors' tensors under the library's names; heads are left out."""
    hits = ((pattern.fullmatch(key), name, t) for key, t in tensors.items() for pattern, name in NAMES)
    found = {}
    for match, name, tensor in hits:
        if match:
            found.setdefault(match.string, (match.expand(name), tensor))
    return dict(found.values())


def checkpoint(name):
    """A random checkpoint in s3prl's format, and the tensors in it."""
    if name != "data2vec":
        content = UNTRAINED[name](**FAIRSEQ_SIZES)
        return content, content["model" if name == "wavlm" else "model_weight"]
    from s3prl.upstream.data2vec.data2vec_model import Data2VecAudioConfig, Data2VecAudioModel

    own = {"extractor_mode": "layer_norm", "conv_pos": 95, "pos_conv_depth": 5, "layer_type": "transformer"}
    net = Data2VecAudioModel(Data2VecAudioConfig(**FAIRSEQ_SIZES | own))
    net.remove_pretraining_modules()
    tensors = dict(net.state_dict())
    settings = {"task_cfg": {"normalize": False}, "model_cfg": FAIRSEQ_SIZES | own}
    return settings | {"model_weight": tensors | {"_ema": {}}}, tensors


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FAMILIES)
def test_layers_equal_the_authors_network(name, tmp_path):
    family, model = FAMILIES[name]
    with legacy_torchaudio():
        content, tensors = checkpoint(name)
    generator = torch.Generator().manual_seed(0)
    for key, tensor in tensors.items():
        if tensor.is_floating_point():
            gain = 1.0 if tensor.ndim == 1 and "weight" in key else 0.0
            tensor.copy_(gain + 0.2 * torch.randn(tensor.shape, generator=generator))
    torch.save(content, tmp_path / "authors.pt")
    save_file({k: v.contiguous() for k, v in ported(tensors).items()}, tmp_path / "model.safetensors")
    config = getattr(library(), model).config_class(**SIZES)
    config.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": false}')
    wave = clip(12345)
    ours = layers(family.build(family.CARDS[0], tmp_path), wave)
    theirs = layers(s3prl.build(registry.encoder_card(f"s3prl.{name}"), tmp_path / "authors.pt"), wave)
    assert len(theirs) == len(ours) + 1
    for own, other in zip(ours, theirs[1:], strict=True):
        torch.testing.assert_close(own, other, atol=1e-4, rtol=1e-4)
