import dataclasses

import pandas as pd
import pytest

import tiny_corpora
from bench import simulate
from bench.data.manifest import load_task
from bench.runs.audit.checks import splits
from tasks import icbhi

CARD = icbhi.CARDS[1]


def frame(*rows):
    """Rows of (group, split, label)."""
    made = [
        {"clip_id": f"c{i}", "path": f"r{i}", "group": group, "split": split, "label": label, "domain": "d"}
        for i, (group, split, label) in enumerate(rows)
    ]
    return pd.DataFrame(made).assign(available=True)


def named(rows, card):
    return {split: facts["named"] for split, facts in splits.shared_groups(rows, card).items()}


def codes(rows, card):
    return {(finding.code, finding.level) for finding in splits.findings(rows, card)}


@pytest.mark.long
def test_leaked_patients_are_found_exactly(tmp_path):
    facts = simulate.icbhi(tmp_path / "ICBHI", seed=3, leak=0.3)
    rows = load_task("icbhi.cycles2", tmp_path).manifest
    assert facts["leaked_patients"] and named(rows, CARD) == {"test": sorted(facts["leaked_patients"])}
    assert ("shared-groups", "error") in codes(rows, CARD)


def test_the_overlap_of_icbhi_is_found_in_the_data(tmp_path, real_data):
    """156 and 218 come out of the split itself: the card, which also names them, only changes the level."""
    rows = load_task("icbhi.cycles4", real_data).manifest
    unaware = dataclasses.replace(icbhi.CARDS[0], known_overlap=())
    shared = splits.shared_groups(rows, unaware)["test_overlap"]
    assert shared["named"] == ["156", "218"] and not shared["declared"]
    assert (shared["recordings"], shared["clips"]) == (12, 120)
    assert ("shared-groups", "error") in codes(rows, unaware)
    assert ("shared-groups", "warning") in codes(rows, icbhi.CARDS[0])


def test_the_leak_of_opera_t10_is_found_in_its_table(tmp_path):
    task = load_task("kauh.obstructive@literature/opera", tmp_path)
    unaware = dataclasses.replace(task.card, known_overlap=(), within_patient=())
    shared = splits.shared_groups(task.manifest, unaware)["test"]
    assert (shared["groups"], shared["recordings"], shared["of"]["recordings"]) == (49, 63, 72)
    assert splits.shared_groups(load_task("kauh.obstructive", tmp_path).manifest, task.card) == {}


def test_balance_counts_clips_and_groups_of_each_class(tmp_path):
    tiny_corpora.icbhi(tmp_path)
    rows = load_task("icbhi.cycles2", tmp_path).manifest
    train = splits.balance(rows, CARD)["train"]
    assert (train["recordings"], train["groups"], train["clips"], train["available"]) == (3, 2, 12, 12)
    assert train["classes"]["abnormal"] == {"recordings": 3, "groups": 2, "clips": 9}


def test_few_groups_are_told_for_tests_as_they_are_pooled():
    rows = frame(*[(f"p{i}", "train", i % 2) for i in range(12)], ("q", "test", 0), ("r", "test_overlap", 1))
    told = {finding.where: finding.problem for finding in splits.findings(rows, CARD) if finding.code == "few-groups"}
    assert set(told) == {"test corrected", "test official"}
    assert told["test corrected"] == "normal: 1 clips of 1 patients, abnormal: none"


def test_multilabel_bits_are_counted_apart():
    card = dataclasses.replace(CARD, kind="multilabel", classes=("crackle", "wheeze"))
    classes = splits.balance(frame(("a", "train", 3), ("b", "train", 1), ("b", "train", 0)), card)["train"]["classes"]
    assert (classes["crackle"]["clips"], classes["wheeze"]["clips"]) == (2, 1)


def test_devices_on_one_side_only():
    rows = frame(("a", "train", 0), ("b", "test", 1)).assign(domain=["Litt3200", "Meditron"])
    (finding,) = [finding for finding in splits.findings(rows, CARD) if finding.code == "domain-shift"]
    assert finding.problem == "Litt3200 only in training; Meditron only in the tests"
