"""A checkpoint of one's own in place of an encoder's weights: read however it was saved, or refused with the reason."""

import collections
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench.base.errors import CheckpointError
from bench.base.optional_imports import import_torchaudio
from bench.encoders.batches import embed
from bench.encoders.load import load_encoder
from bench.encoders.weights.unwrap import left_in_place

ID, RELEASE = "efficientat.mn04", "mn04_as_mAP_432.pt"
HEADS = {"head.weight": torch.ones(4, 384), "loss.weight": torch.ones(4)}
STATES = {
    "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}],
    "epoch": 3,
    "hyper_parameters": {"lr": 1e-3},
}


class Mine:
    """Of the code that trained; a pickle may ask for it."""


def wave():
    return (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)


@pytest.fixture(scope="module")
def tensors():
    """Those of a network that was trained further, so to speak: untrained ones, and a tenth."""
    net = load_encoder(f"random.{ID}").encoder
    return {name: 1.1 * t if t.is_floating_point() else t for name, t in net.state_dict().items()}


def prefixed(tensors, prefix):
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def in_parts(tensors, *parts):
    """Tensors with others in the place of one weight."""
    layer = "features.5.block.0.0."
    whole = tensors[f"{layer}weight"]
    return {n: t for n, t in tensors.items() if n != f"{layer}weight"} | {f"{layer}{part}": whole for part in parts}


def sharded(tensors, folder):
    folder.mkdir()
    halves = [dict(list(tensors.items())[i::2]) for i in (0, 1)]
    for i, half in enumerate(halves):
        save_file(half, folder / f"model-{i}.safetensors", metadata={"format": "pt"})
    places = {name: f"model-{i}.safetensors" for i, half in enumerate(halves) for name in half}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


SAVED = {
    "plain": lambda tensors: collections.OrderedDict(tensors),
    "lightning, model": lambda tensors: {"state_dict": prefixed(tensors, "model."), **STATES},
    "lightning, encoder and heads": lambda tensors: {"state_dict": prefixed(tensors, "encoder.") | HEADS, **STATES},
    "heads beside a module in a module": lambda tensors: prefixed(tensors, "net.encoder.") | prefixed(HEADS, "net."),
    "DataParallel": lambda tensors: prefixed(tensors, "module."),
    "compiled": lambda tensors: {"model_state_dict": prefixed(tensors, "_orig_mod.")},
    "another number of classes": lambda tensors: (
        tensors | {"classifier.5.weight": torch.ones(4, 512), "classifier.5.bias": torch.ones(4)}
    ),
    "in an entry of an entry": lambda tensors: {"ema": {"state_dict": tensors}},
    "double precision": lambda tensors: {n: t.double() if t.is_floating_point() else t for n, t in tensors.items()},
    "tied": lambda tensors: tensors | {"classifier.2.weight": next(iter(tensors.values()))},
}


@pytest.mark.parametrize("way", SAVED)
def test_a_network_is_found_however_it_was_saved(tensors, tmp_path, way):
    torch.save(SAVED[way](tensors), tmp_path / "own.ckpt")
    encoder = load_encoder(ID, tmp_path / "own.ckpt")
    own = encoder.state_dict()
    assert own and all(torch.equal(own[name], tensors[name].to(own[name].dtype)) for name in own)
    assert ("2 tensors not used: " in encoder.card.notes) == ("heads" in way)


def test_safetensors_whole_and_in_shards_hold_the_same_network(tensors, tmp_path):
    save_file(tensors, tmp_path / "own.safetensors")
    folder = sharded(tensors, tmp_path / "shards")
    paths = (tmp_path / "own.safetensors", folder, folder / "model.safetensors.index.json")
    vectors = [embed(load_encoder(ID, path), [wave()]) for path in paths]
    assert all(np.array_equal(vectors[0], other) for other in vectors[1:])


def test_half_precision_is_computed_in_full(tensors, tmp_path):
    halves = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    torch.save(halves, tmp_path / "own.pt")
    own = load_encoder(ID, tmp_path / "own.pt").state_dict()
    assert all(t.dtype == torch.float32 for t in own.values() if t.is_floating_point())
    assert all(torch.equal(own[name], halves[name].to(own[name].dtype)) for name in own)


def test_a_network_that_has_weights_in_parts_is_not_told_to_undo_them(tensors):
    content = {"conv.parametrizations.weight.original0": torch.ones(2), "fc.bias": torch.ones(2)}
    assert left_in_place(content, "1 missing: fc.weight") == ("", "")
    assert left_in_place(content, "1 missing: conv.weight")[0].startswith("it holds weights in parts: conv.")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: {}, "holds no tensors by name"),
        (lambda t: [t], "holds a list, not named tensors"),
        (lambda t: {"state_dict": t, "config": Mine()}, r"asks to build or call .*Mine"),
        (lambda t: {"state_dict": t, "ema": {"state_dict": t}}, "holds the network in 2 places"),
        (lambda t: prefixed(t, "student.") | prefixed(t, "teacher."), "holds the network in 2 places"),
        (
            lambda t: {n: x for n, x in t.items() if "features.5." not in n},
            rf"it lacks 22 of the \d+ tensors of {RELEASE}: features\.5\.block\.0\.0\.weight, ",
        ),
        (
            lambda t: prefixed({n: x for n, x in t.items() if n != "features.5.block.0.1.bias"}, "model."),
            r"1 missing: features\.5\.block\.0\.1\.bias",
        ),
        (lambda t: {n.replace("features", "feats"): x for n, x in t.items()}, rf"it lacks \d+ of .* of {RELEASE}"),
        (lambda t: HEADS, rf"it lacks (\d+) of the \1 tensors of {RELEASE}: features\.0\.0\.weight"),
        (lambda t: t | {"features.0.0.weight": torch.full((8, 1, 3, 3), torch.nan)}, "1 not finite: features"),
        (
            lambda t: prefixed(t | {"features.0.0.lora_A": torch.ones(2)}, "model."),
            "neither used .*lora_A; it holds low-rank adapters: .*; merge them into the weights before saving",
        ),
        (
            lambda t: prefixed(in_parts(t, "base_layer.weight"), "base_model.model."),
            "low-rank adapters: .*; merge them",
        ),
        (
            lambda t: in_parts(t, "weight_g", "weight_v"),
            r"weights in parts: features\.5.*weight_v; .*remove_weight_norm",
        ),
        (lambda t: in_parts(t, "parametrizations.weight.original0"), "weights in parts: .*remove_parametrizations"),
        (lambda t: in_parts(t, "weight_orig", "weight_mask"), r"pruned weights: .*; .*prune\.remove"),
        (lambda t: in_parts(t, "weight_orig", "weight_u"), "weights in parts: .*; .*remove_spectral_norm"),
        (lambda t: t | {"adapter.weight": torch.ones(2)}, "neither used .*adapter.weight; .* save the file without"),
    ],
)
def test_what_is_not_all_of_the_network_is_refused_with_the_names(tensors, tmp_path, monkeypatch, change, said):
    monkeypatch.setenv("RESPBENCH_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    torch.save(tensors, tmp_path / "weights" / RELEASE)
    torch.save(change(dict(tensors)), tmp_path / "own.ckpt")
    with pytest.raises(CheckpointError, match=rf"(?s){said}"):
        load_encoder(ID, tmp_path / "own.ckpt")


# ------------------------------------------------------------------ of transformers


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    import_torchaudio()
    import transformers

    folder = tmp_path_factory.mktemp("parent")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    speech = sizes | {"conv_dim": [8] * 7, "num_conv_pos_embedding_groups": 4}
    transformers.HubertModel(transformers.HubertConfig(**speech)).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def further(parent, folder, **settings):
    """The parent trained further, for classes: saved as the library does, without its feature extractor."""
    import transformers

    net = transformers.HubertForSequenceClassification.from_pretrained(parent, num_labels=4, **settings)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.1)
    net.save_pretrained(folder)
    return net


def test_a_folder_and_a_state_dict_of_ones_own_stand_in_for_the_parents(parent, tmp_path):
    net = further(parent, tmp_path / "own")
    torch.save({"state_dict": prefixed(net.state_dict(), "model."), **STATES}, tmp_path / "own.ckpt")
    released = load_encoder(f"hf.{parent}")
    vectors = [embed(released, [wave()])]
    for path in (tmp_path / "own", tmp_path / "own.ckpt"):  # the feature extractor is the parent's
        encoder = load_encoder(f"hf.{parent}", path)
        assert "tensors not used: " in encoder.card.notes and "classifier.weight" in encoder.card.notes
        assert encoder.weights_digest != released.weights_digest
        vectors.append(embed(encoder, [wave()]))
    assert not np.allclose(vectors[0], vectors[1]) and np.allclose(vectors[1], vectors[2], atol=1e-5)


def test_settings_that_change_an_embedding_are_part_of_the_card(parent, tmp_path):
    further(parent, tmp_path / "own")
    further(parent, tmp_path / "other", hidden_act="relu")
    cards = [load_encoder(f"hf.{parent}", tmp_path / name).card for name in ("own", "other")]
    assert cards[0].settings != cards[1].settings


def test_a_checkpoint_of_another_kind_of_model_is_told_to_stand_for_itself(parent, tmp_path):
    import transformers

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    transformers.ASTModel(transformers.ASTConfig(**sizes)).save_pretrained(tmp_path)
    with pytest.raises(
        CheckpointError, match=rf"is of model type audio-spectrogram-transformer, .* name it by itself: hf\.{tmp_path}"
    ):
        load_encoder(f"hf.{parent}", tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: torch.full_like(t, torch.nan), "1 tensors not finite: encoder.layers.0.attention.k_proj.weight"),
        (lambda t: torch.full_like(t, torch.inf), "1 tensors not finite: encoder.layers.0.attention.k_proj.weight"),
        (
            lambda t: (100 * t).to(torch.int8),
            "1 tensors of whole numbers in the place of weights: encoder.layers.0.att",
        ),
    ],
)
def test_tensors_that_are_no_weights_are_refused(parent, tmp_path, change, said):
    net = further(parent, tmp_path / "own")
    tensors = net.hubert.state_dict()
    name = "encoder.layers.0.attention.k_proj.weight"
    torch.save(tensors | {name: change(tensors[name])}, tmp_path / "own.pt")
    with pytest.raises(CheckpointError, match=said):
        load_encoder(f"hf.{parent}", tmp_path / "own.pt")


def test_folders_that_lack_a_file_say_which_and_where_it_comes_from(parent, tmp_path):
    further(parent, tmp_path / "own")
    with pytest.raises(
        CheckpointError, match=r"preprocessor_config\.json; .*copy that file from the folder of the model"
    ):
        load_encoder(f"hf.{tmp_path / 'own'}")
    (tmp_path / "own" / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"own holds no config\.json; .*save_pretrained.*ID="):
        load_encoder(f"hf.{tmp_path / 'own'}")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is a file, not a folder"):
        load_encoder(f"hf.{tmp_path / 'own' / 'model.safetensors'}")
