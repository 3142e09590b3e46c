import dataclasses

import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.encoders.batches import collate, embed
from bench.encoders.contract import check_encoder
from bench.encoders.pooling import pool
from bench.encoders.weights.read import load_content
from model_zoo import audiomae
from parity.golden import Golden, synthetic_signal

CARD = audiomae.CARDS[0]
OPERA = registry.encoder_card("audiomae.base@opera")


@pytest.fixture
def checkpoint(golden, tmp_path):
    return Golden(golden, "audiomae").checkpoint(tmp_path)


@pytest.fixture
def encoder(checkpoint):
    return audiomae.build(CARD, checkpoint)


@pytest.fixture
def opera(checkpoint):
    return audiomae.build(OPERA, checkpoint)


@pytest.mark.long
@pytest.mark.parametrize("card", [CARD, OPERA], ids=["upstream", "opera"])
def test_fits_the_contract(checkpoint, card):
    assert check_encoder(audiomae.build(card, checkpoint)) == []


def test_upstream_normalises_and_pads(encoder):
    wave, length = collate(encoder, [synthetic_signal(0.9, audiomae.RATE), synthetic_signal(12.0, audiomae.RATE)])
    with torch.inference_mode():
        fbank, tokens = encoder.fbank(wave, length), encoder(wave, length)
    assert fbank.shape == (2, 1024, 128)
    np.testing.assert_allclose(fbank[0, 88:], 0.46703, atol=1e-5)
    assert tokens.layers[0].length.tolist() == [64, 64]
    assert tokens.layers[0].valid.tolist() == [6, 64]  # 88 frames
    assert encoder.card.max_s == audiomae.SAMPLES / audiomae.RATE


def test_published_norm_has_no_gain(encoder):
    vector = embed(encoder, [synthetic_signal(1.0, audiomae.RATE)], None)
    assert abs(float(vector.mean())) < 1e-6 and abs(float(vector.std()) - 1) < 1e-4


def test_a_minute_is_cut_into_pieces(opera):
    wave = np.tile(synthetic_signal(4.0, audiomae.RATE), 15)
    with torch.inference_mode():
        tokens = opera(*collate(opera, [wave]))
        alone = [opera(*collate(opera, [wave[i : i + audiomae.PIECE]])) for i in range(0, len(wave), audiomae.PIECE)]
    assert tokens.layers[-1].hidden.shape == (1, 6 * 64, 8, 192)
    assert tokens.layers[-1].valid.tolist() == [5 * 64 + 63]  # 998 frames of the last piece
    torch.testing.assert_close(tokens.clip, torch.stack([t.clip for t in alone]).mean(dim=0), atol=1e-5, rtol=1e-4)
    cls = torch.stack([pool(t, -1, "cls") for t in alone]).mean(dim=0)
    torch.testing.assert_close(pool(tokens, -1, "cls"), cls, atol=1e-5, rtol=1e-4)


def test_silence_is_trimmed(opera):
    loud, quiet = synthetic_signal(1.0, audiomae.RATE), np.zeros(4 * 800, np.float32)
    padded = embed(opera, [np.concatenate([quiet, loud, np.zeros(11 * audiomae.RATE, np.float32)])], None)
    bare = embed(opera, [np.concatenate([quiet[:800], loud, quiet[:800]])], None)  # trimming rounds to 0.05 s
    np.testing.assert_allclose(padded, bare, atol=1e-4)


def test_a_short_last_piece_is_dropped(opera):
    wave = synthetic_signal(11.0, audiomae.RATE)
    for size, pieces in ((160400, 1), (160401, 2)):
        clip, length = collate(opera, [wave[:size]])
        with torch.inference_mode():
            counts = (opera.pieces(clip, length)[1] > 0).sum(dim=1)
            assert counts.tolist() == [pieces]
            assert opera(clip, length).layers[0].length.tolist() == [64 * pieces]


def test_a_trim_that_leaves_no_frame_keeps_the_clip(opera):
    """The loudest frame is the last one, of which the clip has 100 samples."""
    wave = np.zeros(900, np.float32)
    wave[850:] = 0.5
    clip, length = collate(opera, [wave])
    assert opera.pieces(clip, length)[1].tolist() == [[900]]
    assert np.isfinite(embed(opera, [wave], None)).all()


@pytest.mark.parametrize("policy", ["upstream", "opera"])
def test_ragged_clips_are_as_alone(encoder, opera, policy):
    net = encoder if policy == "upstream" else opera
    waves = [synthetic_signal(seconds, audiomae.RATE) for seconds in (0.03, 12.1, 0.9)]
    waves.append(np.concatenate([np.zeros(15000, np.float32), waves[1]]))
    with torch.inference_mode():
        together = net(*collate(net, waves))
        for row, wave in enumerate(waves):
            alone = net(*collate(net, [wave]))
            for pooling in ("mean", "mean_valid", "cls", "published"):
                found, wanted = pool(together, -1, pooling)[row], pool(alone, -1, pooling)[0]
                torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"norm.bias": None}, r"missing: norm\.bias"),
        ({"fc_norm.weight": torch.zeros(192)}, r"neither used nor declared ignored: fc_norm\.weight"),
        ({"pos_embed": torch.zeros(1, 197, 192)}, "196 positions"),
        ({"patch_embed.proj.weight": torch.zeros(192, 1, 4, 4)}, r"\(4, 4\) patches"),
        ({"patch_embed.proj.weight": None}, "lacks the tensors of AudioMAE"),
        ({"blocks.0.mlp.fc1.weight": None}, "lacks the tensors of a vision transformer"),
    ],
)
def test_other_files_are_refused(checkpoint, change, problem):
    content = load_content(checkpoint)
    state = content["model"] | change
    torch.save({"model": {key: tensor for key, tensor in state.items() if tensor is not None}}, checkpoint)
    with pytest.raises(CheckpointError, match=problem):
        audiomae.build(CARD, checkpoint)


def test_untrained(monkeypatch):
    monkeypatch.setattr(audiomae, "BASE", (64, 1, 64))
    torch.manual_seed(0)
    first = audiomae.build(CARD)
    torch.manual_seed(0)
    second = audiomae.build(CARD)
    state = first.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in second.state_dict().items())
    assert not first.net.pos_embed.requires_grad
    assert dataclasses.replace(first.card, dims=CARD.dims, layers=12) == CARD
