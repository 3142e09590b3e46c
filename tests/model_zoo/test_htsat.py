import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.encoders.batches import collate, embed
from model_zoo import htsat
from model_zoo._networks import swin
from parity.golden import COMPACT, Golden, synthetic_signal

RATE = htsat.RATE


@pytest.fixture
def weights(tmp_path):
    return Golden(COMPACT, "htsat").checkpoint(tmp_path)


def build(weights, policy=""):
    return htsat.build(registry.encoder_card(f"htsat.audioset{policy}"), weights)


def encoded(encoder, *waves):
    with torch.inference_mode():
        return encoder(*collate(encoder, list(waves)))


def test_a_file_without_constants_is_the_same_network(weights, tmp_path):
    (tmp_path / "other").mkdir()
    stripped = Golden(COMPACT, "htsat").checkpoint(tmp_path / "other", "stripped")
    wave = [synthetic_signal(1.0, RATE)]
    np.testing.assert_array_equal(embed(build(stripped), wave, None), embed(build(weights), wave, None))


def test_blocks_are_shifted_by_their_place_alone(tmp_path):
    encoder = build(Golden(COMPACT, "htsat").checkpoint(tmp_path, "stripped"))
    assert [[block.shift for block in stage.blocks] for stage in encoder.net.layers] == [
        [0, 4],
        [0, 4],
        [0, 4, 0, 4],
        [0, 0],
    ]


def test_pieces_are_waveforms_of_their_own_that_count_the_same(weights):
    encoder, wave = build(weights), synthetic_signal(23.0, RATE)
    whole, parts = encoded(encoder, wave), [encoded(encoder, part) for part in np.split(wave, [320000, 640000])]
    torch.testing.assert_close(whole.clip, torch.stack([part.clip for part in parts]).mean(dim=0))
    hidden = torch.cat([part.layers[-1].hidden for part in parts], dim=1)
    assert hidden.shape[1] == 3 * 32
    torch.testing.assert_close(whole.layers[-1].hidden, hidden)


@pytest.mark.parametrize(("samples", "pieces"), [(320000, 1), (320512, 1), (320513, 2)])
def test_a_last_piece_too_short_to_be_mirrored_is_left_out(weights, samples, pieces):
    encoder, wave = build(weights), synthetic_signal(10.1, RATE)[:samples]
    assert encoded(encoder, wave).layers[-1].hidden.shape[1] == 32 * pieces
    if pieces == 1:
        torch.testing.assert_close(encoded(encoder, wave).clip, encoded(encoder, wave[:320000]).clip)


def test_a_short_piece_is_repeated_stretched_or_filled_up(weights):
    wave = synthetic_signal(4.0, RATE)  # 401 frames, twice in 1,024
    tokens = {policy: encoded(build(weights, policy), wave) for policy in ("", "@stretch", "@pad10")}
    filled = np.concatenate([wave, np.zeros(6 * RATE, np.float32)])
    torch.testing.assert_close(tokens["@pad10"].clip, encoded(build(weights), filled).clip)
    assert int(tokens["@pad10"].layers[-1].valid) == 13 and tokens[""].layers[-1].valid is None
    encoder = build(weights)
    frames = encoder.net.normalised(encoder.fbank(*collate(encoder, [wave])))
    once, twice = (encoder.net(encoder.net.patches(frames.repeat(1, n, 1)))[-1].mean(dim=(1, 2)) for n in (1, 2))
    torch.testing.assert_close(tokens["@stretch"].clip, once)
    torch.testing.assert_close(tokens[""].clip, twice)
    assert float((once - twice).detach().abs().max()) > 0.1


def test_other_files_are_refused(weights, tmp_path):
    content, start = torch.load(weights, weights_only=True), "sed_model."
    bank = f"{start}logmel_extractor.melW"
    for change, problem in (
        ({f"{start}norm.bias": None}, r"missing: norm\.bias"),
        ({f"{start}extra": torch.zeros(1)}, "neither used nor declared ignored: extra"),
        ({bank: 1.01 * content["state_dict"][bank]}, "has another mel matrix"),
        ({bank: torch.zeros(3, 3)}, "has another mel matrix"),
        ({f"{start}layers.0.blocks.0.mlp.fc1.weight": None}, "lacks the tensors of an HTS-AT trunk"),
    ):
        state = {name: tensor for name, tensor in (content["state_dict"] | change).items() if tensor is not None}
        torch.save(content | {"state_dict": state}, tmp_path / "other.ckpt")
        with pytest.raises(CheckpointError, match=problem):
            build(tmp_path / "other.ckpt")


def test_untrained(monkeypatch):
    monkeypatch.setattr(swin, "TINY", swin.Geometry((16, 32), (1, 2), ((False, True), (False,))))
    assert build(None).card.layers == 2
