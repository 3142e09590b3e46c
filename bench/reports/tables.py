"""Tables as text: aligned Markdown for the terminal and for files, from plain rows."""

from __future__ import annotations

from collections.abc import Sequence

from bench.base.tables.reader import is_one_line

DISCLAIMER = "For research only. Not a medical device: no score here says that a system is fit for diagnosis or care."


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> str:
    """An aligned Markdown table; ``right`` lists the columns set flush right. What would end a line is spelt out."""
    cells = [[_in_a_cell(str(cell)) for cell in row] for row in (header, *rows)]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(header))]
    pad = [str.rjust if i in right else str.ljust for i in range(len(header))]
    lines = ["| " + " | ".join(pad[i](row[i], widths[i]) for i in range(len(header))) + " |" for row in cells]
    rule = "|" + "|".join("-" * (w + 1) + ":" if i in right else "-" * (w + 2) for i, w in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _in_a_cell(text: str) -> str:
    if not is_one_line(text):
        text = "".join(sign if is_one_line(sign) else ascii(sign)[1:-1] for sign in text)
    return text.replace("|", "\\|")
