import json

import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.base.optional_imports import import_torchaudio
from bench.encoders.batches import collate, embed
from bench.encoders.contract import check_encoder
from model_zoo import ast

CARD, EVAR = ast.CARDS[0], registry.encoder_card("ast.base@evar")
CROSSED = registry.encoder_card("ast.base@release-positions")


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


@pytest.mark.long
@pytest.mark.parametrize("card", [CARD, EVAR, CROSSED], ids=lambda card: card.policy)
def test_fits_the_contract(card, folder):
    assert check_encoder(ast.build(card, folder)) == []


def slow_cross(table, shape, times):
    """Positions as the release gives them to the patch at (band, column), number by number."""
    bands, columns = shape
    grid = table[0, 2:].reshape(bands, columns, -1)
    first = columns // 2 - bands // 2
    square = [[grid[f, first + t] for t in range(bands)] for f in range(bands)]
    rows = []
    for i in range(times):
        if times <= bands:
            rows.append(square[i + bands // 2 - times // 2])
            continue
        at = max((i + 0.5) * bands / times - 0.5, 0.0)  # bilinear, corners not aligned
        low = min(int(at), bands - 1)
        high, share = min(low + 1, bands - 1), at - low
        rows.append([(1 - share) * square[low][t] + share * square[high][t] for t in range(bands)])
    laid_out = [position for row in rows for position in row]
    return torch.stack([*table[0, :2], *laid_out])[None]


@pytest.mark.parametrize("times", [2, 3, 4, 7, 11])
def test_cross_positions_are_those_of_the_release(times):
    table = torch.randn(1, 2 + 4 * 9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    crossed = ast.cross_positions(table, (4, 9), times)
    torch.testing.assert_close(crossed, slow_cross(table, (4, 9), times), atol=1e-12, rtol=0)
    assert crossed.shape == ast.fit_positions(table, (4, 9), times).shape
    if times != 4:
        assert (crossed - ast.fit_positions(table, (4, 9), times)).abs().max() > 0.1


def test_release_positions_differ_from_evar_in_positions_alone(folder):
    crossed, own = ast.build(CROSSED, folder), ast.build(EVAR, folder)
    (clip,) = _clips(20000)
    assert np.abs(embed(crossed, [clip], None) - embed(own, [clip], None)).max() > 1e-5  # of numbers about 0.1
    for net in (crossed, own):
        torch.nn.init.zeros_(net.model.embeddings.position_embeddings)
    np.testing.assert_array_equal(embed(crossed, [clip], None), embed(own, [clip], None))


def _clips(*sizes):
    rng = np.random.default_rng(0)
    return [(rng.uniform(0.01, 0.2) * rng.standard_normal(n)).astype(np.float32) for n in sizes]


def test_evar_keeps_a_clips_own_length(folder):
    own, padded = ast.build(EVAR, folder), ast.build(CARD, folder)
    short, full = _clips(20000, ast.SAMPLES)
    with torch.inference_mode():
        grid = own(*collate(own, [short])).layers[-1]
    assert grid.hidden.shape[1:3] == (11, 12)  # 123 frames
    assert grid.length.tolist() == grid.valid.tolist() == [11]
    np.testing.assert_allclose(embed(own, [full], "freq"), embed(padded, [full], "freq"), atol=1e-5)
    assert np.abs(embed(own, [short], None) - embed(padded, [short], None)).max() > 1e-3
    sizes = [400, 2799, 2800, 4399, 4400]  # 16 frames make one patch, every ten more another
    assert [own.batch_length(n) for n in sizes] == [4399, 4399, 4399, 4399, 5999]


def test_evar_takes_the_statistics_of_the_training_clips(folder):
    encoder = ast.build(EVAR, folder)
    assert encoder.needs_stats
    waves = _clips(3000, 9000, 9100, 30000)
    values = np.concatenate(
        [encoder.frontend(torch.from_numpy(wave)[None]).numpy().ravel() for wave in waves], dtype=np.float64
    )
    before = embed(encoder, waves[:1], None)
    for _ in range(2):  # measuring again starts afresh
        encoder.fit_stats([collate(encoder, waves[:1]), collate(encoder, waves[1:])])
        np.testing.assert_allclose(float(encoder.mean), values.mean(), rtol=1e-5)
        np.testing.assert_allclose(float(encoder.std), values.std(), rtol=1e-5)
    assert np.abs(embed(encoder, waves[:1], None) - before).max() > 1e-3
    wave, length = collate(encoder, waves[:1])
    raw = encoder.frontend(torch.from_numpy(waves[0])[None])
    torch.testing.assert_close(encoder.fbank(wave, length), (raw - encoder.mean) / (2 * encoder.std))


def test_evar_survives_statistics_of_silence(folder):
    encoder = ast.build(EVAR, folder)
    silence = np.zeros(16000, np.float32)
    encoder.fit_stats([collate(encoder, [silence])])
    assert np.isfinite(embed(encoder, [silence, *_clips(16000)], None)).all()


def test_poolings_that_only_this_encoder_gives(folder):
    encoder = ast.build(CARD, folder)
    (wave,) = _clips(16000)
    assert embed(encoder, [wave], "cls").shape == (1, 64)
    assert embed(encoder, [wave], None).shape == (1, 64)


@pytest.mark.parametrize(
    ("file", "lie"),
    [
        ("config.json", {"hidden_size": 128}),
        ("config.json", {"num_hidden_layers": 1}),
        ("config.json", {"num_attention_heads": 2}),
        ("config.json", {"patch_size": 8}),
        ("config.json", {"time_stride": 16}),
        ("config.json", {"model_type": "vit"}),
        ("preprocessor_config.json", {"sampling_rate": 8000}),
        ("preprocessor_config.json", {"mean": -5.0}),
    ],
)
def test_settings_of_another_model_than_the_tensors_are_refused(folder, tmp_path, file, lie):
    from transformers import ASTFeatureExtractor

    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    ASTFeatureExtractor().save_pretrained(tmp_path)
    ast.build(CARD, tmp_path)
    path = tmp_path / file
    path.write_text(json.dumps(json.loads(path.read_text()) | lie))
    with pytest.raises(CheckpointError, match=f"its {file} says {next(iter(lie))}"):
        ast.build(CARD, tmp_path)


def test_gaps_are_refused(port, tmp_path):
    state = {k: v.clone() for k, v in port.state_dict().items()}
    state.pop("audio_spectrogram_transformer.layers.1.mlp.fc1.bias")
    torch.save(state, tmp_path / "ast.pth")
    with pytest.raises(CheckpointError, match=r"missing: layers\.1\.mlp\.fc1\.bias"):
        ast.build(CARD, tmp_path / "ast.pth")
    torch.save({"x": torch.zeros(1)}, tmp_path / "ast.pth")
    with pytest.raises(CheckpointError, match="lacks the tensors of an AST"):
        ast.build(CARD, tmp_path / "ast.pth")
    narrow = {k: v[..., :48].clone() if "pos_embed" in k else v[:48].clone() for k, v in port.state_dict().items()}
    torch.save(narrow, tmp_path / "ast.pth")
    with pytest.raises(CheckpointError, match="has 48 channels, which heads of 64 do not divide"):
        ast.build(CARD, tmp_path / "ast.pth")
