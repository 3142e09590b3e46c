import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.encoders.batches import embed
from bench.encoders.contract import check_encoder
from model_zoo import panns
from model_zoo._adapters.frontend import mel_bank
from model_zoo._networks import cnn14

SMALL = cnn14.Geometry((4, 6, 8, 10, 12, 14), 16)
IDS = [card.id for card in panns.CARDS]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(cnn14, "FULL", SMALL)
    torch.manual_seed(0)


@pytest.fixture
def saved(tmp_path):
    """Writes an encoder as the release is, with changes; gives the path."""

    def save(encoder, **changes):
        own = {k: v.clone() for k, v in encoder.net.state_dict().items()}
        constants = {cnn14.BANK: encoder.frontend.mel, "spectrogram_extractor.stft.conv_real.weight": torch.zeros(1)}
        tensors = own | constants | {"fc_audioset.bias": torch.zeros(527)} | changes
        content = {"iteration": 1, "model": {k: v for k, v in tensors.items() if v is not None}}
        torch.save(content, tmp_path / "cnn14.pth")
        return tmp_path / "cnn14.pth"

    return save


def _untrained(id):
    return panns.build(registry.encoder_card(id), None)


def _clips(rate, *sizes):
    rng = np.random.default_rng(0)
    return [(0.1 * rng.standard_normal(round(rate * size))).astype(np.float32) for size in sizes]


@pytest.mark.parametrize("id", IDS)
def test_fits_the_contract(id):
    encoder = _untrained(id)
    encoder.weights_digest = "twin"
    assert check_encoder(encoder) == []


@pytest.mark.parametrize("id", IDS)
def test_front_end_is_a_centred_power_spectrogram_in_decibels(id):
    encoder = _untrained(id)
    rate = encoder.card.sample_rate
    fft, hop, high_hz = panns.FFT_HOP_HIGH[rate]
    wave = torch.from_numpy(_clips(rate, 0.7)[0])[None]
    spectrum = torch.stft(wave, fft, hop, window=torch.hann_window(fft), pad_mode="reflect", return_complex=True)
    power = spectrum.abs().square().transpose(1, 2) @ mel_bank(rate, fft, 64, 50.0, high_hz)
    padded = torch.nn.functional.pad(wave, (0, encoder.batch_length(wave.shape[1]) - wave.shape[1]))
    found = encoder.fbank(padded, torch.tensor([wave.shape[1]]))
    torch.testing.assert_close(found, 10 * power.clamp_min(1e-10).log10(), atol=1e-3, rtol=0)


def test_clips_of_equal_frame_count_share_a_batch_and_change_nothing():
    encoder = _untrained("panns.cnn14_16k")
    sizes = [16000, 16001, 16159]
    assert len({encoder.batch_length(n) for n in sizes}) == 1
    assert encoder.batch_length(15999) < encoder.batch_length(16000) < encoder.batch_length(16160)
    waves = [wave[:n] for wave, n in zip(_clips(16000, 1.1, 1.1, 1.1), sizes, strict=True)]
    alone = np.concatenate([embed(encoder, [wave]) for wave in waves])
    np.testing.assert_allclose(embed(encoder, waves), alone, rtol=1e-4, atol=1e-6)


def test_geometry_and_mel_matrix_come_from_the_file(saved):
    encoder = _untrained("panns.cnn14_32k")
    loaded = panns.build(panns.CARDS[1], saved(encoder))
    assert (loaded.card.dims["published"], loaded.card.dims["mean"], loaded.card.dims["freq"]) == (16, 14, 28)
    clips = _clips(32000, 0.5)
    np.testing.assert_array_equal(embed(loaded, clips, None), embed(encoder, clips, None))
    other = panns.build(panns.CARDS[1], saved(encoder, **{cnn14.BANK: 2 * encoder.frontend.mel}))
    wave, length = torch.from_numpy(clips[0])[None], torch.tensor([len(clips[0])])
    torch.testing.assert_close(other.fbank(wave, length), encoder.fbank(wave, length) + 10 * np.log10(2))


def test_layers_halve_time_and_frequency(saved):
    encoder = _untrained("panns.cnn14_16k")
    with torch.inference_mode():
        tokens = encoder(torch.zeros(1, 16000), torch.tensor([16000]))
    assert [tuple(g.hidden.shape[1:]) for g in tokens.layers][::5] == [(50, 32, 4), (3, 2, 14)]
    assert [round(g.hop_s, 2) for g in tokens.layers] == [0.02, 0.04, 0.08, 0.16, 0.32, 0.32]


def test_unfitting_files_are_refused(saved, tmp_path):
    encoder, card = _untrained("panns.cnn14_16k"), panns.CARDS[0]
    with pytest.raises(CheckpointError, match=r"melW is \(257, 64\), not \(513, 64\)"):
        panns.build(panns.CARDS[1], saved(encoder))
    with pytest.raises(CheckpointError, match="melW is missing"):
        panns.build(card, saved(encoder, **{cnn14.BANK: None}))
    with pytest.raises(CheckpointError, match=r"missing: conv_block3\.bn1\.bias"):
        panns.build(card, saved(encoder, **{"conv_block3.bn1.bias": None}))
    with pytest.raises(CheckpointError, match=r"misshapen: conv_block2\.conv1\.weight"):
        panns.build(card, saved(encoder, **{"conv_block2.conv1.weight": torch.zeros(6, 5, 3, 3)}))
    with pytest.raises(CheckpointError, match=r"neither used nor declared ignored: adapter\.weight"):
        panns.build(card, saved(encoder, **{"adapter.weight": torch.zeros(1)}))
    torch.save({"x": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth.*lacks the tensors of a CNN14"):
        panns.build(card, tmp_path / "x.pth")


def test_untrained_network_follows_the_global_generator():
    torch.manual_seed(1)
    first = _untrained("panns.cnn14_16k").net.fc1.weight
    torch.manual_seed(1)
    assert torch.equal(first, _untrained("panns.cnn14_16k").net.fc1.weight)
    assert not torch.equal(first, _untrained("panns.cnn14_16k").net.fc1.weight)
