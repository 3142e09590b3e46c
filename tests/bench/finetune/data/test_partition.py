import dataclasses

import numpy as np
import pytest

from bench.base.errors import BadInput
from bench.data.manifest import prepare
from bench.finetune.data.partition import partition


@pytest.fixture(scope="module")
def prepared(task):
    return prepare(task)


def test_patients_are_on_one_side(prepared, task):
    groups, split = prepared.rows["group"].to_numpy(), prepared.rows["split"].to_numpy()
    drawn = set()
    for seed in range(5):
        part = partition(task.card, prepared, seed)
        held = [set(groups[rows]) for rows in (part.training, part.validation, part.test)]
        assert not held[0] & held[1] and not held[2] & (held[0] | held[1])
        assert sorted([*part.training, *part.validation]) == list(np.flatnonzero(split == "train"))
        assert "one of 5 folds" in part.rule
        drawn.add(tuple(part.validation))
    assert len(drawn) > 1


def test_the_tasks_own_validation_is_taken_unless_a_patient_straddles(prepared, task):
    rows = prepared.rows.copy()
    train = rows.index[rows["split"] == "train"]
    names = sorted(rows.loc[train, "group"].unique())
    held = rows["group"].isin(names[:4]) & (rows["split"] == "train")
    rows.loc[held, "split"] = "val"
    own = partition(task.card, dataclasses.replace(prepared, rows=rows), 0)
    assert list(own.validation) == list(np.flatnonzero(held)) and "own validation" in own.rule
    rows.loc[rows.index[held][0], "split"] = "train"  # of a patient whose other clips validate
    assert "folds" in partition(task.card, dataclasses.replace(prepared, rows=rows), 0).rule


def test_tasks_that_cannot_be_trained_on_are_refused(prepared, task):
    for changes in ({"kind": "multilabel"}, {"leave_one_out": True}):
        with pytest.raises(BadInput, match="fine-tuning takes multiclass"):
            partition(dataclasses.replace(task.card, **changes), prepared, 0)
    for seed in (-1, 2**32):
        with pytest.raises(BadInput, match=f"seed {seed}: is out of range"):
            partition(task.card, prepared, seed)
    rows = prepared.rows.copy()
    one = rows[rows["split"] == "train"]["group"].iloc[0]
    rows["label"] = (rows["group"] == one).astype(int)
    with pytest.raises(BadInput, match="one class only"):
        partition(task.card, dataclasses.replace(prepared, rows=rows), 0)
