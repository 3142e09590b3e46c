import dataclasses

import numpy as np
import pytest
import torch

from bench.base.errors import BadInput
from bench.data.manifest import prepare
from bench.encoders.batches import collate
from bench.finetune.data.sides import Material, collated, epoch_batches, groups_of, metadata, sides
from bench.finetune.data.waves import Waves
from bench.finetune.recipe import Batches
from toy_finetune import RATE, tiny


@pytest.fixture(scope="module")
def prepared(task):
    return prepare(task)


@pytest.fixture(scope="module")
def material(prepared, task):
    return Material.of(prepared, Waves(prepared, RATE, "native"), sides(task.card, prepared, 0).fit)


def test_patients_are_on_one_side(prepared, task):
    groups, split = prepared.rows["group"].to_numpy(), prepared.rows["split"].to_numpy()
    drawn = set()
    for seed in range(5):
        part = sides(task.card, prepared, seed)
        held = [set(groups[rows]) for rows in (part.fit, part.validation, part.test)]
        assert not held[0] & held[1] and not held[2] & (held[0] | held[1])
        assert sorted([*part.fit, *part.validation]) == list(np.flatnonzero(split == "train"))
        assert "one of 5 folds" in part.rule
        drawn.add(tuple(part.validation))
    assert len(drawn) > 1


def test_the_tasks_own_validation_is_taken_unless_a_patient_straddles(prepared, task):
    rows = prepared.rows.copy()
    train = rows.index[rows["split"] == "train"]
    names = sorted(rows.loc[train, "group"].unique())
    held = rows["group"].isin(names[:4]) & (rows["split"] == "train")
    rows.loc[held, "split"] = "val"
    own = sides(task.card, dataclasses.replace(prepared, rows=rows), 0)
    assert list(own.validation) == list(np.flatnonzero(held)) and "own validation" in own.rule
    rows.loc[rows.index[held][0], "split"] = "train"  # of a patient whose other clips validate
    assert "folds" in sides(task.card, dataclasses.replace(prepared, rows=rows), 0).rule


def test_tasks_that_cannot_be_trained_on_are_refused(prepared, task):
    for changes in ({"kind": "multilabel"}, {"leave_one_out": True}):
        with pytest.raises(BadInput, match="fine-tuning takes multiclass"):
            sides(dataclasses.replace(task.card, **changes), prepared, 0)
    for seed in (-1, 2**32):
        with pytest.raises(BadInput, match=f"seed {seed}: is out of range"):
            sides(task.card, prepared, seed)
    rows = prepared.rows.copy()
    one = rows[rows["split"] == "train"]["group"].iloc[0]
    rows["label"] = (rows["group"] == one).astype(int)
    with pytest.raises(BadInput, match="one class only"):
        sides(task.card, dataclasses.replace(prepared, rows=rows), 0)


def test_waves_are_decoded_once_and_are_those_of_the_clips(prepared, monkeypatch):
    from bench.data import clips

    first = Waves(prepared, RATE, "native")
    expected = {}
    for unit in clips.units(prepared.rows, prepared.recordings):
        expected |= dict(zip(unit.rows, clips.waves(unit, prepared.root, RATE), strict=True))
    assert all(np.array_equal(first[row], expected[row]) for row in range(len(prepared.rows)))
    assert [len(expected[row]) for row in range(len(prepared.rows))] == list(first.sizes)
    monkeypatch.setattr(clips, "waves", None)
    assert np.array_equal(Waves(prepared, RATE, "native")[3], first[3])


def test_material_says_nothing_of_rows_that_are_not_trained_on(prepared, material):
    other = np.setdiff1d(np.arange(len(prepared.rows)), material.fit)
    assert (material.label[other] == -1).all() and (material.label[material.fit] >= 0).all()
    assert all((codes[other] == -1).all() for codes in material.meta.values())
    facts = material.facts(2, 8)
    assert sum(facts.counts) == len(material.fit) and facts.domains["device"] == facts.domains["domain"] == 2


def test_codes_of_metadata_count_known_values_alone(prepared):
    rows = prepared.rows.iloc[:5].assign(meta_sex=["F", "", "M", "F", "unknown"], meta_age_group=list("aabbb"))
    codes = metadata(rows, np.array([0, 1, 2, 4]))
    assert list(codes["sex"]) == [0, -1, 1, -1, -1] and list(codes["age"]) == [0, 0, 1, -1, 1]


def test_an_epoch_takes_every_clip_once_in_batches_of_like_lengths(material):
    choice = Batches(size=7, pool=3)
    batches = epoch_batches(material, choice, 0, 0)
    taken = np.concatenate(batches)
    assert len(batches) == len(material.fit) // 7 and len(set(taken)) == len(taken) and set(taken) <= set(material.fit)
    assert all(len(batch) == 7 for batch in batches)
    sizes = material.waves.sizes
    mixed = np.split(np.random.default_rng(0).permutation(taken), len(batches))
    spread, unsorted = (np.mean([np.ptp(sizes[rows]) for rows in each]) for each in (batches, mixed))
    assert spread < 0.7 * unsorted
    again = epoch_batches(material, choice, 0, 0)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    assert not np.array_equal(np.concatenate(epoch_batches(material, choice, 0, 1)), taken)
    assert [len(batch) for batch in epoch_batches(material, Batches(size=10_000), 0, 0)] == [len(material.fit)]


def test_balanced_sampling_draws_classes_alike(material):
    label = material.label.copy()
    label[material.fit] = np.arange(len(material.fit)) < 6
    rare = dataclasses.replace(material, label=label)
    choice = Batches(4, sampling="balanced")
    drawn = np.concatenate([rows for epoch in range(40) for rows in epoch_batches(rare, choice, 0, epoch)])
    assert label[drawn].mean() == pytest.approx(0.5, abs=0.05)
    assert len(set(drawn)) == len(material.fit)


def test_steps_take_several_batches():
    assert [len(group) for group in groups_of(list(range(7)), 3)] == [3, 3, 1]


class Listed:
    def __init__(self, *waves):
        self.waves, self.sizes = waves, np.array([len(wave) for wave in waves])

    def __getitem__(self, row):
        return self.waves[row]


def test_short_clips_are_repeated_and_long_ones_cropped():
    card = tiny().card
    ramp = Listed(np.arange(300, dtype=np.float32), np.arange(1000, 1500, dtype=np.float32))
    wave, length = collated(np.array([0, 1]), ramp, card, None, np.random.default_rng(0))
    assert wave.shape == (2, 500) and list(length) == [500, 500]
    assert torch.equal(wave[0, 300:], torch.arange(200.0)) and torch.equal(wave[1], torch.arange(1000.0, 1500.0))
    starts = set()
    for seed in range(50):
        wave, length = collated(np.array([0, 1]), ramp, card, 0.1, np.random.default_rng(seed))
        assert wave.shape == (2, 400) and torch.equal(wave[0, :300], torch.arange(300.0))
        starts.add(int(wave[1, 0]) - 1000)
    assert min(starts) >= 0 and max(starts) <= 100 and len(starts) > 20


def test_clips_below_the_minimum_are_padded_as_at_prediction():
    encoder = tiny()
    short = Listed(np.ones(50, np.float32), np.ones(80, np.float32))
    wave, length = collated(np.array([1]), short, encoder.card, None, np.random.default_rng(0))
    theirs, expected = collate(encoder, [short[1]])
    assert torch.equal(wave, theirs) and torch.equal(length, expected)
    limited = dataclasses.replace(encoder.card, max_s=0.06)
    wave, _ = collated(np.array([0]), Listed(np.ones(900, np.float32)), limited, None, np.random.default_rng(0))
    assert wave.shape == (1, 240)
