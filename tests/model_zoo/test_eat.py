import json

import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.encoders.batches import collate, embed
from model_zoo import eat, sslam
from model_zoo._networks import eat as network
from model_zoo._networks import vit
from parity.golden import COMPACT, Golden, synthetic_signal


@pytest.fixture
def weights(tmp_path):
    return Golden(COMPACT, "eat").checkpoint(tmp_path)


def build(weights, policy=""):
    return eat.build(registry.encoder_card(f"eat.base{policy}"), weights)


def encoded(encoder, *waves):
    with torch.inference_mode():
        return encoder(*collate(encoder, list(waves)))


@pytest.mark.parametrize("form", ["finetuned", "fairseq"])
def test_every_released_layout_is_the_same_network(weights, tmp_path, form):
    """The fairseq file holds a teacher under the very same names."""
    (tmp_path / form).mkdir()
    wave = [synthetic_signal(1.0, 16000)]
    other = Golden(COMPACT, "eat").checkpoint(tmp_path / form, form)
    np.testing.assert_array_equal(embed(build(other), wave, None), embed(build(weights), wave, None))


def test_fine_tuned_and_half_precision_files_of_fairseq_are_read(weights, tmp_path):
    (tmp_path / "fairseq").mkdir()
    content = torch.load(Golden(COMPACT, "eat").checkpoint(tmp_path / "fairseq", "fairseq"), weights_only=True)
    held = {name: tensor for name, tensor in content["model"].items() if name != "_ema"}
    tuned = {f"model.{name}": tensor.half() for name, tensor in held.items()}
    heads = {"fc_norm.weight": torch.ones(128), "head.weight": torch.zeros(8, 128)}
    torch.save({**content, "model": tuned | heads}, tmp_path / "tuned.pt")
    wave, encoder = [synthetic_signal(1.0, 16000)], build(tmp_path / "tuned.pt")
    assert next(encoder.parameters()).dtype == torch.float32
    np.testing.assert_allclose(embed(encoder, wave, None), embed(build(weights), wave, None), atol=2e-2)


def test_sslam_is_the_same_network_under_another_name(weights):
    wave = [synthetic_signal(1.0, 16000)]
    other = sslam.build(registry.encoder_card("sslam.base"), weights)
    assert other.card.id == "sslam.base" and other.card.weights != eat.CARDS[0].weights
    np.testing.assert_array_equal(embed(other, wave, None), embed(build(weights), wave, None))


def test_what_is_cut_and_what_is_filled_up(weights):
    long = synthetic_signal(12.0, 16000)
    tokens, own = encoded(build(weights), long), encoded(build(weights, "@own"), long)
    assert (tokens.layers[-1].hidden.shape[1], int(tokens.layers[-1].valid)) == (64, 64)
    assert (own.layers[-1].hidden.shape[1], own.layers[-1].valid) == (75, None)
    short = encoded(build(weights), long[:4000]).layers[-1]
    assert (int(short.length), int(short.valid)) == (64, 2)
    assert build(weights).card.max_s == 10.255
    assert build(weights, "@own").card.max_s == (400 + 160 * (96 * 16 - 1)) / 16000


def test_policies_publish_the_class_token_or_the_mean_of_all_tokens(weights):
    wave = synthetic_signal(1.0, 16000)
    tokens, evar = encoded(build(weights), wave), encoded(build(weights, "@evar"), wave)
    last = tokens.layers[-1]
    torch.testing.assert_close(tokens.clip, last.cls)
    total = last.cls + last.hidden.sum(dim=(1, 2))
    torch.testing.assert_close(evar.clip, total / 513)


def test_padding_is_zero_before_it_is_normalised(weights):
    encoder = build(weights)
    fbank = encoder.fbank(*collate(encoder, [synthetic_signal(0.4, 16000)]))[0]
    assert fbank.shape == (1024, 128)
    torch.testing.assert_close(fbank[38:], torch.full((986, 128), 4.268 / 9.138))


def test_files_that_do_not_fit_are_refused(weights, tmp_path):
    tensors = torch.load(weights, weights_only=True)
    positions = "model.fixed_positional_encoder.positions"
    for change, problem in (
        ({"model.pre_norm.bias": None}, r"missing: pre_norm\.bias"),
        ({"model.extra_tokens": None}, "missing: extra_tokens"),
        ({positions: None}, "lacks the tensors of EAT"),
        ({positions: torch.zeros(1, 100, 128)}, "100 positions"),
        ({"model.norm.weight": torch.ones(128)}, r"neither used nor declared ignored: norm\.weight"),
    ):
        held = {name: tensor for name, tensor in (tensors | change).items() if tensor is not None}
        torch.save(held, tmp_path / "other.pt")
        with pytest.raises(CheckpointError, match=problem):
            build(tmp_path / "other.pt")


def test_a_configuration_of_another_function_is_refused(weights, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    torch.save(torch.load(weights, weights_only=True), folder / "pytorch_model.bin")
    said = {"layer_norm_first": False, "norm_eps": 1e-6, "mel_bins": 128, "patch_size": 16, "num_heads": 2}
    (folder / "config.json").write_text(json.dumps(said))
    build(folder)
    for name, other in (("layer_norm_first", True), ("norm_eps", 1e-5), ("num_heads", 4)):
        (folder / "config.json").write_text(json.dumps(said | {name: other}))
        with pytest.raises(CheckpointError, match=f"config.json says {name} {other!r}"):
            build(folder)


def test_untrained(monkeypatch):
    monkeypatch.setattr(network, "BASE", vit.Geometry(64, 1, 64, norm_first=False))
    encoder = build(None)
    table = encoder.net.fixed_positional_encoder.positions
    torch.testing.assert_close(table[0], vit.sinusoids(64, (768, 8)))
    assert 0 < float(encoder.net.extra_tokens.detach().std()) < 0.05
