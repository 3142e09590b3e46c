"""What the pickles in a torch file ask for: their names are read, and nothing of them is run."""

from __future__ import annotations

import io
import pickletools
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, NamedTuple

BROKEN = (
    *(ValueError, LookupError, EOFError, OverflowError, MemoryError, OSError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)  # what reading arbitrary bytes as a pickle or an archive raises
NAME = re.compile(r"\w+(\.\w+)+")
LONGEST = 200  # characters of a name; longer strings are data
HEADED = 5  # pickles at the beginning of a file of torch before 1.6; the values of its tensors follow
MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # in the first of them
PYTHON_2 = {"__builtin__.long": "builtins.int", "__builtin__.unicode": "builtins.str"}  # by protocols up to 2


class Pickled(NamedTuple):
    """A file's pickle: its protocol (0 where there is none), what it asks for, whether ``torch.save`` wrote it."""

    protocol: int
    asked: list[str]
    by_torch: bool


def pickled(path: Path) -> Pickled:
    """What a file is as a pickle, a torch archive's own one included."""
    try:
        archive = is_archive(path)
        if archive:
            with zipfile.ZipFile(path) as file:
                stream: IO[bytes] = io.BytesIO(file.read(member(path, "/data.pkl") or ""))
        else:
            stream = path.open("rb")
        with stream:
            head = stream.read(64)
            stream.seek(0)
            protocol = head[1] if head[:1] == b"\x80" and len(head) > 1 else 0
            return Pickled(protocol, asked_for(stream), archive or MAGIC in head)
    except BROKEN:
        return Pickled(0, [], False)


def asked_for(stream: IO[bytes]) -> list[str]:
    """The classes and functions named in the pickles with which ``stream`` begins."""
    names: list[str] = []
    strings = ["", ""]
    memo: dict[Any, str] = {}
    try:
        for _ in range(HEADED):
            for operation, argument, _ in pickletools.genops(stream):
                if operation.name in ("GLOBAL", "INST"):
                    names.append(str(argument).replace(" ", "."))
                elif operation.name == "STACK_GLOBAL":
                    names.append(".".join(strings))
                elif operation.name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
                    memo[len(memo) if argument is None else argument] = strings[-1]
                elif operation.name in ("GET", "BINGET", "LONG_BINGET"):
                    strings = [strings[-1], memo.get(argument, "")]
                elif isinstance(argument, str):
                    strings = [strings[-1], argument if len(argument) <= LONGEST else ""]
    except BROKEN:
        pass  # no pickle from here on, or one that is cut short
    names = [PYTHON_2.get(name, re.sub(r"^__builtin__\.", "builtins.", name)) for name in names]
    return [name for name in dict.fromkeys(names) if NAME.fullmatch(name)]


def is_archive(path: Path) -> bool:
    """Whether the file ends as a zip archive does, whole or damaged."""
    try:
        return zipfile.is_zipfile(path)
    except BROKEN:
        return True


def member(path: Path, ending: str) -> str | None:
    """The archive's first member whose name ends so; empty where there is none, None where the archive is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return next((name for name in archive.namelist() if name.endswith(ending)), "")
    except BROKEN:
        return None
