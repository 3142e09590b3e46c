import sys
import warnings

import numpy as np
import pytest

from bench.base.errors import BadInput
from bench.encoders.batches import embed
from bench.encoders.contract import check_encoder
from model_zoo import opensmile as family

each_card = pytest.mark.parametrize("card", family.CARDS, ids=lambda card: card.id)


@pytest.fixture(scope="module")
def smile():
    """openSMILE itself, an extra: these tests are skipped without it."""
    return pytest.importorskip("opensmile", reason="the opensmile extra is not installed")


def _clips(*sizes):
    rng = np.random.default_rng(0)
    return [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in sizes]


def test_absence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(BadInput, match=r"opensmile\.egemaps: needs openSMILE.*pip install 'respbench\[opensmile\]'"):
        family.build(family.CARDS[1])


def test_the_licence_is_shown_without_the_extra():
    assert all("no commercial use" in card.licence for card in family.CARDS)
    assert [card.dims["published"] for card in family.CARDS] == [988, 88, 6373]


@each_card
def test_equals_opensmile_clip_by_clip(card, smile):
    clips = _clips(9000, 16000, 12345)
    name = family.FEATURE_SETS[card.id.partition(".")[2]]
    reference = smile.Smile(feature_set=name, feature_level="func")
    theirs = np.concatenate([reference.process_signal(clip, 16000).to_numpy() for clip in clips])
    np.testing.assert_array_equal(embed(family.build(card), clips, None), theirs)


@each_card
def test_fits_the_contract(card, smile):
    encoder = family.build(card)
    assert encoder.weights_digest == f"smile-{smile.__version__}"
    assert check_encoder(encoder) == []


@each_card
def test_very_short_and_silent_clips_are_finite(card, smile):
    clips = [np.ones(1, np.float32), np.zeros(16000, np.float32), *_clips(800, 960), np.full(9000, -1.0, np.float32)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # openSMILE warns where it fills in NaN
        assert np.isfinite(embed(family.build(card), clips, None)).all()
