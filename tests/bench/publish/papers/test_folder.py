import re
import shutil
import subprocess

import pytest

from bench.publish.papers.folder import write_paper
from paper_records import record

MADE = [record("efficientat.mn04", accuracy=0.9), record("fbank.stats", accuracy=0.7), record("control.majority")]


def test_everything_is_written_and_every_citation_has_an_entry(tmp_path):
    written = write_paper(MADE, tmp_path / "paper")
    assert {path.name for path in written} == {
        "respbench.bib",
        "methods.md",
        "methods.tex",
        "table.tex",
        "table.md",
        "table.csv",
        "paper.tex",
    }
    texts = {path.name: path.read_text(encoding="utf-8") for path in written}
    entries = set(re.findall(r"^@\w+\{([\w-]+),", texts["respbench.bib"], flags=re.MULTILINE))
    in_tex = {key for keys in re.findall(r"\\cite\{([^}]*)\}", texts["methods.tex"]) for key in keys.split(",")}
    assert in_tex == set(re.findall(r"@([\w-]+)", texts["methods.md"])) == entries


@pytest.mark.long
@pytest.mark.skipif(not (shutil.which("pdflatex") and shutil.which("bibtex")), reason="pdflatex is not installed")
def test_the_paper_compiles(tmp_path):
    write_paper(MADE, tmp_path)
    latex = ["pdflatex", "-interaction=nonstopmode", "-no-shell-escape", "paper"]
    for command in (latex, ["bibtex", "paper"], latex, latex):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=600)
        if "not found" in done.stdout and ".sty" in done.stdout:
            pytest.skip("this TeX lacks booktabs, siunitx or tabularx")
        assert done.returncode == 0, done.stdout[-3000:]
    assert "undefined" not in done.stdout and "Float too large" not in done.stdout
    assert all(float(points) <= 1 for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", done.stdout))
