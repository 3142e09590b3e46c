import numpy as np
import pandas as pd
import pytest

from bench.data.manifest import load_task
from bench.runs.audit.checks import shortcuts
from bench.runs.audit.control_tables import FeatureTable, control_tables
from bench.runs.audit.marks import marks
from bench.types import TaskCard


def auroc_alone(task, name, test):
    rows = task.manifest
    (table,) = (table for table in control_tables(rows, {}, {}, task.card.domain) if table.name == name)
    (row,) = shortcuts.probed([table], rows, task.card, resamples=50)
    return row["tests"][test]["auroc"].value


@pytest.mark.long
@pytest.mark.parametrize(
    ("task", "name", "test", "expected"),
    [
        ("covid_uk.exhalation", "file_prefix", "all", 0.74),
        ("covid_uk.cough", "file_prefix", "all", 0.75),
        ("coswara.smoker", "date", "all", 0.77),
        ("coswara.sex", "date", "test", 0.61),
    ],
)
def test_known_shortcuts_of_opera_are_rediscovered(tmp_path, task, name, test, expected):
    assert auroc_alone(load_task(task, tmp_path), name, test) == pytest.approx(expected, abs=0.0051)


@pytest.mark.long
@pytest.mark.parametrize("task", ["covid_uk.exhalation", "covid_uk.cough"])
def test_numbered_names_tell_as_much_without_a_prefix(tmp_path, task):
    """The number in the name follows the recruitment too: leaving out the prefixed files does not help."""
    assert auroc_alone(load_task(task, tmp_path), "file_name", "integer_named") > 0.75


CARD = TaskCard("t.t", 1, ("a", "b"), "auroc", ("auroc",), {"test": ("test",)}, "", "", "", adventitious=(1,))


def rows(n=120, **columns):
    made = pd.DataFrame({"clip_id": [f"c{i:03d}" for i in range(n)], "path": [f"{i}.wav" for i in range(n)]})
    label = np.arange(n) // 2 % 2
    made = made.assign(start_s=0.0, end_s=1.0 + label, label=label, split=["train"] * (n // 2) + ["test"] * (n // 2))
    return made.assign(group=[f"p{i // 4}" for i in range(n)], domain="d").assign(**columns)


def test_a_perfect_shortcut_and_a_useless_one():
    frame = rows()
    noise = np.random.default_rng(0).normal(size=(len(frame), 1))
    tables = [
        FeatureTable("length", "annotation", frame[["end_s"]].to_numpy(), -frame["end_s"].to_numpy()),
        FeatureTable("noise", "audio", noise),
        FeatureTable("nothing", "file", np.zeros((len(frame), 0))),
    ]
    length, noise, nothing = shortcuts.probed(tables, frame, CARD, 100)
    assert length["tests"]["test"]["auroc"].value == 1.0 and length["direction"] == {"train": 0.0, "test": 0.0}
    assert noise["tests"]["test"]["auroc"].low < 0.5 and noise["direction"] == {}
    assert nothing["tests"] == {} and nothing["predictions"] is None
    assert np.isnan(length["tests"]["test"]["auroc.duration_matched"].value)  # every length has one class
    (finding,) = shortcuts.findings([length, noise, nothing, length], CARD)
    assert finding.where == "test" and finding.problem.endswith("meta.length 100.0")


def test_a_shortcut_that_turns_round_is_named_too():
    turned = rows()
    turned.loc[turned["split"] == "test", "end_s"] = 4.0 - turned["end_s"]
    (row,) = shortcuts.probed([FeatureTable("length", "annotation", turned[["end_s"]].to_numpy())], turned, CARD, 100)
    (finding,) = shortcuts.findings([row], CARD)
    assert finding.problem.endswith("meta.length 0.0")


def test_the_strongest_control_is_a_mark():
    rows = [("length", "annotation", 0.9), ("level", "audio", 0.7), ("e", "encoder", 1.0)]
    scored = [
        {"name": name, "source": source, "tests": {"test": {"auroc": {"value": value, "low": value - 0.1}}}}
        for name, source, value in rows
    ]
    nothing = {"shared": {}, "duplicates": {"identical": [], "similar": []}}
    assert marks({"shortcuts": {"all": scored}, **nothing}, CARD) == {"test": ["meta.length AUROC 90.0"]}
    assert marks({"shortcuts": {"all": scored[1:]}, **nothing}, CARD)["test"] == ["meta.level AUROC 70.0"]
    assert marks({"shortcuts": {"all": scored[2:]}, **nothing}, CARD) == {"test": []}


def test_other_kinds_of_task():
    frame = rows()
    features = np.stack([frame["label"], np.arange(len(frame)) % 3 == 0], axis=1).astype(float)
    bits = frame.assign(label=frame["label"] + 2 * (np.arange(len(frame)) % 3 == 0))
    two = TaskCard("t.b", 1, ("x", "y"), "auroc.bits", ("auroc.bits",), CARD.tests, "", "", "", kind="multilabel")
    (row,) = shortcuts.probed([FeatureTable("both", "file", features)], bits, two, 50)
    assert row["tests"]["test"]["auroc.bits"].value == 1.0
    rate = TaskCard("t.r", 1, ("rate",), "mae", ("mae",), CARD.tests, "", "", "", kind="regression", leave_one_out=True)
    target = frame.assign(label=3.0 + frame["label"], split="test").iloc[:40]
    (row,) = shortcuts.probed([FeatureTable("both", "file", features[:40])], target, rate, 50)
    assert list(row["tests"]["test"]) == ["mae"] and row["tests"]["test"]["mae"].value < 0.01
    assert shortcuts.findings([row], rate) == []


def test_nothing_to_fit_on():
    one_class = rows().assign(label=0)
    assert not shortcuts.trainable(one_class, CARD)
    assert not shortcuts.trainable(rows().assign(split="train"), CARD)
    assert not shortcuts.trainable(rows().assign(group="p"), CARD)
    train = rows()[rows()["split"] == "train"]
    few = train.drop_duplicates("label").assign(group=lambda own: own["clip_id"])  # as many patients as clips
    assert len(few) > 1 and not shortcuts.trainable(pd.concat([few, rows()[rows()["split"] != "train"]]), CARD)
