"""What a results folder holds, as one page: its board, what lies in folders of it, and every record that is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.base.errors import BadInput
from bench.base.paths import write_text
from bench.encoders.weights.find import release_digests_of
from bench.publish.blocks import Section
from bench.publish.page.board import board_model, metric_facts
from bench.publish.page.compact import Pool
from bench.publish.page.html import page_html
from bench.publish.page.pairs import pair_model
from bench.publish.page.record_facts import record_facts, task_facts
from bench.publish.page.sections import records_of, section_json
from bench.publish.sections import sections_of
from bench.publish.sections.listening import listening_section
from bench.reports.audit.sensitivity import read_sensitivities
from bench.reports.audit.summary import read_audit_summaries
from bench.reports.leaderboard.standings.cost import read_speeds
from bench.reports.tables import DISCLAIMER
from bench.runs.context import BoardNotes
from bench.scores import records as stored
from bench.scores.printed import amount
from bench.scores.schema import Record

PAGE, AUDIO_PAGE = "index.html", "index-with-audio.html"  # the second depends on recordings, so nothing holds it
PARTS = ("ood", "sweep", "finetune")  # folders of a results folder that are results folders themselves


def render_page(folder: Path, audio: bool = False, root: Path | None = None) -> str:
    """The page of a results folder; the same bytes for the same files in it.

    Parameters
    ----------
    folder
        With ``records/``, or with results folders ``ood``, ``sweep`` or ``finetune`` in it, or with ``audit/``.
    audio
        Whether the most confident errors can be heard: the page then holds parts of recordings, with their licences.
    root
        Folder of the recordings; None: the data folder.

    Raises
    ------
    BadInput
        Where nothing of that is there, something cannot be read, or no recordings are at hand that shall be heard.
    """
    own = [stored.read(path) for path in stored.paths(folder)]
    heard = [listening_section(own, root)] if audio else []  # first, for where there is nothing to hear it says so
    parts = [folder, *(part for name in PARTS if (part := folder / name).is_dir())]
    sections = [*sections_of(parts), *heard]
    if not own and not sections:
        raise BadInput(folder, "holds no results", "make some with `respbench run --out FOLDER`")
    model = page_model(own, BoardNotes.read(folder), sections, _named(parts, records_of(sections)), folder)
    return page_html(model, _plain_board(model["board"]))


def page_model(
    own: Sequence[Record],
    notes: BoardNotes,
    sections: Sequence[Section] = (),
    named: Mapping[Path, Sequence[Record]] | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Everything on a page as JSON-ready values.

    Parameters
    ----------
    own
        Records of the board.
    notes
        Its title, commands and remarks.
    sections
        What stands beside the board.
    named
        {folder: records of it that the sections name}.
    folder
        Where audits of the board's tasks lie.
    """
    board = pairs = None
    if own:
        audits = read_audit_summaries(folder, {r.spec["task"] for r in own}) if folder else {}
        sensitivities = read_sensitivities(folder, own) if folder else {}
        board = board_model(own, notes, audits, sensitivities, read_speeds(folder) if folder else {})
        pairs = pair_model(board, {record.key: record for record in own})
    pool, tasks, records = Pool(), [], {}
    released = lru_cache(None)(release_digests_of)
    for part in (own, *(named or {}).values()):
        for task in sorted({record.spec["task"] for record in part}):
            of_task = [record for record in part if record.spec["task"] == task]
            facts = task_facts(task, of_task, pool)
            for record in of_task:
                if record.key not in records:
                    records[record.key] = record_facts(record, facts, pool, released) | {"task": len(tasks)}
            tasks.append(facts)
    return {
        "title": notes.title,
        "disclaimer": DISCLAIMER,
        "made_by": f"RespBench {version('respbench')}",
        "board": board,
        "pairs": pairs,
        "sections": [section_json(section) for section in sections],
        "tasks": tasks,
        "records": records,
        "pool": pool.values,
        "metrics": metric_facts(sorted({name for task in tasks for name in task["metrics"]})),
    }


def write_page(folder: Path, out: Path | None = None, audio: bool = False, root: Path | None = None) -> Path:
    """Writes the page of a results folder, by default into it, and returns its path; as ``render_page``."""
    target = folder / (AUDIO_PAGE if audio else PAGE) if out is None else out
    write_text(target, render_page(folder, audio, root))
    return target


def stale_page(folder: Path) -> list[str]:
    """Says where a folder's page is not what its files give; nothing where it has none."""
    path = folder / PAGE
    if not path.exists() or path.read_bytes() == render_page(folder).encode("utf-8"):
        return []
    return [f"{path}: not what the folder gives; write it again with `respbench report {folder}`"]


def _named(parts: Iterable[Path], keys: set[str]) -> dict[Path, list[Record]]:
    """{folder: its records of these keys}."""
    return {part: [stored.read(path) for path in stored.paths(part) if path.stem in keys] for part in parts}


def _plain_board(board: Mapping[str, Any] | None) -> list[list[str]]:
    """The headline scores as rows of text, for readers without scripts."""
    if board is None:
        return []
    tests = [test for test in board["tests"] if test["headline"]]
    cells = [{cell[0]: cell for cell in test["cells"]} for test in tests]
    rows = []
    for place, row in enumerate(board["rows"]):
        scores = []
        for test, own in zip(tests, cells):
            names = dict(zip(("value", "low", "high"), own[place][1:4])) if place in own else None
            fractions = names and {name: None if x is None else x / 1e6 for name, x in names.items()}
            scores.append(amount(fractions, test["unit"]))
        rows.append([row["name"], row["pooling"], row["protocol"], *scores])
    return [["encoder", "pooling", "protocol", *(f"{t['task']}/{t['test']}" for t in tests)], *rows]
