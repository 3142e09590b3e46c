import pytest

from bench.cli.main import build_parser, main
from bench.publish.papers.tables.columns import FACTS
from bench.scores import records
from paper_records import record


@pytest.fixture
def folder(tmp_path):
    for made in (record("ast.base"), record("ast.base", "icbhi.cycles2"), record("fbank.stats")):
        records.write(made, tmp_path)
    return tmp_path


def test_a_table_is_printed_or_written_as_its_name_says(folder, capsys):
    assert main(["table", str(folder)]) == 0
    assert "| ast.base" in capsys.readouterr().out
    for name, begins in (("t.tex", "% needs"), ("t.md", "SPRSound"), ("t.csv", "part,"), ("t.json", "{")):
        out = folder / name
        assert main(["table", str(folder), "--tests", "sprsound.events2", "--out", str(out)]) == 0
        assert out.read_text().startswith(begins)


def test_rows_that_are_left_out_are_said_and_wrong_words_are_refused(folder, capsys):
    assert main(["table", str(folder), "--tests", "icbhi.cycles2", "--format", "latex"]) == 0
    told = capsys.readouterr()
    assert "fbank.stats" in told.err and told.out.startswith("% needs")
    assert main(["table", str(folder), "--tests", "icbhi.cycle2"]) == 2
    assert "did you mean 'icbhi.cycles2" in capsys.readouterr().err
    assert main(["table", str(folder), "--out", str(folder / "t.docx")]) == 1
    assert main(["table", str(folder), "--format", "xlsx"]) == 1


def test_the_help_names_every_column(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["table", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert all(name in told for name in FACTS)


def test_references_are_printed_or_a_folder_written(folder, capsys):
    assert main(["cite", str(folder)]) == 0
    assert "@inproceedings{gong2021ast," in capsys.readouterr().out
    assert main(["cite", str(folder), "--out", str(folder / "paper")]) == 0
    assert str(folder / "paper" / "methods.md") in capsys.readouterr().out
