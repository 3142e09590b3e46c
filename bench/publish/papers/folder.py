"""Everything that a paper needs of a results folder, in one go: references, methods section, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.base.paths import write_text
from bench.publish.papers.citations.bibliography import bibliography
from bench.publish.papers.methods import text
from bench.publish.papers.methods.paragraphs import methods
from bench.publish.papers.tables.content import paper_table
from bench.publish.papers.tables.latex import FONTS, PACKAGES, latex_table
from bench.publish.papers.tables.plain import csv_text, markdown_text
from bench.reports.audit.summary import AuditSummary
from bench.runs.context import NOTHING
from bench.scores.schema import Record

BIBTEX, METHODS, TABLE = "respbench.bib", "methods", "table"


def paper_texts(
    records: Sequence[Record],
    audits: Mapping[str, AuditSummary] = NOTHING,
    sensitivities: Mapping[str, Mapping] = NOTHING,
) -> Mapping[str, str]:
    """{file name: text}: references, the methods section, tables, and ``paper.tex`` that shows them all.

    Parameters
    ----------
    records
        Of any number of tasks.
    audits, sensitivities
        As ``bench.publish.papers.tables.content.paper_table`` takes them.

    Raises
    ------
    BadInput
        For no records, and for records of one task on different data.
    """
    references = bibliography(records)
    paragraphs = methods(records, references)
    table = paper_table(records, audits=audits, sensitivities=sensitivities)
    return {
        BIBTEX: references.bibtex(),
        f"{METHODS}.md": text.markdown(paragraphs),
        f"{METHODS}.tex": text.tex(paragraphs),
        f"{TABLE}.tex": latex_table(table, layout="page"),
        f"{TABLE}.md": markdown_text(table),
        f"{TABLE}.csv": csv_text(table),
        "paper.tex": _document(),
    }


def write_paper(
    records: Sequence[Record],
    folder: Path,
    audits: Mapping[str, AuditSummary] = NOTHING,
    sensitivities: Mapping[str, Mapping] = NOTHING,
) -> list[Path]:
    """Writes ``paper_texts`` into a folder and returns the files. Raises as ``paper_texts``."""
    texts = paper_texts(records, audits, sensitivities)
    for name, content in texts.items():
        write_text(folder / name, content)
    return [folder / name for name in texts]


def _document() -> str:
    """A small article in two columns that shows the other files."""
    lines = (
        r"\documentclass[10pt,twocolumn]{article}",
        FONTS,
        r"\usepackage[a4paper,textwidth=178mm,textheight=240mm,columnsep=8mm]{geometry}",
        r"\usepackage{url}",
        PACKAGES,
        r"\emergencystretch=2em",
        r"\begin{document}",
        r"\section{Methods}",
        rf"\input{{{METHODS}}}",
        rf"\input{{{TABLE}}}",
        r"\bibliographystyle{plain}",
        rf"\bibliography{{{BIBTEX.removesuffix('.bib')}}}",
        r"\end{document}",
    )
    return "\n".join(lines) + "\n"
