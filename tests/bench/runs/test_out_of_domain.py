import dataclasses
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from bench import simulate
from bench.base.errors import BadInput, UnknownId
from bench.base.registry import task_card
from bench.cli.main import main
from bench.reports.agreement import verify
from bench.reports.out_of_domain.bandwidth import CHANGE, under
from bench.reports.out_of_domain.report import stale_transfer_report, write_transfer_report
from bench.reports.out_of_domain.transfer_table import DROP, GAP, IN, OUT, PROBE, WITHIN_DECILES, transfer_table
from bench.runs import suite
from bench.runs.choices import EncoderChoice, Outcome
from bench.runs.context import TransferNotes
from bench.runs.out_of_domain import expanded, run_transfers, transfer
from bench.scores import records

TRANSFER, REVERSE = "transfer.icbhi-sprsound", "transfer.sprsound-icbhi"
BANDWIDTH = [EncoderChoice("meta.bandwidth")]  # hears the device and little else; cheap


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Reports on corpora without and with a device that tells the label: ({shortcut: folder})."""
    out = {}
    for shortcut in (0.0, 1.0):
        root = tmp_path_factory.mktemp("corpora")
        simulate.icbhi(root / "ICBHI", seed=1, shortcut=shortcut, cycle_s=0.5)
        simulate.sprsound(root / "SPRSound", seed=1, patients=20, recordings_per_patient=3)
        out[shortcut] = tmp_path_factory.mktemp("report")
        settings = {"shots": (10, 50), "draws": 2} if shortcut else {"shots": (), "bandwidth": ()}
        settings["controls"] = False
        run_transfers([TRANSFER], BANDWIDTH, out[shortcut], root=root, **settings)
        write_transfer_report(out[shortcut])
    return out


@pytest.fixture(scope="module")
def numbers(made):
    """{shortcut: the CSV}."""
    return {shortcut: pd.read_csv(folder / "ood.csv") for shortcut, folder in made.items()}


def number(table, what, metric="auroc", encoder="meta.bandwidth", task=TRANSFER):
    row = table.query("task == @task and what == @what and metric == @metric and encoder == @encoder")
    assert len(row) == 1, (what, metric, encoder)
    return row.iloc[0]


def test_a_transfer_knows_its_reverse_and_its_tests():
    plan = transfer("transfer.icbhi-sprsound.bits@cas_to_wheeze")
    assert plan.reverse == "transfer.sprsound-icbhi.bits@cas_to_wheeze"
    assert (plan.test, plan.own, plan.probed) == ("inter", "source_corrected", "source_inter")
    assert transfer("icbhi.cycles4") is None


def test_a_task_without_another_domain_is_refused():
    assert expanded("icbhi.cycles4") == [
        f"icbhi.cycles4@{v}" for v in task_card("icbhi.cycles4").variants if "lodo" in v
    ]
    for id in ("sprsound.events2", "icbhi.cycles4@fold0"):
        with pytest.raises(BadInput, match="is no transfer"):
            expanded(id)
    with pytest.raises(UnknownId):
        expanded("transfer.icbhi-sprsuond")


@pytest.mark.long
def test_a_planted_device_shortcut_shows_as_a_drop(numbers):
    honest, planted = (number(numbers[shortcut], DROP)["value"] for shortcut in (0.0, 1.0))
    assert number(numbers[1.0], IN)["value"] > 0.9
    assert planted > honest + 0.1


def test_every_number_is_that_of_its_record(made, numbers):
    found = {record.key: record for record in records.load_all(made[1.0])}
    table = numbers[1.0]
    for what, test in ((IN, "source_corrected"), (OUT, "inter")):
        row = number(table, what)
        assert row["value"] == found[row["record"]].scores[test]["auroc"]["value"] and row["test"] == test
    probe = number(table, PROBE)
    assert found[probe["record"]].spec["task"] == REVERSE
    assert probe["value"] == found[probe["record"]].scores["source_inter"]["auroc"]["value"]
    assert number(table, DROP)["value"] == pytest.approx(
        number(table, IN)["value"] - number(table, OUT)["value"], abs=2e-6
    )
    assert number(table, GAP)["value"] == pytest.approx(probe["value"] - number(table, OUT)["value"], abs=2e-6)
    few = [r for r in found.values() if r.spec["protocol"] == "fewshot-10" and r.spec["encoder"] == "meta.bandwidth"]
    values = [r.scores["source_inter"]["auroc"]["value"] for r in few]
    row = number(table, "few-shot 10")
    assert (len(values), row["draws"]) == (2, 2)
    assert row["value"] == pytest.approx(np.mean(values), abs=1e-6) and row["sd"] == pytest.approx(
        np.std(values, ddof=1), abs=1e-6
    )


def test_the_target_probe_scores_the_very_clips_of_the_target(made):
    asked = (r for r in records.load_all(made[1.0]) if r.spec["encoder"] == "meta.bandwidth")
    tested = {r.spec["task"]: r.predictions for r in asked if r.spec["protocol"] == "linear"}
    ours = tested[TRANSFER].query("split == 'test_target_inter'")
    theirs = tested[REVERSE].query("split == 'test_source_inter'")
    columns = ["clip_id", "group", "y_true"]
    assert ours[columns].reset_index(drop=True).equals(theirs[columns].reset_index(drop=True))


def test_controlled_bandwidth_stands_beside_the_plain_numbers(made, numbers):
    """Every number under a policy is that of a record of it, and its change is clip by clip."""
    table, found = numbers[1.0], {record.key: record for record in records.load_all(made[1.0])}
    for what, test in ((IN, "source_corrected"), (OUT, "inter")):
        below = number(table, under(what, "lowpass2k"))
        record = found[below["record"]]
        assert record.spec["clip"] == "lowpass2k" and below["value"] == record.scores[test]["auroc"]["value"]
        change = number(table, under(what, "lowpass2k") + CHANGE)
        assert change["value"] == pytest.approx(below["value"] - number(table, what)["value"], abs=2e-6)
        assert change["low"] <= change["value"] <= change["high"]
        same = number(table, under(what, "lowpass2k") + CHANGE, encoder="meta.duration")
        assert (same["value"], same["low"], same["high"]) == (0, 0, 0)  # lengths are what they were
    drop = number(table, under(DROP, "lowpass2k"))["value"]
    ends = (number(table, under(what, "lowpass2k"))["value"] for what in (IN, OUT))
    assert drop == pytest.approx(next(ends) - next(ends), abs=2e-6)
    text = (made[1.0] / "ood.md").read_text()
    assert "in-domain, lowpass2k" in text and "What `lowpass2k` changes, on the same clips. " in text
    change = number(table, under(OUT, "lowpass2k") + CHANGE)
    verdict = "better" if change["low"] > 0 else "worse" if change["high"] < 0 else "not told apart"
    told = re.search(r"What `lowpass2k` changes, on the same clips. Out-of-domain: (.*?)\. In-domain", text)[1]
    assert f"meta.bandwidth published {100 * change['value']:+.1f} [" in told.partition(f"{verdict}: ")[2].split(";")[0]
    assert "meta.duration published +0.0 [+0.0, +0.0]" in told.partition("not told apart: ")[2]
    assert "What `lowpass" not in (made[0.0] / "ood.md").read_text()


def test_other_policies_and_what_has_no_plain_partner_have_rows_of_their_own(made, numbers):
    """No record of a folder is left out of its report, and none takes another's numbers."""
    found = records.load_all(made[1.0])
    (plain,) = (r for r in found if _is(r, TRANSFER, "native"))
    (below,) = (r for r in found if _is(r, TRANSFER, "lowpass2k"))
    others = ("tile8", "dither16", "tile8+lowpass2k")
    more = [dataclasses.replace(plain, spec=plain.spec | {"clip": clip}, key=f"key of {clip}") for clip in others]
    table = transfer_table([*found, *more], {TRANSFER: transfer(TRANSFER)}).query("metric == 'auroc'")
    for clip, record in zip(others, more, strict=True):
        (name,) = table.loc[table["record"] == record.key, "encoder"].unique()
        assert name.endswith(f"clip {clip}]") and f"{OUT}, lowpass2k" not in set(
            table.query("encoder == @name")["what"]
        )
    (name,) = table.loc[table["record"] == plain.key, "encoder"].unique()
    before = numbers[1.0].query("task == @TRANSFER and metric == 'auroc' and encoder == 'meta.bandwidth'")
    own = table.query("encoder == @name")
    assert name.endswith("clip native]") and sorted(own["what"]) == sorted(before["what"])  # few-shot and probe, too
    assert number(own, under(OUT, "lowpass2k"), encoder=name)["record"] == below.key

    alone = transfer_table([r for r in found if r is not plain], {TRANSFER: transfer(TRANSFER)})
    assert number(alone, OUT)["record"] == below.key  # nothing to stand beside
    one_side = transfer_table([plain, below], {TRANSFER: None})
    assert {plain.key, below.key} == set(one_side["record"])


def _is(record, task, clip):
    spec = record.spec
    return (spec["encoder"], spec["task"], spec["clip"]) == ("meta.bandwidth", task, clip)


def test_only_policies_of_bandwidth_control_it(tmp_path):
    with pytest.raises(UnknownId, match="lowpass4k"):
        run_transfers([TRANSFER], BANDWIDTH, tmp_path, bandwidth=["tile8"])


def test_a_score_of_duration_alone_is_chance_within_durations(made, numbers):
    row = number(numbers[0.0], IN + WITHIN_DECILES, encoder="meta.duration")
    assert row["low"] < 0.5 < row["high"]


def test_the_report_says_what_is_blank_and_what_the_data_are(made):
    text = (made[1.0] / "ood.md").read_text()
    assert "**Simulated data** (transfer.icbhi-sprsound)" in text and "Not a medical device" in text
    assert "fewshot-50 (14 groups where 50 are to be drawn)" in text
    assert "| few-shot 10 |" in text.replace("  ", " ") and "few-shot 50 |" not in text
    for row in ("control.majority", "meta.duration"):
        assert f"| {row} " in text
    assert "source_official" in text
    assert "No worst device: of no test have two of them 30 clips" in (made[0.0] / "ood.md").read_text()


@pytest.mark.long
def test_records_verify_and_the_report_is_theirs(made, tmp_path):
    count, problems = verify.verify(made[1.0])
    assert problems == [] and count == 2 * 4 + 2 * 2 + 2  # two tasks, two numbers of shots, one policy of bandwidth
    copy = shutil.copytree(made[1.0], tmp_path / "copy")
    for name in ("ood.csv", "ood.md", "reliability.csv"):
        text = (copy / name).read_text()
        (copy / name).write_text(text.replace("5", "6", 1))
        (problem,) = verify.verify(copy)[1]
        assert problem.startswith(f"{copy / name}: not what the records give")
        write_transfer_report(copy)
    assert stale_transfer_report(records.load_all(copy), copy) == []
    (copy / "ood.json").unlink()
    assert any("no out-of-domain report was made here" in problem for problem in verify.verify(copy)[1])


def test_writing_again_changes_nothing(made):
    before = {path: path.read_bytes() for path in made[0.0].rglob("*") if path.is_file()}
    context = TransferNotes.read(made[0.0])
    assert context.tasks == [TRANSFER] and not context.blanks
    write_transfer_report(made[0.0])
    assert {path: path.read_bytes() for path in made[0.0].rglob("*") if path.is_file()} == before


def test_a_folder_without_a_report_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no out-of-domain report"):
        write_transfer_report(tmp_path)


@pytest.mark.long
def test_a_corpus_that_is_not_there_leaves_its_task_blank(simulated, tmp_path):
    opera = "transfer.coughvid.sex-to-coswara.sex"
    said = []
    settings = {"shots": (), "controls": False}
    run_transfers(
        [TRANSFER, opera], [EncoderChoice("meta.duration")], tmp_path, root=simulated, say=said.append, **settings
    )
    write_transfer_report(tmp_path)
    text = (tmp_path / "ood.md").read_text()
    assert f"- {opera}: no clip has usable audio in this copy" in text
    assert any(line.startswith(f"left blank: {opera}") for line in said)
    with pytest.raises(BadInput, match="no clip has usable audio"):
        run_transfers([opera], BANDWIDTH, tmp_path, root=simulated, **settings)


def test_a_checkpoint_of_one_s_own_goes_on_where_its_release_is_absent(simulated, tmp_path, monkeypatch):
    asked = []

    def run(tasks, encoders, out, **settings):
        asked.append([choice.weights for choice in encoders])
        return Outcome(absent={"ast.base": "gone"})

    monkeypatch.setattr(suite, "run_suite", run)
    encoders = [EncoderChoice("ast.base"), EncoderChoice("ast.base", weights="own.ckpt"), *BANDWIDTH]
    run_transfers([TRANSFER], encoders, tmp_path, root=simulated, shots=(), skip_absent=True)
    # once more without the higher frequencies, the clip's duration beside
    assert asked == [[None, "own.ckpt", None, None], ["own.ckpt", None, None]]


@pytest.mark.long
def test_labels_present_or_not_are_reported_one_by_one(simulated, tmp_path):
    run_transfers(
        [f"{TRANSFER}.bits"], [EncoderChoice("meta.duration")], tmp_path, root=simulated, shots=(), controls=False
    )
    write_transfer_report(tmp_path)
    table, text = pd.read_csv(tmp_path / "ood.csv"), (tmp_path / "ood.md").read_text()
    row = number(table, OUT, "auroc.bit.crackle", "meta.duration", f"{TRANSFER}.bits")
    record = records.read(records.path(tmp_path, f"{TRANSFER}.bits", row["record"]))
    assert row["value"] == record.scores["inter"]["auroc.bit.crackle"]["value"]
    matched = number(table, OUT + WITHIN_DECILES, "auroc.bit.crackle", "meta.duration", f"{TRANSFER}.bits")
    assert matched["low"] < 0.5 < matched["high"]
    assert "### AUROC of crackle" in text and "Clips that have it: in-domain " in text


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    asked = ["--task", "transfer.icbhi-spr", "--encoder", "meta.duration", "--out", str(tmp_path)]
    assert main(["ood", *asked]) == 2
    assert "transfer.icbhi-sprsound" in capsys.readouterr().err
