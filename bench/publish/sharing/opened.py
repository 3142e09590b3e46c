"""A submission read out of its archive: nothing in it is believed before it is checked, and nothing is written."""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bench.base.errors import BadInput
from bench.base.paths import file_digest, parse_json
from bench.base.settings import read as read_settings
from bench.publish.sharing.submission import MANIFEST, MOST_TEXT, NOTES, RECORD, REMEDY, Manifest, digest

PIECE = 1 << 20  # bytes
MOST_NOTES, MOST_NOTE = 100, 4000  # commands or remarks, characters of each


@dataclass(frozen=True)
class Bounds:
    """What a submission may hold: files, bytes of one, of all together, and of a prediction table unpacked."""

    files: int = 30_000
    one: int = 64 << 20
    total: int = 2 << 30
    table: int = 256 << 20


USUAL = Bounds()


@dataclass(frozen=True)
class Notes:
    """The board's ``title``, ``commands`` and ``notes`` (remarks) of the folder that was packed."""

    title: str = ""
    commands: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Opened:
    """A submission whose files are those of its manifest.

    Attributes
    ----------
    sha256
        Of the archive.
    manifest
        What it says of itself.
    files
        {path of a record's file: its content}.
    notes
        Of the board.
    """

    sha256: str
    manifest: Manifest
    files: Mapping[str, bytes]
    notes: Notes


def open_submission(archive: Path, bounds: Bounds = USUAL) -> Opened:
    """Reads a submission into memory, within bounds.

    Parameters
    ----------
    archive
        A file of ``respbench submit``.
    bounds
        What it may hold at most.

    Raises
    ------
    BadInput
        For what is no such file, is damaged, holds more or other files than its manifest says, names outside
        ``records/``, links, encrypted members, a name twice, or more bytes than allowed.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            infos = _checked_names(archive, packed.infolist(), bounds)
            contents, left = {}, bounds.total
            for name, info in infos.items():
                with packed.open(info) as stream:
                    contents[name] = _read(stream, min(bounds.one, left), archive, name)
                left -= len(contents[name])
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError) as error:
        raise BadInput(archive, f"is not a readable zip file ({error})", REMEDY) from error
    manifest = Manifest.parse(archive, contents.pop(MANIFEST))
    if differing := sorted(manifest.files.keys() ^ contents.keys()):
        raise BadInput(archive, f"its manifest and its files differ in {differing[0]!r}", REMEDY)
    for name, content in contents.items():
        if digest(content) != manifest.files[name]:
            raise BadInput(archive, f"{name!r} is not what was packed (SHA-256)", REMEDY)
        if name.endswith(".gz"):
            _require_small_table(archive, name, content, bounds)
    notes = _notes(archive, contents.pop(NOTES, b"{}"))
    _require_whole_records(archive, contents)
    return Opened(file_digest(archive), manifest, contents, notes)


def _checked_names(archive: Path, members: list[zipfile.ZipInfo], bounds: Bounds) -> dict[str, zipfile.ZipInfo]:
    if len(members) > bounds.files:
        raise BadInput(archive, f"holds {len(members)} files, {bounds.files} are allowed", REMEDY)
    found: dict[str, zipfile.ZipInfo] = {}
    for info in members:
        name, kind = info.filename, stat.S_IFMT(info.external_attr >> 16)
        if not (name in (MANIFEST, NOTES) or (RECORD.fullmatch(name) and name.split("/")[1] not in (".", ".."))):
            raise BadInput(archive, f"holds {name!r}, which no submission holds", REMEDY)
        if kind not in (0, stat.S_IFREG):
            raise BadInput(archive, f"{name!r} is a link or a device", REMEDY)
        if info.flag_bits & 1:
            raise BadInput(archive, f"{name!r} is encrypted", REMEDY)
        if name in found:
            raise BadInput(archive, f"holds {name!r} twice", REMEDY)
        found[name] = info
    if MANIFEST not in found:
        raise BadInput(archive, f"has no {MANIFEST}", REMEDY)
    return found


def _read(stream: IO[bytes], most: int, archive: Path, name: str) -> bytes:
    """A member, as far as it is within bounds, whatever size it declares."""
    content = stream.read(most + 1)
    if len(content) > most:
        raise BadInput(archive, f"{name!r} unpacks to more than is allowed ({most} bytes)", REMEDY)
    return content


def _require_small_table(archive: Path, name: str, content: bytes, bounds: Bounds) -> None:
    """Raises ``BadInput`` for a table that is no gzip file or unpacks to more than is allowed."""
    import gzip

    size = 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            while piece := stream.read(PIECE):
                size += len(piece)
                if size > bounds.table:
                    raise BadInput(archive, f"{name!r} unpacks to more than is allowed ({bounds.table} bytes)", REMEDY)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(archive, f"{name!r} is no gzip file ({error})", REMEDY) from error


def _require_whole_records(archive: Path, contents: Mapping[str, bytes]) -> None:
    """Raises ``BadInput`` where a record lacks its JSON or its predictions, and where there is none."""
    stems: dict[str, set[str]] = {}
    for name in contents:
        matched = RECORD.fullmatch(name)
        assert matched  # names were checked
        stems.setdefault(name.removesuffix(f".{matched['kind']}"), set()).add(matched["kind"])
    if not stems:
        raise BadInput(archive, "holds no record", REMEDY)
    for stem, kinds in sorted(stems.items()):
        if lacking := sorted({"json", "csv.gz"} - kinds):
            raise BadInput(archive, f"lacks {stem}.{lacking[0]}", REMEDY)


def _notes(archive: Path, content: bytes) -> Notes:
    """Title, commands and remarks, each on one line and not too long."""
    try:
        body: Any = parse_json(content)
    except ValueError as error:
        raise BadInput(archive, f"its {NOTES} is not readable ({error})", REMEDY) from error
    notes = read_settings(Notes, body, f"{archive}: {NOTES}")
    lines = [*notes.commands, *notes.notes]
    if len(lines) > MOST_NOTES or len(notes.title) > MOST_TEXT or any(len(line) > MOST_NOTE for line in lines):
        raise BadInput(archive, f"its {NOTES} is longer than is allowed", REMEDY)
    if wrong := next((line for line in (notes.title, *lines) if line and not line.isprintable()), ""):
        raise BadInput(archive, f"its {NOTES} has a line with control characters ({wrong[:40]!r})", REMEDY)
    return notes
