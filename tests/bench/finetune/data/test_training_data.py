import dataclasses

import numpy as np
import pytest
import torch

from bench.data.manifest import prepare
from bench.encoders.batches import collate
from bench.finetune.data.clip_store import ClipStore
from bench.finetune.data.partition import partition
from bench.finetune.data.training_data import (
    TrainingData,
    collate_cropped,
    epoch_batches,
    group_by_step,
    metadata_codes,
    training_facts,
)
from bench.finetune.recipe import Batches
from toy_finetune import RATE, tiny


@pytest.fixture(scope="module")
def prepared(task):
    return prepare(task)


@pytest.fixture(scope="module")
def data(prepared, task):
    return TrainingData.of(prepared, ClipStore(prepared, RATE, "native"), partition(task.card, prepared, 0).training)


def test_material_says_nothing_of_rows_that_are_not_trained_on(prepared, data):
    other = np.setdiff1d(np.arange(len(prepared.rows)), data.training)
    assert (data.label[other] == -1).all() and (data.label[data.training] >= 0).all()
    assert all((codes[other] == -1).all() for codes in data.metadata.values())
    facts = training_facts(prepared.rows, data.training, ("normal", "abnormal"), 8, 5)
    assert (facts.classes, facts.width, facts.token, facts.names) == (2, 8, 5, ("normal", "abnormal"))
    assert sum(facts.counts) == len(data.training) and facts.domains["device"] == facts.domains["domain"] == 2


def test_codes_of_metadata_count_known_values_alone(prepared):
    rows = prepared.rows.iloc[:5].assign(meta_sex=["F", "", "M", "F", "unknown"], meta_age_group=list("aabbb"))
    codes = metadata_codes(rows, np.array([0, 1, 2, 4]))
    assert list(codes["sex"]) == [0, -1, 1, -1, -1] and list(codes["age"]) == [0, 0, 1, -1, 1]


def test_an_epoch_takes_every_clip_once_in_batches_of_like_lengths(data):
    choice = Batches(size=7, pool=3)
    batches = epoch_batches(data, choice, 0, 0)
    taken = np.concatenate(batches)
    assert (
        len(batches) == len(data.training) // 7 and len(set(taken)) == len(taken) and set(taken) <= set(data.training)
    )
    assert all(len(batch) == 7 for batch in batches)
    sizes = data.clips.sizes
    mixed = np.split(np.random.default_rng(0).permutation(taken), len(batches))
    spread, unsorted = (np.mean([np.ptp(sizes[rows]) for rows in each]) for each in (batches, mixed))
    assert spread < 0.7 * unsorted
    again = epoch_batches(data, choice, 0, 0)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    assert not np.array_equal(np.concatenate(epoch_batches(data, choice, 0, 1)), taken)
    assert [len(batch) for batch in epoch_batches(data, Batches(size=10_000), 0, 0)] == [len(data.training)]


def test_balanced_sampling_draws_classes_alike(data):
    label = data.label.copy()
    label[data.training] = np.arange(len(data.training)) < 6
    rare = dataclasses.replace(data, label=label)
    choice = Batches(4, sampling="balanced")
    drawn = np.concatenate([rows for epoch in range(40) for rows in epoch_batches(rare, choice, 0, epoch)])
    assert label[drawn].mean() == pytest.approx(0.5, abs=0.05)
    assert len(set(drawn)) == len(data.training)


def test_steps_take_several_batches():
    assert [len(group) for group in group_by_step(list(range(7)), 3)] == [3, 3, 1]


class Listed:
    def __init__(self, *waves):
        self.waves, self.sizes = waves, np.array([len(wave) for wave in waves])

    def __getitem__(self, row):
        return self.waves[row]


def test_short_clips_are_repeated_and_long_ones_cropped():
    card = tiny().card
    ramp = Listed(np.arange(300, dtype=np.float32), np.arange(1000, 1500, dtype=np.float32))
    wave, length = collate_cropped(np.array([0, 1]), ramp, card, None, np.random.default_rng(0))
    assert wave.shape == (2, 500) and list(length) == [500, 500]
    assert torch.equal(wave[0, 300:], torch.arange(200.0)) and torch.equal(wave[1], torch.arange(1000.0, 1500.0))
    starts = set()
    for seed in range(50):
        wave, length = collate_cropped(np.array([0, 1]), ramp, card, 0.1, np.random.default_rng(seed))
        assert wave.shape == (2, 400) and torch.equal(wave[0, :300], torch.arange(300.0))
        starts.add(int(wave[1, 0]) - 1000)
    assert min(starts) >= 0 and max(starts) <= 100 and len(starts) > 20


def test_clips_below_the_minimum_are_padded_as_at_prediction():
    encoder = tiny()
    short = Listed(np.ones(50, np.float32), np.ones(80, np.float32))
    wave, length = collate_cropped(np.array([1]), short, encoder.card, None, np.random.default_rng(0))
    theirs, expected = collate(encoder, [short[1]])
    assert torch.equal(wave, theirs) and torch.equal(length, expected)
    limited = dataclasses.replace(encoder.card, max_s=0.06)
    wave, _ = collate_cropped(np.array([0]), Listed(np.ones(900, np.float32)), limited, None, np.random.default_rng(0))
    assert wave.shape == (1, 240)
