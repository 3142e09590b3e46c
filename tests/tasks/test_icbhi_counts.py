"""Every published count of ICBHI 2017, on the annotations of a whole copy."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest

import published_tables
from bench.data.manifest import load_task, statistics
from bench.scores import metrics
from tasks._shared.icbhi_splits import DEVICES, FOLDS
from tasks._shared.labels import ICBHI4
from tasks._shared.table import LITERATURE


@pytest.fixture
def published(real_data) -> dict:
    return json.loads(published_tables.beside(real_data, "specs/counts.json").read_text(encoding="utf-8"))["icbhi"]


@pytest.fixture
def cycles(real_data) -> pd.DataFrame:
    """Every cycle, with ``official`` (train or test)."""
    frame = load_task("icbhi.cycles4", real_data).manifest
    return frame.assign(official=frame["split"].replace("test_overlap", "test"))


def classes(part: pd.DataFrame, names=ICBHI4) -> dict:
    counted = {name: int((part["label"] == k).sum()) for k, name in enumerate(names)}
    return counted | {"total": len(part)}


def sizes(part: pd.DataFrame) -> dict:
    return {"recordings": part["path"].nunique(), "patients": part["group"].nunique(), **classes(part)}


def tally(values: pd.Series) -> dict:
    return values.value_counts().to_dict()


def test_splits(cycles, published):
    train, test = (cycles[cycles["official"] == half] for half in ("train", "test"))
    corrected, removed = (cycles[cycles["split"] == split] for split in ("test", "test_overlap"))
    assert published["all"] == classes(cycles) and published["cycles"] == len(cycles)
    assert published["recordings"] == published["annotation_files"] == cycles["path"].nunique()
    assert published["patients"] == cycles["group"].nunique()
    both = sorted(set(train["group"]) & set(test["group"]))
    assert published["official"] == {"train": sizes(train), "test": sizes(test), "patients_in_both": both}
    without_patients = {name: n for name, n in sizes(removed).items() if name != "patients"}
    assert published["corrected"] == {"train": sizes(train), "test": sizes(corrected), "removed": without_patients}
    inverse = 1 / np.array([classes(train)[name] for name in ICBHI4])
    assert published["class_weights_inverse_freq_train"] == (inverse / inverse.sum()).round(4).tolist()
    answers = metrics.confusion(test["label"], np.zeros(len(test), int), 4)
    scores = {
        name: 100 * float(metrics.get(f"icbhi.{name}").fn(answers, metrics.Roles(0, (1, 2, 3))))
        for name in ("Sp", "Se", "Score")
    }
    assert published["reference_scores"] == {"all_normal": scores}


def test_two_classes(real_data, published):
    frame = load_task("icbhi.cycles2", real_data).manifest
    official = frame["split"].replace("test_overlap", "test")
    parts = {
        "official_train": frame[official == "train"],
        "official_test": frame[official == "test"],
        "corrected_test": frame[frame["split"] == "test"],
    }
    for name, part in parts.items():
        assert published["binary"][name] | {"total": len(part)} == classes(part, ("normal", "abnormal"))
    assert set(parts) == set(published["binary"])


def test_domains(cycles, published):
    recordings = cycles.drop_duplicates("path")
    halves = ("train", "test")
    devices = published["devices_recordings"]
    assert devices == tally(recordings["domain"])
    assert published["locations_recordings"] == tally(recordings["meta_location"])
    assert published["modes_recordings"] == tally(recordings["meta_mode"])
    for name, frame in (("devices_recordings_by_split", recordings), ("devices_cycles_by_split", cycles)):
        counted = {half: dict.fromkeys(devices, 0) | tally(frame.loc[frame["official"] == half, "domain"])
                   for half in halves}  # fmt: skip
        assert published[name] == counted
    for name, column, values in (
        ("sex_cycles", "meta_sex", ("M", "F", "unknown")),
        ("age_group_cycles", "meta_age_group", ("adult", "child", "unknown")),
    ):
        for half in halves:
            counted = tally(cycles.loc[cycles["official"] == half, column])
            assert published[name][half] == {"NA" if v == "unknown" else v: counted.get(v, 0) for v in values}


def test_patients(cycles, published):
    patients = cycles.drop_duplicates("group")
    sex = tally(patients["meta_sex"])
    assert published["patients_sex"] == {"M": sex["M"], "F": sex["F"], "NA": sex["unknown"]}
    assert published["patients_child_lt18"] == (patients["meta_age_group"] == "child").sum()
    unknown = (patients["meta_sex"] == "unknown") & (patients["meta_age_group"] == "unknown")
    assert published["patient_without_demographics"] == patients.loc[unknown, "group"].tolist()


def test_diagnoses(real_data, cycles, published):
    path = next(real_data.rglob("ICBHI_Challenge_diagnosis.txt"))
    diagnosis = cycles["group"].map(dict(line.split() for line in path.read_text().splitlines()))
    named = cycles.assign(diagnosis=diagnosis)
    assert published["diagnosis_cycles"] == tally(named["diagnosis"])
    assert published["diagnosis_recordings"] == tally(named.drop_duplicates("path")["diagnosis"])
    assert published["diagnosis_patients"] == tally(named.drop_duplicates("group")["diagnosis"])


def test_durations(cycles, published):
    seconds = cycles["end_s"] - cycles["start_s"]
    expected = dict(published["cycle_duration_s"])
    above = {"n_ge_8": seconds >= 8, "n_ge_9": seconds >= 9, "n_gt_5": seconds > 5, "n_lt_0.5": seconds < 0.5}
    for name, mask in above.items():
        assert expected.pop(name) == mask.sum()
    quantiles = {"min": 0, "p5": 0.05, "median": 0.5, "p95": 0.95, "p99": 0.99, "max": 1}
    measured = {name: seconds.quantile(q) for name, q in quantiles.items()} | {"mean": seconds.mean()}
    assert measured == pytest.approx(expected, abs=1e-3)
    following = cycles.groupby("path")["start_s"].shift(-1).dropna()
    assert published["cycles_contiguous"] == np.allclose(cycles["end_s"][following.index], following, atol=1e-3)


CYCLES4 = ["icbhi.cycles4", *(f"icbhi.cycles4@{variant}" for variant in (*FOLDS, *DEVICES))]
OTHERS = ["icbhi.cycles2", "icbhi.bits", "icbhi.cycles2@fold3", "icbhi.bits@fold3", "icbhi.bits@lodo-Litt3200"]


@pytest.mark.long
@pytest.mark.parametrize("task", [*CYCLES4, *OTHERS])
def test_every_split_holds_what_its_card_says(real_data, task):
    loaded = load_task(task, real_data)
    counted = statistics(loaded.manifest, loaded.card)
    assert {split: part | {"clips": counted[split]["clips"]} for split, part in loaded.card.counts.items()} == counted


@pytest.mark.parametrize("task", ["icbhi.disease2", f"icbhi.disease2@{LITERATURE}", "icbhi.disease3"])
def test_every_split_of_recordings_holds_what_its_card_says(real_data, task):
    loaded = load_task(task, real_data)
    counted = statistics(loaded.manifest, loaded.card)
    assert {split: part | {"clips": part["recordings"]} for split, part in loaded.card.counts.items()} == counted


@pytest.mark.long
def test_folds(real_data, published):
    tests = []
    for number in "01234":
        frame = load_task(f"icbhi.cycles4@fold{number}", real_data).manifest
        test = frame[frame["split"] == "test"]
        assert published["folds_80_20_patients"][number] == test["group"].nunique()
        assert published["folds_80_20_test_cycles"][number] == classes(test)
        assert not set(test["group"]) & set(frame.loc[frame["split"] == "train", "group"])
        tests += test["clip_id"].tolist()
    assert len(tests) == len(set(tests)) == published["cycles"]


def test_operas_split_is_the_published_table(real_data):
    frame = load_task(f"icbhi.disease2@{LITERATURE}", real_data).manifest.set_index("clip_id")
    rows = published_tables.published(real_data, "t07")
    assert len(rows) == len(frame)
    for row in rows:
        found = frame.loc["_".join(row["recording"].split("_")[:4])]
        assert (found["split"], found["group"], str(found["label"])) == (row["split"], row["participant"], row["label"])


def test_the_headline_of_operas_task_trains_on_its_train_and_validation(real_data):
    headline = load_task("icbhi.disease2", real_data).manifest.set_index("clip_id")["split"]
    published = load_task(f"icbhi.disease2@{LITERATURE}", real_data).manifest.set_index("clip_id")["split"]
    assert set(published[headline == "train"]) == {"train", "val"}
    assert set(published[headline.isin(["test", "test_overlap"])]) == {"test"}


def test_the_split_file_is_the_one_that_every_repository_ships(real_data, published):
    """Their bytes differ in line ends, in a final one, and where a line was added or taken away."""
    lines = next(real_data.rglob("ICBHI_challenge_train_test.txt")).read_text().splitlines()
    corrected = [line for line in lines if not (line[:3] in ("156", "218") and line.endswith("test"))]
    phantom = [*lines[:-1], "226_1b1_Pl_sc_Meditron\ttrain", lines[-1], ""]
    texts = [
        "\n".join(lines),
        "\n".join([*lines, ""]),
        "\r\n".join(lines),
        "\r\n".join(phantom),
        "\r\n".join(corrected),
    ]
    digests = {hashlib.sha256(text.encode()).hexdigest() for text in texts}
    assert digests == {digest for name, digest in published["split_file_sha256"].items() if name != "foldwise"}


def test_nothing_published_goes_unasserted(published):
    asserted = {
        *("recordings", "annotation_files", "patients", "cycles", "all", "official", "corrected", "binary"),
        *("folds_80_20_patients", "folds_80_20_test_cycles", "devices_recordings", "devices_recordings_by_split"),
        *("devices_cycles_by_split", "locations_recordings", "modes_recordings", "age_group_cycles", "sex_cycles"),
        *("patients_sex", "patients_child_lt18", "patient_without_demographics", "diagnosis_patients"),
        *("diagnosis_recordings", "diagnosis_cycles", "cycle_duration_s", "cycles_contiguous"),
        *("class_weights_inverse_freq_train", "reference_scores", "split_file_sha256"),
    }
    assert set(published) == asserted
