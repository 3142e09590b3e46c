import dataclasses

import pytest

import bench
from bench.reports.audit.summary import AuditSummary
from bench.reports.leaderboard.overview import remarks
from bench.reports.leaderboard.report import render_leaderboard
from bench.runs import evaluate
from bench.runs.context import BoardNotes
from bench.scores.schema import CONSTANT_FEATURES


@pytest.fixture(scope="module")
def task(simulated):
    return bench.load_task("icbhi.cycles4", simulated)


@pytest.fixture(scope="module")
def record(task):
    return bench.evaluate(bench.load_encoder("meta.duration"), task)[0]


def changed(record, **data):
    return dataclasses.replace(record, data=record.data | data)


@pytest.mark.long
def test_the_overview_says_what_the_data_is_and_what_the_weights_were(record):
    text = render_leaderboard(
        [record], BoardNotes("Board", ["respbench run"], {"ast.base": "no file at hand"}, ["a note"])
    )
    overview = text["leaderboard.md"]
    for expected in (
        "# Board",
        "Not a medical device",
        "Simulated data",
        "    respbench run",
        "a note",
        "meta.duration",
    ):
        assert expected in overview
    assert "| ast.base" in overview and "**not at hand**: no file at hand" in overview
    subset = render_leaderboard([changed(record, state="subset")], BoardNotes())["leaderboard.md"]
    assert "never compare with published scores" in subset


def test_two_checkpoints_and_two_revisions_of_one_encoder_are_listed_and_so_is_its_absent_release(record):
    of = [
        dataclasses.replace(record, spec=record.spec | {"encoder": "ast.base"} | change, key=f"{i}")
        for i, change in enumerate(
            [{"weights": "a" * 64}, {"weights": "b" * 64}, {"weights": "b" * 64, "code": "c" * 40}]
        )
    ]
    text = render_leaderboard(of, BoardNotes(absent={"ast.base": "no file at hand"}))["leaderboard.md"]
    listed = [line.split("|")[1:4] for line in text.splitlines() if line.startswith("| ast.base") and "at hand" in line]
    assert [[cell.strip() for cell in line] for line in listed] == [
        ["ast.base", "at hand", "a" * 12],
        ["ast.base", "at hand", "b" * 12],
        ["ast.base [own code cccccccc]", "at hand", "b" * 12],
        ["ast.base", "**not at hand**: no file at hand", "–"],
    ]


def test_a_task_page_holds_formulas_tests_recalls_domains_and_selection(record):
    page = render_leaderboard([record], BoardNotes())["tasks/icbhi.cycles4.md"]
    for expected in ("**ICBHI Score**: (Sp+Se)/2", "## Test corrected", "## Test official", "### By device"):
        assert expected in page
    assert "Interval: patient bootstrap, 2000 draws" in page and "C 1e" in page
    assert "both (" in page.split("### Recall per class")[1]


def test_constant_features_are_said_above_the_numbers(record):
    page = render_leaderboard([changed(record, marks=[CONSTANT_FEATURES])], BoardNotes())["leaderboard.md"]
    assert f"**Constant features**: {record.spec['encoder']} on icbhi.cycles4" in page
    assert "Constant features" not in render_leaderboard([record], BoardNotes())["leaderboard.md"]


def test_cropped_clips_are_said_above_the_numbers(record):
    page = render_leaderboard([changed(record, clips_cropped_to_max_s=3)], BoardNotes())["leaderboard.md"]
    assert f"**Cropped**: {record.spec['encoder']} on icbhi.cycles4 (3 clips)" in page
    assert (
        "Cropped" not in render_leaderboard([changed(record, clips_cropped_to_max_s=0)], BoardNotes())["leaderboard.md"]
    )


def test_what_is_cropped_is_said_whatever_the_order_of_rows(record):
    """Records under policies that change lengths, and fine-tuned ones, count no cropped clips."""
    counted = changed(record, clips_cropped_to_max_s=3)
    fewer = changed(record, clips_cropped_to_max_s=1)
    data = {name: value for name, value in record.data.items() if name != "clips_cropped_to_max_s"}
    uncounted = dataclasses.replace(record, data=data, spec=record.spec | {"clip": "tile8"}, key="f" * 16)
    for rows in ([counted, fewer, uncounted], [uncounted, fewer, counted]):
        (line,) = (line for line in remarks({"icbhi.cycles4": rows}) if "Cropped" in line)
        assert line.startswith(f"**Cropped**: {record.spec['encoder']} on icbhi.cycles4 (3 clips);")


def test_recordings_that_were_accepted_short_are_listed(record):
    page = render_leaderboard([changed(record, short=["a.wav: is truncated"])], BoardNotes())["tasks/icbhi.cycles4.md"]
    assert "## Recordings shorter than their headers promise\n\n- a.wav: is truncated" in page


def test_excluded_clips_and_shared_patients_are_marked(record):
    marked = changed(
        record, incomplete=True, excluded=["a.wav: is truncated"], groups_in_train={"official": 2, "corrected": 0}
    )
    text = render_leaderboard([marked], BoardNotes())
    assert "clips were excluded from icbhi.cycles4" in text["leaderboard.md"]
    page = text["tasks/icbhi.cycles4.md"]
    assert "- a.wav: is truncated" in page and "## Test official (2 patients in train)" in page
    assert "## Test corrected\n" in page


def test_what_an_encoder_was_trained_on_marks_its_cells(task, record):
    seen = dataclasses.replace(bench.load_encoder("meta.duration").card, trained_on=("icbhi", "audioset"))
    facts = evaluate.encoder_facts(seen, task.card)
    assert facts["marks"] == ["icbhi seen in pretraining"]
    assert (
        "icbhi seen in pretraining"
        in render_leaderboard([changed(record, **facts)], BoardNotes())["tasks/icbhi.cycles4.md"]
    )


def audit_of(record, **changes):
    spec = record.spec
    facts = {"task": spec["task"], "version": spec["task_version"], "digest": spec["manifest"]}
    return {spec["task"]: AuditSummary(**facts | {"marks": {"corrected": ["meta.level AUROC 70.1"]}} | changes)}


def test_what_an_audit_of_the_same_data_found_stands_at_its_test(record):
    text = render_leaderboard([record], BoardNotes(), audit_of(record))
    page = text["tasks/icbhi.cycles4.md"]
    assert "## Test corrected (meta.level AUROC 70.1)\n" in page and "[Audit](../audit/icbhi.cycles4.md)" in page
    assert "[corrected: meta.level AUROC 70.1](audit/icbhi.cycles4.md)" in text["leaderboard.md"]
    said_twice = changed(record, groups_in_train={"official": 2})
    page = render_leaderboard([said_twice], BoardNotes(), audit_of(record, marks={"official": ["2 patients in train"]}))
    assert "## Test official (2 patients in train)\n" in page["tasks/icbhi.cycles4.md"]


@pytest.mark.parametrize("other", [{"digest": "f" * 64}, {"version": 99}])
def test_an_audit_of_other_data_is_named_and_not_used(record, other):
    text = render_leaderboard([record], BoardNotes(), audit_of(record, **other))
    page, overview = text["tasks/icbhi.cycles4.md"], text["leaderboard.md"]
    assert "70.1" not in page and "70.1" not in overview and "## Test corrected\n" in page
    assert "**stale**" in page and "[**stale**](audit/icbhi.cycles4.md): of " in overview


def test_auroc_within_duration_deciles_stands_beside_auroc(record):
    text = render_leaderboard([record], BoardNotes())
    page, overview = text["tasks/icbhi.cycles4.md"], text["leaderboard.md"]
    table = page.split("## Test corrected")[1]
    score = record.scores["corrected"]["auroc.duration_matched"]
    assert "AUROC | AUROC within duration deciles |" in " ".join(table.split())
    for place in (table, overview.split("within deciles")[1]):
        assert f"{100 * score['value']:.1f} [{100 * score['low']:.1f}, {100 * score['high']:.1f}]" in place
    assert "- **AUROC within duration deciles**: " in page and "auroc.duration_matched" in text["leaderboard.csv"]


def test_the_csv_holds_every_score(record):
    lines = render_leaderboard([record], BoardNotes())["leaderboard.csv"].splitlines()
    assert len(lines) == 1 + sum(len(table) for table in record.scores.values())
    assert all(f",{record.key}," in line for line in lines[1:])
