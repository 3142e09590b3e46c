"""A table as a data frame, and as Markdown, CSV and JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bench.publish.blocks import Score
from bench.publish.papers import escape
from bench.publish.papers.tables.best import BOLD
from bench.publish.papers.tables.columns import ScoreColumn
from bench.publish.papers.tables.content import PaperTable
from bench.reports.tables import markdown
from bench.scores.printed import BLANK, amount, number

if TYPE_CHECKING:
    import pandas as pd

_DIGITS = 4  # decimals of the numbers of a data frame, in percent or in the metric's own unit


def frame(table: PaperTable) -> pd.DataFrame:
    """The table as numbers, one line per row.

    Parameters
    ----------
    table
        What it shows.

    Returns
    -------
    pandas.DataFrame
        ``part``, the columns of facts, ``seeds``, and of every test its score, ``low``, ``high`` and ``best`` (percent,
        or the metric's own unit; NaN where missing), and ``remarks``, those of the columns included.
    """
    import pandas as pd

    rows = []
    for part in table.parts:
        for row in part.rows:
            line: dict[str, Any] = {"part": part.title} | {
                column.title: row.facts.get(column.name, "") for column in table.facts
            }
            line["seeds"] = row.seeds[1]
            for column in table.scores:
                line |= _numbers(row.scores.get(column.name), column)
            rows.append(line)
    return pd.DataFrame(rows)


def heading(column: ScoreColumn) -> str:
    """``sprsound.events2/inter SPRSound Score (%)``."""
    return f"{column.task}/{column.test} {column.title} ({column.unit})"


def _numbers(score: Score | None, column: ScoreColumn) -> dict[str, Any]:
    scale = 100 if column.unit == "%" else 1
    name = heading(column)
    bounds = {"": "value", " low": "low", " high": "high"}
    values = {f"{name}{suffix}": getattr(score, field) if score else None for suffix, field in bounds.items()}
    remarks = "; ".join((*column.notes, *(score.marks if score else ())))
    return {
        **{key: None if value is None else round(scale * value, _DIGITS) for key, value in values.items()},
        f"{name} best": bool(score and score.best),
        f"{name} remarks": remarks,
    }


def csv_text(table: PaperTable) -> str:
    """The data frame as CSV; no text of it is a formula to a spreadsheet."""
    data = frame(table)
    data.columns = [escape.cell(name) for name in data.columns]
    text = data.select_dtypes(exclude=["number", "bool"]).columns
    data = data.assign(**{name: data[name].map(_guarded) for name in text})
    return data.to_csv(index=False, lineterminator="\n")


def _guarded(value: object) -> object:
    return escape.cell(value) if isinstance(value, str) else value


def json_text(table: PaperTable) -> str:
    """The table as JSON: caption, columns with their notes, parts with rows; scores in their own unit, null missing."""
    body = {
        "caption": list(table.caption),
        "facts": [{"name": column.name, "title": column.title} for column in table.facts],
        "scores": [{"name": column.name} | vars(column) for column in table.scores],
        "parts": [
            {
                "title": part.title,
                "ranked": part.ranked,
                "rows": [
                    {
                        "facts": dict(row.facts),
                        "seeds": row.seeds,
                        "scores": {
                            c.name: vars(row.scores[c.name]) if c.name in row.scores else None for c in table.scores
                        },
                    }
                    for row in part.rows
                ],
            }
            for part in table.parts
        ],
        "left_out": list(table.left_out),
    }
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def markdown_text(table: PaperTable, decimals: int | None = None) -> str:
    """Caption, a table for every part, and the notes, as Markdown.

    Parameters
    ----------
    table
        What it shows.
    decimals
        As ``bench.scores.printed.number`` takes them.
    """
    numbers = {note: i for i, note in enumerate(table.notes(), 1)}
    best = any(score.best for _, _, score in table.cells())
    sentences = [*table.caption, *([BOLD] if best else [])]
    header = [column.title for column in table.facts]
    for column in table.scores:
        header.append(escape.markdown(heading(column)) + _raised(column.notes, numbers))
    right = range(len(table.facts), len(header))
    blocks = [escape.markdown(" ".join(sentences))]
    for part in table.parts:
        rows = [
            [escape.markdown(row.facts.get(column.name, "")) for column in table.facts]
            + [_cell(row.scores.get(column.name), column, decimals, numbers) for column in table.scores]
            for row in part.rows
        ]
        blocks += [f"**{escape.markdown(part.title)}**", markdown(header, rows, right)]
    sizes = (f"{heading(c)}: {c.groups[1]} {c.group}s, {c.clips[1]} clips" for c in table.scores)
    blocks.append("\n".join(f"- {escape.markdown(line)}" for line in sizes))
    if numbers:
        blocks.append("\n".join(f"{i}. {escape.markdown(note)}" for note, i in numbers.items()))
    return "\n\n".join(blocks) + "\n"


def _raised(notes: tuple[str, ...], numbers: dict[str, int]) -> str:
    return f" <sup>{','.join(str(numbers[note]) for note in notes)}</sup>" if notes else ""


def _cell(score: Score | None, column: ScoreColumn, decimals: int | None, numbers: dict[str, int]) -> str:
    if score is None:
        return BLANK
    text = amount(vars(score), column.unit, decimals=decimals)
    value = number(score.value, column.unit, decimals)
    return (text.replace(value, f"**{value}**", 1) if score.best else text) + _raised(score.marks, numbers)
