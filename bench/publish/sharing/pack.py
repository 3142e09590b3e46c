"""``respbench submit``: packs a results folder's records for somebody else's folder, the same bytes every time."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path

from bench.base.errors import BadInput
from bench.base.paths import write_bytes
from bench.base.progress import Progress, silent
from bench.publish.sharing import privacy
from bench.publish.sharing.submission import MANIFEST, NOTES, Manifest, digest
from bench.reports.agreement.verify import disagreements, verify_record
from bench.runs.context import BoardNotes
from bench.scores import records
from bench.scores.schema import Record, RunFacts

WHEN = (1980, 1, 1, 0, 0, 0)  # of every member: the earliest date that a zip file can hold
PLACES = 10  # that a message lists


@dataclass
class Packed:
    """What was packed.

    Attributes
    ----------
    file
        The archive.
    records
        Number of records in it.
    told
        What was removed or left out, one sentence each.
    """

    file: Path
    records: int
    told: list[str] = field(default_factory=list)


def submit(folder: Path, out: Path, by: str = "", contact: str = "", progress: Progress = silent) -> Packed:
    """Packs records, predictions, how they were made, and the board's title, commands and remarks.

    Nothing else is packed: no audio, weights or features, and no pages, which follow from the records. Absolute paths,
    the user's name and the machine's are removed from what describes a run.

    Parameters
    ----------
    folder
        A results folder.
    out
        The zip file to write.
    by, contact
        Who submits and how they can be reached, as they shall be published; empty for neither.
    progress
        Told of every record.

    Returns
    -------
    Packed
        The file, and what was removed or left out.

    Raises
    ------
    BadInput
        Where there are no records, where one does not hold against its predictions, and where a record itself, which
        cannot be changed, holds an absolute path.
    """
    if out.suffix != ".zip":
        raise BadInput(out, "is no zip file", "give a file that ends in .zip")
    manifest = Manifest(by, contact, metadata.version("respbench"))
    found = _verified(folder, progress)
    packed = Packed(out, len(found))
    files: dict[str, bytes] = {}
    names = privacy.names_of_this_machine()
    for record in found:
        _refuse_paths(record)
        json_path = records.path(Path(), record.spec["task"], record.key)
        run, removed = _clean_run(record, names)
        if removed:
            packed.told.append(f"removed from {record.key}.run.json: {', '.join(removed)}")
        files[json_path.as_posix()] = records.to_json(record)
        files[json_path.with_suffix(".csv.gz").as_posix()] = (folder / json_path.with_suffix(".csv.gz")).read_bytes()
        files[json_path.with_suffix(".run.json").as_posix()] = run
    notes, removed = _clean_notes(folder, names)
    files |= notes
    packed.told += [f"removed from {NOTES}: paths or names in {', '.join(removed)}"] if removed else []
    packed.told += _left_out(folder)
    whole = Manifest(by, contact, manifest.respbench, {name: digest(content) for name, content in files.items()})
    write_bytes(out, _zip({**files, MANIFEST: whole.to_json()}))
    return packed


def _verified(folder: Path, progress: Progress) -> list[Record]:
    """Every record, each recomputed from its predictions."""
    paths = list(records.paths(folder))
    if not paths:
        raise BadInput(folder, "no records below this folder", "name a results folder of `respbench run --out FOLDER`")
    found, problems = [], []
    with progress("verify", len(paths)) as tick:
        for path in paths:
            record = records.read(path)
            problems += [f"{path}: {problem}" for problem in verify_record(record)]
            found.append(record)
            tick(1)
    problems += disagreements(found)
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise BadInput(folder, f"does not hold: {problems[0]}{more}", "see `respbench verify`; nothing was packed")
    return found


def _refuse_paths(record: Record) -> None:
    """Raises ``BadInput`` where a record's own text holds an absolute path."""
    texts = [*privacy.texts(json.loads(records.to_json(record)))]
    for column in ("clip_id", "group", "domain"):
        texts += record.predictions[column].astype(str).unique().tolist()
    if paths := [path for text in texts for path in privacy.paths_in(text)]:
        problem = f"the record holds the path {paths[0]!r}, and a record cannot be changed"
        raise BadInput(record.key, problem, "make it again from data whose names are relative paths")


def _clean_run(record: Record, names: tuple[str, ...]) -> tuple[bytes, list[str]]:
    """How a record was made, without paths and names and without fields that nobody knows; what was removed."""
    known = {name: value for name, value in record.run.items() if name in RunFacts.__annotations__}
    unknown = sorted(set(record.run) - set(known))
    run, removed = privacy.cleaned_all(known, partial(privacy.cleaned, names=names))
    return (json.dumps(run, indent=1, sort_keys=True) + "\n").encode(), [*unknown, *removed]


def _clean_notes(folder: Path, names: tuple[str, ...]) -> tuple[dict[str, bytes], list[str]]:
    """The board's title, commands and remarks, without paths and names; what was removed."""
    if not (folder / NOTES).exists():
        return {}, []
    board = BoardNotes.read(folder)
    body = {"title": board.title, "commands": board.commands, "notes": board.notes}
    clean, removed = privacy.cleaned_all(body, partial(privacy.cleaned, names=names))
    return {NOTES: (json.dumps(clean, indent=1, ensure_ascii=False) + "\n").encode()}, removed


def _left_out(folder: Path) -> list[str]:
    """A sentence that names what else lies in the folder."""
    others = sorted(path.name for path in folder.iterdir() if path.name not in ("records", NOTES))
    strangers = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.glob("records/*/*")
        if not path.name.endswith((".json", ".csv.gz"))
    )
    listed = _few([*others, *strangers])
    return [f"not packed, since records are what counts: {listed}"] if listed else []


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:PLACES]) + (f" and {len(names) - PLACES} more" if len(names) > PLACES else "")


def _zip(files: dict[str, bytes]) -> bytes:
    """A zip file in order of the names, with one date and one mode for all; the manifest first."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files, key=lambda name: (name != MANIFEST, name)):
            info = zipfile.ZipInfo(name, WHEN)
            info.compress_type = zipfile.ZIP_STORED if name.endswith(".gz") else zipfile.ZIP_DEFLATED
            info.create_system, info.external_attr = 3, 0o100644 << 16  # a regular file, on any system
            archive.writestr(info, files[name])
    return target.getvalue()
