"""The references of this project's parts, read from ``references.bib``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from bench.publish.papers.escape import latex

FILE = Path(__file__).with_name("references.bib")
_USES = re.compile(r"^ *respbench *= *\{([^{}]*)\},?\n", re.MULTILINE)


@dataclass(frozen=True)
class Reference:
    """One entry.

    Attributes
    ----------
    key
        Its BibTeX key.
    text
        The entry as BibTeX.
    uses
        What it is cited for, each as ``kind/name``.
    """

    key: str
    text: str
    uses: tuple[str, ...] = ()

    def is_for(self, use: str) -> bool:
        """Whether it is cited for ``kind/name``, or for the family of that name (``encoder/ast`` for ``ast.base``)."""
        return any(use == own or use.startswith(f"{own}.") for own in self.uses)


@cache
def references() -> Mapping[str, Reference]:
    """{BibTeX key: entry} of ``references.bib``, in its order."""
    found = {}
    for entry in re.findall(r"^@\w+\{.*?^\}$", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL):
        key = re.match(r"@\w+\{([^,\s]+),", entry)[1]  # type: ignore[index]
        uses = tuple(_USES.search(entry)[1].split())  # type: ignore[index]
        found[key] = Reference(key, _without_uses(entry), uses)
    return MappingProxyType(found)


def _without_uses(entry: str) -> str:
    return re.sub(r",\n\}$", "\n}", _USES.sub("", entry))


def unverified(key: str, text: str, url: str = "") -> Reference:
    """An entry for what has none of its own: what is known of it, as a title, and a note that nobody checked it."""
    fields = [f"  title = {{{latex(text)}}}"] + ([rf"  howpublished = {{\url{{{_url(url)}}}}}"] if url else [])
    fields.append("  note = {unverified}")
    return Reference(key, f"@misc{{{key},\n" + ",\n".join(fields) + "\n}")


def _url(url: str) -> str:
    r"""An address as ``\url`` takes it: without what would end or escape its argument."""
    return (
        re.sub(r"[^\w./:?=&~+,;@#%-]", lambda sign: f"%{ord(sign[0]):02X}", url).replace("%", r"\%").replace("#", r"\#")
    )
