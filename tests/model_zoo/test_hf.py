import copy
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.base import registry
from bench.base.errors import BadInput, CheckpointError, MissingWeights, UnknownId
from bench.base.optional_imports import import_torchaudio
from bench.encoders.batches import collate, embed
from bench.encoders.check import check_registered
from bench.encoders.contract import check_encoder
from bench.encoders.load import load_encoder
from bench.encoders.weights.code import CodeNotTrusted
from model_zoo import hf, wav2vec2

BLOCKS = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 96}
SPEECH = BLOCKS | {"hidden_size": 64, "conv_dim": [16] * 7, "num_conv_pos_embedding_groups": 4}
WHISPER = {
    "d_model": 64, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 1, "encoder_ffn_dim": 96,
    "decoder_attention_heads": 1, "decoder_ffn_dim": 96, "vocab_size": 8, "pad_token_id": 1, "bos_token_id": 2,
    "eos_token_id": 3, "decoder_start_token_id": 2, "max_source_positions": 1500,
}  # fmt: skip
MODELS = {
    "speech": ("Wav2Vec2ForCTC", SPEECH, "Wav2Vec2FeatureExtractor"),
    "spectrogram": ("ASTForAudioClassification", BLOCKS | {"hidden_size": 64}, "ASTFeatureExtractor"),
    "whisper": ("WhisperForConditionalGeneration", WHISPER, "WhisperFeatureExtractor"),
}


def library():
    import_torchaudio()
    import transformers

    return transformers


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{kind: folder of a random model with its head and feature extractor}."""
    found = {}
    for kind, (model, sizes, extractor) in MODELS.items():
        network = getattr(library(), model)
        torch.manual_seed(0)
        net = network(network.config_class(**sizes))
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.2)
        found[kind] = tmp_path_factory.mktemp(kind)
        net.save_pretrained(found[kind])
        getattr(library(), extractor)().save_pretrained(found[kind])
    return found


def clip(n, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def copied(folder, target):
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_a_folder_is_checked_with_its_own_weights_which_are_no_release(folders):
    row = check_registered(f"hf.{folders['spectrogram']}")
    assert (row["verdict"], row["weights"]) == ("holds", "given")


@pytest.mark.parametrize("kind", MODELS)
def test_layers_equal_the_librarys_on_a_clip_alone(kind, folders):
    encoder, wave = load_encoder(f"hf.{folders[kind]}"), clip(20000)
    card = registry.encoder_card(f"hf.{folders[kind]}")
    transformers = library()
    net = transformers.AutoModel.from_pretrained(folders[kind]).eval()
    net = net.get_encoder() if kind == "whisper" else net
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folders[kind])
    with torch.inference_mode():
        theirs = net(**extractor(wave, sampling_rate=16000, return_tensors="pt"), output_hidden_states=True)
        ours = encoder(*collate(encoder, [clip(20000, 1), wave, clip(9000)])).layers
    assert len(theirs.hidden_states) == encoder.card.layers == card.layers == 3
    assert encoder.card.dims == card.dims
    assert encoder.card.grid[0] == (0.02 if kind == "speech" else 0.0)
    for grid, other in zip(ours, [*theirs.hidden_states[:-1], theirs.last_hidden_state], strict=True):
        torch.testing.assert_close(grid.hidden[1, : int(grid.length[1]), 0], other[0], atol=1e-4, rtol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["speech", "spectrogram"])
def test_fits_the_contract(kind, folders):
    assert check_encoder(load_encoder(f"hf.{folders[kind]}")) == []


@pytest.mark.parametrize("kind", MODELS)
def test_a_copy_can_be_trained_and_answers_alike(kind, folders):
    encoder = load_encoder(f"hf.{folders[kind]}")
    assert np.array_equal(embed(copy.deepcopy(encoder), [clip(20000)], "mean"), embed(encoder, [clip(20000)], "mean"))


def test_agrees_with_the_familys_own_adapter(folders):
    own, waves = wav2vec2.build(wav2vec2.CARDS[0], folders["speech"]), [clip(8000), clip(12000)]
    np.testing.assert_allclose(embed(load_encoder(f"hf.{folders['speech']}"), waves), embed(own, waves), atol=1e-5)


def test_a_crop_is_on_the_card_and_changes_no_embedding(folders):
    encoder, wave = load_encoder(f"hf.{folders['spectrogram']}"), clip(12 * 16000)
    assert encoder.card.max_s == (400 + 160 * 1023) / 16000 and "first 10.26 s" in encoder.card.notes
    assert encoder.card.version == 3  # in 1, no limit was measured, and none is in a key
    whole = encoder.features(torch.from_numpy(wave)[None])
    cut = encoder.features(torch.from_numpy(wave[: 400 + 160 * 1023])[None])
    assert whole.keys() == cut.keys() and all(torch.equal(array, cut[name]) for name, array in whole.items())
    assert load_encoder(f"hf.{folders['whisper']}").card.max_s == 30.0
    assert load_encoder(f"hf.{folders['speech']}").card.max_s is None


def test_heads_are_listed_not_loaded(folders):
    assert "2 tensors not used: lm_head.bias, lm_head.weight" in load_encoder(f"hf.{folders['speech']}").card.notes


def test_names_below_the_weight_folders_and_odd_paths(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("RESPBENCH_WEIGHTS", str(tmp_path))
    (tmp_path / "org" / "v1.5@home").mkdir(parents=True)
    copied(folders["speech"], tmp_path / "org" / "v1.5@home")
    by_name = load_encoder("hf.org/v1.5%40home")
    by_path = load_encoder(f"hf.{tmp_path}/org/v1.5%40home")
    assert by_name.card.id == "hf.org/v1.5%40home"
    assert by_name.weights_digest == by_path.weights_digest
    assert load_encoder("hf.org/v1.5%40home@upstream").card.id == by_name.card.id


def test_hub_ids_are_found_in_the_hubs_cache_and_never_fetched(folders, tmp_path, monkeypatch):
    import huggingface_hub

    real = huggingface_hub.try_to_load_from_cache
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda *a, **how: real(*a, **how, cache_dir=tmp_path)
    )
    with pytest.raises(MissingWeights, match=r"(?s)no transformers model .* the Hub's cache.*hf download org/tiny"):
        load_encoder("hf.org/tiny")
    snapshot = tmp_path / "models--org--tiny" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--org--tiny" / "refs").mkdir()
    (tmp_path / "models--org--tiny" / "refs" / "main").write_text("abc")
    copied(folders["speech"], snapshot)
    assert load_encoder("hf.org/tiny").card.dims["mean"] == 64


def test_ids_that_name_nothing():
    for id in ("hf", "hf."):
        with pytest.raises(UnknownId):
            registry.encoder_card(id)
    with pytest.raises(MissingWeights, match="no transformers model on this machine"):
        registry.encoder_card("hf.not a hub id/x/y")
    for id in ("hf./nowhere/at all", "hf.~/nowhere"):  # a wrong path: nothing to fetch
        with pytest.raises(CheckpointError, match=r"no transformers model on this machine.*write %25 for %") as told:
            registry.encoder_card(id)
        assert not isinstance(told.value, MissingWeights)


def test_untrained_form_has_the_folders_sizes(folders):
    twin, trained = load_encoder(f"random.hf.{folders['speech']}"), load_encoder(f"hf.{folders['speech']}")
    assert twin.card.dims == trained.card.dims
    assert not np.allclose(embed(twin, [clip(8000)]), embed(trained, [clip(8000)]))


def test_missing_and_misshapen_tensors_are_refused(folders, tmp_path):
    path = copied(folders["speech"], tmp_path) / "model.safetensors"
    tensors = load_file(path)
    config = json.loads((tmp_path / "config.json").read_text())
    card = registry.encoder_card(f"hf.{tmp_path}")
    save_file({k: v for k, v in tensors.items() if "layers.1.final_layer_norm" not in k}, path)
    with pytest.raises(CheckpointError, match=r"2 tensors missing: encoder\.layers\.1\.final_layer_norm\.bias"):
        hf.build(card, tmp_path)
    save_file(tensors, path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 32}))
    with pytest.raises(CheckpointError, match=r"tensors misshapen: .*feed_forward"):
        hf.build(card, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged, cut short"):
        hf.build(card, tmp_path)


@pytest.mark.parametrize(
    ("kind", "lie", "said"),
    [
        ("speech", {"num_hidden_layers": 1}, r"16 tensors for which config.json leaves no place: encoder\.layers\.1\."),
        ("speech", {"num_hidden_layers": 3}, r"16 tensors missing: encoder\.layers\.2\."),
        ("speech", {"hidden_size": 32}, "tensors misshapen"),
        ("speech", {"conv_dim": [16] * 6 + [8]}, "tensors misshapen"),
        ("speech", {"conv_kernel": [10, 3, 3, 3, 3, 2, 3]}, "tensors misshapen"),
        ("speech", {"num_conv_pos_embedding_groups": 8}, "tensors misshapen"),
        ("spectrogram", {"num_hidden_layers": 1}, r"tensors for which config.json leaves no place: layers\.1\."),
        ("spectrogram", {"qkv_bias": False}, r"6 tensors for which config.json leaves no place: layers\.0\."),
        ("spectrogram", {"frequency_stride": 16, "time_stride": 16}, "misshapen: embeddings.position_embeddings"),
        ("spectrogram", {"patch_size": 8}, "tensors misshapen"),
        ("whisper", {"encoder_layers": 1}, r"tensors for which config.json leaves no place: encoder\.layers\.1\."),
        ("whisper", {"num_mel_bins": 128}, "misshapen: encoder.conv1.weight"),
        ("whisper", {"max_source_positions": 750}, "misshapen: encoder.embed_positions.weight"),
        ("whisper", {"sampling_rate": 8000}, "its config.json is of 8000 Hz, its feature extractor of 16000 Hz"),
    ],
)
def test_settings_of_another_model_than_the_tensors_are_refused(folders, tmp_path, kind, lie, said):
    path = copied(folders[kind], tmp_path) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | lie))
    with pytest.raises(CheckpointError, match=said):
        load_encoder(f"hf.{tmp_path}")


def changed(folder, target, name, **settings):
    path = copied(folder, target) / name
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return f"hf.{target}"


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        (
            "config.json",
            {"num_hidden_layers": 0},
            r"32 tensors for which config.json leaves no place: encoder\.layers\.0",
        ),
        (
            "config.json",
            {"quantization_config": {"quant_method": "gptq"}},
            r"is quantised \(gptq in its config\.json\)",
        ),
        ("config.json", {"hidden_size": "64"}, r"cannot run it as an audio encoder .*expected int, got str"),
        ("config.json", {"model_type": "wav2vec3"}, "'wav2vec3' is none of .* and no code comes with it"),
        ("config.json", {"model_type": ["wav2vec2"]}, "is none of the installed transformers' own"),
        ("preprocessor_config.json", {"sampling_rate": "16000"}, "sampling_rate is '16000'; give it in whole Hz"),
        ("preprocessor_config.json", {"sampling_rate": 0}, "sampling_rate is 0; give it in whole Hz"),
        ("preprocessor_config.json", {"sampling_rate": 10**9}, "1000000000 Hz; give the rate of its sound, 500 Hz to"),
        ("preprocessor_config.json", {"feature_extractor_type": "Unheard"}, "cannot run it as an audio encoder"),
        (
            "preprocessor_config.json",
            {"feature_extractor_type": "Own", "auto_map": {"AutoFeatureExtractor": "own.Own"}},
            "feature extractor 'Own' is none of the installed transformers' own, so it needs the code",
        ),
        ("config.json", {"auto_map": {"AutoModel": "/elsewhere/own.Own"}}, "names code outside the folder"),
        ("config.json", {"auto_map": {"AutoModel": "../own.Own"}}, "names code outside the folder"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_the_reason(folders, tmp_path, name, settings, said):
    with pytest.raises(BadInput, match=said):
        load_encoder(changed(folders["speech"], tmp_path, name, **settings))


def test_an_adapter_is_told_to_be_merged_first(folders, tmp_path):
    copied(folders["speech"], tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    for id, weights in ((f"hf.{tmp_path}", None), (f"hf.{folders['speech']}", tmp_path)):
        with pytest.raises(CheckpointError, match=r"an adapter of PEFT.*merge it into the model"):
            load_encoder(id, weights)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).unlink()
    for id, weights in ((f"hf.{tmp_path}", None), ("wav2vec2.base", tmp_path)):
        with pytest.raises(CheckpointError, match=r"an adapter of PEFT.*merge it into the model"):
            load_encoder(id, weights)


def test_settings_that_say_tuples_change_no_answer(folders, tmp_path):
    as_saved = load_encoder(f"hf.{folders['speech']}")
    tuples = load_encoder(changed(folders["speech"], tmp_path, "config.json", return_dict=False))
    np.testing.assert_array_equal(embed(tuples, [clip(8000)]), embed(as_saved, [clip(8000)]))
    assert tuples.weights_digest == as_saved.weights_digest and tuples.card.settings != as_saved.card.settings


def test_a_change_of_the_front_end_is_another_settings_digest(folders, tmp_path):
    id = changed(folders["speech"], tmp_path, "preprocessor_config.json", do_normalize=False)
    assert registry.encoder_card(id).settings != registry.encoder_card(f"hf.{folders['speech']}").settings
    path = tmp_path / "config.json"  # what changes no number
    path.write_text(json.dumps(json.loads(path.read_text()) | {"transformers_version": "0", "architectures": []}))
    other = registry.encoder_card(id).settings
    path.write_text(json.dumps(json.loads(path.read_text()) | {"layer_norm_eps": 0.1}))
    assert registry.encoder_card(id).settings != other


def test_buffers_of_older_files_are_no_larger_network(folders, tmp_path):
    path = copied(folders["speech"], tmp_path) / "model.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"wav2vec2.encoder.position_ids": torch.arange(4)}, path, metadata={"format": "pt"})
    assert "position_ids" in load_encoder(f"hf.{tmp_path}").card.notes


def test_nothing_is_run_unasked(folders, tmp_path):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (marker.touch, ())

    copied(folders["speech"], tmp_path)
    card = registry.encoder_card(f"hf.{tmp_path}")
    (tmp_path / "model.safetensors").unlink()
    torch.save({"x": Evil()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="asks to build or call"):
        hf.build(card, tmp_path)
    (tmp_path / "own.py").write_text(f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n")
    auto = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(auto))
    with pytest.raises(CodeNotTrusted, match="needs the code that comes with it"):
        hf.build(card, tmp_path)
    assert not marker.exists()


def test_models_that_hear_nothing_are_refused(folders, tmp_path):
    transformers = library()
    transformers.BertModel(transformers.BertConfig(hidden_size=16, **BLOCKS)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="names no sampling rate"):
        registry.encoder_card(f"hf.{tmp_path}")
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(BadInput, match="needs input_ids, which its feature extractor does not give"):
        load_encoder(f"hf.{tmp_path}")


KINDS = {
    "SEW, its last layer longer": ("SEWModel", SPEECH | {"conv_dim": [16] * 13}, "Wav2Vec2FeatureExtractor", 4),
    "a part that hears": (
        "VoxtralForConditionalGeneration",
        {
            "audio_config": BLOCKS | {"hidden_size": 64, "num_mel_bins": 80, "intermediate_size": 256},
            "text_config": BLOCKS | {"model_type": "llama", "hidden_size": 32, "vocab_size": 64},
        },
        "WhisperFeatureExtractor",
        3,
    ),
    "a head": (
        "ParakeetForCTC",
        {
            "vocab_size": 16, "pad_token_id": 15,
            "encoder_config": BLOCKS | {"hidden_size": 64, "subsampling_conv_channels": 16},
        },
        "ParakeetFeatureExtractor",
        3,
    ),
    "silence over its spread": ("Speech2TextModel", WHISPER | {"conv_channels": 32}, "Speech2TextFeatureExtractor", 3),
    "wants the mask of frames": (
        "AudioFlamingo3Encoder",
        BLOCKS | {"hidden_size": 64, "num_mel_bins": 80},
        "WhisperFeatureExtractor",
        3,
    ),
    "needs 0.15 s": (
        "LasrEncoder",
        BLOCKS | {"hidden_size": 64, "num_key_value_heads": 2, "subsampling_conv_channels": 16},
        "LasrFeatureExtractor",
        3,
    ),
}  # fmt: skip


def of_kind(folder, model, sizes, extractor):
    network = getattr(library(), model)
    torch.manual_seed(0)
    network(network.config_class(**sizes)).save_pretrained(folder)
    getattr(library(), extractor)().save_pretrained(folder)
    return f"hf.{folder}"


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_models_of_many_kinds_keep_the_contract(kind, tmp_path):
    *how, layers = KINDS[kind]
    encoder = load_encoder(of_kind(tmp_path, *how))
    assert check_encoder(encoder) == [] and encoder.card.layers == layers
    assert encoder.card.min_s == (pytest.approx(0.15, abs=0.01) if kind == "needs 0.15 s" else 0.1)


@pytest.mark.parametrize(
    ("model", "sizes", "extractor", "said"),
    [
        (
            "EncodecModel",
            {"num_filters": 4, "hidden_size": 16, "codebook_size": 16, "codebook_dim": 16},
            "EncodecFeatureExtractor",
            r"answers with .*audio_codes.* neither last_hidden_state nor hidden_states.*HEAR module",
        ),
        (
            "ClapAudioModelWithProjection",
            {"patch_embeds_hidden_size": 16, "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 2, 2]}
            | {"hidden_size": 128, "projection_dim": 16},
            "ClapFeatureExtractor",
            "AutoModel has none for model type clap_audio_model",
        ),
    ],
)
def test_what_is_no_encoder_says_so(model, sizes, extractor, said, tmp_path):
    with pytest.raises(BadInput, match=said):
        load_encoder(of_kind(tmp_path, model, sizes, extractor))
