import numpy as np
import pytest

from bench.data.manifest import prepare
from bench.finetune.data.partition import partition
from bench.finetune.training import trial
from bench.finetune.training.trial import reduced_data, reduced_recipe, try_recipe
from bench.scores import records
from toy_finetune import recipe, tiny


def test_a_trial_takes_a_few_clips_of_every_class_and_of_the_same_sides(task, monkeypatch):
    monkeypatch.setattr(trial, "CLIPS", 6)
    prepared = prepare(task)
    parts = partition(task.card, prepared, 0)
    small, few = reduced_data(prepared, parts)
    for rows, of in ((few.training, parts.training), (few.validation, parts.validation), (few.test, parts.test)):
        ids = small.rows["clip_id"].to_numpy()[rows]
        assert len(rows) == 6 and set(ids) <= set(prepared.rows["clip_id"].to_numpy()[of])
        assert set(small.rows["label"].to_numpy()[rows]) == {0, 1}
    assert len(small.rows) == 18 and list(small.rows.index) == list(range(18))


def test_a_trial_is_short_and_in_float32_on_a_cpu():
    chosen = recipe(precision="float16", epochs=50, patience=5, schedule={"warmup_epochs": 3}, batches={"size": 64})
    small = reduced_recipe(chosen, tiny())
    assert (small.epochs, small.patience, small.precision, small.batches.size) == (2, None, "float32", 8)
    assert small.batches.crop_s == trial.CROP_S and small.name == "trial of toy"
    assert (small.method, small.head, small.spectrogram) == (chosen.method, chosen.head, chosen.spectrogram)


def test_a_trial_goes_the_whole_way_and_makes_no_record(task, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(records, "write", lambda *what: pytest.fail("a record was written"))
    found = try_recipe(tiny(), task.card, prepare(task), recipe(precision="float16"))
    assert len(found.losses) == 2 and np.isfinite(found.losses).all() and found.trained <= trial.CLIPS
    assert found.text().startswith("TRIAL, no result and no record") and not list(tmp_path.iterdir())
