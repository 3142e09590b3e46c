import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.encoders.batches import collate, embed
from bench.encoders.weights.read import load_content
from model_zoo import atst
from model_zoo._networks import atst_clip
from parity.golden import COMPACT, Golden, synthetic_signal

RATE = atst_clip.RATE


@pytest.fixture
def weights(tmp_path):
    return Golden(COMPACT, "atst_clip").checkpoint(tmp_path)


def build(weights, policy=""):
    return atst.build(registry.encoder_card(f"atst.clip{policy}"), weights)


def encoded(encoder, *waves):
    with torch.inference_mode():
        return encoder(*collate(encoder, list(waves)))


def chunk_means(encoder, wave):
    """The class token and the mean over patches of each chunk, of every block: each (chunks, blocks, D)."""
    with torch.inference_mode():
        frames = encoder.fbank(*collate(encoder, [wave]))
        outputs = [encoder.teacher(encoder.teacher.patch_embed(part)) for part in frames.split(601, dim=1)]
    depth = encoder.card.layers
    cls = torch.stack([torch.stack([y[0, 0] for y in part[depth:]]) for part in outputs])
    return cls, torch.stack([torch.stack([y[0].mean(dim=0) for y in part[:depth]]) for part in outputs])


def test_both_released_layouts_are_the_same_network(weights, tmp_path):
    """Each holds a student under the same names, the first one options and numpy's scalars as well."""
    (tmp_path / "other").mkdir()
    lightning = Golden(COMPACT, "atst_clip").checkpoint(tmp_path / "other", "lightning")
    wave = [synthetic_signal(1.0, RATE)]
    np.testing.assert_array_equal(embed(build(lightning), wave, None), embed(build(weights), wave, None))


@pytest.mark.parametrize(
    ("seconds", "of_cls", "of_means"),
    [
        (5.0, [1], [1]),
        (6.0, [1], [1]),
        (8.0, [1, 0], [0.75, 0]),
        (9.0, [1, 0], [150 / 225, 0]),  # 300 frames are left, one too few
        (9.02, [0.5, 0.5], [0.5 * 150 / 225, 0.5]),
        (10.0, [0.5, 0.5], [0.3, 0.5]),
        (12.0, [0.5, 0.5], [0.25, 0.5]),
    ],
)
def test_an_average_divides_by_all_that_is_left_of_the_clip(weights, seconds, of_cls, of_means):
    encoder, wave = build(weights), synthetic_signal(seconds, RATE)
    cls, means = chunk_means(encoder, wave[: 160 * 601 - 1] if seconds == 6.0 else wave)  # the 602nd frame is lost
    expected = [
        torch.tensordot(torch.tensor(w, dtype=torch.float32), m, 1) for w, m in ((of_cls, cls), (of_means, means))
    ]
    torch.testing.assert_close(encoded(encoder, wave).clip[0], torch.cat([part.flatten() for part in expected]))


def test_the_middle_of_a_long_clip_is_kept_and_under_whole_all_of_it(weights):
    encoder, wave = build(weights), synthetic_signal(20.0, RATE)
    middle = wave[4 * RATE : 16 * RATE]
    kept, alone = encoded(encoder, wave, middle), encoded(encoder, middle)
    torch.testing.assert_close(kept.clip, alone.clip.expand(2, -1))
    assert kept.layers[-1].hidden.shape[1] == 300
    whole = encoded(build(weights, "@whole"), wave)
    cls, means = chunk_means(encoder, wave)
    tokens = torch.tensor([150.0, 150.0, 150.0, 49.0])
    assert int(whole.layers[-1].length) == int(tokens.sum())
    expected = [torch.tensordot(tokens / tokens.sum(), part, 1).flatten() for part in (cls, means)]
    torch.testing.assert_close(whole.clip[0], torch.cat(expected))


def test_evar_publishes_the_last_block_alone(weights):
    wave = synthetic_signal(10.0, RATE)
    depth, width = 3, 128
    clip = encoded(build(weights), wave).clip.unflatten(1, (2, depth, width))[:, :, -1].flatten(1)
    encoder = build(weights, "@evar")
    assert encoder.card.dims["published"] == 2 * width
    torch.testing.assert_close(encoded(encoder, wave).clip, clip)


def test_other_files_are_refused(weights, tmp_path):
    content, start = load_content(weights), "module.backbone."
    for change, problem in (
        ({"blocks.1.norm1.bias": None}, r"missing: blocks\.1\.norm1\.bias"),
        ({"extra": torch.zeros(1)}, "neither used nor declared ignored: extra"),
        ({"pos_embed": torch.zeros(1, 100, 128)}, "99 positions for tokens of 4 frames"),
        ({"pos_embed": None}, "lacks the tensors of ATST-Clip"),
    ):
        state = content["teacher"] | {start + name: tensor for name, tensor in change.items()}
        state = {name: tensor for name, tensor in state.items() if tensor is not None}
        torch.save({"teacher": state, "student": content["student"]}, tmp_path / "other.ckpt")
        with pytest.raises(CheckpointError, match=problem):
            build(tmp_path / "other.ckpt")


def test_untrained(monkeypatch):
    monkeypatch.setattr(atst_clip, "BASE", (64, 1, 64, False))
    encoder = build(None)
    for table in (encoder.teacher.pos_embed, encoder.teacher.cls_token):
        assert 0.01 < float(table.detach().std()) < 0.03
