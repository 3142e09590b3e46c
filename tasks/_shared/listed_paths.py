"""Paths of recordings as a user's table lists them, and the files below its folder that they mean."""

from __future__ import annotations

import os
import posixpath
import re
import stat
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from bench.base.paths import is_file
from bench.base.tables import spellings


class ListedPaths:
    """The recordings below one folder, by the paths that a table there may give.

    Folders are read once, when they are asked for.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._names: dict[Path, dict[str, list[str]]] = {}  # of a folder, by spellings.key
        self._near: dict[str, str | None] = {}
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
        return next((tail for tail in tails if tail.strip("./") and is_file(self.folder / tail)), None)

    def file(self, path: str) -> str | None:
        """The file's own path where it is there, be it in another Unicode form."""
        if is_file(self.folder / path):
            return path
        near = self.near(path)
        return near if near is not None and _composed(near) == _composed(posixpath.normpath(path)) else None

    def instead(self, path: str) -> str:
        """What is there in place of a file: ", a folder", say; nothing where there is nothing."""
        place = self.folder / path
        try:
            kind = place.lstat().st_mode
            if stat.S_ISLNK(kind):
                kind = place.stat().st_mode
        except FileNotFoundError:
            return ", a link to nothing" if place.is_symlink() else ""
        except OSError as error:  # a loop of links, a name too long, a folder that may not be entered
            return f": {error.strerror}"
        return ", a folder" if stat.S_ISDIR(kind) else "" if stat.S_ISREG(kind) else ", a device or pipe"

    def one_file(self, paths: Iterable[str]) -> dict[str, str]:
        """{path: the first of its spellings that is the same file}, where letters' case, say, makes no other file."""
        files = {}
        for group in spellings.alike(paths):
            there = [path for path in group if is_file(self.folder / path)]
            for path in there[1:]:
                if (self.folder / path).samefile(self.folder / there[0]):
                    files[path] = there[0]
        return files

    def near(self, path: str) -> str | None:
        """The one file whose path is another spelling of this one; None for none and for several."""
        if path not in self._near:
            self._near[path] = self._found_near(path)
        return self._near[path]

    def _found_near(self, path: str) -> str | None:
        here = self.folder
        for part in posixpath.normpath(path).split("/"):
            if not _is_there(here / part):
                alike = self._listed(here).get(spellings.key(part), [])
                alike = [name for name in alike if _composed(name) == _composed(part)] or alike
                if len(alike) != 1:
                    return None
                part = alike[0]
            here = here / part
        return here.relative_to(self.folder).as_posix() if is_file(here) else None

    def _listed(self, folder: Path) -> dict[str, list[str]]:
        """The names in a folder by what all their spellings share; none where it cannot be read."""
        if folder not in self._names:
            names: dict[str, list[str]] = {}
            with suppress(OSError):
                for name in sorted(path.name for path in folder.iterdir()):
                    names.setdefault(spellings.key(name), []).append(name)
            self._names[folder] = names
        return self._names[folder]

    def _is_folder(self, place: Path) -> bool:
        """Whether a folder is this one, by whatever links it is reached."""
        if place not in self._real:
            self._real[place] = Path(os.path.realpath(place))  # which no loop of links stops
        return self.folder in (place, self._real[place])


def _is_there(path: Path) -> bool:
    """Whether there is such a file or folder, as ``is_file``."""
    try:
        return path.exists()
    except OSError:
        return False


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
