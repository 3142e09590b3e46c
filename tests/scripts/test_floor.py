import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.base import registry

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "benchmarks"))

import floor  # noqa: E402


@pytest.fixture(scope="module")
def rows():
    return json.loads((ROOT / "results" / "encode" / "floor.json").read_text())


def test_every_front_end_was_measured(rows):
    assert [row["ids"] for row in rows] == [ids for _, ids in floor.front_ends()]


def test_cards_say_what_was_measured(rows):
    """A front end hears rounding under a policy where some band moves by a standard deviation or more."""
    found = {id: row.get("shifts", {}).get("1e-7", {}).get("largest", 0.0) for row in rows for id in row["ids"]}
    for card in registry.cards(registry.ENCODERS):
        for policy in card.policies:
            id = card.id if policy == card.policies[0] else f"{card.id}@{policy}"
            assert (policy in card.floor_sensitive) == (found[id] >= floor.SENSITIVE), id


def test_the_page_is_the_table_of_the_numbers(rows):
    assert floor.table(rows) in (ROOT / "results" / "encode" / "floor.md").read_text()


def test_shifts_are_in_deviations_of_what_varies():
    before = np.array([[0.0, 5.0, 1.0], [2.0, 5.0, 3.0]])
    after = before + np.array([[0.5, 9.0, 0.0], [0.0, 9.0, -2.0]])
    assert floor.shifts(before, after) == {"largest": 2.0, "median": 1.25, "share": 0.5}
    assert floor.shifts(before[:, 1:2], after[:, 1:2]) == {"largest": 0.0, "median": 0.0, "share": 0.0}


def test_the_spectrogram_is_taken_before_the_network():
    rng = np.random.default_rng(0)
    clips = [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in (16000, 24000)]
    means = floor.band_means(floor.untrained("efficientat.mn04"), clips)
    assert means.shape == (2, 128) and np.isfinite(means).all()
