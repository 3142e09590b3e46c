"""A results folder with two rows on the same clips: the control of durations, and one that often says crackle."""

import dataclasses
import hashlib
import shutil

import numpy as np
import pytest

from bench.scores import per_test, records


def add_record(folder, change, **spec):
    """A record like the duration control's with other predictions and another spec, beside the others."""
    found = (records.read(path) for path in records.paths(folder))
    record = next(each for each in found if each.spec["encoder"] == "meta.duration" and each.spec["seed"] == 0)
    table = change(record.predictions.copy())
    scores, domains = per_test.score_predictions(record.data["task"], table)
    digest = hashlib.sha256(records.predictions_csv(table)).hexdigest()
    full = record.spec | spec
    data = record.data | {"predictions_sha256": digest}
    made = dataclasses.replace(
        record, key=records.key(full), spec=full, scores=scores, domains=domains, predictions=table, data=data
    )
    records.write(made, folder)
    return made


def sometimes_crackle(table, seed=0):
    chosen = np.random.default_rng(seed).random(len(table)) < 0.4
    scores = [f"s_{k}" for k in range(4)]
    table.loc[chosen, scores] = np.log([0.04, 0.9, 0.03, 0.03])
    return table.assign(
        y_pred=table[scores].to_numpy().argmax(axis=1),
        **{name: records.as_stored(table[name].to_numpy()) for name in scores},
    )


@pytest.fixture
def add():
    return add_record


@pytest.fixture
def rows(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "results")
    add_record(folder, sometimes_crackle, encoder="other.noise")
    return folder
