"""What a submission is: a zip file of records, predictions, how they were made, notes, and a manifest of digests."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.base.errors import BadInput
from bench.base.paths import parse_json
from bench.base.settings import read as read_settings

FORMAT, VERSION = "respbench submission", 1
MANIFEST, NOTES = "manifest.json", "board.json"
RECORD = re.compile(r"records/(?P<task>[^/\\]{1,200})/(?P<key>[0-9a-f]{20})\.(?P<kind>json|csv\.gz|run\.json)")
MOST_TEXT = 200  # characters of a name or a contact
REMEDY = "ask whoever made it for a file of `respbench submit`"


@dataclass(frozen=True)
class Manifest:
    """What a submission says of itself.

    Attributes
    ----------
    by, contact
        Who submits, and how they can be reached; empty where not told.
    respbench
        Version of the package that packed it.
    files
        {path in the archive: its SHA-256}.
    """

    by: str
    contact: str
    respbench: str
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("by", "contact", "respbench"):
            text = getattr(self, name)
            if not isinstance(text, str) or len(text) > MOST_TEXT or not (text.isprintable() or not text):
                raise BadInput(f"--{name}", "is no line of text", f"give at most {MOST_TEXT} characters on one line")

    def to_json(self) -> bytes:
        """The manifest as it lies in the archive."""
        body = {"format": FORMAT, "version": VERSION, **vars(self), "files": dict(sorted(self.files.items()))}
        return (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def parse(cls, archive: Path, content: bytes) -> Manifest:
        """The manifest of an archive. Raises ``BadInput`` for what is none, or of another version."""
        try:
            body: Any = parse_json(content)
        except ValueError as error:
            raise BadInput(archive, f"its {MANIFEST} is not readable ({error})", REMEDY) from error
        if not isinstance(body, dict) or body.pop("format", None) != FORMAT:
            raise BadInput(archive, f"its {MANIFEST} is not that of a submission", REMEDY)
        if (version := body.pop("version", None)) != VERSION:
            raise BadInput(archive, f"is of version {version!r}, this code reads {VERSION}", REMEDY)
        manifest = read_settings(cls, body, f"{archive}: {MANIFEST}")
        for name, digest in manifest.files.items():
            if not (name == NOTES or RECORD.fullmatch(name)) or not re.fullmatch(r"[0-9a-f]{64}", str(digest)):
                raise BadInput(archive, f"its {MANIFEST} names {name!r}, which no submission holds", REMEDY)
        return manifest


def digest(content: bytes) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()
