"""What a file that should hold tensors is instead, in words that help: a pair of problem and remedy."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

UNREADABLE = (
    *(SafetensorError, pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError),
    *(AttributeError, AssertionError, LookupError, TypeError, OverflowError, MemoryError, struct.error, OSError),
)  # what readers raise on arbitrary bytes
HEAD = 1024  # bytes that tell kinds of files apart
SCANNED = 1 << 20  # bytes searched for what a pickle asks for
PLAIN = ("torch", "collections", "numpy", "argparse", "_codecs")  # modules of what weights are made of
REFUSED = re.compile(r"GLOBAL (?P<name>[\w.]+)|(?:unrecognized function|create new object .* got) (?P<object>.+)")
NAME = re.compile(r"\w+(\.\w+)+")
READER = "WeightsUnpickler error: "  # torch's own words follow; before them stands advice to switch the check off

Diagnosis = tuple[str, str]


def impostor(path: Path) -> Diagnosis | None:
    """What a file obviously is that is no weight file; None for anything that may be one."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return "is empty", "fetch it again"
    if start.startswith(b"version https://git-lfs"):
        return (
            "is a Git LFS pointer, not the weights themselves",
            "run `git lfs pull` there, or download the file itself",
        )
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        problem = "looks like a web page (an error, login or consent page saved under the name of the weights)"
        return problem, "download the file itself, in a browser if need be"
    if head.startswith(b"PK\x03\x04") and not _archive(path):
        return "is cut short: its end, which lists what is in it, is missing", "fetch it again"
    if head.startswith(b"PK\x03\x04") and _member(path, "/constants.pkl"):
        return "is a TorchScript archive, a program rather than named tensors", "take the release's state dict"
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
        return "is a compressed archive", "unpack it and take the weight file in it"
    if head.startswith(b"\x89HDF"):
        return "is an HDF5 file (Keras), not a torch or safetensors file", "take the torch release of these weights"
    if not asked_for(head) and all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head):
        return f"is a text file ({head[:40].decode()!r})", "check that it is the weights"
    return None


def diagnosis(path: Path, error: Exception) -> Diagnosis:
    """Why reading failed."""
    text = str(error).strip()
    refused = REFUSED.search(text)
    names = [refused["name"] or refused["object"].strip()] if refused else _foreign(path)
    if names:
        problem = (
            f"asks to build or call {', '.join(names)} when it is opened; weights need no such thing, and what a file "
            "may call can run any code, so it was refused and nothing was run"
        )
        remedy = (
            "if you trust its origin, save its tensors as .safetensors on a machine that you can afford to lose, "
            "and use that file"
        )
        return problem, remedy
    if _archive(path) and _member(path, "/data.pkl") == "":
        return "is an archive that torch did not write", "unpack it and take the weight file in it"
    reason = (text.partition(READER)[2] or text).strip().splitlines()[:1] or [type(error).__name__]
    return f"cannot be read as tensors ({reason[0]}): damaged, cut short, or not weights at all", "fetch it again"


def _foreign(path: Path) -> list[str]:
    """What the file's pickle asks for beside what weights are made of."""
    try:
        if _archive(path):
            with zipfile.ZipFile(path) as archive, archive.open(_member(path, "/data.pkl") or "") as stream:
                head = stream.read(SCANNED)
        else:
            with path.open("rb") as stream:
                head = stream.read(SCANNED)
    except UNREADABLE:
        return []
    return [name for name in asked_for(head) if name.partition(".")[0] not in PLAIN]


def _archive(path: Path) -> bool:
    """Whether the file ends as a zip archive does, whole or damaged."""
    try:
        return zipfile.is_zipfile(path)
    except UNREADABLE:
        return True


def _member(path: Path, ending: str) -> str | None:
    """The archive's first member whose name ends so; empty where there is none, None where the archive is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return next((name for name in archive.namelist() if name.endswith(ending)), "")
    except UNREADABLE:
        return None


def asked_for(head: bytes) -> list[str]:
    """The classes and functions named in the pickles that ``head`` begins with; read, not run."""
    names: list[str] = []
    strings: list[str] = []
    memo: dict[Any, str] = {}
    stream = io.BytesIO(head)
    try:
        while stream.tell() < len(head):
            for operation, argument, _ in pickletools.genops(stream):
                if operation.name in ("GLOBAL", "INST"):
                    names.append(str(argument).replace(" ", "."))
                elif operation.name == "STACK_GLOBAL":
                    names.append(".".join(strings[-2:]))
                elif operation.name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
                    memo[len(memo) if argument is None else argument] = strings[-1] if strings else ""
                elif operation.name in ("GET", "BINGET", "LONG_BINGET"):
                    strings.append(memo.get(argument, ""))
                elif isinstance(argument, str):
                    strings.append(argument)
    except (ValueError, IndexError, OverflowError):
        pass  # no pickle from here on, or one that goes beyond the head
    return [name for name in dict.fromkeys(names) if NAME.fullmatch(name)]
