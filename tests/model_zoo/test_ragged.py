"""Clips of different lengths in one batch get what each gets alone, in every layer. On reduced networks."""

import copy

import pytest
import torch

from bench.encoders.load import load_encoder
from model_zoo._adapters import row_ends
from model_zoo._networks import cnn14
from reduced import DURATIONS, assert_rows_stay_apart, batch, every_policy, from_fixture, untrained

CASES = every_policy()
UNTRAINED = (
    "efficientat.mn04", "scratch.cnn6", "scratch.cnn10", "scratch.resnet18", "scratch.inception", "scratch.ast",
    "fbank.stats", "mfcc.stats", "meta.duration", "meta.level", "meta.silence", "meta.bandwidth",
)  # fmt: skip
BUILT = {}


@pytest.fixture(params=[*CASES, *UNTRAINED])
def encoder(request, tmp_path):
    """One encoder, built once."""
    id = request.param
    if id not in BUILT:
        BUILT[id] = from_fixture(CASES[id], request, tmp_path) if id in CASES else untrained(id)
    return BUILT[id]


@pytest.fixture
def passes(encoder, monkeypatch):
    """The sizes (B, T) of what ``encode`` is given."""
    seen, encode = [], encoder.encode
    monkeypatch.setattr(
        encoder, "encode", lambda wave, length: (seen.append(tuple(wave.shape)), encode(wave, length))[1]
    )
    return seen


@pytest.mark.long
def test_a_mixed_batch_equals_each_clip_alone_in_every_layer(encoder, passes):
    assert_rows_stay_apart(encoder)
    longest = round((encoder.card.max_s or 0) * encoder.card.sample_rate)
    assert encoder.ragged or encoder.batch_length(1) == encoder.batch_length(longest)  # padded to one length
    assert passes[0] == (len(DURATIONS), max(passes)[1]) or not encoder.ragged


def test_batches_of_one_length_need_no_masks(encoder, monkeypatch):
    wave, length = batch(encoder, 1.3, 1.3, 1.3)
    with torch.inference_mode():
        expected = encoder(wave, length)
        monkeypatch.setattr(row_ends, "Rows", None)  # none can be made
        monkeypatch.setattr(type(encoder), "ragged", False)
        found = encoder(wave, length)
    assert all(torch.equal(a.hidden, b.hidden) for a, b in zip(found.layers, expected.layers, strict=True))
    assert torch.equal(found.clip, expected.clip)


@pytest.mark.long
def test_training_and_taps_keep_lengths_apart(encoder, passes):
    wave, length = batch(encoder, 1.3, 2.9)
    lengths = len({encoder.batch_length(n) for n in length.tolist()})
    if "spectrogram" in encoder.offers:
        encoder.taps["spectrogram"] = lambda x: x
        encoder(wave, length)
        encoder.taps.clear()
        assert len(passes) == lengths or encoder.card.id.startswith("opera")  # which trims them first
    passes.clear()
    norm = next((module for module in encoder.modules() if isinstance(module, torch.nn.BatchNorm2d)), None)
    if norm is not None and lengths > 1:
        norm.train()
        momentum, norm.momentum = norm.momentum, 0.0
        encoder(wave, length)
        norm.momentum = momentum
        norm.eval()
        assert len(passes) == lengths


def test_a_twin_is_as_ragged_as_its_original(monkeypatch):
    monkeypatch.setattr(cnn14, "FULL", cnn14.Geometry((4, 6, 8, 10, 12, 14), 16))
    assert load_encoder("random.panns.cnn14_16k").ragged


@pytest.mark.long
def test_gradients_of_a_mixed_batch_are_those_of_its_clips(encoder):
    if not encoder.ragged or not any(p.requires_grad for p in encoder.parameters()):
        pytest.skip("every length by itself, or nothing to train")
    encoder = copy.deepcopy(encoder).double()  # rounding moves maxima, and with them gradients
    lengths = [(wave.double(), length) for wave, length in (batch(encoder, seconds) for seconds in (1.3, 2.9))]
    weights = [p for p in encoder.parameters() if p.requires_grad]

    def gradient(wave, length):
        clip = encoder(wave, length).clip
        return torch.autograd.grad((clip * torch.arange(clip.shape[1]).cos()).sum(), weights, allow_unused=True)

    alone = list(zip(*(gradient(*one) for one in lengths), strict=True))
    wave = torch.nn.utils.rnn.pad_sequence([wave[0] for wave, _ in lengths], batch_first=True)
    together = gradient(wave, torch.cat([length for _, length in lengths]))
    scale = max(float(g.abs().max()) for pair in alone for g in pair if g is not None)
    for mixed, (first, second) in zip(together, alone, strict=True):
        assert (mixed is None) == (first is None)
        assert mixed is None or float((mixed - first - second).abs().max()) <= 1e-5 * scale
