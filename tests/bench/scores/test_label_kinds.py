import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, mean_absolute_error, mean_absolute_percentage_error, roc_auc_score

from bench.base import registry
from bench.base.errors import BadInput
from bench.data.manifest import TRAIN, load_task, prepare
from bench.encoders.load import load_encoder
from bench.probe import controls
from bench.reports.agreement.verify import verify_record
from bench.runs import evaluate
from bench.scores import intervals, label_kinds, metrics
from bench.scores.metrics import Roles
from bench.scores.schema import Selection, violations

NAMES = ("crackle", "wheeze")


def _bit_example(n=200, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    scores = label_kinds.bits(y, 2) * 1.5 - 0.7 + rng.standard_normal((n, 2)).round(1)
    return y, scores


def test_labels_of_every_kind():
    assert label_kinds.KINDS["multilabel"].counts(np.array([0, 1, 3]), NAMES) == {"crackle": 2, "wheeze": 1}
    assert label_kinds.KINDS["multilabel"].decided(np.array([[1.0, -1.0], [0.5, 2.0], [-1, -1]])).tolist() == [1, 3, 0]
    assert label_kinds.KINDS["multilabel"].valid(np.array([0, 3, 4]), NAMES).tolist() == [True, True, False]
    assert label_kinds.KINDS["regression"].valid(np.array([1.5, np.nan]), ("rate",)).tolist() == [True, False]
    assert label_kinds.KINDS["regression"].decided(np.array([[1.5], [2.0]])).tolist() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("kind", "text", "label"),
    [
        ("multiclass", "wheeze", 1), ("multiclass", "?", None), ("multiclass", "crackle+wheeze", None),
        ("multilabel", "crackle+wheeze", 3), ("multilabel", "normal", 0), ("multilabel", "crackle+?", None),
    ],
)  # fmt: skip
def test_names_state_labels(kind, text, label):
    assert label_kinds.KINDS[kind].of_parts(text.split("+"), {name: k for k, name in enumerate(NAMES)}) == label


@pytest.mark.parametrize(
    ("kind", "number", "label"),
    [
        ("multiclass", 1.0, 1), ("multiclass", 2.0, None), ("multiclass", 0.5, None), ("multiclass", -1.0, None),
        ("multilabel", 3.0, 3), ("multilabel", 4.0, None), ("regression", 17.5, 17.5),
    ],
)  # fmt: skip
def test_numbers_state_labels(kind, number, label):
    assert label_kinds.KINDS[kind].of_number(number, len(NAMES)) == label
    assert [label_kinds.KINDS[kind].of_class_index(k) for k in (0, 1)] == [
        1 if kind == "multilabel" else 0,
        2 if kind == "multilabel" else 1,
    ]


def test_a_class_named_none_is_a_class():
    assert label_kinds.KINDS["multilabel"].of_parts(["none"], {"none": 1}) == 2


def test_metrics_equal_scikit_learn():
    y, scores = _bit_example()
    present = label_kinds.bits(y, 2)
    found = {n: metrics.evaluate(n, y, np.zeros(len(y), int), scores, Roles()) for n in ("auroc.bits", "ap.bits")}
    assert found["auroc.bits"] == pytest.approx(roc_auc_score(present, scores, average="macro"))
    assert found["ap.bits"] == pytest.approx(average_precision_score(present, scores, average="macro"))
    true, said = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])
    for name, theirs in (("mae", mean_absolute_error), ("mape", mean_absolute_percentage_error)):
        assert metrics.evaluate(name, true, said, said[:, None], Roles()) == pytest.approx(theirs(true, said))
    assert np.isnan(metrics.evaluate("mape", np.array([0.0, 1.0]), said[:2], said[:2, None], Roles()))


def test_multilabel_f1_counts_each_label_that_occurs():
    y, p = np.array([1, 1, 3, 0]), np.array([1, 0, 1, 2])
    crackle, wheeze = 2 * 2 / (3 + 2), 0.0
    assert metrics.evaluate("f1.bits", y, p, np.zeros((4, 2)), Roles()) == pytest.approx((crackle + wheeze) / 2)


def test_a_score_table_of_a_multilabel_task_has_a_score_per_label():
    y, scores = _bit_example()
    frame = pd.DataFrame({"clip_id": np.arange(200).astype(str), "group": np.arange(200) // 10, "y_true": y})
    frame["y_pred"] = label_kinds.KINDS["multilabel"].decided(scores)
    frame[["s_0", "s_1"]] = scores
    table = intervals.score_table(frame, ["auroc.bits", "f1.bits"], NAMES, Roles(), 200, kind="multilabel")
    assert set(table) == {"auroc.bits", "f1.bits", "auroc.bit.crackle", "auroc.bit.wheeze"}
    assert table["auroc.bit.wheeze"].n == int(label_kinds.bits(y, 2)[:, 1].sum())
    assert table["auroc.bits"].low < table["auroc.bits"].value < table["auroc.bits"].high
    with pytest.raises(BadInput, match="one class per clip"):
        intervals.score_table(frame, ["uar"], NAMES, Roles(), 10, kind="multilabel")


# ------------------------------------------------------------------ whole records


@pytest.fixture
def cycles(simulated):
    return load_task("icbhi.cycles4", simulated)


def _as(task, kind, classes, label, **changes):
    """The simulated task with other labels."""
    card = dataclasses.replace(task.card, kind=kind, classes=classes, counts={}, **changes)
    frame = task.manifest.assign(label=label(task.manifest["label"].to_numpy()))
    return dataclasses.replace(task, card=card, manifest=frame)


@pytest.mark.long
def test_a_multilabel_record_verifies_and_hears_both_sounds(cycles, monkeypatch):
    task = _as(cycles, "multilabel", NAMES, lambda y: y, main_metric="auroc.bits", metrics=("auroc.bits", "ap.bits"))
    monkeypatch.setattr(registry, "task_card", lambda id: task.card)
    (record,) = evaluate.evaluate(load_encoder("fbank.stats"), task)
    assert verify_record(record) == []
    assert record.scores["official"]["auroc.bits"]["value"] > 0.7
    assert {"auroc.bit.crackle", "auroc.bit.wheeze"} <= set(record.scores["official"])
    assert record.data["task"]["kind"] == "multilabel"
    chance = evaluate.control_record("control.chance", task.card, prepare(task))
    assert verify_record(chance) == []
    assert abs(chance.scores["official"]["auroc.bits"]["value"] - 0.5) < 0.25


def test_leaving_one_patient_out_predicts_everyone_once(cycles, monkeypatch):
    rows = cycles.manifest[cycles.manifest["group"].isin(sorted(cycles.manifest["group"].unique())[:6])]
    lengths = (rows["end_s"] - rows["start_s"]).to_numpy()
    task = dataclasses.replace(cycles, manifest=rows.assign(split="test").reset_index(drop=True))
    task = _as(
        task, "regression", ("duration",), lambda y: lengths, main_metric="mae", metrics=("mae", "mape"),
        tests={"subjects": ("test",)}, leave_one_out=True, known_overlap=(),
    )  # fmt: skip
    monkeypatch.setattr(registry, "task_card", lambda id: task.card)
    prepared = prepare(task)
    (record,) = evaluate.evaluate(load_encoder("meta.duration"), task)
    floor = evaluate.control_record("control.mean", task.card, prepared)
    assert verify_record(record) == verify_record(floor) == []
    assert len(record.predictions) == len(rows)
    assert set(record.selection["chosen"]) == set(rows["group"]) == set(record.selection["left_out"])
    assert not list(violations(record.selection, Selection))
    one = record.selection["left_out"][rows["group"].iloc[0]]
    assert sum(candidate.get("share", 0) for candidate in one["path"]) == pytest.approx(1, abs=1e-4)
    for name, spoilt in (("chosen", {"alpha": 7.0}), ("path", [one["path"][0] | {"share": 0.9}, *one["path"][1:]])):
        forged = {**record.selection["left_out"], rows["group"].iloc[0]: {**one, name: spoilt}}
        selection = {**record.selection, "left_out": forged}
        assert verify_record(dataclasses.replace(record, selection=selection))
    lost = {name: value for name, value in record.selection.items() if name != "left_out"}
    assert verify_record(dataclasses.replace(record, selection=lost)) == []  # as older records are
    value, of_floor = (r.scores["subjects"]["mae"]["value"] for r in (record, floor))
    assert value < 0.3 * of_floor
    for group, part in floor.predictions.groupby("group"):
        others = floor.predictions.loc[floor.predictions["group"] != group, "y_true"]
        assert part["y_pred"].to_numpy() == pytest.approx(others.mean(), rel=1e-5)


def test_every_kind_names_its_floors(cycles):
    regression = dataclasses.replace(cycles.card, kind="regression", classes=("rate",))
    assert controls.names(regression) == ("control.mean",)
    assert controls.names(cycles.card) == ("control.chance", "control.majority")
    train = cycles.manifest.loc[cycles.manifest["split"].isin(TRAIN), "label"].to_numpy()
    bits = dataclasses.replace(cycles.card, kind="multilabel", classes=NAMES)
    drawn = label_kinds.of(bits).decided(controls.scores("control.chance", bits, train, 20000, 0))
    np.testing.assert_allclose(label_kinds.bits(drawn, 2).mean(0), label_kinds.bits(train, 2).mean(0), atol=0.02)
    assert not label_kinds.of(bits).decided(controls.scores("control.majority", bits, train, 5, 0)).any()
