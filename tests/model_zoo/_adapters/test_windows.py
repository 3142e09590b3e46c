import dataclasses

import numpy as np
import pytest
import torch

from bench.encoders.batches import embed
from bench.encoders.contract import check_encoder
from bench.types import EncoderCard, Grid, Tokens
from model_zoo._adapters.cards import dims
from model_zoo._adapters.windows import Windowed

SIZE, STEP = 2000, 100
CARD = EncoderCard(
    id="toy.windows",
    version=1,
    sample_rate=1000,
    max_s=SIZE / 1000,
    dims=dims(2, published=2, cls=True),
    frontend="none",
    citation="",
    licence="MIT",
    policies=("upstream", "windows"),
)
WINDOWS = dataclasses.replace(CARD, policy="windows")


class Toy(Windowed):
    """Tokens are the mean and the maximum of 0.1 s; those over audio are counted."""

    def __init__(self, card):
        super().__init__(card, SIZE)
        self.weights_digest = "none"

    def window(self, wave, length):
        assert wave.shape[1] == SIZE
        assert bool(((length >= 1) & (length <= SIZE)).all())
        steps = wave.unflatten(1, (-1, STEP))
        hidden = torch.stack([steps.mean(dim=2), steps.amax(dim=2)], dim=2)[:, :, None]  # (N, 20, 1, 2)
        whole = torch.full_like(length, hidden.shape[1])
        clip = wave.sum(dim=1, keepdim=True) / length[:, None]
        return Tokens((Grid(hidden, whole, 0.1, "steps", -(-length // STEP), clip.tile(2)),), clip.tile(2))


@pytest.fixture
def wave():
    return torch.rand(1, 4700, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("card", [CARD, WINDOWS], ids=lambda card: card.policy)
def test_fits_the_contract(card):
    assert check_encoder(Toy(card).eval()) == []


def test_upstream_is_the_crop_at_0(wave):
    toy = Toy(CARD)
    assert [toy.batch_length(n) for n in (1, 2000)] == [2000, 2000]
    whole, cut = toy(wave, torch.tensor([4700])), toy(wave[:, :SIZE], torch.tensor([SIZE]))
    torch.testing.assert_close(whole.clip, cut.clip)
    torch.testing.assert_close(whole.layers[0].hidden, cut.layers[0].hidden)


def test_windows_follow_one_another_and_the_last_one_is_a_short_clip(wave):
    toy = Toy(WINDOWS)
    assert toy.card.max_s is None
    assert [toy.batch_length(n) for n in (1, 2000, 2001, 4000)] == [2000, 2000, 4000, 4000]
    found = toy(wave, torch.tensor([4700]))
    parts = [toy(part, torch.tensor([part.shape[1]])) for part in wave.split(SIZE, dim=1)]
    grid = found.layers[0]
    torch.testing.assert_close(grid.hidden, torch.cat([part.layers[0].hidden for part in parts], dim=1))
    assert (grid.length.tolist(), grid.valid.tolist()) == ([60], [47])
    torch.testing.assert_close(found.clip, torch.stack([part.clip for part in parts]).mean(dim=0))
    torch.testing.assert_close(grid.cls, found.clip)


def test_windows_of_a_batch_stay_with_their_clip(wave):
    toy, clips = Toy(WINDOWS), [wave[0].numpy(), wave[0, :4100].numpy(), wave[0, 1000:].numpy()]
    alone = np.concatenate([embed(toy, [clip], "mean_valid") for clip in clips])
    np.testing.assert_allclose(embed(toy, clips, "mean_valid"), alone, rtol=1e-5)
