import json

import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import BadInput, CheckpointError
from bench.encoders.batches import embed
from bench.encoders.weights import licences
from model_zoo import hear
from model_zoo._networks import google_hear
from parity.golden import COMPACT, Golden


@pytest.fixture
def weights(tmp_path):
    return Golden(COMPACT, "hear_pytorch").checkpoint(tmp_path)


def build(weights, id="hear.google"):
    return hear.build(registry.encoder_card(id), weights)


def clip(seconds, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(round(16000 * seconds))).astype(np.float32)


def test_a_clip_does_not_depend_on_a_loud_companion_and_is_not_overwritten(weights):
    encoder, quiet = build(weights), clip(2.0)
    loud = (20 * clip(2.0, 1)).clip(-1, 1)
    wave = torch.from_numpy(np.stack([quiet, loud]))
    before = wave.clone()
    with torch.inference_mode():
        together = encoder(wave, torch.tensor([32000, 32000]))
    assert torch.equal(wave, before)
    np.testing.assert_allclose(together.clip[:1], embed(encoder, [quiet], None), atol=1e-5)


@pytest.mark.parametrize("id", ["hear.google", "hear.google@joint"])
def test_level_and_constant_offset_cancel(weights, id):
    encoder, wave = build(weights, id), clip(4.0)
    moved = (0.3 * wave + 0.2).astype(np.float32)
    np.testing.assert_allclose(embed(encoder, [moved], None), embed(encoder, [wave], None), atol=2e-4)


def test_a_clip_is_the_mean_of_its_windows_and_joint_scales_them_together(weights):
    own, joint = build(weights), build(weights, "hear.google@joint")
    parts = [clip(2.0), 0.1 * clip(2.0, 1), clip(0.7, 2)]
    whole = np.concatenate(parts)
    np.testing.assert_allclose(embed(own, [whole], None)[0], embed(own, parts, None).mean(axis=0), atol=1e-5)
    assert np.abs(embed(joint, [whole], None) - embed(own, [whole], None)).max() > 1e-2
    np.testing.assert_allclose(embed(joint, parts, None), embed(own, parts, None), atol=1e-5)  # a window each
    mixed = embed(joint, [whole, parts[2]], None)  # zeros behind the short one are none of its extremes
    np.testing.assert_allclose(mixed[1:], embed(joint, parts[2:], None), atol=1e-5)


def test_files_of_both_layouts_are_the_same_network(weights, tmp_path):
    tensors = torch.load(weights, weights_only=True)
    renamed = {}
    for key, tensor in tensors.items():
        for old, new in (
            ("encoder.layer.", "layers."),
            (".attention.attention.query.", ".attention.q_proj."),
            (".attention.attention.key.", ".attention.k_proj."),
            (".attention.attention.value.", ".attention.v_proj."),
            (".attention.output.dense.", ".attention.o_proj."),
            (".intermediate.dense.", ".mlp.fc1."),
            (".output.dense.", ".mlp.fc2."),
        ):
            key = key.replace(old, new)
        renamed[key] = tensor
    torch.save(renamed, tmp_path / "new.pt")
    wave = [clip(1.0)]
    np.testing.assert_array_equal(embed(build(tmp_path / "new.pt"), wave, None), embed(build(weights), wave, None))


def test_files_that_do_not_fit_are_refused(weights, tmp_path):
    tensors = torch.load(weights, weights_only=True)
    key = "encoder.layer.1.attention.attention.key.bias"

    def without(name, **other):
        torch.save({k: v for k, v in tensors.items() if k != name} | other, tmp_path / "other.pt")
        return tmp_path / "other.pt"

    with pytest.raises(CheckpointError, match=r"lacks query, key or value .*blocks\.1\.attn"):
        build(without(key))
    with pytest.raises(CheckpointError, match="lacks query, key or value"):
        build(without("", **{key: torch.zeros(7)}))
    with pytest.raises(CheckpointError, match=r"missing: norm\.bias"):
        build(without("layernorm.bias"))
    with pytest.raises(CheckpointError, match="98 positions"):
        build(without("", **{"embeddings.position_embeddings": torch.zeros(1, 98, 128)}))
    with pytest.raises(CheckpointError, match="neither used nor declared ignored: classifier"):
        build(without("", **{"classifier.weight": torch.zeros(2, 2)}))


def test_a_configuration_that_asks_for_another_function_is_refused(weights, tmp_path):
    folder = tmp_path / "hear-pytorch"
    folder.mkdir()
    torch.save(torch.load(weights, weights_only=True), folder / "pytorch_model.bin")
    said = {"hidden_act": "gelu_fast", "layer_norm_eps": 1e-6, "pooler_act": "linear"}
    (folder / "config.json").write_text(json.dumps(said))
    np.testing.assert_array_equal(embed(build(folder), [clip(1.0)], None), embed(build(weights), [clip(1.0)], None))
    lies = {"hidden_act": "gelu", "layer_norm_eps": 1e-12, "pooler_act": "tanh", "patch_size": 8, "hidden_size": 3}
    for name, other in lies.items():
        (folder / "config.json").write_text(json.dumps(said | {name: other}))
        with pytest.raises(CheckpointError, match=f"config.json says {name} {other!r}"):
            build(folder)


def test_it_is_told_from_modules_of_the_api(weights, tmp_path, monkeypatch):
    assert registry.encoder_card("hear.google") is google_hear.CARD
    assert hear.has_untrained(google_hear.CARD) and registry.encoder_card("random.hear.google").weights == ()
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "google.py").write_text("NOTHING = 1\n")
    monkeypatch.setattr(hear, "module_file", lambda name: tmp_path / f"{name}.py")  # whatever is installed here
    build(weights)  # a module of that name that is none of the API's
    api = "".join(f"def {name}(*given): ...\n" for name in hear.FUNCTIONS)
    (tmp_path / "google.py").write_text(api)
    with pytest.raises(BadInput, match=r"hear\.google: .*google\.py is a module of the HEAR API.*rename the module"):
        build(weights)


def test_its_terms_are_agreed_to_first():
    assert "Health AI Developer Foundations" in licences.terms(google_hear.CARD)
