import dataclasses
import time

import pytest
import torch
from torch import nn

from bench.encoders import contract
from bench.encoders.contract import check_encoder, examine
from bench.encoders.load import load_encoder
from bench.types import EncoderCard, Grid, Tokens

CARD = EncoderCard(
    id="toy.linear", version=1, sample_rate=1000, dims={"mean": 4, "max": 4}, frontend="", citation="",
    licence="MIT", min_s=0.1, grid=(0.1, 1),
)  # fmt: skip


class Toy(nn.Module):
    """A right adapter: a linear map of frames of a hundred samples, masked by hand."""

    def __init__(self, card=CARD):
        super().__init__()
        torch.manual_seed(0)
        self.card, self.weights_digest = card, "none"
        self.linear = nn.Linear(100, 4)
        self.eval()

    def mask(self, wave, length):
        return wave * (torch.arange(wave.shape[1]) < length[:, None])

    def hidden(self, wave):
        return self.linear(wave.unfold(1, 100, 100))[:, :, None]

    def forward(self, wave, length):
        return Tokens((Grid(self.hidden(self.mask(wave, length)), length // 100, 0.1, "frames"),))


def test_a_right_adapter_passes_and_is_left_as_it_was():
    toy = Toy()
    before = {k: v.clone() for k, v in toy.state_dict().items()}
    assert check_encoder(toy) == []
    assert all(torch.equal(v, before[k]) for k, v in toy.state_dict().items())
    assert toy.linear.weight.grad is None


def test_the_measured_invariance_comes_with_the_verdict():
    found = examine(Toy())
    assert found.problems == () and 0 <= found.invariance < 1e-5
    assert examine(Leaks()).invariance > contract.INVARIANCE
    assert examine(Raises()).invariance is None


def test_the_contract_covers_one_sample_50_ms_and_60_s():
    seen = []

    class Listens(Toy):
        def forward(self, wave, length):
            seen.extend(length.tolist())
            return super().forward(nn.functional.pad(wave, (0, max(0, 100 - wave.shape[1]))), length.clamp_min(100))

    assert check_encoder(Listens(dataclasses.replace(CARD, min_s=0.0))) == []
    assert {1, 50, 60_000} <= set(seen)


def test_nan_must_be_refused(monkeypatch):
    assert not any("NaN is answered" in problem for problem in check_encoder(Toy()))
    monkeypatch.setattr(contract, "embed", lambda *_, **__: None)
    assert any("holds NaN is answered" in problem for problem in check_encoder(Toy()))


class Neighbour(Toy):
    """Mixes the rows of a batch."""

    def hidden(self, wave):
        hidden = super().hidden(wave)
        return hidden + hidden.mean(dim=0)


class Vanishing(Toy):
    """A gradient that is there and zero."""

    def hidden(self, wave):
        return super().hidden(wave) * 0 + 1


class WrongShape(Toy):
    def hidden(self, wave):
        return super().hidden(wave)[:, :, 0]


class Leaks(Toy):
    """Normalises by the whole row, padding included, and by the batch."""

    def hidden(self, wave):
        return super().hidden(wave / (wave.std() + 1e-3))


class ReadsPadding(Toy):
    def mask(self, wave, length):
        return wave

    def hidden(self, wave):
        return super().hidden(wave - wave.amax(dim=1, keepdim=True))


class Together(Toy):
    """Says that it keeps the rows of a batch apart, and leaks from the longest into the first layer of the others."""

    ragged = True

    def forward(self, wave, length):
        (grid,) = super().forward(wave, length).layers
        first = grid._replace(hidden=grid.hidden + 1e-3 * (length < length.max())[:, None, None, None], name="first")
        return Tokens((first, grid))


class NotFinite(Toy):
    def hidden(self, wave):
        return super().hidden(wave) / wave.abs().amax(dim=1)[:, None, None, None]


class Random(Toy):
    def hidden(self, wave):
        return super().hidden(wave) + torch.randn(4)


class Detached(Toy):
    def hidden(self, wave):
        return super().hidden(wave).detach()


class Unused(Toy):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)


class Training(Toy):
    def __init__(self):
        super().__init__()
        self.train()


class Raises(Toy):
    def forward(self, wave, length):
        raise RuntimeError("shapes do not match")


class NoTokens(Toy):
    def forward(self, wave, length):
        return Tokens((super().forward(wave, length).layers[0]._replace(length=length * 0),))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (WrongShape, "not (batch 2, T', F', D)"),
        (Leaks, "padding or batch mates leak in"),
        (ReadsPadding, "behind a clip's end"),
        (Together, "layer first: tokens of a clip of 1.27 s alone and in a batch of other lengths differ"),
        (NotFinite, "silence gives NaN or infinity"),
        (Random, "no randomness in eval mode"),
        (Detached, "detached"),
        (Neighbour, "batch mates leak in"),
        (Vanishing, "the gradient of the first layer (linear.weight) is zero throughout"),
        (Unused, "no gradient reaches 2 of 4 weights, first head.weight"),
        (Training, "call eval()"),
        (Raises, "raised RuntimeError: shapes do not match"),
        (NoTokens, "length [0, 0] lies outside 1 to T'"),
    ],
)
def test_each_violation_is_explained(wrong, told):
    problems = check_encoder(wrong())
    assert any(told in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dims": {"mean": 5}}, "card.dims says 5"),
        ({"dims": {"mean": 4, "meen": 4}}, "'meen', which does not exist"),
        ({"default_pooling": "published"}, "not in card.dims"),
        ({"layers": 3}, "1 layers come back, the card says 3"),
        ({"grid": (0.2, 1)}, "the card says 1 and 0.2 s"),
        ({"policy": "short"}, "not in card.policies"),
    ],
)
def test_a_card_that_does_not_tell_the_truth(change, told):
    problems = check_encoder(Toy(dataclasses.replace(CARD, **change)))
    assert any(told in problem for problem in problems), problems


def test_batch_length_must_not_cut():
    toy = Toy()
    toy.batch_length = lambda n: n // 2
    assert any("cutting it" in problem for problem in check_encoder(toy))


def test_a_call_s_values_kept_in_the_encoder_are_found_by_threads():
    class Forgetful(load_encoder("fbank.stats").__class__):
        def encode(self, wave, length):
            self.kept = wave
            time.sleep(0.05)
            return super().encode(self.kept[:, : wave.shape[1]], length)

    encoder = load_encoder("fbank.stats")
    encoder.__class__ = Forgetful
    assert any("threads_may_share = False" in problem for problem in check_encoder(encoder))
    encoder.threads_may_share = False
    assert not any("threads" in problem for problem in check_encoder(encoder))
