"""Its fixture lies beside the recordings alone, because its code derives from M2D's."""

import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.encoders.batches import collate, embed
from bench.encoders.contract import check_encoder
from bench.encoders.pooling import pool
from model_zoo import matpac
from parity.golden import Golden, synthetic_signal

RATE = matpac.RATE


@pytest.fixture
def weights(golden, tmp_path):
    return Golden(golden, "matpac").checkpoint(tmp_path)


def build(weights):
    return matpac.build(registry.encoder_card("matpac.plus"), weights)


def test_a_clip_is_cut_into_chunks_of_which_the_last_is_short(weights):
    encoder = build(weights)
    wave, length = collate(encoder, [synthetic_signal(12.0, RATE)])
    with torch.inference_mode():
        tokens, frames = encoder(wave, length), encoder.fbank(wave, length)
        padded = torch.nn.functional.pad(frames, (0, 0, 0, -frames.shape[1] % 16))
        chunks = [encoder.net(encoder.net.patch_embed(part.mT[:, None]))[-1] for part in padded.split(608, dim=1)]
        hidden = [encoder.net.norm(chunk)[:, 1:].unflatten(1, (5, -1)).transpose(1, 2) for chunk in chunks]
    assert frames.shape == (1, 1198, 80) and [chunk.shape[1] for chunk in chunks] == [1 + 5 * 38, 1 + 5 * 37]
    torch.testing.assert_close(tokens.layers[-1].hidden, torch.cat(hidden, dim=1))
    torch.testing.assert_close(tokens.clip, pool(tokens, -1, "freq"))


@pytest.mark.parametrize(("samples", "frames"), [(400, 1), (559, 1), (560, 2)])
def test_only_whole_frames_are_heard(weights, samples, frames):
    encoder = build(weights)
    wave = synthetic_signal(0.1, RATE)[:samples]
    assert encoder.fbank(*collate(encoder, [wave])).shape == (1, frames, 80)


@pytest.mark.long
def test_fits_the_contract(weights):
    assert check_encoder(build(weights)) == []


def test_heads_and_buffers_are_ignored_and_a_wrong_file_is_refused(weights, tmp_path):
    tensors, wave = torch.load(weights, weights_only=True), [synthetic_signal(1.0, RATE)]
    spare = {"head.weight": torch.zeros(3, 128), "head_norm.bias": torch.zeros(128), "log_mel.window": torch.zeros(4)}
    torch.save(tensors | spare, tmp_path / "spare.pt")
    np.testing.assert_array_equal(embed(build(tmp_path / "spare.pt"), wave, None), embed(build(weights), wave, None))
    for change, problem in (
        ({"student_encoder.blocks.1.norm1.bias": None}, r"missing: blocks\.1\.norm1\.bias"),
        ({"cls_token": None}, "missing: cls_token"),
        ({"pos_embed": torch.zeros(1, 100, 128)}, "99 positions"),
        ({"pos_embed": None}, "lacks the tensors of MATPAC"),
        ({"decoder.weight": torch.zeros(1)}, r"neither used nor declared ignored: decoder\.weight"),
    ):
        held = {name: tensor for name, tensor in (tensors | change).items() if tensor is not None}
        torch.save(held, tmp_path / "other.pt")
        with pytest.raises(CheckpointError, match=problem):
            build(tmp_path / "other.pt")


def test_longer_chunks_are_read_from_the_positions(weights, tmp_path):
    tensors = torch.load(weights, weights_only=True)
    torch.save(tensors | {"pos_embed": torch.zeros(1, 311, 128)}, tmp_path / "tuned.pt")
    assert build(tmp_path / "tuned.pt").chunk == 992


def test_untrained(monkeypatch):
    monkeypatch.setattr(matpac, "BASE", (64, 1, 64))
    assert build(None).net.pos_embed.shape == (1, 191, 64)
