"""The page of a results folder as a file: who writes it, when it is stale, and that nothing but the folder is in it."""

import os
import subprocess
import sys

import pytest

import toy_boards
from bench.base.errors import BadInput
from bench.cli.main import main
from bench.publish.page.folder import PAGE, render_page, stale_page, write_page
from bench.scores import records


@pytest.fixture
def folder(tmp_path):
    for record in toy_boards.board(clips=60):
        records.write(record, tmp_path)
    return tmp_path


def test_a_page_is_stale_once_its_folder_has_changed(folder):
    assert stale_page(folder) == []  # there is none
    path = write_page(folder)
    assert path == folder / PAGE and stale_page(folder) == []
    records.write(toy_boards.record(encoder="toy.new", clips=60), folder)
    (line,) = stale_page(folder)
    assert str(path) in line and f"respbench report {folder}" in line
    write_page(folder)
    assert stale_page(folder) == []
    path.write_text(path.read_text(encoding="utf-8").replace("toy.new", "toy.old"), encoding="utf-8")
    assert len(stale_page(folder)) == 1


def test_a_page_elsewhere_is_not_held(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("else") / "mine.html"
    assert main(["report", str(folder), "--out", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == render_page(folder) and not (folder / PAGE).exists()


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(BadInput, match="holds no results"):
        write_page(tmp_path)


ASKED = ("--encoder", "meta.duration", "--no-controls")


@pytest.mark.long
@pytest.mark.parametrize(
    "command",
    [
        ("run", "--task", "icbhi.cycles2", *ASKED),
        ("sweep", "--task", "icbhi.cycles2", *ASKED, "--workers", "1"),
        ("ood", "--task", "transfer.icbhi-sprsound", *ASKED),
    ],
    ids=lambda command: command[0],
)
def test_every_verb_that_makes_records_writes_the_page_and_verify_holds_it(command, simulated, tmp_path, capsys):
    assert main([*command, "--root", str(simulated), "--out", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert str(tmp_path / PAGE) in told.out + told.err
    assert stale_page(tmp_path) == []
    assert main(["verify", str(tmp_path)]) == 0
    path = tmp_path / PAGE
    path.write_text(path.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert main(["verify", str(tmp_path)]) == 1
    assert "not what the folder gives" in capsys.readouterr().out


# What is printed of a folder in another process, whose sets and dictionaries have an order of their own.
SCRIPT = """
import hashlib, io, sys
from pathlib import Path
from bench.publish.figures.folder import draw_folder
from bench.publish.page.folder import render_page
from bench.publish.papers.folder import write_paper
from bench.publish.papers.tables.content import paper_table
from bench.publish.papers.tables.write import table_text
from bench.scores.records import load_all

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
records = load_all(folder)
made = {"page": render_page(folder).encode()}
made |= {name: table_text(paper_table(records), name).encode() for name in ("latex", "md", "csv", "json")}
only = ("heat_map", "poolings", "confusion", "trade_off")
files = [*write_paper(records, out / "paper"), *draw_folder(folder, out, only=only, formats=("svg", "pdf")).written]
made |= {str(path.relative_to(out)): path.read_bytes() for path in files}
for name, content in sorted(made.items()):
    print(name, hashlib.sha256(content).hexdigest())
"""


@pytest.mark.long
def test_page_tables_citations_and_figures_are_the_same_bytes_whatever_the_order_of_sets(folder, tmp_path_factory):
    told = []
    for seed in ("1", "2"):
        out = tmp_path_factory.mktemp("made")
        command = [sys.executable, "-c", SCRIPT, str(folder), str(out)]
        settings = os.environ | {"PYTHONHASHSEED": seed}
        told.append(
            subprocess.run(command, env=settings, capture_output=True, text=True, check=True).stdout.split("\n")
        )
    assert told[0] == told[1]
    names = {line.partition(" ")[0] for line in told[0]}
    assert {"page", "latex", "csv", "paper/respbench.bib", "heat_map.svg", "poolings.pdf"} <= names
