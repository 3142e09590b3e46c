import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest

import bench
from bench.base.errors import BadInput, UnknownId
from bench.data.manifest import prepare
from bench.runs import evaluate
from bench.scores import per_test, records
from bench.scores.metrics import DURATION_MATCHED
from bench.scores.schema import CONSTANT_FEATURES


@pytest.fixture(scope="module")
def task(simulated):
    return bench.load_task("icbhi.cycles4", simulated)


@pytest.fixture(scope="module")
def record(task):
    return bench.evaluate(bench.load_encoder("fbank.stats"), task)[0]


@pytest.mark.long
def test_a_record_carries_what_a_number_needs_to_be_trusted(record, task):
    spec = record.spec
    assert spec["protocol"] == "linear" and spec["protocol_version"] == 4 and spec["seed"] == 0
    assert len(spec["manifest"]) == 64 and spec["weights"] == "none" and spec["clip"] == "native"
    assert set(record.scores) == set(task.card.tests)
    score = record.scores["corrected"]["icbhi.Score"]
    assert score["low"] <= score["value"] <= score["high"]
    assert score["groups"] == record.predictions.query("split == 'test'")["group"].nunique()
    assert set(record.selection["chosen"]) == {"C", "class_weight"}
    assert len(record.selection["path"]) == 46
    train = task.manifest.query("split == 'train'")
    assert set(record.selection["folds"]) == set(train["group"])
    assert {"wall_s", "peak_memory_mb", "versions", "commit", "device"} <= set(record.run)
    assert record.data["state"] == "simulated"


def test_predictions_hold_test_clips_alone_with_the_argmax_of_their_scores(record, task):
    table = record.predictions
    assert set(table["clip_id"]) == set(task.manifest.query("split != 'train'")["clip_id"])
    scores = table[[f"s_{k}" for k in range(4)]].to_numpy()
    np.testing.assert_array_equal(scores.argmax(axis=1), table["y_pred"])
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, atol=1e-4)  # natural logarithms of probabilities


@pytest.mark.long
def test_the_same_run_gives_the_same_bytes_and_other_settings_another_key(record, task):
    encoder = bench.load_encoder("fbank.stats")
    again = bench.evaluate(encoder, task)[0]
    assert records.to_json(again) == records.to_json(record)
    assert records.predictions_csv(again.predictions) == records.predictions_csv(record.predictions)
    keys = {record.key}
    for changed in (
        bench.evaluate(encoder, task, seeds=(1,))[0],
        bench.evaluate(encoder, task, protocol="knn")[0],
        bench.evaluate(bench.load_encoder("meta.duration"), task)[0],
    ):
        assert changed.key not in keys
        keys.add(changed.key)


@pytest.mark.long
def test_test_labels_never_reach_the_probe(record, task):
    """Shuffling every test label changes no prediction."""
    shuffled = task.manifest.copy()
    test = shuffled["split"] != "train"
    shuffled.loc[test, "label"] = np.random.default_rng(0).permutation(shuffled.loc[test, "label"])
    other = bench.evaluate(bench.load_encoder("fbank.stats"), dataclasses.replace(task, manifest=shuffled))[0]
    assert (other.predictions["y_pred"] == record.predictions["y_pred"]).all()
    assert other.selection == record.selection


@pytest.mark.long
def test_majority_scores_fifty_and_chance_stays_near_it(task):
    prepared = prepare(task)
    majority = evaluate.control_record("control.majority", task.card, prepared)
    assert majority.scores["corrected"]["icbhi.Score"]["value"] == 0.5
    assert majority.scores["corrected"]["auroc"]["value"] == 0.5
    # the mean of 20 has a standard error of 0.008
    chance = [evaluate.control_record("control.chance", task.card, prepared, seed) for seed in range(20)]
    assert np.mean([r.scores["corrected"]["auroc"]["value"] for r in chance]) == pytest.approx(0.5, abs=0.05)
    with pytest.raises(UnknownId):
        evaluate.control_record("control.fate", task.card, prepared)


def test_an_unknown_pooling_protocol_or_choice_is_refused(task):
    encoder = bench.load_encoder("fbank.stats")
    with pytest.raises(UnknownId, match="pooling"):
        bench.evaluate(encoder, task, pooling="meen")
    with pytest.raises(UnknownId, match="linear"):
        bench.evaluate(encoder, task, protocol="lineer")
    with pytest.raises(UnknownId, match="on-bad-clip"):
        bench.evaluate(encoder, task, on_bad_clip="ignore")


def test_one_training_class_is_refused_before_anything_is_computed(task):
    normal_only = task.manifest[(task.manifest["split"] != "train") | (task.manifest["label"] == 0)]
    with pytest.raises(BadInput, match="two classes"):
        bench.evaluate(bench.load_encoder("meta.duration"), dataclasses.replace(task, manifest=normal_only))


@pytest.mark.parametrize("spoilt", ["one clip of each class", "one patient"])
def test_too_few_clips_or_patients_are_refused_before_anything_is_computed(task, spoilt):
    frame = task.manifest
    train = frame[frame["split"] == "train"]
    spoil = {
        "one patient": lambda: train.assign(group="p"),
        "one clip of each class": lambda: train.drop_duplicates("label"),
    }
    train = spoil[spoilt]()
    few = dataclasses.replace(task, manifest=pd.concat([train, frame[frame["split"] != "train"]], ignore_index=True))
    with pytest.raises(
        BadInput, match=r"its training split: .* clips, and .*; a probe needs two patients, two classes and"
    ):
        bench.evaluate(bench.load_encoder("meta.duration"), few)


def test_leaving_one_out_refuses_a_patient_without_whom_a_class_is_gone(task):
    card, frame = dataclasses.replace(task.card, leave_one_out=True), task.manifest
    test = frame[frame["split"] == next(iter(task.card.tests.values()))[0]]
    alone = test["group"].iloc[0]
    test = test.assign(label=(test["group"] == alone).astype(int), split=next(iter(task.card.tests.values()))[0])
    with pytest.raises(BadInput, match=f"without patient {alone}: .* all have one label"):
        evaluate.check_trainable(card, prepare(dataclasses.replace(task, manifest=test, findings=())).rows)


def test_a_task_is_refused_whose_headline_test_has_no_audio(task):
    official_only = task.manifest[task.manifest["split"] != "test"]
    with pytest.raises(BadInput, match="no audio of its headline test `corrected`"):
        bench.evaluate(bench.load_encoder("meta.duration"), dataclasses.replace(task, manifest=official_only))


def test_leaving_one_out_refuses_rows_that_are_no_test(task):
    card = dataclasses.replace(task.card, leave_one_out=True)
    with pytest.raises(BadInput, match="has training rows"):
        evaluate.check_trainable(card, prepare(task).rows)


def test_excluding_a_bad_clip_marks_the_record_and_names_the_clip(task):
    wrong = task.manifest.copy()
    wrong.loc[0, "end_s"] = 10_000.0
    broken = dataclasses.replace(task, manifest=wrong)
    encoder = bench.load_encoder("meta.duration")
    with pytest.raises(BadInput, match="--on-bad-clip=exclude"):
        bench.evaluate(encoder, broken)
    record = bench.evaluate(encoder, broken, on_bad_clip="exclude")[0]
    assert record.data["incomplete"] and len(record.data["excluded"]) == 1
    assert wrong.loc[0, "clip_id"] in record.data["excluded"][0] or wrong.loc[0, "path"] in record.data["excluded"][0]


def test_accepting_a_short_recording_is_part_of_what_a_record_is(task, tmp_path):
    shutil.copytree(task.root, tmp_path / "data")
    cut = dataclasses.replace(task, root=tmp_path / "data")
    encoder = bench.load_encoder("meta.duration")
    whole = bench.evaluate(encoder, cut)[0]
    path = cut.root / cut.manifest["path"][0]
    path.write_bytes(path.read_bytes()[:-2])  # its last sample, which no annotation misses
    with pytest.raises(BadInput, match=r"is truncated.*--on-bad-clip=keep-short"):
        bench.evaluate(encoder, cut)
    short = bench.evaluate(encoder, cut, on_bad_clip="keep-short")[0]
    assert [path.name in line for line in short.data["short"]] == [True] and "short" not in whole.data
    assert short.spec["excluded"] and not short.data["excluded"] and not short.data["incomplete"]
    assert short.key != whole.key and len(short.predictions) == len(whole.predictions)


def test_features_that_are_the_same_for_all_training_clips_are_marked(task, record):
    assert CONSTANT_FEATURES not in record.data["marks"]
    prepared = prepare(task)
    features = np.ones((len(prepared.rows), 3), np.float32)
    features[~prepared.rows["split"].isin(("train", "val"))] = 2  # a probe that has seen no difference knows none
    made = evaluate.record_from_features(
        features, record.spec, bench.load_encoder("fbank.stats").card, task.card, prepared
    )
    assert CONSTANT_FEATURES in made.data["marks"]
    assert made.scores["corrected"]["uar"]["value"] == pytest.approx(1 / 4)


@pytest.mark.long
def test_a_clip_policy_is_part_of_what_a_record_is(task, record):
    (tiled,) = bench.evaluate(bench.load_encoder("fbank.stats"), task, clip="tile8")
    assert tiled.spec["clip"] == "tile8" and tiled.key != record.key
    assert "clips_padded_to_min_s" not in tiled.data
    with pytest.raises(UnknownId, match="tile9"):
        bench.evaluate(bench.load_encoder("fbank.stats"), task, clip="tile9")


def test_predictions_carry_the_lengths_of_the_clips_and_the_score_within_their_deciles(record, task, tmp_path):
    rows = prepare(task).rows.set_index("clip_id")
    table = record.predictions
    seconds = (rows["end_s"] - rows["start_s"])[table["clip_id"]].to_numpy()
    np.testing.assert_allclose(table["duration_s"], seconds, rtol=1e-5)
    assert list(table.columns[3:6]) == ["split", "duration_s", "y_true"]
    back = records.read(records.write(record, tmp_path)).predictions
    assert (back["duration_s"] == table["duration_s"]).all()  # to the last bit: a decile's edge may lie on a clip
    assert all(DURATION_MATCHED in scores for scores in record.scores.values())
    domain = next(iter(record.domains["corrected"].values()))
    assert DURATION_MATCHED not in domain
    alike = per_test.score_predictions(per_test.task_facts(task.card), table.assign(duration_s=2.0))[0]
    assert (
        DURATION_MATCHED not in alike["corrected"]
        and alike["corrected"]["auroc"] == record.scores["corrected"]["auroc"]
    )
