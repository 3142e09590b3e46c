import copy
import dataclasses
import shutil

import numpy as np
import pytest
import torch

import bench
from bench import simulate
from bench.base.errors import BadInput
from bench.data.manifest import prepare
from bench.finetune import estimate, fit
from bench.finetune.data.clip_store import ClipStores
from bench.finetune.recipe import Distillation
from bench.finetune.training import teachers
from bench.finetune.training.checkpoints import CHOSEN, STATE, TRAINING_FOLDER, RunFolder
from bench.finetune.training.start import prepare_run
from bench.finetune.training.teachers import METADATA_READ, find_teachers, require_loadable, taught
from bench.finetune.training.trial import try_recipe
from bench.probe import protocols
from bench.reports.names import recipe_labels
from bench.scores import records
from toy_finetune import recipe, tiny

SENSITIVE = {"epochs": 4, "method": {"name": "ce-weighted", "options": {"weights": [0.1, 0.9]}}}
KINDS = {"toy": {}, "other": {"method": {"name": "focal"}, "precision": "bfloat16"}}


@pytest.fixture(autouse=True)
def at_hand(monkeypatch):
    monkeypatch.setattr(teachers, "load_encoder", lambda id, weights, device, **trust: tiny(norm=False))


@pytest.fixture(scope="module")
def school(task, tmp_path_factory):
    """A results folder with two runs of seed 0 that kept their weights."""
    folder = tmp_path_factory.mktemp("school")
    for name, changes in KINDS.items():
        fit(tiny(norm=False), task, recipe(name=name, epochs=2, **changes), 0, out=folder, keep=True)
    return folder


@pytest.fixture
def copied(school, tmp_path):
    return shutil.copytree(school, tmp_path / "school")


def student(folder, **changes):
    return recipe(name="student", epochs=2, distillation={"teachers": [str(folder)], **changes})


def found(folder, task, seed=0):
    return find_teachers(Distillation((str(folder),)), task.card, prepare(task), seed)


def honest(folder):
    return next(r for r in records.load_all(folder) if r.spec["protocol"] == protocols.FINETUNE)


def test_soft_labels_are_the_mean_of_what_the_kept_weights_say_of_the_training_clips(school, task):
    prepared, stores = prepare(task), ClipStores()
    start = prepare_run(tiny(norm=False), task.card, prepared, student(school, temperature=3.0), 0, stores)
    given = taught(start, found(school, task), task.card, prepared, stores)
    plain = np.zeros((len(prepared.rows), 2))
    for name, changes in KINDS.items():
        (record,) = (
            r
            for r in records.load_all(school)
            if r.data["recipe"]["name"] == name and r.spec["protocol"] == protocols.FINETUNE
        )
        own = prepare_run(tiny(norm=False), task.card, prepared, recipe(name=name, **changes), 0, stores)
        kept = torch.load(school / TRAINING_FOLDER / record.key / CHOSEN, weights_only=True)
        own.model.load_state_dict(kept["model"])
        for row in start.data.training:
            z = own.model.predict(own.method, own.data.clips, np.array([row]))[0] / 3
            plain[row] += np.exp(z) / np.exp(z).sum() / len(KINDS)
    trained_on = np.isin(np.arange(len(plain)), start.data.training)
    assert np.isnan(given.data.soft_label[~trained_on]).all()
    # a clip alone and in a batch agree to bfloat16's rounding, 2^-8 of logits of a few units
    np.testing.assert_allclose(given.data.soft_label[trained_on], plain[trained_on], atol=2**-6)
    assert start.data.soft_label is None


@pytest.mark.long
def test_a_student_says_whom_it_learned_from_and_learns_from_them(school, task, tmp_path):
    made = fit(tiny(norm=False), task, student(school), 0, out=tmp_path).records
    keys = [each.key for each in found(school, task)]
    assert len(keys) == 2 and all(record.spec["teachers"] == keys for record in made)
    told = made[0].spec["recipe"]["distillation"]
    assert told["weight"] == 0.5 and told["temperature"] == 2.0
    assert [kind.partition(":")[0] for kind in told["teachers"]] == ["test.tiny"] * 2
    assert str(school) not in records.to_json(made[0]).decode()
    plain = fit(tiny(norm=False), task, recipe(name="student", epochs=2), 0).records[0]
    assert "teachers" not in plain.spec and "distillation" not in plain.spec["recipe"]
    assert plain.selection["losses"] != made[0].selection["losses"]
    assert records.read(records.path(tmp_path, task.card.id, made[0].key)).spec == made[0].spec
    again = fit(tiny(norm=False), task, student(school), 0, out=tmp_path)
    assert [record.key for record in again.records] == [record.key for record in made]


@pytest.mark.long
def test_a_run_on_all_training_rows_learns_too(school, task):
    sensitive = recipe(name="student", distillation={"teachers": [str(school)], "weight": 0.1}, **SENSITIVE)
    (record,) = fit(tiny(norm=False), task, sensitive, 0, protocol=protocols.BEST_TEST).records
    assert record.spec["teachers"] == [each.key for each in found(school, task)]


@pytest.mark.long
def test_what_teachers_are_is_the_same_for_every_seed_and_labels_do_not_split(school, task, copied, tmp_path):
    for name, changes in KINDS.items():
        fit(tiny(norm=False), task, recipe(name=name, epochs=2, **changes), 1, out=copied, keep=True)
    first, second = found(copied, task, 0), found(copied, task, 1)
    assert [t.kind for t in first] == [t.kind for t in second] and len({t.key for t in (*first, *second)}) == 4
    made = [r for seed in (0, 1) for r in fit(tiny(norm=False), task, student(copied), seed).records]
    assert len(set(recipe_labels(made).values())) == 1


@pytest.mark.long
def test_a_student_may_teach(school, task, tmp_path):
    fit(tiny(norm=False), task, student(school), 0, out=tmp_path, keep=True)
    (teacher,) = found(tmp_path, task)
    assert teacher.record.spec["teachers"]
    prepared, stores = prepare(task), ClipStores()
    start = prepare_run(tiny(norm=False), task.card, prepared, student(tmp_path), 0, stores)
    given = taught(start, [teacher], task.card, prepared, stores)
    np.testing.assert_allclose(given.data.soft_label[start.data.training].sum(axis=1), 1, rtol=1e-6)


def test_an_estimate_and_a_trial_need_no_teachers_answers(school, task, monkeypatch):
    monkeypatch.setattr(teachers, "load_encoder", lambda *what, **trust: pytest.fail("a teacher was loaded"))
    assert estimate(tiny(norm=False), task, student(school)).train_s > 0
    assert np.isfinite(try_recipe(tiny(norm=False), task.card, prepare(task), student(school)).losses).all()


def test_a_folder_without_an_honest_run_of_the_task_and_seed_is_refused(school, task, tmp_path):
    with pytest.raises(BadInput, match=r"no run of icbhi.cycles2 .* seed 0 to learn from \(it has none of that task\)"):
        found(tmp_path / "nowhere", task)
    with pytest.raises(BadInput, match=r"with seed 7 to learn from \(it has .*finetune with seed 0.*keep-weights"):
        found(school, task, seed=7)
    fit(tiny(norm=False), task, recipe(**SENSITIVE), 0, out=tmp_path, keep=True, protocol=protocols.BEST_TEST)
    with pytest.raises(BadInput, match=r"to learn from \(it has literature/best-test-epoch with seed 0\)"):
        found(tmp_path, task)


def test_a_teacher_without_weights_or_one_from_two_folders_is_refused(copied, school, task):
    with pytest.raises(BadInput, match="teaches twice"):
        find_teachers(Distillation((str(school), str(copied))), task.card, prepare(task), 0)
    shutil.rmtree(copied / TRAINING_FOLDER / honest(copied).key)
    with pytest.raises(BadInput, match=r"cannot teach: its weights were not kept.*--keep-weights"):
        found(copied, task)


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda history: None, "run that has not ended: 0 epochs of 2 are in"),
        (lambda history: history[:1], "run that has not ended: 1 epochs of 2 are in"),
        (lambda history: [history[0] | {"score": 0.123}, history[1]], "is another than that of its record"),
        (lambda history: [history[0] | {"loss": 9.0}, history[1]], "is another than that of its record"),
    ],
)
def test_a_folder_with_the_weights_of_another_run_than_the_record_s_does_not_teach(copied, task, change, why):
    run = RunFolder(copied / TRAINING_FOLDER / honest(copied).key, honest(copied).key)
    content = run.load(STATE)
    if (history := change(content["history"])) is None:  # a run made again, stopped in its first epoch
        (run.path / STATE).unlink()
    else:
        run.save(STATE, content | {"history": history})
    with pytest.raises(BadInput, match=f"cannot teach: .*{why}"):
        found(copied, task)


def test_a_teacher_of_other_data_is_refused(school, tmp_path):
    folder = tmp_path / "cycles"
    simulate.icbhi(folder / simulate.ICBHI, patients=24, clips=90, cycle_s=0.5, devices=("Litt3200", "Meditron"))
    with pytest.raises(BadInput, match=r"cannot teach: it was trained on other data \(other manifest\)"):
        found(school, bench.load_task("icbhi.cycles2", folder))


@pytest.mark.parametrize(
    "marks, why",
    [
        (["icbhi seen in pretraining"], "its encoder: icbhi seen in pretraining"),
        ([f"{METADATA_READ}: age, sex"], r"its method (ce|focal) reads metadata of the clip: age, sex"),
        (None, "withheld other"),
    ],
)
def test_a_teacher_that_heard_the_corpus_or_withheld_others_is_refused(copied, task, marks, why):
    record = honest(copied)
    data, selection = copy.deepcopy(record.data), copy.deepcopy(record.selection)
    if marks is not None:
        data["marks"] = marks
    else:
        selection["validation_groups"] = selection["validation_groups"][1:]
    records.write(dataclasses.replace(record, data=data, selection=selection), copied)
    with pytest.raises(BadInput, match=f"cannot teach: .*{why}"):
        found(copied, task)


def test_an_edited_record_does_not_teach(copied, task):
    path = records.path(copied, task.card.id, honest(copied).key)
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 3'))
    with pytest.raises(BadInput, match="edited"):
        found(copied, task)


@pytest.mark.parametrize("change", [{"version": 2}, {"settings": "0" * 64}, {"code": "0" * 40}])
def test_a_teacher_whose_encoder_is_another_one_by_now_is_refused(school, task, monkeypatch, change):
    other = tiny(norm=False)
    other.card = dataclasses.replace(other.card, **change)
    monkeypatch.setattr(teachers, "load_encoder", lambda *what, **trust: other)
    with pytest.raises(BadInput, match=r"another version, other settings or other code of test.tiny"):
        fit(tiny(norm=False), task, student(school), 0)


def test_a_teacher_that_cannot_be_loaded_is_found_without_decoding_a_clip(school, task, monkeypatch):
    prepared, (teacher, *_) = prepare(task), found(school, task)
    monkeypatch.setattr(ClipStores, "get", lambda *what: pytest.fail("clips were decoded"))
    require_loadable(teacher, task.card, prepared)
    monkeypatch.setattr(teachers, "load_encoder", lambda *what, **trust: tiny(norm=False, blocks=2))
    with pytest.raises(BadInput, match=r"does not fit test.tiny"):
        require_loadable(teacher, task.card, prepared)


def test_weights_of_another_network_are_refused(school, task, monkeypatch):
    monkeypatch.setattr(teachers, "load_encoder", lambda *what, **trust: tiny(norm=False, blocks=2))
    with pytest.raises(BadInput, match=r"does not fit test.tiny"):
        fit(tiny(norm=False), task, student(school), 0)


def test_a_student_does_not_write_among_its_teachers(copied, task):
    with pytest.raises(BadInput, match="takes its teachers from the folder that it writes to"):
        fit(tiny(norm=False), task, student(copied), 0, out=copied)
