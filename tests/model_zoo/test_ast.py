import importlib.util

import numpy as np
import pytest
import torch

from bench.encoder_contract import check_encoder
from bench.encoders import embed
from bench.errors import CheckpointError
from bench.pooling import pool
from model_zoo import ast
from model_zoo._compat import import_torchaudio

CARD = ast.CARDS[0]


@pytest.fixture(scope="module")
def port():
    """A tiny transformers port of AST, with its head."""
    import_torchaudio()
    from transformers import ASTConfig, ASTForAudioClassification

    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 96}
    torch.manual_seed(0)
    net = ASTForAudioClassification(ASTConfig(layer_norm_eps=1e-6, **sizes)).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net


@pytest.fixture(scope="module")
def folder(port, tmp_path_factory):
    path = tmp_path_factory.mktemp("ast")
    port.save_pretrained(path)
    return path


def _module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_equals_the_original(golden, tmp_path):
    torch.save(_module(golden / "make_ckpt.py").checkpoint("ast"), tmp_path / "ast.pth")
    encoder = ast.build(CARD, tmp_path / "ast.pth")
    arrays, signals = np.load(golden / "ast" / "golden.npz"), np.load(golden / "signals.npz")
    assert encoder.card.dims["freq"] == 12 * 192
    names = ["s04", "s5", "s12"]
    lengths = torch.tensor([min(len(signals[f"{n}_16000"]), ast.SAMPLES) for n in names])
    wave = torch.zeros(3, ast.SAMPLES)
    for row, name, n in zip(wave, names, lengths, strict=True):
        row[:n] = torch.from_numpy(signals[f"{name}_16000"][:n])
    with torch.inference_mode():
        fbank, tokens = encoder.fbank(wave, lengths), encoder(wave, lengths)
        found = {"mean": pool(tokens), "freq": pool(tokens, -1, "freq"), "clsdist": tokens.clip}
    patches = tokens.layers[-1].hidden.transpose(1, 2).flatten(1, 2)  # frequency-major
    for i, name in enumerate(names):
        np.testing.assert_allclose(fbank[i], arrays[f"{name}/fbank"], atol=2e-4, rtol=2e-4)
        np.testing.assert_allclose(patches[i], arrays[f"{name}/tokens"][2:], atol=3e-4, rtol=3e-4)
        np.testing.assert_allclose(tokens.layers[-1].cls[i], arrays[f"{name}/tokens"][0], atol=3e-4, rtol=3e-4)
        for key, value in found.items():
            np.testing.assert_allclose(value[i], arrays[f"{name}/{key}"], atol=1e-4, rtol=1e-4)


def test_hub_folder_equals_transformers(port, folder):
    encoder = ast.build(CARD, folder)
    wave = torch.from_numpy(0.1 * np.random.default_rng(0).standard_normal((1, ast.SAMPLES)).astype(np.float32))
    length = torch.tensor([20000])
    wave[:, 20000:] = 0
    with torch.inference_mode():
        tokens = encoder(wave, length)
        theirs = port.audio_spectrogram_transformer(encoder.fbank(wave, length))
    torch.testing.assert_close(tokens.clip, theirs.pooler_output, atol=1e-5, rtol=1e-5)
    assert tokens.layers[0].valid.tolist() == [13]  # 123 frames, a patch every 10
    assert tokens.layers[0].length.tolist() == [101]


def test_fits_the_contract(folder):
    assert check_encoder(ast.build(CARD, folder)) == []


def test_poolings_that_only_this_encoder_gives(folder):
    encoder = ast.build(CARD, folder)
    wave = np.random.default_rng(0).standard_normal(16000).astype(np.float32) / 10
    assert embed(encoder, [wave], "cls").shape == (1, 64)
    assert embed(encoder, [wave], None).shape == (1, 64)


def test_gaps_are_refused(port, tmp_path):
    state = {k: v.clone() for k, v in port.state_dict().items()}
    state.pop("audio_spectrogram_transformer.layers.1.mlp.fc1.bias")
    torch.save(state, tmp_path / "ast.pth")
    with pytest.raises(CheckpointError, match=r"missing: layers\.1\.mlp\.fc1\.bias"):
        ast.build(CARD, tmp_path / "ast.pth")
    torch.save({"x": torch.zeros(1)}, tmp_path / "ast.pth")
    with pytest.raises(CheckpointError, match="lacks the tensors of an AST"):
        ast.build(CARD, tmp_path / "ast.pth")
