import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.base.errors import BadInput, UnknownId
from bench.encoders.batches import embed, embed_each, encode_batch, fit_length, plan_batches
from bench.types import EncoderCard, Grid, Tokens
from model_zoo._adapters.adapter import Adapter

CARD = EncoderCard(
    id="toy.frames", version=1, sample_rate=1000, dims={"published": 1, "mean": 1}, frontend="", citation="",
    licence="MIT", min_s=0.01, max_s=0.1, default_pooling="published",
)  # fmt: skip


class Toy(Adapter):
    """Frames of ten samples; clips that fill as many frames share a batch. Counts its calls."""

    def __init__(self):
        super().__init__(CARD)
        self.calls = []

    def batch_length(self, n):
        return -(-n // 10) * 10

    def encode(self, wave, length):
        self.calls.append(tuple(wave.shape))
        hidden = wave.unflatten(1, (-1, 10)).sum(2)[:, :, None, None]
        return Tokens((Grid(hidden, torch.full_like(length, hidden.shape[1]), 0.01, "frames"),), wave.sum(1)[:, None])


def _waves(*sizes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(n).astype(np.float32) for n in sizes]


@given(sizes=st.lists(st.integers(1, 150), min_size=1, max_size=12), batch_s=st.sampled_from([0.001, 0.05, 10.0]))
@settings(max_examples=30, deadline=None)
def test_order_and_batching_never_change_an_embedding(sizes, batch_s):
    waves = _waves(*sizes)
    found = embed(Toy(), waves, "published", batch_s=batch_s)[:, 0]
    np.testing.assert_allclose(found, [w[:100].sum() for w in waves], atol=1e-4)


def test_batches_hold_equal_padded_lengths_within_the_limit():
    toy, sizes = Toy(), [5, 25, 12, 28, 30, 999, 1000]
    plan = plan_batches(sizes, toy, 60)
    assert plan == [[5], [6], [1, 3], [4], [2], [0]]
    assert sorted(i for rows in plan for i in rows) == list(range(len(sizes)))


def test_clips_of_a_ragged_encoder_share_batches_while_little_of_them_is_padding():
    toy = Toy()
    toy.ragged = True
    sizes = [98, 20, 85, 91, 500, 60]  # 100, 20, 90, 100, 100 and 60 with padding and cropping
    assert plan_batches(sizes, toy, 1000) == [[0, 3, 4, 2, 5], [1]]
    assert plan_batches(sizes, toy, 250) == [[0, 3], [4, 2], [5], [1]]
    assert plan_batches(sizes, toy, 1000, ragged=False) == [[0, 3, 4], [2], [5], [1]]


def test_a_mixed_batch_is_answered_clip_by_clip():
    toy = Toy()
    waves = _waves(12, 35, 18)
    wave, length = torch.full((3, 40), 7.0), torch.tensor([12, 35, 18])
    for row, clip in zip(wave, waves, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    tokens = toy(wave, length)
    np.testing.assert_allclose(tokens.clip[:, 0], [w.sum() for w in waves], atol=1e-5)
    assert tokens.layers[0].length.tolist() == [2, 4, 2]
    assert tokens.layers[0].hidden.shape == (3, 4, 1, 1)


def test_one_pass_serves_every_pooling():
    toy = Toy()
    found = encode_batch(toy, _waves(20, 20), [(-1, "mean"), (0, "published")])
    assert {k: v.shape for k, v in found.items()} == {(-1, "mean"): (2, 1), (0, "published"): (2, 1)}
    assert toy.calls == [(2, 20)]
    each = embed_each(toy, _waves(20, 20), list(found))
    assert len(toy.calls) == 2 and all(np.array_equal(each[k], found[k]) for k in found)
    assert {k: v.shape for k, v in embed_each(toy, [], list(found)).items()} == dict.fromkeys(found, (0, 1))


def test_clips_are_fitted_to_the_cards_bounds():
    wave = np.arange(1, 200, dtype=np.float32)
    assert fit_length(wave, CARD).tolist() == wave[:100].tolist()
    assert fit_length(wave[:3], CARD).tolist() == [1, 2, 3, 0, 0, 0, 0, 0, 0, 0]
    assert len(fit_length(wave, dataclasses.replace(CARD, max_s=None))) == 199


def test_default_pooling_is_the_cards():
    waves = _waves(30)
    np.testing.assert_array_equal(embed(Toy(), waves, None), embed(Toy(), waves, "published"))


def test_no_waves_give_an_empty_table():
    assert embed(Toy(), [], "mean").shape == (0, 1)


@pytest.mark.parametrize(
    ("wave", "told"),
    [
        (np.zeros((2, 50), np.float32), r"shape \(2, 50\)"),
        (np.zeros(50, np.int16), "int16"),
        (np.zeros(0, np.float32), "empty"),
        (np.array([0.0, np.nan], np.float32), "NaN or infinity"),
        ([0.0, 0.1], "list, not a numpy array"),
        (np.array([3.0, -12000.0], np.float32), "reaches 1.2e[+]04 times full scale, as integers stored as floats do"),
    ],
)
def test_bad_waves_are_named_by_index(wave, told):
    with pytest.raises(BadInput, match=f"wave 1: .*{told}"):
        embed(Toy(), [*_waves(20), wave])


def test_what_is_no_collection_of_waves_is_refused():
    with pytest.raises(BadInput, match="waves: is a float, not several arrays"):
        embed(Toy(), 0.5)


def test_waves_may_come_one_by_one_backwards_and_write_protected():
    waves = _waves(20, 30)
    np.testing.assert_array_equal(embed(Toy(), iter(waves)), embed(Toy(), waves))
    np.testing.assert_array_equal(
        embed(Toy(), [wave[::-1] for wave in waves]), embed(Toy(), [w[::-1].copy() for w in waves])
    )
    protected = np.frombuffer(waves[0].tobytes(), np.float32)
    np.testing.assert_array_equal(embed(Toy(), [protected]), embed(Toy(), waves[:1]))


def test_unknown_and_unoffered_poolings_are_refused_before_any_work():
    toy = Toy()
    with pytest.raises(UnknownId):
        embed(toy, _waves(20), "meen")
    with pytest.raises(BadInput, match="does not offer pooling 'freq'; take one of published, mean"):
        embed(toy, _waves(20), "freq")
    with pytest.raises(BadInput, match="no layer 3"):
        embed(toy, _waves(20), "published", layer=3)
    assert toy.calls == []


def test_float64_is_taken_as_float32():
    waves = [w.astype(np.float64) for w in _waves(30)]
    np.testing.assert_array_equal(embed(Toy(), waves), embed(Toy(), _waves(30)))
