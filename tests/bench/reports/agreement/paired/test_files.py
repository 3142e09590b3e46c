import gzip
import shutil

import pandas as pd
import pytest

from bench import stats
from bench.base.errors import BadInput
from bench.cli.main import main
from bench.reports.agreement.paired.files import card_of
from bench.reports.agreement.paired.sides import Asked, compare_systems
from bench.scores import records
from bench.scores.metrics import Roles

A, B = "meta.duration", "other.noise"


@pytest.fixture
def files(rows, tmp_path):
    """The two rows as prediction files."""
    out = {}
    for record in records.load_all(rows):
        out[record.spec["encoder"]] = path = tmp_path / f"{record.spec['encoder']}.csv"
        path.write_bytes(records.predictions_csv(record.predictions))
    return str(out[A]), str(out[B])


def test_files_of_a_task_give_what_its_rows_give(rows, files, simulated):
    of_rows = compare_systems((A, B), Asked(rows)).tests
    of_files = compare_systems(files, Asked(tasks=("icbhi.cycles4",), root=simulated)).tests
    mixed = compare_systems((A, files[1]), Asked(rows)).tests
    for others in (of_files, mixed):
        assert [each.difference for each in others] == [each.difference for each in of_rows]
        assert [each.right for each in others] == [each.right for each in of_rows]
    turned = compare_systems((files[1], A), Asked(rows)).tests
    assert [each.difference.value for each in turned] == [-each.difference.value for each in of_rows]


def test_files_without_a_task_are_compared_as_given_in_their_own_groups(files):
    report = compare_systems(files, Asked())
    (each,) = report.tests
    frames = [pd.read_csv(file, dtype={"group": str}) for file in files]
    expected = stats.paired_difference(*frames, "uar", ["0", "1", "2", "3"], Roles(), unit="group")
    assert each.difference == expected and each.metric == "uar" and report.unit == "group"
    assert [cut.name for cut in each.domains] == sorted(frames[0]["domain"].unique())


def test_files_without_groups_are_resampled_by_clip_and_say_so(files, tmp_path):
    few = []
    for k, file in enumerate(files):
        few.append(str(tmp_path / f"{k}.csv"))
        table = pd.read_csv(file)[["clip_id", "y_true", "y_pred"]]
        names = dict(enumerate(("normal", "crackle", "wheeze", "both")))
        table.assign(y_true=table["y_true"].map(names), y_pred=table["y_pred"].map(names)).to_csv(few[k], index=False)
    report = compare_systems((few[0], few[1]), Asked())
    assert report.unit == "clip" and "too narrow" in report.notes[0]
    assert report.tests[0].difference.groups == report.tests[0].difference.n
    assert {cut.name for cut in report.tests[0].classes} <= {"normal", "crackle", "wheeze", "both"}


def test_other_clips_labels_or_groups_are_refused_and_named(files, rows, tmp_path, capsys, simulated):
    table = pd.read_csv(files[1], dtype=str)
    lost = table["clip_id"][3]
    shorter = tmp_path / "shorter.csv"
    table.drop(index=3).to_csv(shorter, index=False)
    for words in (
        [files[0], str(shorter)],
        [files[0], str(shorter), "--task", "icbhi.cycles4", "--root", str(simulated)],
        [A, str(shorter), "--in", str(rows)],
    ):
        assert main(["compare", *words]) == 2
        told = capsys.readouterr().err
        assert f"1 clips of {words[0]} are not in {shorter} ({lost})" in told
    other = tmp_path / "other.csv"
    table.assign(clip_id=table["clip_id"].replace(lost, "somebody_else")).to_csv(other, index=False)
    assert main(["compare", A, str(other), "--in", str(rows)]) == 2
    assert f"({lost}); 1 clips of {other} are not in {A} (somebody_else)" in capsys.readouterr().err
    table.assign(y_true=table["y_true"].where(table["clip_id"] != lost, "2")).to_csv(other, index=False)
    with pytest.raises(BadInput, match=f"another true label.*{lost}"):
        compare_systems((files[0], str(other)), Asked())
    table.assign(group=table["group"].where(table["clip_id"] != lost, "somebody")).to_csv(other, index=False)
    with pytest.raises(BadInput, match=f"another group.*{lost}"):
        compare_systems((files[0], str(other)), Asked())


def test_the_order_of_the_rows_does_not_matter(files, tmp_path):
    turned = tmp_path / "turned.csv.gz"
    text = pd.read_csv(files[1], dtype=str).iloc[::-1].to_csv(index=False)
    turned.write_bytes(gzip.compress(text.encode()))
    first, second = compare_systems(files, Asked()).tests[0], compare_systems((files[0], str(turned)), Asked()).tests[0]
    assert first.difference == second.difference and first.right == second.right


def test_what_a_word_is_is_told_from_what_it_is(rows, files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(files[1], A)  # a file that is called like a row
    for words, told in (
        ([A, B, "--in", "results"], "is a file here and a row of results; write ./meta.duration for the file"),
        ([str(rows), files[0]], "is a results folder"),
        ([str(rows), A], "is a results folder"),
        ([str(rows), str(rows), "--in", str(rows)], "is a results folder"),
        ([*files, "--in", str(rows)], "neither side is a row"),
        ([files[0], "nowhere.csv"], "is no file or folder"),
        ([*files, "--tolerance", "1"], "--tolerance"),
        ([str(rows), str(rows), "--clips", "x.csv"], "--clips"),
        ([*files, "--protocol", "linear"], "no protocol"),
        ([*files, "--task", "icbhi.cycles4", "icbhi.cycles2"], "names 2 tasks"),
        ([*files, "--test", "inter"], "--test"),
    ):
        assert main(["compare", *words]) == 2, words
        assert told in capsys.readouterr().err.strip().splitlines()[-1], words
    assert main(["compare", f"./{A}", B, "--in", "results"]) == 0


def test_numbers_that_are_no_classes_ask_for_a_task(tmp_path):
    for name in ("a", "b"):
        pd.DataFrame(
            {"clip_id": range(200), "y_true": [k + 0.5 for k in range(200)], "y_pred": [k / 7 for k in range(200)]}
        ).to_csv(tmp_path / f"{name}.csv", index=False)
    with pytest.raises(BadInput, match="--task"):
        compare_systems((str(tmp_path / "a.csv"), str(tmp_path / "b.csv")), Asked())


def test_classes_that_read_as_numbers_come_by_size_and_before_names(tmp_path):
    file = tmp_path / "a.csv"
    labels = ["nan", "10", "9", "inf", "a"]
    pd.DataFrame({"clip_id": labels, "y_true": labels, "y_pred": labels}).to_csv(file, index=False)
    assert card_of([file]).classes == ("9", "10", "a", "inf", "nan")
