"""What no figure may have: text that is too small, cut off, or written over other text."""

from __future__ import annotations

import itertools
from unittest.mock import patch

from matplotlib.text import Text

SMALLEST = 6.0  # points
_SLACK = 0.75  # points that boxes may overlap: a glyph is smaller than its line


def texts(figure) -> list[Text]:
    """Every text that is drawn."""
    drawn, draw = [], Text.draw

    def noted(text, renderer, *arguments, **named):
        if text.get_visible() and text.get_text().strip():
            drawn.append(text)
        return draw(text, renderer, *arguments, **named)

    with patch.object(Text, "draw", noted):
        figure.canvas.draw()
    return list(dict.fromkeys(drawn))


def problems(figure) -> list[str]:
    """What is wrong with the text of a figure, one line each."""
    shown, renderer = texts(figure), figure.canvas.get_renderer()
    scale = figure.dpi / 72
    found, boxes = [], []
    canvas = figure.bbox
    for text in shown:
        said = text.get_text()
        if text.get_fontsize() < SMALLEST - 1e-6:
            found.append(f"{text.get_fontsize():.1f} pt: {said!r}")
        box = text.get_window_extent(renderer)
        if box.x0 < -0.5 or box.y0 < -0.5 or box.x1 > canvas.x1 + 0.5 or box.y1 > canvas.y1 + 0.5:
            found.append(f"cut off at {box.extents.round(1)} of {canvas.extents.round(1)}: {said!r}")
        boxes.append((said, box))
    slack = _SLACK * scale
    for (said, a), (other, b) in itertools.combinations(boxes, 2):
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        high = min(a.y1, b.y1) - max(a.y0, b.y0)
        if wide > slack and high > slack:
            found.append(f"overlap of {wide / scale:.1f} × {high / scale:.1f} pt: {said!r}, {other!r}")
    return found
