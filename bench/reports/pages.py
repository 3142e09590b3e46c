"""Pages of a results folder: written from texts, and held against the texts or digests that they should have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bench.base.errors import BadInput
from bench.base.paths import file_digest, parse_json, write_text

SEALS = "pages.json"


def write_pages(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Writes {path relative to the folder: text} and returns the files in the same order."""
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def stale_pages(folder: Path, texts: Mapping[str, str], present: Iterable[Path], remedy: str) -> list[str]:
    """Lists the pages that are absent or differ from their text, and those that should not exist.

    Parameters
    ----------
    folder
        The results folder.
    texts
        {path relative to the folder: the text that the records give}.
    present
        Files of the report that exist. Those without a text are reported, unless they are sealed (``seal_pages``).
    remedy
        What writes the pages again.

    Returns
    -------
    list[str]
        One line for each problem.
    """
    differing = [name for name, text in texts.items() if not _has_text(folder / name, text)]
    surplus = sorted({path for path in present if path.relative_to(folder).as_posix() not in texts} - sealed(folder))
    return [f"{folder / name}: not what the records give; {remedy}" for name in differing] + [
        f"{path}: no record gives this page; delete it" for path in surplus
    ]


def _has_text(path: Path, text: str) -> bool:
    """Whether a file has exactly this content; bytes are compared, since a page need no longer be text."""
    return path.is_file() and path.read_bytes() == text.encode("utf-8")


def seal_pages(folder: Path, names: Sequence[str], command: str) -> Path:
    """Notes the digests of pages that cannot be rendered from records, and returns the file ``pages.json``.

    Pages of measured times, of simulations and of prose are sealed by whatever wrote them: ``verify`` then finds every
    later change. Seals of other pages in the folder stay as they are.

    Parameters
    ----------
    folder
        The folder of the pages.
    names
        Names of the files in it.
    command
        The command that made the pages.
    """
    path = folder / SEALS
    known = _read_seals(path) if path.exists() else {}
    known |= {name: {"sha256": file_digest(folder / name), "command": command} for name in names}
    write_text(path, json.dumps(dict(sorted(known.items())), indent=1, ensure_ascii=False) + "\n")
    return path


def broken_seals(folder: Path) -> list[str]:
    """Lists the sealed files below a folder that are absent or have changed since, one line each."""
    return [
        f"{path}: changed since `{seal['command']}`"
        for path, seal in _seals(folder)
        if not path.is_file() or file_digest(path) != seal["sha256"]
    ]


def sealed(folder: Path) -> set[Path]:
    """The files below a folder that are sealed."""
    return {path for path, _ in _seals(folder)}


def _seals(folder: Path) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """Every sealed file below a folder, with its seal. Raises ``BadInput`` for seals that cannot be read."""
    for path in sorted(folder.rglob(SEALS)):
        for name, seal in _read_seals(path).items():
            yield path.parent / name, seal


def _read_seals(path: Path) -> dict[str, dict[str, str]]:
    """{file name: its ``sha256`` and the ``command`` that made it}."""
    try:
        seals = parse_json(path.read_text(encoding="utf-8"))
        return {str(name): {field: str(seal[field]) for field in ("sha256", "command")} for name, seal in seals.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(path, f"not a readable list of pages ({error})", "restore it or delete it") from error
