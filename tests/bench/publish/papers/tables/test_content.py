import pytest

from bench.base.errors import BadInput, UnknownId
from bench.publish.papers.tables.content import paper_table
from bench.reports.audit.summary import AuditSummary
from paper_records import record


@pytest.fixture(scope="module")
def made():
    return [
        record("ast.base", accuracy=0.9),
        record("fbank.stats", accuracy=0.7),
        record("ast.base", "icbhi.cycles2", accuracy=0.8, data={"state": "subset"}, state="subset"),
        record("random.ast.base", accuracy=0.6),
        record("control.majority", accuracy=0.5),
        record("ast.base", accuracy=0.95, protocol="literature/opera", protocol_version=1),
        record("ast.base", accuracy=0.97, protocol="finetune", protocol_version=1, kind="finetune", device="cpu"),
    ]


def titles(table):
    return [part.title for part in table.parts]


def test_rows_that_may_not_be_compared_are_in_parts_of_their_own(made):
    table = paper_table(made[:6])
    assert titles(table) == [
        "Frozen encoders, protocol linear, version 3",
        "Protocols of the literature, protocol literature/opera, version 1",
        "Controls, not ranked",
    ]
    assert [part.ranked for part in table.parts] == [True, True, False]
    assert {row.facts["encoder"] for row in table.parts[2].rows} == {"random.ast.base", "control.majority"}


def test_every_headline_is_a_column_and_a_missing_cell_stays_missing(made):
    table = paper_table(made[:5])
    assert [column.name for column in table.scores] == [
        "icbhi.cycles2/corrected:icbhi.Score",
        "sprsound.events2/inter:sprsound.Score",
    ]
    by_name = {row.facts["encoder"]: row for part in table.parts for row in part.rows}
    assert set(by_name["ast.base"].scores) == {column.name for column in table.scores}
    assert set(by_name["fbank.stats"].scores) == {"sprsound.events2/inter:sprsound.Score"}


def test_ids_of_own_tasks_are_looked_up_whatever_signs_they_hold(made):
    own = ["csv.folder/clips.csv", "csv.a:b/c@d/e f.csv", "csv./abs/x.csv", "csv.folder/clips.csv/official"]
    records = [record("ast.base", task, accuracy=0.9) for task in own]
    assert {column.task for column in paper_table(records).scores} == set(own)
    for task in own:
        for asked in (task, f"{task}:auroc"):
            (column,) = paper_table(records, tests=[asked]).scores
            assert column.task == task and column.metric == ("auroc" if asked.endswith("auroc") else column.metric)
    with pytest.raises(UnknownId, match=r"unknown test 'csv\.folder'"):
        paper_table(records, tests=["csv.folder"])


def test_scores_are_the_records_own(made):
    table = paper_table(made[:2], tests=["sprsound.events2/inter:auroc"])
    for row, column, score in table.cells():
        (own,) = (r for r in made[:2] if r.spec["encoder"] == row.facts["encoder"])
        stored = own.scores["inter"]["auroc"]
        assert (score.value, score.low, score.high) == (stored["value"], stored["low"], stored["high"])
        assert (column.groups, column.clips, score.record) == ((40, 40), (120, 120), own.key)


def test_rows_without_any_of_the_tests_are_named(made):
    assert paper_table(made[:3], tests=["icbhi.cycles2"]).left_out == ("fbank.stats, mean, linear",)


@pytest.mark.parametrize(
    ("asked", "suggested"),
    [
        ({"tests": ["sprsound.event2"]}, "sprsound.events2"),
        ({"tests": ["sprsound.events2/intra"]}, "sprsound.events2/inter"),
        ({"tests": ["sprsound.events2:sprsound.Scores"]}, "sprsound.Score"),
        ({"columns": ["poling"]}, "pooling"),
        ({"protocols": ["linaer"]}, "linear"),
        ({"encoders": ["fbank.stat"]}, "fbank.stats"),
    ],
)
def test_what_the_records_do_not_have_is_an_error_with_a_suggestion(made, asked, suggested):
    with pytest.raises(UnknownId, match=suggested):
        paper_table(made[:5], **asked)


def test_a_test_is_asked_for_once_and_records_are_needed(made):
    with pytest.raises(BadInput, match="twice"):
        paper_table(made[:2], tests=["sprsound.events2", "sprsound.events2/inter"])
    with pytest.raises(BadInput, match="no records"):
        paper_table([])


def test_rows_that_would_look_alike_get_the_column_that_tells_them_apart():
    two = [record("ast.base"), record("ast.base", pooling="max")]
    assert [column.name for column in paper_table(two, columns=["params"]).facts] == ["encoder", "params", "pooling"]
    layers = [record("ast.base"), record("ast.base", layer=-2)]
    named = {row.facts["encoder"] for part in paper_table(layers).parts for row in part.rows}
    assert named == {"ast.base", "ast.base layer -2"}


def test_remarks_on_data_and_cells_are_kept():
    marked = record(
        "ast.base",
        patients=20,
        state="simulated subset",
        data={
            "state": "simulated subset",
            "groups_in_train": {"inter": 3},
            "marks": ["sprsound seen in pretraining"],
            "excluded": ["clip a: no samples"],
        },
    )
    notes = " ".join(paper_table([marked]).notes())
    for said in ("Simulated data", "Subset of the corpus (360 of 360", "3 patients of this test are in training"):
        assert said in notes
    for said in ("Fewer than 30 patients", "left out as unusable (1 finding)", "sprsound seen in pretraining"):
        assert said in notes


def test_what_audits_found_is_a_remark(monkeypatch):
    monkeypatch.setattr("bench.reports.leaderboard.standings.marks.sensitivity_marks", lambda found, test: found or [])
    one, other = record("ast.base"), record("beats.iter3")
    task, spec = one.spec["task"], one.spec
    audit = AuditSummary(task, spec["task_version"], spec["manifest"], {"inter": ("meta.duration AUROC 83.3",)})
    table = paper_table([one, other], audits={task: audit}, sensitivities={one.key: ["**sensitive to rounding**: 2 %"]})
    assert "Audit of the data: meta.duration AUROC 83.3." in table.notes()
    marked = {row.facts["encoder"] for row, _, score in table.cells() if "sensitive to rounding: 2 %" in score.marks}
    assert marked == {"ast.base"}


def test_the_caption_says_interval_protocol_and_patients(made):
    caption = " ".join(paper_table(made[:2]).caption)
    assert caption == (
        "SPRSound Score in percent with 95 % intervals (patient bootstrap, 2000 draws, expanded percentile). "
        "Protocol linear, version 3. The tests hold 40 patients each."
    )
    several = " ".join(paper_table([record(seed=0), record(seed=1), record(seed=2)]).caption)
    assert "means (3 seeds)" in several


def test_bold_is_what_may_be_best_of_its_part():
    made = [
        record("ast.base", accuracy=0.95),
        record("beats.iter3", accuracy=0.94),
        record("fbank.stats", accuracy=0.55),
    ]
    made.append(record("random.ast.base", accuracy=0.99))
    peeking = {"protocol": "literature/best-test-epoch", "protocol_version": 1, "kind": "finetune", "device": "cpu"}
    made += [record("ast.base", accuracy=0.9, seed=seed, **peeking) for seed in (0, 1)]
    made.append(record("beats.iter3", accuracy=0.5, **peeking))
    bold = {row.facts["encoder"] for row, _, score in paper_table(made).cells() if score.best}
    assert bold == {"ast.base", "beats.iter3"}
    assert sum(score.best for _, _, score in paper_table(made).cells()) == 2


def test_a_row_without_rivals_is_not_best():
    assert not any(score.best for _, _, score in paper_table([record("ast.base")]).cells())
