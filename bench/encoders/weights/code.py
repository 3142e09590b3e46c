"""Code that comes with a model, and the word that it may run: the revision of exactly that code, named by the user.

Such code can do whatever the user can do, so none runs unasked. A revision is 40 hexadecimal digits: of a model in the
Hub's cache the commit of its snapshot, of any other folder the digest of its files, since code can load what lies
beside it. A branch or a tag is none, because what it names can change.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.base import registry
from bench.base.errors import BadInput, CheckpointError, first_few
from bench.base.paths import file_digest
from bench.encoders.weights.files.unreadable import safetensors_header
from bench.encoders.weights.folders import tensor_files
from bench.types import EncoderCard

REVISION = re.compile(r"[0-9a-f]{40}")
RISK = "such code can do whatever you can: read, change, delete and send away files"
NOTES_OF_TOOLS = (".git", ".cache")  # in a folder: what git and the Hub's client keep there, changing by themselves
OPTION = "--trust-remote-code"


class CodeNotTrusted(BadInput):
    """A model that cannot be had without code of its own, which the user has not said may run."""


def revisions(named: str | Iterable[str] | None) -> tuple[str, ...]:
    """The revisions that a user trusts, each once. Raises ``BadInput`` for what is not a full commit hash."""
    texts = [named] if isinstance(named, str) else list(named or ())
    for text in texts:
        if not REVISION.fullmatch(text):
            problem = "is no full commit hash (40 digits of 0-9a-f), and what a branch, a tag or a short hash names can"
            remedy = "name the commit whose code you have read, with all its digits"
            raise BadInput(f"revision {text!r}", f"{problem} change", remedy)
    return tuple(dict.fromkeys(texts))


def named(id: str, code: str) -> str:
    """An encoder's id as reports have it: with the revision of the model's own code, where that ran."""
    return f"{id} [own code {code[:8]}]" if code else id


def code_files(folder: Path) -> list[Path]:
    """What can be code in a folder and below, or be loaded by it, in order of names: all files but a few.

    Left out are the safetensors files of the model, which hold numbers alone and have a digest of their own in every
    key, and ``NOTES_OF_TOOLS``.
    """
    found, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else sorted(folders)  # a link to where this has been ends here
        if Path(place) == folder:
            folders[:] = [name for name in folders if name not in NOTES_OF_TOOLS]
        if real not in seen:
            found += [path for path in (Path(place, name) for name in names) if path.is_file()]
        seen.add(real)
    numbers = _safetensors(folder)
    return sorted(path for path in found if path not in numbers)


def folder_revision(folder: Path) -> str:
    """The revision of the code in a folder: 40 digits of the SHA-256 of the names and digests of its files."""
    listed = [(path.relative_to(folder).as_posix(), file_digest(path)) for path in code_files(folder)]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:40]


def is_as_fetched(snapshot: Path) -> bool:
    """Whether every file of a snapshot in the Hub's cache has the content that the Hub's client stored for its commit.

    Each is a link to a file in ``blobs`` that is named by its content: the SHA-1 that git has for it, or the SHA-256 of
    a large one (https://huggingface.co/docs/huggingface_hub/guides/manage-cache).
    """
    blobs = (snapshot.parent.parent / "blobs").resolve()
    stored = [path.resolve() for path in code_files(snapshot)]
    return all(blob.parent == blobs and blob.name == _name_of(blob) for blob in stored)


def _name_of(blob: Path) -> str:
    """What a stored file should be called by its content: the SHA-256, or the SHA-1 where its name is as short."""
    if not REVISION.fullmatch(blob.name):
        return file_digest(blob)
    head = b"blob %d\0" % blob.stat().st_size
    with blob.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.sha1(head, usedforsecurity=False)).hexdigest()


def _safetensors(folder: Path) -> set[Path]:
    """The files of a folder's tensors that are what their name says, safetensors."""
    try:
        files = tensor_files(folder)
    except CheckpointError:  # which is said where the tensors are wanted
        return set()
    return {path for path in files if path.suffix == ".safetensors" and safetensors_header(path)}


def refusal(id: str, why: str, folder: Path, revision: str, trusted: Sequence[str] = ()) -> CodeNotTrusted:
    """The error for a model that needs its own code, of ``revision``, where only that of ``trusted`` may run."""
    names = [path.relative_to(folder).as_posix() for path in code_files(folder) if path.suffix == ".py"]
    problem = f"{why}, so it needs the code that comes with it ({first_few(names) or 'of which no file is there'}), "
    problem += "which is not run unasked"
    if trusted:
        problem += f", and revision {', '.join(trusted)}, which you trust, is not its revision"
    remedy = f"{RISK}. Read it in {folder}, and if you trust it: {OPTION} {revision}, in Python trust_remote_code="
    return CodeNotTrusted(id, problem, remedy + repr(revision))


def require_code(card: EncoderCard, trusted: Sequence[str]) -> None:
    """Raises ``CodeNotTrusted`` for a model that needs code of its own, where that is not of a ``trusted`` revision."""
    family = registry.family(registry.ENCODERS, card.id)
    if hasattr(family, "require_code"):
        family.require_code(card, trusted)


def require_used(trusted: Sequence[str], cards: Iterable[EncoderCard]) -> None:
    """Raises ``BadInput`` for a trusted revision that is the code of no encoder asked for.

    Where an encoder needs another one, as after a change of its files, the error is that of ``require_code``.
    """
    cards = list(cards)
    for revision in trusted:
        if all(card.code != revision for card in cards):
            for card in cards:
                require_code(card, trusted)
            asked = ", ".join(dict.fromkeys(card.id for card in cards)) or "none"
            problem = f"no encoder that is asked for ({asked}) has code of this revision on this machine"
            remedy = f"leave {OPTION} out to see which revision an encoder needs, or get this one from the Hub: "
            raise BadInput(f"{OPTION} {revision}", problem, f"{remedy}hf download ID --revision {revision}")
