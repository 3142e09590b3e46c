import numpy as np
import pytest
import torch

from bench.base.errors import CheckpointError
from bench.encoders.batches import collate
from bench.encoders.contract import check_encoder
from bench.encoders.pooling import pool
from bench.encoders.weights.read import load_content
from model_zoo import atst
from parity.golden import Golden, synthetic_signal

CARD = atst.CARDS[0]


@pytest.fixture
def checkpoint(golden, tmp_path):
    return Golden(golden, "atst_frame").checkpoint(tmp_path)


@pytest.fixture
def encoder(checkpoint):
    return atst.build(CARD, checkpoint)


def test_fits_the_contract(encoder):
    assert encoder.card.dims["published"] == 2 * 128
    assert check_encoder(encoder) == []


def test_a_minute_is_cut_into_chunks(encoder):
    wave, length = collate(encoder, [np.tile(synthetic_signal(4.0, atst.RATE), 15)])
    with torch.inference_mode():
        tokens, frames = encoder(wave, length), encoder.fbank(wave, length)
        chunks = [encoder.teacher(encoder.teacher.patch_embed(chunk)) for chunk in frames.split(atst.CHUNK, dim=1)]
    assert frames.shape == (1, 6001, 64) and len(chunks) == 6
    assert tokens.layers[-1].hidden.shape == (1, 5 * 250 + 996 // 4, 1, 128)
    torch.testing.assert_close(tokens.layers[0].hidden[:, 250:500, 0], chunks[1][0])
    mean = torch.stack([torch.cat([y.mean(dim=1) for y in chunk], dim=1) for chunk in chunks]).mean(dim=0)
    torch.testing.assert_close(tokens.clip, mean)


def test_ragged_clips_are_as_alone(encoder):
    waves = [synthetic_signal(seconds, atst.RATE) for seconds in (0.04, 10.02, 0.9, 12.3)]
    with torch.inference_mode():
        together = encoder(*collate(encoder, waves))
        for row, wave in enumerate(waves):
            alone = encoder(*collate(encoder, [wave]))
            for pooling in ("mean", "max", "published"):
                torch.testing.assert_close(pool(together, -1, pooling)[row], pool(alone, -1, pooling)[0])


def test_a_chunk_without_tokens_counts_as_zero(encoder):
    """As in the original: 1,002 frames are a whole chunk and a frame that fills no token."""
    wave = synthetic_signal(10.02, atst.RATE)
    with torch.inference_mode():
        whole = encoder(*collate(encoder, [wave[:160159]]))
        longer = encoder(*collate(encoder, [wave[:160160]]))
    assert whole.layers[0].hidden.shape[1] == longer.layers[0].hidden.shape[1] == 250
    np.testing.assert_allclose(longer.clip, whole.clip / 2, atol=2e-3)
    torch.testing.assert_close(pool(longer), pool(whole), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"model.teacher.encoder.blocks.1.norm1.bias": None}, r"missing: blocks\.1\.norm1\.bias"),
        ({"model.teacher.encoder.extra": torch.zeros(1)}, "neither used nor declared ignored: extra"),
        ({"model.teacher.encoder.pos_embed": torch.zeros(1, 63, 128)}, "62 positions for tokens of 4 frames"),
        ({"model.teacher.encoder.patch_embed.patch_embed.weight": None}, "lacks the tensors of ATST-Frame"),
    ],
)
def test_other_files_are_refused(checkpoint, change, problem):
    content = load_content(checkpoint)
    state = content["state_dict"] | change
    torch.save(content | {"state_dict": {k: t for k, t in state.items() if t is not None}}, checkpoint)
    with pytest.raises(CheckpointError, match=problem):
        atst.build(CARD, checkpoint)


def test_heads_are_ignored(checkpoint):
    content = load_content(checkpoint)
    heads = {f"model.{who}.projector.0.weight": torch.zeros(2, 2) for who in ("student", "teacher")}
    torch.save({"state_dict": content["state_dict"] | heads}, checkpoint)
    assert atst.build(CARD, checkpoint).card.layers == 2


def test_untrained(monkeypatch):
    monkeypatch.setattr(atst, "BASE", (64, 1, 64, False))
    torch.manual_seed(0)
    first = atst.build(CARD)
    torch.manual_seed(0)
    second = atst.build(CARD)
    state = first.state_dict()
    assert all(torch.equal(t, state[k]) for k, t in second.state_dict().items())
    assert 0.015 < float(state["teacher.pos_embed"].std()) < 0.025
    assert check_encoder(first) == []
