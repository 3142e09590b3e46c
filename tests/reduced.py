"""Reduced networks of the encoder families: those of the fixtures of parity, and small or untrained ones."""

import dataclasses

import torch

from bench.base import registry
from bench.encoders import contract
from bench.encoders.batches import collate
from parity import build, cases
from parity.golden import COMPACT, Golden, synthetic_signal


def batch(encoder, *seconds):
    return collate(encoder, [synthetic_signal(s, encoder.card.sample_rate) for s in seconds])


def awake(encoder):
    """An untrained encoder whose batch norms measured two clips, without which a deep network fades to nothing."""
    norms = [module for module in encoder.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    encoder.train()(*batch(encoder, 1.3, 1.3))
    return encoder.eval()


def untrained(id):
    """The encoder without weights, its batch norms awake."""
    card = registry.encoder_card(id)
    torch.manual_seed(0)
    return awake(registry.family(registry.ENCODERS, id).build(card, None))


def every_policy():
    """{name: case} of every fixture with a network of its own, under every policy of its encoder."""
    first = {case.fixture: case for case in reversed(cases()) if not case.released}
    found = {}
    for case in first.values():
        card = registry.encoder_card(case.encoder.partition("@")[0])
        for policy in card.policies:
            id = card.id if policy == card.policies[0] else f"{card.id}@{policy}"
            found[id] = dataclasses.replace(case, encoder=id)
    return found


def from_fixture(case, request, folder):
    """The encoder of a case with the checkpoint of its fixture, the compact one where there is one."""
    place = COMPACT if (COMPACT / case.fixture).is_dir() else request.getfixturevalue("golden")
    return build(case, case.weights(Golden(place, case.fixture), folder))


DURATIONS = (*contract.MIXED, 0.555, 10.011)  # seconds; the last one leaves a chunk of 10.01 s a single frame


def assert_rows_stay_apart(encoder):
    """Clips of very different lengths get in one batch what each gets alone, in every layer."""
    subject = contract.Subject(encoder)
    clips = [subject.noise(max(seconds, encoder.card.min_s)) for seconds in DURATIONS]
    wave, length = collate(encoder, clips)
    behind = torch.arange(wave.shape[1]) >= length[:, None]
    with torch.inference_mode():
        together = encoder(wave + 0.9 * behind, length)
        for row, clip in enumerate(clips):
            alone = encoder(*collate(encoder, [clip]))
            for mixed, single in zip(together.layers, alone.layers, strict=True):
                assert mixed.hidden.isfinite().all()
                for counts, own in ((mixed.length, single.length), (mixed.valid, single.valid)):
                    assert (counts is None) == (own is None)
                    assert counts is None or (counts.dtype, counts[row]) == (torch.int64, own[0])
                _near(mixed.hidden[row, : single.length[0]], single.hidden[0, : single.length[0]])
                _near(_row(mixed.cls, row), _row(single.cls, 0))
            _near(_row(together.clip, row), _row(alone.clip, 0))


def _row(values, row):
    return None if values is None else values[row]


def _near(found, expected):
    assert (found is None) == (expected is None)
    if expected is not None:
        scale = float(expected.abs().max().clamp_min(1e-6))
        assert float((found - expected).abs().max()) <= contract.INVARIANCE * scale
