"""The verbs for a paper: ``table``, ``cite``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.options import Verb, say, show
from bench.publish.papers.tables.choices import FORMATS, INTERVALS, LAYOUTS

if TYPE_CHECKING:
    from bench.scores.schema import Record


def table_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``table`` takes."""
    parser.add_argument("folder", type=Path, help="results folder")
    parser.add_argument("--format", choices=FORMATS, help="default: what --out ends in, else md")
    parser.add_argument(
        "--tests",
        nargs="+",
        default=[],
        metavar="TASK[/TEST][:METRIC]",
        help="columns of scores, in this order; default: every task's headline test by its main metric",
    )
    parser.add_argument(
        "--columns",
        nargs="+",
        default=[],
        metavar="NAME",
        help="what is said of a row beside its encoder (default: pooling): layer, protocol, recipe, clip, policy, "
        "params, trained_on, parity, weights, licence",
    )
    parser.add_argument(
        "--protocol", nargs="+", default=[], metavar="NAME", help="rows of these protocols, and controls"
    )
    parser.add_argument("--encoder", nargs="+", default=[], metavar="ID", help="rows of these encoders")
    parser.add_argument("--decimals", type=int, metavar="N", help="of what is printed (default: 1 in percent, else 2)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="file; its ending says the format; default: print")
    latex = parser.add_argument_group("LaTeX")
    latex.add_argument(
        "--layout", choices=LAYOUTS, default="", help="85 mm or 178 mm; default: column for 1 to 3 tests"
    )
    latex.add_argument("--intervals", choices=INTERVALS, default="", help="default: beside the scores where that fits")
    latex.add_argument("--label", default="tab:respbench", help="for \\ref (default tab:respbench)")
    latex.add_argument("--standalone", action="store_true", help="a document that compiles alone")


def table(arguments: argparse.Namespace) -> int:
    """Runs ``table``."""
    from bench.publish.papers.tables.content import paper_table
    from bench.publish.papers.tables.write import table_text, write_table
    from bench.scores import records

    settings = {name: getattr(arguments, name) for name in ("decimals", "layout", "intervals", "label", "standalone")}
    loaded = records.load_all(arguments.folder)
    chosen = (arguments.columns, arguments.tests, arguments.protocol, arguments.encoder)
    made = paper_table(loaded, *chosen, *_audited(arguments.folder, loaded))
    for row in made.left_out:
        say(f"left out, since it has no score in any of these columns: {row}")
    if arguments.out:
        show(write_table(made, arguments.out, arguments.format or "", **settings))
    else:
        show(table_text(made, arguments.format or "md", **settings), end="")
    return 0


def _audited(folder: Path, loaded: Sequence[Record]) -> tuple[Mapping, Mapping]:
    """What audits in the folder found of the records' data, and what rounding does to the records."""
    from bench.reports.audit.sensitivity import read_sensitivities
    from bench.reports.audit.summary import read_audit_summaries

    return read_audit_summaries(folder, {r.spec["task"] for r in loaded}), read_sensitivities(folder, loaded)


TABLE = Verb(
    "table", "a table of a results folder for a paper: LaTeX, Markdown, CSV, JSON, Excel", table_arguments, table
)


def cite_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``cite`` takes."""
    parser.add_argument("folder", type=Path, help="results folder")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write respbench.bib, methods.md, methods.tex, tables, and a paper.tex that shows them; default: print "
        "the references",
    )


def cite(arguments: argparse.Namespace) -> int:
    """Runs ``cite``."""
    from bench.publish.papers.citations.bibliography import bibliography
    from bench.publish.papers.folder import write_paper
    from bench.scores import records

    loaded = records.load_all(arguments.folder)
    if arguments.out:
        show("\n".join(map(str, write_paper(loaded, arguments.out, *_audited(arguments.folder, loaded)))))
    else:
        show(bibliography(loaded).bibtex(), end="")
    return 0


CITE = Verb(
    "cite", "what to cite for a results folder, and a methods section: BibTeX, Markdown, LaTeX", cite_arguments, cite
)
