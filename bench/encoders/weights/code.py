"""Code that comes with a model, and the word that it may run: the revision of exactly that code, named by the user.

Such code can do whatever the user can do, so none runs unasked. A revision is 40 hexadecimal digits: of a model in the
Hub's cache the commit of its snapshot, of any other folder the digest of its Python files. A branch or a tag is none,
because what it names can change.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.base import registry
from bench.base.errors import BadInput, first_few
from bench.base.paths import file_digest
from bench.types import EncoderCard

REVISION = re.compile(r"[0-9a-f]{40}")
RISK = "such code can do whatever you can: read, change, delete and send away files"
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


def python_files(folder: Path) -> list[Path]:
    """The Python files in a folder and below, in order of their names."""
    return sorted(path for path in folder.rglob("*.py") if path.is_file())


def folder_revision(folder: Path) -> str:
    """The revision of the code in a folder: 40 digits of the SHA-256 of its Python files' names and digests."""
    listed = "".join(f"{path.relative_to(folder).as_posix()} {file_digest(path)}\n" for path in python_files(folder))
    return hashlib.sha256(listed.encode()).hexdigest()[:40]


def refusal(id: str, why: str, folder: Path, revision: str, trusted: Sequence[str] = ()) -> CodeNotTrusted:
    """The error for a model that needs its own code, of ``revision``, where only that of ``trusted`` may run."""
    names = [path.relative_to(folder).as_posix() for path in python_files(folder)]
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
    """Raises ``BadInput`` for a trusted revision that is the code of no encoder asked for."""
    cards = list(cards)
    for revision in trusted:
        if all(card.code != revision for card in cards):
            asked = ", ".join(dict.fromkeys(card.id for card in cards)) or "none"
            problem = f"no encoder that is asked for ({asked}) has code of this revision on this machine"
            remedy = f"leave {OPTION} out to see which revision an encoder needs, or get this one from the Hub: "
            raise BadInput(f"{OPTION} {revision}", problem, f"{remedy}hf download ID --revision {revision}")
