import dataclasses
import gzip
import hashlib
import json
import shutil

import numpy as np
import pytest

from bench.cli.main import main
from bench.probe.linear.candidates import shares, shares_of_errors, told
from bench.reports.agreement.verify import chosen_is_best, same_groups, shares_follow, verify
from bench.reports.audit.report import write_audit
from bench.reports.leaderboard.report import write_leaderboard
from bench.reports.pages import seal_pages
from bench.runs.audit.audit import audit
from bench.scores import records


@pytest.fixture
def results(made, tmp_path):
    return shutil.copytree(made, tmp_path / "results")


def first_record(folder, encoder="meta.duration"):
    return next(p for p in records.paths(folder) if records.read(p).spec["encoder"] == encoder)


@pytest.mark.long
def test_a_fresh_results_folder_holds(results):
    assert verify(results) == (3, [])
    assert main(["verify", str(results)]) == 0


def test_one_flipped_prediction_fails(results, capsys):
    path = first_record(results)
    table = path.with_name(path.stem + ".csv.gz")
    lines = gzip.decompress(table.read_bytes()).decode().splitlines()
    cells = lines[1].split(",")
    at = lines[0].split(",").index("y_pred")
    cells[at] = str((int(cells[at]) + 1) % 4)
    lines[1] = ",".join(cells)
    table.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))
    assert main(["verify", str(results)]) == 1
    assert path.stem in capsys.readouterr().out


def test_a_score_written_by_hand_fails(results):
    path = first_record(results)
    body = json.loads(path.read_text())
    body["scores"]["corrected"]["icbhi.Score"]["value"] += 0.01
    path.write_text(json.dumps(body))
    assert any("edited" in problem for problem in verify(results)[1])


def forged(path, change):
    """The record changed and sealed anew, as someone would who knows the format."""
    record = records.read(path)
    fields = {name: json.loads(json.dumps(getattr(record, name))) for name in records.FIELDS}
    predictions = change(fields, record.predictions.copy())
    fields["data"]["predictions_sha256"] = hashlib.sha256(records.predictions_csv(predictions)).hexdigest()
    records.write(dataclasses.replace(record, **fields, predictions=predictions), path.parent.parent.parent)


def without_mistakes(fields, table):
    return table[table["y_true"] == table["y_pred"]]


def better_score(fields, table):
    fields["scores"]["corrected"]["icbhi.Score"]["value"] = 0.99
    return table


def other_candidate(fields, table):
    fields["selection"]["chosen"] = {"C": 123.0, "class_weight": None}
    return table


def complete_data(fields, table):
    fields["data"]["state"] = "complete"
    return table


def other_roles(fields, table):
    fields["data"]["task"]["adventitious"] = [1]
    return table


def other_labels(fields, table):
    return table.assign(y_true=table["y_pred"])


def other_lengths(fields, table):
    return table.assign(duration_s=table["duration_s"].to_numpy()[::-1])


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without_mistakes, "one per test clip"),
        (better_score, "icbhi.Score"),
        (other_candidate, "hyperparameters"),
        (complete_data, "state differs"),
        (other_roles, "not the task's"),
        (other_labels, "labels differ"),
        (other_lengths, "auroc.duration_matched"),
        (other_lengths, "lengths or labels differ"),
    ],
)
def test_a_forged_record_contradicts_its_predictions_its_task_or_the_others(results, change, told):
    forged(first_record(results), change)
    assert any(told in problem for problem in verify(results)[1]), verify(results)[1]


def test_damaged_predictions_are_a_problem_not_a_crash(results):
    path = first_record(results)
    table = path.with_name(path.stem + ".csv.gz")
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 0xFF
    table.write_bytes(content)
    assert any(path.stem in problem for problem in verify(results)[1])


def test_a_page_that_no_record_gives_fails_even_without_an_overview(results):
    (results / "leaderboard.md").unlink()
    (results / "tasks" / "icbhi.cycles9.md").write_text("99.9")
    told = verify(results)[1]
    assert any("leaderboard.md" in problem for problem in told) and any("cycles9" in problem for problem in told)


def test_a_changed_setting_fails_because_the_key_no_longer_fits(results):
    path = first_record(results)
    body = json.loads(path.read_text())
    body["spec"]["encoder"] = "opera.ct"
    path.write_text(json.dumps(body))
    assert any("edited" in problem for problem in verify(results)[1])


@pytest.mark.long
def test_a_table_edited_by_hand_fails_and_can_be_written_again(results):
    overview = results / "leaderboard.md"
    overview.write_text(overview.read_text().replace("50.0", "99.9"))
    assert any("leaderboard.md" in problem for problem in verify(results)[1])
    write_leaderboard(records.load_all(results), results)
    assert verify(results) == (3, [])


@pytest.mark.long
@pytest.mark.parametrize("page", ["leaderboard.md", "leaderboard.csv", "tasks/icbhi.cycles4.md"])
def test_an_edited_page_of_the_leaderboard_fails(results, page):
    path = results / page
    path.write_text(path.read_text().replace("5", "6", 1))
    assert [problem.partition(":")[0] for problem in verify(results)[1]] == [str(path)]


@pytest.mark.long
def test_an_edited_sealed_page_fails_in_any_folder_below(results):
    (results / "speed").mkdir()
    page = results / "speed" / "speed.md"
    page.write_text("98.5 s")
    seal_pages(page.parent, [page.name], "time it")
    assert verify(results) == (3, [])
    page.write_text("98.4 s")
    assert verify(results)[1] == [f"{page}: changed since `time it`"]
    (page.parent / "pages.json").write_text("[]")
    assert any("not a readable list of pages" in problem for problem in verify(results)[1])


@pytest.fixture(scope="module")
def audit_of_task(simulated):
    """An audit of the task of the records, without anything that needs many resamples."""
    made = audit("icbhi.cycles4", simulated, reference=None, resamples=10)
    return made.facts | {"marks": {"corrected": ["meta.level AUROC 70.1"], "official": []}}, made.task.card


@pytest.mark.long
def test_a_changed_mark_fails_as_does_an_audit_that_cannot_be_read(results, audit_of_task):
    facts, card = audit_of_task
    page, data = write_audit(results / "audit", facts, card)
    assert any("icbhi.cycles4.md" in problem for problem in verify(results)[1])
    write_leaderboard(records.load_all(results), results)
    assert verify(results) == (3, [])
    assert "## Test corrected (meta.level AUROC 70.1)" in (results / "tasks" / "icbhi.cycles4.md").read_text()
    text = page.read_text()
    page.write_text(text.replace("5", "6", 1))
    assert [problem.partition(":")[0] for problem in verify(results)[1]] == [str(page)]
    page.write_text(text)
    data.write_text(json.dumps(facts | {"marks": {"corrected": ["meta.level AUROC 55.5"]}}))
    assert any("leaderboard.md" in problem for problem in verify(results)[1])
    data.write_text(json.dumps(facts | {"marks": None}))
    assert any("not a readable audit" in problem for problem in verify(results)[1])
    data.unlink()
    assert any(f"{page}: no record gives this page" in problem for problem in verify(results)[1])


def test_shares_that_do_not_follow_from_the_scores_are_told():
    path = [{"C": c, "class_weight": None, "score": s} for c, s in ((0.1, 0.70), (1.0, 0.72), (10.0, 0.5))]
    selection = {"chosen": {"C": 1.0, "class_weight": None}, "path": path}
    assert shares_follow(selection) and not shares_follow(selection, averaged=True)  # the best alone
    honest = shares(np.array([[0.70], [0.72], [0.5]]), 1 / np.array([0.1, 1.0, 10.0]))[:, 0]
    for candidate, share in zip(path, honest, strict=True):
        candidate |= told(share)
    assert shares_follow(selection)
    path[0]["share"], path[1]["share"] = path[1]["share"], path[0]["share"]
    assert not shares_follow(selection)


def test_shares_of_alphas_and_of_labels_are_held_to_their_scores():
    errors, alphas = np.array([0.002, 0.00202, 0.0021]), np.array([10.0, 1.0, 0.1])
    shared = shares_of_errors(errors, alphas)
    rounded = np.round(-errors, records.DECIMALS)
    path = [{"alpha": a, "score": e} | told(s) for a, e, s in zip(alphas, rounded, shared, strict=True)]
    assert shares_follow({"path": path})
    path[0]["share"], path[1]["share"] = path[1]["share"], path[0]["share"]
    assert not shares_follow({"path": path})
    labelled = [{"label": "wheeze", "C": 1.0, "class_weight": None, "score": 0.7, "share": 1.0}]
    assert shares_follow({"path": labelled}) and not shares_follow({"path": [labelled[0] | {"share": 0.5}]})


def test_choices_of_left_out_groups_are_held_to_their_text_whatever_the_order_of_names():
    chosen = {"width": 256, "rate": 1e-4, "class_weight": None, "epochs": 3}
    kept = json.loads(json.dumps({"chosen": chosen, "path": []}, sort_keys=True))
    assert same_groups({"chosen": {"p1": str(chosen)}, "left_out": {"p1": kept}})
    assert not same_groups({"chosen": {"p1": str(chosen | {"epochs": 4})}, "left_out": {"p1": kept}})
    assert not same_groups({"chosen": {"p1": "no choice"}, "left_out": {"p1": kept}})


def test_more_neighbours_than_rows_are_all_rows():
    path = [{"k": k, "temperature": 0.2, "score": score} for k, score in ((100, 0.7), (10, 0.5))]
    assert chosen_is_best({"chosen": {"k": 48, "temperature": 0.2}, "path": path})
    assert not chosen_is_best({"chosen": {"k": 10, "temperature": 0.2}, "path": path})
    assert not chosen_is_best({"chosen": {"k": 150, "temperature": 0.2}, "path": path})
