import re
import shutil
import subprocess

import pytest

from bench.base.errors import UnknownId
from bench.publish.papers.tables.content import paper_table
from bench.publish.papers.tables.latex import latex_table
from paper_records import record

HOSTILE = r"a_b & 50% #1 {x} ~ ^ \input{y} $z$ 肺 é|"


@pytest.fixture(scope="module")
def table():
    made = [
        record("efficientat.mn04", accuracy=0.9),
        record("random.whisper.base@short", accuracy=0.6),
        record("efficientat.mn04", "icbhi.cycles2", accuracy=0.8, state="subset", data={"state": "subset"}),
        record("control.majority", accuracy=0.5),
        record("hf.x", accuracy=0.5, data={"marks": ["sprsound seen in pretraining"], "weights_licence": HOSTILE}),
    ]
    return paper_table(made, columns=["pooling", "licence"])


def lines_with(text, sign):
    return [line for line in text.splitlines() if sign in line]


def test_one_column_and_two_are_floats_of_their_own(table):
    assert r"\begin{table}[t]" in latex_table(table)
    assert r"\begin{table*}[t]" in latex_table(table, layout="page")
    assert latex_table(table, standalone=True).startswith(("% needs", r"\documentclass"))


def test_more_tests_than_fit_make_several_tables_and_none_is_lost(table):
    made = [record("ast.base", f"toy.t{i}") for i in range(10)]
    text = latex_table(paper_table(made))
    assert text.count(r"\begin{table*}") == 2 and "Part 2 of 2." in text
    assert r"\label{tab:respbench}" in text and r"\label{tab:respbench-2}" in text
    assert all(f"t{i}" in text for i in range(10))


def test_more_rows_than_fit_on_a_page_make_several_tables_and_none_is_lost():
    made = [record(f"hf.encoder{i:02d}") for i in range(60)]
    table = paper_table(made, tests=["sprsound.events2"])
    text = latex_table(table, "page", "below")
    assert text.count(r"\begin{table*}") == 3 and text.count("Frozen encoders") == 3
    assert sorted(re.findall(r"encoder\d\d", text)) == [f"encoder{i:02d}" for i in range(60)]


def test_every_line_has_as_many_cells_as_there_are_columns(table):
    for layout, intervals in (("column", ""), ("page", ""), ("page", "below"), ("page", "none")):
        text = latex_table(table, layout, intervals)
        body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
        widths = set()
        for line in body.splitlines():
            if line.endswith(r"\\") or re.search(r"\\\\\[-?[\d.]+pt\]$", line):
                spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
                widths.add(len(re.split(r"(?<!\\)&", line)) + sum(n - 1 for n in spans))
        assert len(widths) == 1, (layout, intervals, widths)


def test_numbers_have_the_decimals_asked_for_and_missing_cells_are_blank(table):
    score = table.parts[0].rows[0].scores["sprsound.events2/inter:sprsound.Score"]
    assert f"{100 * score.value:.2f}" in latex_table(table, decimals=2)
    assert f"[{100 * score.low:.2f}, {100 * score.high:.2f}]" in latex_table(table, decimals=2)
    assert len(lines_with(latex_table(table), "{--}")) == 3  # rows without a score on icbhi.cycles2


def test_every_string_is_escaped(table):
    text = latex_table(table)
    assert r"{\textbackslash}input\{y\}" in text and r"50\%" in text and text.isascii()


def test_notes_are_lettered_where_they_belong(table):
    text = latex_table(table)
    (note,) = lines_with(text, "Subset of the corpus")
    assert re.search(r"\\textsuperscript\{a\}\\,Subset of the corpus \(360 of 360 recordings\)", note)
    assert r"\textsuperscript{b}\,Sprsound seen in pretraining." in note
    assert r"{\rlap{\textsuperscript{b}}}" in text


def test_layouts_that_there_are_not_are_refused(table):
    with pytest.raises(UnknownId, match="page"):
        latex_table(table, layout="pages")
    with pytest.raises(UnknownId, match="below"):
        latex_table(table, intervals="belo")


@pytest.mark.long
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize(("layout", "intervals"), [("column", ""), ("page", ""), ("page", "below"), ("page", "none")])
def test_it_compiles_and_nothing_sticks_out(table, layout, intervals, tmp_path):
    (tmp_path / "t.tex").write_text(latex_table(table, layout, intervals, standalone=True), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=600)
    if "not found" in done.stdout and ".sty" in done.stdout:
        pytest.skip("this TeX lacks booktabs, siunitx or tabularx")
    assert done.returncode == 0, done.stdout[-3000:]
    wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", done.stdout)]
    assert all(points <= 1 for points in wide), done.stdout[-3000:]
    assert "undefined" not in done.stdout
