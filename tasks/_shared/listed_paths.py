"""Paths of recordings as a user's table lists them, and the files below its folder that they mean."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from bench.base.tables import spellings


class ListedPaths:
    """The recordings below one folder, by the paths that a table there may give.

    Folders are read once, when they are asked for.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._names: dict[Path, list[str]] = {}
        self._real: dict[Path, Path] = {}

    def below(self, text: str) -> str | None:
        """The path relative to the folder, with forward slashes; None where it leads out of it.

        One that neither starts at the root nor goes up stays as it is written: it is part of the clip's name.
        """
        path = text.replace("\\", "/").removeprefix("./")
        if re.match(r"[A-Za-z]:", path):
            return None
        if path.startswith("/"):
            above = next((place for place in Path(path).parents if self._is_folder(place)), None)
            path = Path(path).relative_to(above).as_posix() if above else ".."
        if ".." not in path.split("/"):
            return path
        whole = posixpath.normpath(f"{self.folder.as_posix()}/{path}")
        return os.path.relpath(whole, self.folder) if Path(whole).is_relative_to(self.folder) else None

    def tail(self, text: str) -> str | None:
        """The longest end of a path from elsewhere that is a file below the folder."""
        parts = text.replace("\\", "/").split("/")[1:]
        tails = ("/".join(parts[k:]) for k in range(len(parts)))
        return next((tail for tail in tails if tail.strip("./") and (self.folder / tail).is_file()), None)

    def file(self, path: str) -> str | None:
        """The file's own path where it is there, be it in another Unicode form."""
        if (self.folder / path).is_file():
            return path
        near = self.near(path)
        return near if near is not None and _composed(near) == _composed(posixpath.normpath(path)) else None

    def one_file(self, paths: Iterable[str]) -> dict[str, str]:
        """{path: the first of its spellings that is the same file}, where letters' case, say, makes no other file."""
        files = {}
        for group in spellings.alike(paths):
            there = [path for path in group if (self.folder / path).is_file()]
            for path in there[1:]:
                if (self.folder / path).samefile(self.folder / there[0]):
                    files[path] = there[0]
        return files

    def near(self, path: str) -> str | None:
        """The one file whose path is another spelling of this one; None for none and for several."""
        here = self.folder
        for part in posixpath.normpath(path).split("/"):
            if not (here / part).exists():
                alike = [name for name in self._listed(here) if spellings.key(name) == spellings.key(part)]
                alike = [name for name in alike if _composed(name) == _composed(part)] or alike
                if len(alike) != 1:
                    return None
                part = alike[0]
            here = here / part
        return here.relative_to(self.folder).as_posix() if here.is_file() else None

    def _listed(self, folder: Path) -> list[str]:
        if folder not in self._names:
            self._names[folder] = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return self._names[folder]

    def _is_folder(self, place: Path) -> bool:
        """Whether a folder is this one, by whatever links it is reached."""
        if place not in self._real:
            self._real[place] = place.resolve()
        return self.folder in (place, self._real[place])


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
