"""Sentences with citations, and how Markdown and LaTeX show them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.publish.papers import escape

_OPEN, _CLOSE = "\ue000", "\ue001"  # private-use characters: no text of a record is taken for a citation
_CITED = re.compile(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}")


@dataclass(frozen=True)
class Paragraph:
    """A heading and its sentences."""

    title: str
    sentences: tuple[str, ...]


def cited(keys: Sequence[str]) -> str:
    """What is written into a sentence where references are cited; nothing for none."""
    return f"{_OPEN}{','.join(keys)}{_CLOSE}" if keys else ""


def free(text: str) -> str:
    """A text of a record as part of a sentence: what would look like a citation is no longer one."""
    return text.replace(_OPEN, "").replace(_CLOSE, "")


def markdown(paragraphs: Sequence[Paragraph]) -> str:
    """Markdown with citations as pandoc reads them: ``[@key; @other]``."""
    blocks = []
    for paragraph in paragraphs:
        body = _rendered(
            " ".join(paragraph.sentences), escape.markdown, lambda keys: f" [{'; '.join('@' + k for k in keys)}]"
        )
        blocks += [f"## {paragraph.title}", body]
    return "\n\n".join(blocks) + "\n"


def tex(paragraphs: Sequence[Paragraph]) -> str:
    r"""LaTeX with ``\paragraph`` and ``\cite``."""
    blocks = []
    for paragraph in paragraphs:
        body = _rendered(" ".join(paragraph.sentences), escape.breakable, lambda keys: rf"~\cite{{{','.join(keys)}}}")
        blocks.append(rf"\paragraph{{{escape.latex(paragraph.title)}.}}" + "\n" + body)
    return "\n\n".join(blocks) + "\n"


def _rendered(text: str, show: Callable[[str], str], cite: Callable[[Sequence[str]], str]) -> str:
    parts = _CITED.split(text)  # text, keys, text, keys, …, text
    return "".join(cite(part.split(",")) if i % 2 else show(part) for i, part in enumerate(parts))
