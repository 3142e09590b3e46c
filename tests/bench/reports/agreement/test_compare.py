import dataclasses
import gzip
import hashlib
import json
import shutil

import numpy as np
import pytest

from bench.base.errors import BadInput
from bench.cli.main import main
from bench.reports.agreement.compare import compare, marked_rows
from bench.reports.agreement.comparison_page import comparison_json, comparison_text
from bench.reports.agreement.differences import DIFFERS, IDENTICAL, MARKED, USUAL, WITHIN, Tolerance
from bench.scores import per_test, records


@pytest.fixture
def two(made, tmp_path):
    return shutil.copytree(made, tmp_path / "a"), shutil.copytree(made, tmp_path / "b")


def probe_record(folder):
    found = (records.read(path) for path in records.paths(folder))
    return next(record for record in found if record.spec["encoder"] == "meta.duration")


def made_again(folder, change=lambda table: table, spec=None, run=None, data=None):
    """The probe's record in ``folder`` with other predictions, and all that follows from them."""
    record = probe_record(folder)
    table = change(record.predictions.copy())
    scores, domains = per_test.score_predictions(record.data["task"], table)
    digest = hashlib.sha256(records.predictions_csv(table)).hexdigest()
    spec = record.spec | (spec or {})
    again = dataclasses.replace(
        record,
        key=records.key(spec),
        spec=spec,
        scores=scores,
        domains=domains,
        predictions=table,
        data=record.data | {"predictions_sha256": digest} | (data or {}),
        run=record.run | (run or {}),
    )
    if again.key != record.key:
        for path in records.path(folder, record.spec["task"], record.key).parent.glob(f"{record.key}.*"):
            path.unlink()
    records.write(again, folder)
    return again


def last_digits(table):
    return table.assign(s_0=records.as_stored(table["s_0"].to_numpy() + 1e-7))


def all_crackle(table):
    table[["s_0", "s_1", "s_2", "s_3"]] = np.log([0.01, 0.97, 0.01, 0.01])
    return table.assign(y_pred=1)


def outcome_of(found, encoder="meta.duration"):
    return next(pair for pair in found.pairs if pair.first.spec["encoder"] == encoder)


def test_a_copy_is_identical(two, capsys):
    found = compare(*two)
    assert [pair.outcome for pair in found.pairs] == [IDENTICAL] * 3 and found.agrees
    assert not (found.look_alikes or found.only_first or found.only_second)
    assert all(metric.moved == 0 for pair in found.pairs for metric in pair.metrics)
    assert main(["compare", *map(str, two)]) == 0
    assert "3 identical" in capsys.readouterr().out


def test_last_digits_are_within_the_tolerance_and_their_size_is_told(two):
    made_again(two[1], last_digits)
    found = compare(*two)
    pair = outcome_of(found)
    assert pair.outcome == WITHIN and not pair.same_bytes and pair.decisions == 0 and pair.same_choice
    # stored with nine significant digits, of values below 10: each is off by half a unit of the ninth at most
    assert pair.largest_score == pytest.approx(1e-7, abs=1e-8)
    assert found.agrees


def test_other_decisions_differ_and_are_counted(two, capsys):
    made_again(two[1], all_crackle)
    pair = outcome_of(compare(*two))
    before = probe_record(two[0]).predictions["y_pred"]
    assert pair.outcome == DIFFERS and pair.decisions == int((before != 1).sum()) > 0
    for metric in pair.metrics:
        if metric.before is not None and metric.after is not None:
            assert metric.moved == pytest.approx(100 * abs(metric.after - metric.before), abs=1e-6)
    assert main(["compare", *map(str, two)]) == 1
    out = capsys.readouterr().out
    assert f"{pair.decisions} of {pair.clips}" in out and "They differ beyond the tolerance in 1 of 3" in out


def test_a_wide_tolerance_lets_them_agree_and_a_marked_row_is_told_as_such(two, tmp_path, capsys):
    made_again(two[1], all_crackle)
    folders = list(map(str, two))
    assert main(["compare", *folders, "--tolerance", "100"]) == 0
    file = tmp_path / "marked.json"
    file.write_text(json.dumps([{"task": "icbhi.cycles4", "encoder": "meta.duration"}]))
    assert outcome_of(compare(*two, marked=marked_rows(file))).outcome == MARKED
    capsys.readouterr()
    assert main(["compare", *folders, "--marked", str(file)]) == 0
    assert "1 marked" in capsys.readouterr().out
    file.write_text(json.dumps([{"task": "sprsound.events2"}]))
    assert outcome_of(compare(*two, marked=marked_rows(file))).outcome == DIFFERS


@pytest.mark.parametrize(("change", "outcome"), [(0.05, MARKED), (0.01, DIFFERS)])
def test_rows_that_an_audit_found_to_be_sensitive_are_marked(two, tmp_path, change, outcome):
    made_again(two[1], all_crackle)
    spec = probe_record(two[0]).spec
    moved = {"value": 0.5, "change": change, "of_interval": change / 0.2}
    tried = {"name": "dither16", "tests": {"official": moved}, "other_candidates": 0.0}
    found = {"version": spec["task_version"], "digest": spec["manifest"], "tests": {"official": {}}, "changes": [tried]}
    file = tmp_path / "audit" / "sensitivity" / "icbhi.cycles4" / "meta.duration.published.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(spec | found))
    assert outcome_of(compare(*two, marked=marked_rows(tmp_path / "audit"))).outcome == outcome


def test_another_version_is_shown_beside_and_never_matched(two, capsys):
    version = probe_record(two[1]).spec["encoder_version"]
    again = made_again(two[1], spec={"encoder_version": version + 1})
    found = compare(*two)
    assert len(found.pairs) == 2 and again.key not in {pair.first.key for pair in found.pairs}
    (group,) = found.look_alikes
    assert group.differing == {"encoder_version": (str(version), str(version + 1))}
    assert not (found.only_first or found.only_second)
    text = comparison_text(found)
    assert f"encoder_version: {version} → {version + 1}" in text and "not compared" in text


def test_runs_by_recipes_of_two_names_are_not_alike(two):
    for folder, name, rate in ((two[0], "ce", 1e-4), (two[1], "mixup", 1e-4)):
        facts = {"recipe": {"name": name, "source": "", "about": ""}}
        made_again(folder, spec={"recipe": {"lr": rate, "loss": name}}, data=facts)
    found = compare(*two)
    assert not found.look_alikes and len(found.only_first) == len(found.only_second) == 1
    assert "meta.duration · mixup" in comparison_text(found)
    facts = {"recipe": {"name": "ce", "source": "", "about": ""}}
    made_again(two[1], spec={"recipe": {"lr": 1e-3, "loss": "ce"}}, data=facts)
    (group,) = compare(*two).look_alikes
    assert group.differing == {"recipe.lr": ("0.0001", "0.001")}


def test_what_only_one_side_has_is_listed(two):
    gone = probe_record(two[1])
    records.path(two[1], gone.spec["task"], gone.key).unlink()
    found = compare(*two)
    assert [record.key for record in found.only_first] == [gone.key] and not found.only_second
    assert gone.key in comparison_text(found)
    found = compare(two[1], two[0])
    assert [record.key for record in found.only_second] == [gone.key]


def test_nothing_in_common_does_not_agree(two, simulated, tmp_path, capsys):
    other = tmp_path / "other"
    command = ["run", "--task", "sprsound.events2", "--encoder", "meta.duration", "--root", str(simulated)]
    assert main([*command, "--no-controls", "--out", str(other)]) == 0
    assert main(["compare", str(two[0]), str(other)]) == 1
    assert "nothing was compared" in capsys.readouterr().out


def test_machines_of_both_sides_stand_in_it(two):
    made_again(two[1], run={"arithmetic": {"instructions": "AVX2"}, "commit": "c" * 40 + "+"})
    found = compare(*two)
    ours = probe_record(two[0]).run
    assert found.machines["torch"][0] == ours["versions"]["torch"]
    assert "AVX2 (1)" in found.machines["instructions"][1] and "cccccccccccc+ (1)" in found.machines["commit"][1]
    assert "AVX2" in comparison_text(found)


def test_it_is_written_as_markdown_and_json(two, tmp_path, capsys):
    made_again(two[1], all_crackle)
    files = [tmp_path / "new" / "c.md", tmp_path / "c.json"]
    assert main(["compare", *map(str, two), "--out", str(files[0]), "--out", str(files[1])]) == 1
    assert files[0].read_text().startswith(f"# {two[0]} and {two[1]}")
    body = json.loads(files[1].read_text())
    assert body["outcomes"] == {IDENTICAL: 2, WITHIN: 0, MARKED: 0, DIFFERS: 1} and body["agrees"] is False
    assert body == json.loads(json.dumps(comparison_json(compare(*two))))
    capsys.readouterr()
    assert main(["compare", *map(str, two), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["tolerance"] == {"points": 0.3, "share": 0.1}


def test_bad_input_exits_with_2_and_says_where(two, tmp_path, capsys):
    bad = tmp_path / "bad.json"
    bad.write_text('[{"taks": "icbhi.cycles4"}]')
    a, b = map(str, two)
    for words, hint in (
        ([a, str(tmp_path / "nowhere")], "nowhere"),
        ([a, b, "--out", "c.txt"], ".md or .json"),
        ([a, b, "--tolerance", "-1"], "tolerance"),
        ([a, b, "--tolerance", "1", "2", "3"], "tolerance"),
        ([a, b, "--tolerance", "nan"], "tolerance"),
        ([a, b, "--marked", str(bad)], "taks"),
        ([a, b, "--marked", str(tmp_path / "none.json")], "none.json"),
        ([a, b, "--marked", str(tmp_path)], "holds no sensitivity"),
    ):
        assert main(["compare", *words]) == 2, words
        lines = capsys.readouterr().err.strip().splitlines()
        assert hint in lines[-1] and "Traceback" not in lines[-1], lines
    record = probe_record(two[1])
    table = records.path(two[1], record.spec["task"], record.key).with_name(f"{record.key}.csv.gz")
    table.write_bytes(gzip.compress(gzip.decompress(table.read_bytes()).replace(b",0,", b",1,", 1), mtime=0))
    assert main(["compare", a, b]) == 2
    assert record.key in capsys.readouterr().err.strip().splitlines()[-1]


def test_the_larger_of_points_and_share_counts(two):
    made_again(two[1], all_crackle)
    moved = [m for m in outcome_of(compare(*two)).metrics if m.moved and m.share]
    for metric in moved:
        assert Tolerance(metric.moved, 0).allows(metric) and Tolerance(0, metric.share).allows(metric)
        assert not Tolerance(metric.moved * 0.99, metric.share * 0.99).allows(metric)
    target = dataclasses.replace(moved[0], unit="target", moved=0.1, share=0.5)
    assert not USUAL.allows(target)  # points are no unit of a target's own
    assert not USUAL.allows(dataclasses.replace(moved[0], moved=None, share=None))


def test_a_folder_without_records_is_refused(two, tmp_path):
    with pytest.raises(BadInput, match="no records"):
        compare(two[0], tmp_path)
