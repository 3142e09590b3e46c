"""What a submission must not tell: where things lie on its maker's machine, and who uses it.

Text that describes a run is cleaned and what was removed is told; a record cannot be changed without becoming another,
so one that holds such text is refused.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any

REMOVED = "…"
# an absolute path of at least two parts (POSIX; Windows, a share of a network), or one in a home folder
_PATH = re.compile(
    r"(?:(?<![\w/.~…])|(?<=\w\.))/(?:[\w.@+-]+/)+[^\s'\",;:=|()\[\]]*"  # /home/ann/x, csv./home/ann/x; not ./x/y
    r"|(?<![\w/])~[\w.-]*/[^\s'\",;:=|()\[\]]+"
    r"|\b[A-Za-z]:[\\/][^\s'\",;|]+"
    r"|\\\\[\w.-]+\\[^\s'\",;|]+"
    r"|\bfile://\S+"
)
_ENCODED = re.compile(r"%2F[\w.@+-]+%2F[^\s'\",;]*", re.IGNORECASE)  # the same in an id of a task that is a file
_HOME = re.compile(r"(/home|/Users|[A-Za-z]:[\\/]Users)[\\/][^\\/]+[\\/]?")  # whose last part is somebody's name
_COMMON = {"root", "user", "admin", "ubuntu", "runner", "localhost", "docker", "home"}  # names that tell of nobody
_SHORTEST = 3  # letters of a name that is looked for


def names_of_this_machine() -> tuple[str, ...]:
    """The user's name and the machine's, as far as they tell of anybody."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user in the system's table
        user = os.environ.get("USER", "")
    found = (user, platform.node(), platform.node().partition(".")[0])
    return tuple(dict.fromkeys(n for n in found if len(n) >= _SHORTEST and n.lower() not in _COMMON))


def paths_in(text: str) -> list[str]:
    """The absolute paths that stand in a text, percent-encoded ones too; addresses of the web are none."""
    return [match[0] for match in _PATH.finditer(urllib.parse.unquote(text))]


def cleaned(text: str, names: tuple[str, ...] = ()) -> str:
    """The text with absolute paths cut to their last part, and without the names."""
    text = _ENCODED.sub(REMOVED, _PATH.sub(lambda match: _last_part(match[0]), text))
    for name in names:
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", REMOVED, text)
    return text


def _last_part(path: str) -> str:
    if _HOME.fullmatch(path):
        return REMOVED
    last = re.split(r"[\\/]", path.rstrip("\\/"))[-1]
    return f"{REMOVED}/{last}" if last and not last.startswith("~") else REMOVED


def cleaned_all(value: Any, clean: Callable[[str], str], where: str = "") -> tuple[Any, list[str]]:
    """A JSON value with every text cleaned, and where something was removed."""
    if isinstance(value, str):
        shorter = clean(value)
        return shorter, [where] if shorter != value else []
    if isinstance(value, Mapping):
        pairs = {name: cleaned_all(each, clean, f"{where}.{name}".lstrip(".")) for name, each in value.items()}
        return {name: each for name, (each, _) in pairs.items()}, [at for _, found in pairs.values() for at in found]
    if isinstance(value, list):
        items = [cleaned_all(each, clean, where) for each in value]
        return [each for each, _ in items], list(dict.fromkeys(at for _, found in items for at in found))
    return value, []


def texts(value: Any) -> Iterator[str]:
    """Every text of a JSON value, names of fields among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield str(name)
            yield from texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts(each)
