import json

import pandas as pd
import pytest

from bench.publish.blocks import Chart, Section, Table
from bench.publish.sections.sweeps.section import section_of, sweep_section
from bench.reports.sweep.report import report_of
from bench.runs.context import SweepNotes
from bench.runs.sweep.oracle import COLUMNS
from planted_transfers import REVERSE, TRANSFER, record

TASKS = {TRANSFER: ("test_target_inter", "inter"), REVERSE: ("test_target", "corrected")}


def made(task, pooling, layer, strength, out_of_fold, seed=0):
    """A record that is as good as ``strength`` on its headline test, and ``out_of_fold`` at its best candidate."""
    path = [{"C": 10.0**k, "class_weight": None, "score": out_of_fold - 0.1 * abs(k)} for k in range(-2, 3)]
    selection = {"method": "planted", "chosen": {"C": 1.0, "class_weight": None}, "path": path}
    split = {TASKS[task][0]: strength}
    return record("planted.x", split, task=task, pooling=pooling, layer=layer, seed=seed, selection=selection)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """``freq`` is better at the last layer; the training clips choose the middle layer, which is worse on test."""
    folder = tmp_path_factory.mktemp("sweep")
    records = [
        made(task, pooling, layer, *numbers)
        for task in TASKS
        for pooling, layer, numbers in (
            ("mean", -1, (0.5, 0.6)),
            ("freq", -1, (1.5, 0.7)),
            ("mean", -3, (0.2, 0.5)),
            ("freq", -3, (0.8, 0.8)),
        )
    ]
    SweepNotes(keys=[r.key for r in records], title="Planted").write(folder)
    rows = []
    for r in records:
        test = TASKS[r.spec["task"]][1]
        honest = r.scores[test][r.data["task"]["main_metric"]]["value"]
        facts = {name: r.spec[name] for name in ("task", "encoder", "layer", "pooling", "seed")}
        facts |= {"test": test, "metric": r.data["task"]["main_metric"], "honest": honest, "refitted": honest}
        rows.append(facts | {"oracle": honest + 0.05, "oracle_C": 1.0, "oracle_class_weight": "", "record": r.key})
    pd.DataFrame(rows)[list(COLUMNS)].to_csv(folder / "sweep" / "oracle.csv", index=False)
    return report_of(records, folder)


@pytest.fixture(scope="module")
def charts(report):
    section = section_of(report)
    parts = [block for block in section.blocks if isinstance(block, Section)]
    return {block.title: block for part in parts for block in part.blocks if isinstance(block, Chart)}


def values(chart):
    return chart.spec["data"]["values"]


def test_every_chart_is_described_and_carries_its_data(charts):
    assert len(charts) == 2 + 1 + 2 + 2  # heat maps, poolings, choices, a path per task
    for chart in charts.values():
        text = json.dumps(chart.spec, allow_nan=False)
        assert len(chart.description) > 80 and '"url"' not in text and "width" not in chart.spec
        assert all(value is not None for point in values(chart) for value in (point["row"],))


def test_colours_span_each_task_by_itself(charts):
    for task in TASKS:
        shades = {p["row"]: p["shade"] for p in values(charts["Layers of planted.x"]) if p["task"] == task}
        assert (shades["freq layer -1"], shades["mean layer -3"]) == (1.0, 0.0) and len(shades) == 4
    point = next(p for p in values(charts["Layers of planted.x"]) if p["row"] == "freq layer -1")
    assert point["low"] < point["value"] < point["high"] and point["label"] == f"{point['value']:.1f}"


def test_poolings_stand_on_one_line_and_their_differences_in_a_table(report, charts):
    points = values(charts["Poolings at the last layer"])
    assert {(p["row"], p["kind"]) for p in points} == {(task, kind) for task in TASKS for kind in ("mean", "freq")}
    (table,) = (
        b for s in section_of(report).blocks if s.__class__ is Section for b in s.blocks if isinstance(b, Table)
    )
    assert all(row["difference"].value > 0.05 and row["holm"] not in ("0", "–") for row in table.rows)
    assert {row["poolings"] for row in table.rows} == {"freq − mean"}


def test_what_the_training_clips_choose_stands_beside_the_best_on_test(charts):
    for title in ("Layer and pooling: chosen or best", "C and class weight: chosen or best"):
        by_kind = {(p["row"], p["kind"]): p["value"] for p in values(charts[title])}
        for task in TASKS:
            assert by_kind[task, "chosen on training clips"] < by_kind[task, "best on test (oracle)"]


def test_a_path_marks_its_best_candidate(charts):
    points = values(charts[f"{TRANSFER}: out-of-fold score over C"])
    chosen = [p for p in points if p["chosen"]]
    assert {p["series"] for p in points} == {"mean", "freq"} and {p["strength"] for p in chosen} == {1.0}
    assert {p["series"]: p["score"] for p in chosen} == {"mean": pytest.approx(60), "freq": pytest.approx(70)}


def test_the_page_says_what_choosing_on_test_adds_and_corrects_its_tests(report):
    text = " ".join(report.texts["sweep/sweep.md"].split())
    assert "The best on test chose on test, and flatters by the gap." in text and "after Holm for all 2" in text


def test_a_folder_without_a_sweep_has_no_section(tmp_path):
    assert sweep_section(tmp_path) is None
