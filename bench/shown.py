"""How values show themselves: a short line on a terminal, a small table in a notebook, every text escaped."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

LONGEST, SHORT, IN_LINE = 200, 60, 5  # characters of a value in a table and in a line, facts in a line


class Shown:
    """A value that is shown by a title and a few facts, which ``shown`` gives."""

    def shown(self) -> tuple[str, Mapping[str, Any]]:
        """Its title, and {name of a fact: its value}, the most telling first; empty values are left out."""
        raise NotImplementedError

    def __repr__(self) -> str:
        title, facts = self.shown()
        told = [f"{name} {_text(value, SHORT)}" for name, value in facts.items() if _is_told(value)]
        return f"<{type(self).__name__} {title}: {', '.join(told[:IN_LINE])}>"

    def _repr_html_(self) -> str:
        title, facts = self.shown()
        rows = (
            f'<tr><th style="text-align:left">{html.escape(str(name))}</th>'
            f'<td style="text-align:left">{html.escape(_text(value))}</td></tr>'
            for name, value in facts.items()
            if _is_told(value)
        )
        caption = f'<caption style="text-align:left">{type(self).__name__} <b>{html.escape(title)}</b></caption>'
        return f"<table>{caption}{''.join(rows)}</table>"


def _is_told(value: Any) -> bool:
    return value is not None and value != "" and value != () and value != [] and value != {}


def _text(value: Any, longest: int = LONGEST) -> str:
    """A value on one line: lists by commas, tables by pairs."""
    if isinstance(value, Mapping):
        text = ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    elif isinstance(value, list | tuple):
        text = ", ".join(map(_text, value))
    else:
        text = str(value)
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
