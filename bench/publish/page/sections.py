"""Sections of text, tables and charts as JSON that the page's script shows."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from bench.base.errors import BadInput
from bench.publish.blocks import Chart, Score, Section, Sound, Table, Text
from bench.publish.page.compact import parts

_REMOTE = ("url", "href")  # keys of a Vega-Lite specification that make a browser fetch something


def section_json(section: Section) -> dict[str, Any]:
    """A section as JSON-ready values.

    Raises ``BadInput`` for a chart that would fetch something, and for a block of another kind.
    """
    return {"id": section.id, "title": section.title, "blocks": [_block(block, section) for block in section.blocks]}


def _block(block: object, section: Section) -> dict[str, Any]:
    if isinstance(block, Section):
        return {"kind": "section", **section_json(block)}
    if isinstance(block, Text):
        return {"kind": "text", "paragraphs": list(block.paragraphs), "tone": block.tone}
    if isinstance(block, Table):
        columns = [asdict(column) for column in block.columns]
        names = [column.name for column in block.columns]
        rows = [[_cell(row.get(name)) for name in names] for row in block.rows]
        return {"kind": "table", "columns": columns, "rows": rows, "caption": block.caption}
    if isinstance(block, Chart):
        if remote := next(_remote(block.spec), ""):
            raise BadInput(f"chart {block.title!r} of {section.id}", f"fetches {remote}", "give its data inline")
        return {"kind": "chart", "spec": _plain(block.spec), "title": block.title, "description": block.description}
    if isinstance(block, Sound):
        files = {name: base64.b64encode(data).decode() for name, data in (("wav", block.wav), ("image", block.image))}
        return {"kind": "sound", "title": block.title, **files, "facts": [list(fact) for fact in block.facts]}
    raise BadInput(f"section {section.id}", f"holds a {type(block).__name__}", "take a kind of bench.publish.blocks")


def _cell(value: Any) -> Any:
    """A cell: text, a number or None as they are; a score as an object."""
    if isinstance(value, Score):
        numbers = {"s": [parts(value.value), parts(value.low), parts(value.high)]}
        more = {"record": value.record, "best": value.best, "muted": value.muted, "marks": list(value.marks)}
        return numbers | {name: what for name, what in more.items() if what}
    return _plain(value)


def _plain(value: Any) -> Any:
    """JSON-ready values; NaN becomes None."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(each) for each in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return None if np.isnan(value) else float(value)
    return value if value is None or isinstance(value, (int, str)) else str(value)


def _remote(spec: Any) -> Iterator[str]:
    """Addresses in a specification that a browser would fetch; those in data rows are plain values."""
    if isinstance(spec, Mapping):
        for name, value in spec.items():
            if name in _REMOTE and isinstance(value, str):
                yield value
            elif name not in ("values", "datasets"):
                yield from _remote(value)
    elif isinstance(spec, (list, tuple)):
        for value in spec:
            yield from _remote(value)


def records_of(sections: Iterable[Section]) -> set[str]:
    """Keys of the records that the sections' scores come from."""
    keys: set[str] = set()
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Section):
                keys |= records_of([block])
            elif isinstance(block, Table):
                keys |= {v.record for row in block.rows for v in row.values() if isinstance(v, Score) and v.record}
    return keys
