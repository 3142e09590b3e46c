import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.base.errors import BadInput, UnknownId
from bench.encoders.pooling import POOLINGS, STEPS, pool
from bench.types import Grid, Tokens

MASKED = [p for p in POOLINGS if p not in ("published", "cls")]


def _tokens(lengths, times=7, bands=3, width=5, valid=None, clip=None):
    hidden = torch.from_numpy(np.random.default_rng(0).standard_normal((len(lengths), times, bands, width))).float()
    grid = Grid(hidden, torch.tensor(lengths), 0.1, "last", None if valid is None else torch.tensor(valid))
    return Tokens((grid._replace(hidden=hidden * 0), grid), clip)


@pytest.mark.parametrize("pooling", MASKED)
@given(length=st.integers(1, 7))
@settings(max_examples=10, deadline=None)
def test_tokens_behind_the_length_never_count(pooling, length):
    tokens = _tokens([7, length])
    whole = tokens.layers[-1].hidden
    cut = Tokens((Grid(whole[1:, :length], torch.tensor([length]), 0.1, "cut"),))
    whole[1, length:] = float("nan")
    torch.testing.assert_close(pool(tokens, -1, pooling)[1:], pool(cut, 0, pooling), atol=1e-6, rtol=1e-5)


def test_band_average_of_freq_is_the_mean():
    tokens = _tokens([4, 7])
    freq = pool(tokens, -1, "freq").unflatten(1, (3, 5))
    torch.testing.assert_close(freq.mean(1), pool(tokens, -1, "mean"))


def test_freq_concatenates_the_time_means_of_the_bands():
    tokens = _tokens([7])
    hidden = tokens.layers[-1].hidden
    torch.testing.assert_close(pool(tokens, -1, "freq")[0, 5:10], hidden[0, :, 1].mean(0))


def test_definitions():
    tokens = _tokens([7, 7])
    flat = tokens.layers[-1].hidden.flatten(1, 2)  # (B, T' F', D)
    mean, top, std = flat.mean(1), flat.amax(1), flat.std(1, correction=0)
    expected = {
        "mean": mean,
        "mean_valid": mean,
        "max": top,
        "mean+max": mean + top,
        "[mean,max]": torch.cat([mean, top], 1),
        "[mean,std]": torch.cat([mean, std], 1),
    }
    for pooling, vector in expected.items():
        torch.testing.assert_close(pool(tokens, -1, pooling), vector)


def test_mean_valid_leaves_out_the_originals_own_padding():
    tokens = _tokens([7, 7], valid=[2, 7])
    hidden = tokens.layers[-1].hidden
    torch.testing.assert_close(pool(tokens, -1, "mean_valid")[0], hidden[0, :2].mean((0, 1)))
    torch.testing.assert_close(pool(tokens, -1, "mean")[0], hidden[0].mean((0, 1)))


def test_tokens_are_the_means_of_equal_steps_in_time():
    tokens = _tokens([19, 24], times=24)
    hidden = tokens.layers[-1].hidden
    steps = pool(tokens, -1, "tokens").unflatten(1, (STEPS, 3, 5))
    torch.testing.assert_close(steps[1], hidden[1].unflatten(0, (STEPS, 3)).mean(1))
    edges = [19 * s // 8 for s in range(9)]
    parts = [hidden[0, first:end].mean(0) for first, end in itertools.pairwise(edges)]
    torch.testing.assert_close(steps[0], torch.stack(parts))


def test_steps_are_the_band_average_of_tokens():
    tokens = _tokens([19, 24], times=24)
    apart = pool(tokens, -1, "tokens").unflatten(1, (STEPS, 3, 5))
    torch.testing.assert_close(pool(tokens, -1, "steps").unflatten(1, (STEPS, 5)), apart.mean(2))


def test_a_clip_of_few_tokens_repeats_them_by_index():
    tokens = _tokens([3, 1, 7], valid=[3, 1, 2])
    hidden = tokens.layers[-1].hidden
    steps = pool(tokens, -1, "tokens").unflatten(1, (STEPS, 3, 5))
    torch.testing.assert_close(steps[0], hidden[0, [0, 0, 0, 1, 1, 1, 2, 2]])
    torch.testing.assert_close(steps[1], hidden[1, [0] * 8])
    torch.testing.assert_close(steps[2], hidden[2, [0] * 4 + [1] * 4])  # real audio alone


def test_published_is_the_clip_embedding():
    clip = torch.ones(2, 4)
    assert pool(_tokens([7, 7], clip=clip), -1, "published") is clip


def test_layers_count_from_either_end():
    tokens = _tokens([7])
    assert pool(tokens, 0).abs().max() == 0
    assert torch.equal(pool(tokens, 1), pool(tokens, -1))
    with pytest.raises(BadInput, match="layer 2: this encoder has 2 layers"):
        pool(tokens, 2)


def test_what_cannot_be_given_says_so():
    with pytest.raises(UnknownId, match="did you mean 'mean'"):
        pool(_tokens([7]), -1, "meen")
    with pytest.raises(BadInput, match="no published"):
        pool(_tokens([7]), -1, "published")
    with pytest.raises(BadInput, match="no class token"):
        pool(_tokens([7]), -1, "cls")
    for length in (0, 8):
        with pytest.raises(BadInput, match="tokens of 7"):
            pool(_tokens([7, length]))
