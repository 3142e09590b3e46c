"""Archives into folders, safely: what a stranger packed can write nowhere but below the folder it is unpacked into.

Zip and tar (plain, gzip, bzip2, xz; also cut into parts). Refused, before or while anything is written: names that are
absolute or lead upwards, links and devices, encrypted members, a member or a total beyond the bounds, an archive that
breaks off or whose checksums do not hold. What has been written by then is the caller's to delete.
"""

from __future__ import annotations

import errno
import io
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from bench.base.errors import BadInput

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

PIECE = 1 << 20  # bytes
FULL = (errno.ENOSPC, errno.EDQUOT)
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, NotImplementedError, ValueError)
_PART = re.compile(r"(?P<whole>.+\.tar\.gz)\.[a-z]{1,2}")
_SYSTEM = re.compile(r"(^|/)(__MACOSX|\.DS_Store)(/|$)")


class DiskFull(BadInput):
    """No room, which says nothing against the archive."""


@dataclass(frozen=True)
class Bounds:
    """What an archive may unpack to: bytes of one member, bytes and number of all."""

    member: int = 16 << 30
    total: int = 100 << 30
    members: int = 1_000_000


class _Budget:
    """Members and bytes that may still be written."""

    def __init__(self, archive: Path, bounds: Bounds):
        self.archive, self.bounds = archive, bounds
        self.total = self.members = 0

    def member(self, name: str, declared: int) -> None:
        """Raises ``BadInput`` for one member too many, or one that says it is too large."""
        self.members += 1
        if self.members > self.bounds.members:
            raise _refused(self.archive, f"holds more than {self.bounds.members} members")
        if declared > self.bounds.member or self.total + declared > self.bounds.total:
            raise _refused(self.archive, f"{name!r} unpacks to more than is allowed ({declared} bytes)")

    def spend(self, name: str, size: int, of_member: int) -> None:
        """Raises ``BadInput`` once more comes out than is allowed, whatever the archive declares."""
        self.total += size
        if of_member > self.bounds.member or self.total > self.bounds.total:
            raise _refused(self.archive, f"{name!r} unpacks to more than is allowed")


def unpack(archive: Path, target: Path, bounds: Bounds = Bounds()) -> None:
    """Unpacks a zip or tar file.

    Parameters
    ----------
    archive
        A zip file or a tar file, plain or compressed by gzip, bzip2 or xz.
    target
        The folder to unpack into; nothing is written anywhere else.
    bounds
        What may come out at most.

    Raises
    ------
    BadInput
        For an archive that is damaged or unsafe.
    DiskFull
        Where there is no room.
    """
    with plain_errors(archive, target):
        target.mkdir(parents=True, exist_ok=True)
        if zipfile.is_zipfile(archive):
            _unzip(archive, target, bounds)
        else:
            with archive.open("rb", buffering=0) as stream:
                _untar(archive, stream, target, bounds)


def unpack_inner(folder: Path, bounds: Bounds = Bounds()) -> None:
    """Unpacks the archives inside ``folder`` where they lie, and removes them.

    Also tar files cut into parts (``x.tar.gz.aa``, …); archives inside those are left alone.
    """
    whole = sorted(p for p in folder.rglob("*") if p.is_file() and p.name.lower().endswith((".zip", ".tar.gz", ".tgz")))
    parts_of: dict[Path, list[Path]] = {}
    for path in sorted(folder.rglob("*.tar.gz.*")):
        if matched := _PART.fullmatch(path.name):
            parts_of.setdefault(path.with_name(matched["whole"]), []).append(path)
    for archive in whole:
        unpack(archive, archive.parent, bounds)
        archive.unlink()
    for archive, parts in parts_of.items():
        with plain_errors(archive, archive.parent), Joined(parts) as stream:
            _untar(archive, stream, archive.parent, bounds)
        for part in parts:
            part.unlink()


class Joined(io.RawIOBase):
    """Files read one after the other, as one stream."""

    def __init__(self, parts: Sequence[Path]):
        self._rest = list(parts)
        self._stream: io.FileIO | None = None

    def readable(self) -> bool:
        """``True``, as ``io.RawIOBase`` asks."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Fills the buffer from the present file; 0 after the last one."""
        while True:
            if self._stream is None:
                if not self._rest:
                    return 0
                self._stream = self._rest.pop(0).open("rb", buffering=0)
            if n := self._stream.readinto(buffer):
                return n
            self._stream.close()
            self._stream = None

    def close(self) -> None:
        """Closes the file that is being read."""
        if self._stream is not None:
            self._stream.close()
        super().close()


def _unzip(archive: Path, target: Path, bounds: Bounds) -> None:
    budget = _Budget(archive, bounds)
    with zipfile.ZipFile(archive) as packed:
        members = [info for info in packed.infolist() if not _SYSTEM.search(info.filename)]
        _room(archive, target, sum(info.file_size for info in members))
        for info in members:
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(archive, f"{info.filename!r} is a link or a device")
            if info.flag_bits & 1:
                raise _refused(archive, f"{info.filename!r} is encrypted")
            budget.member(info.filename, info.file_size)
            path = _inside(archive, target, info.filename)
            if info.is_dir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            with packed.open(info) as stream:
                _write(stream, path, info.filename, budget)


def _untar(archive: Path, stream: io.RawIOBase, target: Path, bounds: Bounds) -> None:
    budget = _Budget(archive, bounds)
    with tarfile.open(fileobj=io.BufferedReader(stream, PIECE), mode="r|*") as packed:
        for info in packed:
            if _SYSTEM.search(info.name):
                continue
            path = place(archive, target, info)
            budget.member(info.name, info.size)
            if info.isdir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            content = packed.extractfile(info)
            if content is None:  # of links and devices alone, which were refused above
                raise _refused(archive, f"{info.name!r} is no file")
            _write(content, path, info.name, budget)


def place(archive: Path, target: Path, info: tarfile.TarInfo) -> Path:
    """Where a member of a tar file goes. Raises ``BadInput`` for links, devices and names out of ``target``."""
    if not (info.isfile() or info.isdir()):
        raise _refused(archive, f"{info.name!r} is a link or a device")
    return _inside(archive, target, info.name)


def _write(stream: IO[bytes], path: Path, name: str, budget: _Budget) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with path.open("wb") as file:
        while piece := stream.read(PIECE):
            written += len(piece)
            budget.spend(name, len(piece), written)
            file.write(piece)


def _inside(archive: Path, target: Path, name: str) -> Path:
    """Where a member goes. Raises ``BadInput`` for a name that leads out of ``target``, on any system."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name) or "\0" in name:
        raise _refused(archive, f"{name!r} would be written outside the folder")
    return target.joinpath(*(part for part in parts if part not in ("", ".")))


def _room(archive: Path, target: Path, needed: int) -> None:
    """Raises ``BadInput`` where the disk cannot hold what the archive declares."""
    free = shutil.disk_usage(target).free
    if needed > free:
        raise full(target, f"{archive.name} needs {needed} bytes unpacked, {free} are free")


def full(target: Path, problem: str = "the disk is full") -> DiskFull:
    """The error for a disk without room."""
    remedy = "make room, or name a folder on another disk, and ask again; nothing was installed"
    return DiskFull(target, problem, remedy)


@contextmanager
def plain_errors(archive: Path, target: Path, remedy: str = "fetch it again") -> Iterator[None]:
    """Turns what the libraries raise into ``BadInput``."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise full(target) from error
        raise BadInput(archive, f"cannot be unpacked ({error})", remedy) from error
    except _BROKEN as error:
        problem = f"is cut short, damaged or no archive ({str(error) or type(error).__name__})"
        raise BadInput(archive, problem, remedy) from error


def _refused(archive: Path, problem: str) -> BadInput:
    return BadInput(archive, f"is not safe to unpack: {problem}", "do not use it; look for the official copy")
