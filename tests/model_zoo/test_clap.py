import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.encoders.batches import collate, embed
from bench.encoders.contract import check_encoder
from model_zoo import clap
from model_zoo._networks import cnn14, swin

IDS = [card.id for card in clap.CARDS]
WRAPPERS = {"clap.laion": "module."}  # of the released file
TEXT = {
    "clap.ms2022": {"caption_encoder.base.x": torch.zeros(2), "logit_scale": torch.zeros(())},
    "clap.ms2023": {"caption_encoder.projection.linear1.weight": torch.zeros(2, 2), "logit_scale": torch.zeros(())},
    "clap.laion": {
        "module.text_branch.embeddings.x": torch.zeros(2),
        "module.text_projection.0.bias": torch.zeros(2),
        "module.audio_transform.sequential.0.bias": torch.zeros(2),
        "module.logit_scale_a": torch.zeros(()),
    },
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Trunks of a few channels."""
    monkeypatch.setattr(cnn14, "FULL", cnn14.Geometry((2, 3, 4, 5, 6, 8), 12))
    shifted = ((False,), (False,), (False, True), (False,))
    monkeypatch.setattr(swin, "TINY", swin.Geometry((8, 16, 32, 64), (1, 1, 2, 4), shifted))
    torch.manual_seed(0)


@pytest.fixture
def saved(tmp_path):
    """Writes an encoder's tower as it is released, with changes; gives the path."""

    def save(encoder, **changes):
        variant, id = clap.VARIANTS[encoder.card.id], encoder.card.id
        tensors = {k: v.clone() for k, v in encoder.net.state_dict().items()} | {
            f"base.{cnn14.BANK}": encoder.frontend.mel,
            "base.spectrogram_extractor.stft.conv_imag.weight": torch.zeros(1),
        }
        named = {}
        for key, tensor in tensors.items():
            theirs, ours = next(pair for pair in variant.names if key.startswith(pair[1]))
            named[WRAPPERS.get(id, "") + theirs + key.removeprefix(ours)] = tensor
        content = named | TEXT[id] | changes
        path = tmp_path / "clap.pt"
        torch.save({"epoch": 1, variant.slot: {k: v for k, v in content.items() if v is not None}}, path)
        return path

    return save


def _untrained(id):
    encoder = clap.build(registry.encoder_card(id), None)
    encoder.weights_digest = "twin"
    return encoder


def _clip(encoder, seconds):
    n = round(encoder.card.sample_rate * seconds)
    return (0.1 * np.random.default_rng(0).standard_normal(n)).astype(np.float32)


@pytest.mark.parametrize("id", [*IDS, "clap.ms2022@windows"])
def test_fits_the_contract(id):
    assert check_encoder(_untrained(id)) == []


@pytest.mark.parametrize("id", IDS)
def test_loads_as_released_and_ignores_text(id, saved):
    encoder = _untrained(id)
    loaded = clap.build(registry.encoder_card(id), saved(encoder))
    assert loaded.card.dims == encoder.card.dims
    clip = _clip(encoder, 0.5)
    np.testing.assert_array_equal(embed(loaded, [clip], None), embed(encoder, [clip], None))


def test_microsoft_repeats_and_laion_repeats_whole():
    wave = torch.tensor([[1.0, 2, 3, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]])
    length = torch.tensor([3, 5, 1])
    assert clap.fill_window(wave, length, whole=False).tolist() == [
        [1, 2, 3, 1, 2, 3, 1, 2],
        [1, 2, 3, 4, 5, 1, 2, 3],
        [1] * 8,
    ]
    assert clap.fill_window(wave, length, whole=True).tolist() == [
        [1, 2, 3, 1, 2, 3, 0, 0],
        [1, 2, 3, 4, 5, 0, 0, 0],
        [1] * 8,
    ]


def test_tokens_over_laions_zeros_are_not_valid():
    encoder = _untrained("clap.laion")
    with torch.inference_mode():
        tokens = encoder(*collate(encoder, [_clip(encoder, 4.0), _clip(encoder, 6.0)]))
    assert [g.hidden.shape[1] for g in tokens.layers] == [256, 128, 64, 32]
    assert tokens.layers[-1].length.tolist() == [32, 32]
    assert tokens.layers[-1].valid.tolist() == [26, 20]  # 8 and 6 of 10 s


def test_only_laions_projection_has_unit_length():
    norms = {id: np.linalg.norm(embed(_untrained(id), [_clip(_untrained(id), 0.5)], None)) for id in IDS}
    assert norms["clap.laion"] == pytest.approx(1, rel=1e-5)
    assert min(norms["clap.ms2022"], norms["clap.ms2023"]) > 2


def test_windows_cover_what_upstream_crops():
    upstream = _untrained("clap.ms2022")
    torch.manual_seed(0)
    windows = _untrained("clap.ms2022@windows")
    clip, size = _clip(upstream, 7.0), upstream.size
    parts = [clip[:size], clip[size:]]
    np.testing.assert_allclose(embed(upstream, [clip], None), embed(upstream, parts[:1], None), rtol=1e-5, atol=1e-5)
    expected = embed(upstream, parts, None).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(embed(windows, [clip], None), expected, rtol=1e-4, atol=1e-5)
    with torch.inference_mode():
        last = windows(*collate(windows, [clip])).layers[-1]
    assert (last.hidden.shape[1], last.length.tolist()) == (42, [42])


def test_the_mel_matrix_of_2023_is_that_of_32_khz():
    from model_zoo._adapters.frontend import mel_bank

    bank = _untrained("clap.ms2023").frontend.mel
    torch.testing.assert_close(bank, mel_bank(32000, 1024, 64, 50.0, 14000.0))


def test_unfitting_files_are_refused(saved):
    card, encoder = registry.encoder_card("clap.laion"), _untrained("clap.laion")
    with pytest.raises(CheckpointError, match=r"lacks the audio projection of clap\.laion"):
        clap.build(card, saved(encoder, **{"module.audio_projection.0.weight": None}))
    with pytest.raises(CheckpointError, match=r"mel matrix logmel_extractor\.melW is missing"):
        clap.build(card, saved(encoder, **{f"module.audio_branch.{cnn14.BANK}": None}))
    with pytest.raises(CheckpointError, match=r"missing: base\.norm\.bias"):
        clap.build(card, saved(encoder, **{"module.audio_branch.norm.bias": None}))
    with pytest.raises(CheckpointError, match=r"neither used nor declared ignored: base\.mel_conv2d\.weight"):
        clap.build(card, saved(encoder, **{"module.audio_branch.mel_conv2d.weight": torch.zeros(1)}))
    with pytest.raises(CheckpointError, match=r"lacks the audio projection of clap\.ms2022"):
        clap.build(registry.encoder_card("clap.ms2022"), saved(encoder))
    with pytest.raises(CheckpointError, match="lacks the tensors of an HTS-AT trunk"):
        clap.build(registry.encoder_card("clap.ms2023"), saved(_untrained("clap.ms2022")))


def test_laions_text_tower_is_that_of_the_file_the_encoder_came_from(saved):
    card, untrained = registry.encoder_card("clap.laion"), _untrained("clap.laion")
    encoder = clap.build(card, saved(untrained))
    with pytest.raises(CheckpointError, match=r"clap\.pt: lacks the text tower of clap\.laion"):
        encoder.text_tower()
    assert not hasattr(untrained, "text_tower")
    other = clap.build(registry.encoder_card("clap.ms2023"), saved(_untrained("clap.ms2023")))
    assert not hasattr(other, "text_tower")
