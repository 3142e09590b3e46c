import copy
import itertools

import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.encoders.batches import collate, embed
from bench.encoders.contract import check_encoder
from bench.encoders.pooling import pool
from model_zoo import opera
from parity.golden import Golden

CARDS = {card.id: card for card in opera.CARDS}


@pytest.fixture(scope="module")
def built():
    """Encoders made so far in this file."""
    return {}


@pytest.fixture
def small(golden, tmp_path, built):
    """A reduced network of the id (with its policy) with the weights of its fixture."""

    def build(id: str):
        if id not in built:
            fixture = Golden(golden, id.partition("@")[0].replace(".", "_"))
            built[id] = opera.build(registry.encoder_card(id), fixture.checkpoint(tmp_path))
            built[id].weights_digest = "fixture"
        return built[id]

    return build


def _clip(seconds: float, silence_s: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    n = round(seconds * opera.RATE)
    wave = 0.1 * np.random.default_rng(n).standard_normal(n) * np.linspace(0.3, 1, n)
    return np.pad(wave, [round(s * opera.RATE) for s in silence_s]).astype(np.float32)


@pytest.mark.long
@pytest.mark.parametrize("id", CARDS)
def test_fits_the_contract(small, id):
    assert check_encoder(small(id)) == []


@pytest.mark.long
@pytest.mark.parametrize("id", CARDS)
def test_clips_that_are_equally_long_only_before_trimming(small, id):
    """Rows of one batch whose trimmed clips differ in frames and chunks; in float64, since ce enlarges rounding."""
    encoder = copy.deepcopy(small(id)).double()
    clips = [_clip(13), _clip(8.5, (2, 2.5)), _clip(3, (5, 5))]
    with torch.inference_mode():
        together, *alone = (
            encoder(wave.double(), length)
            for wave, length in (collate(encoder, batch) for batch in (clips, *([clip] for clip in clips)))
        )
    for pooling in ("published", "mean", "freq"):
        expected = torch.cat([pool(tokens, -1, pooling) for tokens in alone])
        torch.testing.assert_close(pool(together, -1, pooling), expected, atol=1e-4, rtol=1e-4)


def test_silence_at_the_ends_changes_nothing(small):
    encoder = small("opera.ct")
    bare, wrapped = embed(encoder, [_clip(3)], "freq"), embed(encoder, [_clip(3, (1.0, 0.7))], "freq")
    assert np.abs(bare - wrapped).max() < 0.05 * np.abs(bare).max()  # the trim leaves up to a frame at either end


def test_published_embeddings(small):
    clip = _clip(2)
    ct, ce, gt = (small(id) for id in CARDS)
    for encoder in (ct, ce):
        np.testing.assert_allclose(embed(encoder, [clip], "published"), embed(encoder, [clip], "mean"), atol=1e-5)
    assert np.abs(embed(gt, [clip], "published") - embed(gt, [clip], "mean")).max() > 1e-2


def test_policies(small):
    clip = _clip(1.5)
    lengths = {policy: small(f"opera.ct@{policy}").batch_length(len(clip)) for policy in ("zero", "2s")}
    assert lengths == {"zero": 128511, "2s": 32255}
    assert small("opera.ct@2s").card.grid == (0.0625, 2)
    padded = small("opera.ct@zero")
    found = [embed(encoder, [clip], "published") for encoder in (small("opera.ct"), padded, small("opera.ct@2s"))]
    assert min(np.abs(a - b).max() for a, b in itertools.pairwise(found)) > 1e-2
    with torch.inference_mode():
        layers = padded(*collate(padded, [clip, _clip(6), _clip(9)])).layers
    assert layers[-1].valid.tolist() == [30, 24, 32]  # five copies of 1.5 s fill 7.5 s
    assert layers[0].valid.tolist() == [240, 192, 256]


def test_all_policies_fit_short_clips(small):
    for id, card in CARDS.items():
        for policy in card.policies[1:]:
            encoder = small(f"{id}@{policy}")
            assert np.isfinite(embed(encoder, [_clip(0.3), np.zeros(10, np.float32)], "freq")).all()


def test_long_clips_are_cropped_or_chunked(small):
    ct = small("opera.ct")
    with torch.inference_mode():
        for frames, crops in ((1024, 1), (1025, 1), (1026, 1), (1537, 1), (1538, 2)):
            wave = torch.from_numpy(_clip(frames * opera.HOP / opera.RATE - 0.01))[None]
            length = torch.tensor([wave.shape[1]])
            assert ct.fbank(wave, length).shape == (1, frames, 64)
            assert ct.maps(ct.fbank(wave, length))[-1][0].shape == (1, 32 * crops, 2, 128)
    gt = small("opera.gt")
    counts = [gt.batch_length(n) for n in (1, 130_880, 130_881, 196_319, 196_320)]
    assert counts == [130_880, 130_880, 196_319, 196_319, 261_759]
    assert gt.fbank(torch.ones(1, 196_320), torch.tensor([196_320])).shape == (1, 3 * 256, 64)


def test_geometry_comes_from_the_file(small):
    ct, ce, gt = (small(id) for id in CARDS)
    assert (ct.card.dims["freq"], ct.card.layers, ct.card.grid) == (2 * 128, 4, (0.25, 2))
    assert (ce.card.dims["published"], ce.card.layers) == (320, 8)
    assert (gt.card.dims["cls"], gt.card.dims["freq"], gt.card.layers) == (192, 16 * 192, 2)


def test_untrained_geometry_is_the_released_one():
    for card in CARDS.values():
        with torch.device("meta"):
            encoder = opera.build(card, None)
        assert sum(p.numel() for p in encoder.parameters()) == card.params
        assert encoder.card == card


def test_untrained_positions_tell_all_tokens_apart():
    table = opera.positions(64)[0]
    assert table.shape == (1025, 64)
    assert not table[0].any()
    assert torch.cdist(table, table).fill_diagonal_(1.0).min() > 1e-2


@pytest.mark.parametrize(
    ("id", "key", "lacks"),
    [
        ("opera.ct", "encoder.encoder.htsat.norm.weight", "HTS-AT"),
        ("opera.ce", "encoder.efficientnet._bn1.running_var", "EfficientNet-b0"),
        ("opera.gt", "pos_embed", "vision transformer"),
    ],
)
def test_gaps_are_refused(golden, tmp_path, id, key, lacks):
    path = Golden(golden, id.replace(".", "_")).checkpoint(tmp_path)
    content = torch.load(path, weights_only=True)
    tensor = content["state_dict"].pop(key)
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=f"missing: {key.removeprefix(opera.PREFIX[id])}"):
        opera.build(CARDS[id], path)
    content["state_dict"] |= {key: tensor, "extra.weight": tensor}
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"neither used nor declared ignored: extra\.weight"):
        opera.build(CARDS[id], path)
    torch.save(content | {"state_dict": {"conv.weight": tensor}}, path)
    with pytest.raises(CheckpointError, match=lacks):
        opera.build(CARDS[id], path)


def test_half_precision_leaves_the_front_end_alone(small):
    encoder = small("opera.gt")
    batch = collate(encoder, [_clip(2)])
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        fbank, tokens = encoder.fbank(*batch), encoder(*batch)
    with torch.inference_mode():
        torch.testing.assert_close(fbank, encoder.fbank(*batch), atol=0, rtol=0)
        exact = encoder(*batch)
    torch.testing.assert_close(tokens.clip.float(), exact.clip, atol=0.1, rtol=0.1)
