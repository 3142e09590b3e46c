"""``respbench merge``: takes submissions into a results folder, each whole or not at all.

Every record is held to the schema, its key to what determines it, and every number to the predictions; the data must be
the folder's. That predictions are honest no check can show: who submitted them is written down.
"""

from __future__ import annotations

import html
import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.base import registry
from bench.base.errors import BadInput, RespBenchError, UnknownId
from bench.base.parallel.locks import alone
from bench.base.paths import parse_json, write_bytes, write_text
from bench.base.progress import Progress, silent
from bench.base.settings import read as read_settings
from bench.probe.protocols import PROTOCOLS
from bench.publish.sharing import privacy
from bench.publish.sharing.opened import USUAL, Bounds, open_submission
from bench.reports.agreement.verify import disagreements, verify_record
from bench.runs.context import BoardNotes, update_board_notes
from bench.scores import records
from bench.scores.schema import Record

LEDGER, LOCK = "submissions.json", ".merge.lock"
MOST_ROWS, MOST_CLASSES = 200_000, 1_000  # of one record's predictions: what the bootstrap can hold in memory
MOST_RUN = 100_000  # characters about a run
# what hostile values raise where code rightly takes a record for well formed
_MALFORMED = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True)
class Entry:
    """One submission in a folder's ledger.

    Attributes
    ----------
    sha256
        Of the archive.
    by, contact
        As the submission says.
    merged
        When, UTC.
    records
        Keys of the records that it brought.
    commands, notes
        That made them, and remarks on them, as the submission says.
    """

    sha256: str
    by: str
    contact: str
    merged: str
    records: tuple[str, ...]
    commands: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class Merged:
    """What became of one submission.

    Attributes
    ----------
    file
        The archive.
    added, kept
        Keys of records that are new in the folder, and of those that were there, byte for byte.
    refused
        Why nothing of it was taken; empty where it was.
    """

    file: Path
    added: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def merge(archives: Sequence[Path], folder: Path, progress: Progress = silent, bounds: Bounds = USUAL) -> list[Merged]:
    """Takes submissions into a results folder.

    Parameters
    ----------
    archives
        Files of ``respbench submit``, taken one after the other.
    folder
        The results folder; made where it is not there.
    progress
        Told of every record.
    bounds
        What an archive may hold.

    Returns
    -------
    list of Merged
        What became of each, in the same order. A submission is refused whole, with every reason.

    Raises
    ------
    BadInput
        Where the folder's own records or ledger cannot be read, and while another merge is at work in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / LOCK) as only:
        if not only:
            raise BadInput(folder, "another merge is at work in it", "wait for its end")
        return [_merge_one(archive, folder, progress, bounds) for archive in archives]


def _merge_one(archive: Path, folder: Path, progress: Progress, bounds: Bounds) -> Merged:
    result, ledger = Merged(archive), read_ledger(folder)
    own = [records.read(path) for path in records.paths(folder)]
    try:
        opened = open_submission(archive, bounds)
    except BadInput as error:
        result.refused.append(str(error))
        return result
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in opened.files.items():
            write_bytes(Path(scratch) / name, content)
        found = _checked(Path(scratch), progress, result)
    if not result.refused:
        _hold_against_folder(found, own, result)
    if result.refused or not result.added:
        return result
    entry = Entry(
        opened.sha256,
        opened.manifest.by,
        opened.manifest.contact,
        datetime.now(UTC).isoformat(timespec="seconds"),
        tuple(result.added),
        opened.notes.commands,
        opened.notes.notes,
    )
    _take(folder, [record for record in found if record.key in result.added], [*ledger, entry])
    return result


# ------------------------------------------------------------------ checks


def _checked(scratch: Path, progress: Progress, result: Merged) -> list[Record]:
    """Every record that reads well; what does not hold goes into ``result.refused``."""
    found = []
    paths = list(records.paths(scratch))
    with progress("verify", len(paths)) as tick:
        for path in paths:
            where = path.relative_to(scratch).as_posix()
            try:
                record = records.read(path)
                problems = list(_problems(record))
            except RespBenchError as error:
                problems = [str(error).replace(f"{scratch}/", "").removeprefix(f"{where}: ")]
            except _MALFORMED as error:
                problems = [f"cannot be recomputed ({type(error).__name__}: {error})"]
            else:
                found.append(record)
            result.refused += [f"{where}: {problem}" for problem in problems]
            tick(1)
    if not result.refused:
        result.refused += disagreements(found)
    return found


def _problems(record: Record) -> Iterator[str]:
    """What does not hold in one record, the cheap checks first, since the others rely on them."""
    spec, facts, table = record.spec, record.data["task"], record.predictions
    if len(table) > MOST_ROWS or len(facts["classes"]) > MOST_CLASSES:
        yield f"{len(table)} clips of {len(facts['classes'])} classes are more than is allowed"
        return
    if len(json.dumps(record.run)) > MOST_RUN:
        yield f"more than {MOST_RUN} characters about its run"
        return
    fields = json.loads(records.to_json(record))
    for text in privacy.texts([fields, record.run]):
        if not (text.isprintable() or not text):
            yield f"a text with control characters ({text[:40]!r})"
            return
    if spec["schema"] != records.SCHEMA:
        yield f"its key is of schema {spec['schema']}, not {records.SCHEMA}"
    known = PROTOCOLS.get(spec["protocol"])
    if known is None:
        yield f"protocol {spec['protocol']!r} is not known here"
    elif known.kind != spec["kind"]:
        yield f"protocol {spec['protocol']} is of kind {known.kind}, not {spec['kind']}"
    try:
        family = registry.family(registry.TASKS, spec["task"])
        if hasattr(
            family, "root"
        ):  # its tasks are files of somebody's own: nothing is opened because a record names it
            yield f"task {spec['task']!r} is a table of somebody's own, which nobody else can check"
            return
        card = registry.task_card(spec["task"])
    except (UnknownId, BadInput):
        yield f"task {spec['task']!r} is not known here, so its labels and scores cannot be checked; add it first"
        return
    if card.version != spec["task_version"]:
        yield f"is of version {spec['task_version']} of task {card.id}, here it has version {card.version}"
        return
    yield from verify_record(record)


def _hold_against_folder(found: Sequence[Record], own: Sequence[Record], result: Merged) -> None:
    """Sorts records into added and kept, and refuses those that contradict the folder's."""
    there = {record.key: record for record in own}
    for record in found:
        same = there.get(record.key)
        if same is None:
            result.added.append(record.key)
        elif records.to_json(same) == records.to_json(record):
            result.kept.append(record.key)
        else:
            result.refused.append(
                f"{record.key}: the folder has another record of this key, with other numbers; "
                "see which holds with `respbench compare`"
            )
    try:
        records.require_one_data([*own, *found])
    except BadInput as error:
        result.refused.append(f"{error.where}: {error.problem}")
    new = [record for record in found if record.key in result.added]
    if not result.refused:
        result.refused += disagreements([*own, *new])
    if result.refused:
        result.added.clear()


# ------------------------------------------------------------------ taking in


def _take(folder: Path, added: Sequence[Record], ledger: Sequence[Entry]) -> None:
    """Writes the new records, then the ledger and the board's notes; takes all back where one cannot be written."""
    files = [LEDGER, BoardNotes.FILE]
    for record in added:
        stem = records.path(Path(), record.spec["task"], record.key)
        files += [stem.with_suffix(suffix).as_posix() for suffix in (".json", ".csv.gz", ".run.json")]
    with _undone(folder, files):
        for record in added:
            records.write(record, folder)
        body = [asdict(entry) for entry in ledger]
        write_text(folder / LEDGER, json.dumps(body, indent=1, ensure_ascii=False) + "\n")
        update_board_notes(folder, notes=[remark(ledger[-1])])


@contextmanager
def _undone(folder: Path, files: Sequence[str]) -> Iterator[None]:
    """Puts the files back as they are now where the block ends by an error."""
    before = {name: (folder / name).read_bytes() for name in files if (folder / name).exists()}
    try:
        yield
    except BaseException:
        for name in files:
            if name in before:
                write_bytes(folder / name, before[name])
            else:
                (folder / name).unlink(missing_ok=True)
        raise


def remark(entry: Entry) -> str:
    """The sentence in the board's notes about a submission, safe in Markdown."""
    n = len(entry.records)
    who = " ".join(filter(None, (entry.by, f"({entry.contact})" if entry.contact else ""))) or "somebody unnamed"
    told = f"{n} record{'s' if n > 1 else ''} submitted by {who}, merged {entry.merged[:10]}; how: {LEDGER}"
    # what Markdown or HTML would read as anything but text
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", html.escape(told, quote=False))


def read_ledger(folder: Path) -> list[Entry]:
    """The submissions that a folder has taken, in order. Raises ``BadInput`` for a file that is no ledger."""
    path = folder / LEDGER
    if not path.exists():
        return []
    try:
        body = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(path, f"is not readable JSON ({error})", "restore it or delete it") from error
    if not isinstance(body, list):
        raise BadInput(path, "is no list of submissions", "restore it or delete it")
    return [read_settings(Entry, each, str(path)) for each in body]
