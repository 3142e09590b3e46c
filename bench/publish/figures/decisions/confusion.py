"""Confusion matrices: how many clips of each class were called what, and which share of the class that is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from bench.drawing.canvas import PaperFigure, blank, drawn, inches
from bench.drawing.labels import broken, text_width
from bench.drawing.looks import INK
from bench.publish.figures import captions
from bench.publish.figures.decisions.of_record import about, one_task
from bench.scores import metrics
from bench.scores.schema import Record

CELL, LARGEST = 0.34, 0.55  # inches of a cell, at least and at most
_NAME = 0.62  # inches for the name of a class, at most
_TITLE = 6.5  # points
_GAP = 0.1  # inches between matrices


@drawn
def confusion(records: Record | Sequence[Record], width: int = 1, test: str = "") -> PaperFigure:
    """A confusion matrix for each row, with counts and shares of the true class.

    Parameters
    ----------
    records
        One record, or several of one task; of several seeds the lowest is shown.
    width
        1 or 2 columns.
    test
        Of the task; by default its headline test.

    Raises
    ------
    BadInput
        For records of several tasks, of a task without one class a clip, and for a test that the task does not have.
    """
    shown, test = one_task("confusion", records, test)
    classes = shown[0].record.data["task"]["classes"]
    counts = [_counts(each.predictions, len(classes)) for each in shown]
    names = [broken(name, _NAME) for name in classes]
    ticks = [f"{name}\nn = {n:.0f}" for name, n in zip(names, counts[0].sum(axis=1))]
    side = max(map(text_width, ticks)) + 0.28
    room = inches(width) - side - 0.04
    columns = max(1, min(len(shown), int((room + _GAP) / (len(classes) * CELL + _GAP))))
    cell = min(LARGEST, ((room + _GAP) / columns - _GAP) / len(classes))
    matrix = cell * len(classes)
    turned = max(map(text_width, names)) > cell - 0.03
    foot = 0.2 + (max(map(text_width, names)) + 0.06 if turned else 0.1 * max(n.count("\n") + 1 for n in names) + 0.04)
    titles = [broken(each.name, matrix - 0.02, 1.12 * _TITLE) for each in shown]
    rows = [titles[i : i + columns] for i in range(0, len(shown), columns)]
    heads = [0.115 * max(title.count("\n") + 1 for title in row) + 0.08 for row in rows]
    figure = blank(width, sum(heads) + len(rows) * matrix + foot, layout="none")
    total = figure.get_figheight()
    for i, (title, own) in enumerate(zip(titles, counts)):
        row, column = divmod(i, columns)
        bottom = total - sum(heads[: row + 1]) - (row + 1) * matrix
        left = side + column * (matrix + _GAP)
        across, up = inches(width), total
        axis = figure.add_axes((left / across, bottom / up, matrix / across, matrix / up))
        axis.set_title(title, fontsize=_TITLE)
        _matrix(axis, own)
        lowest, first = i + columns >= len(shown), column == 0
        axis.set_yticks(range(len(ticks)), ticks if first else [""] * len(ticks), linespacing=0.95)
        axis.set_xticks(range(len(names)), names if lowest else [""] * len(names), rotation=90 if turned else 0)
        axis.set(xlabel="predicted" if lowest else "", ylabel="true" if first else "")
    figure.caption = captions.caption(
        "Confusion matrices: clips of each true class (rows) by the class that they were given (columns), as counts "
        "and as shares of the row, which colour the cells",
        *about(shown, test),
    )
    return figure


def _counts(predictions, size: int) -> np.ndarray:
    """(K, K) clips, rows true."""
    return metrics.confusion(predictions["y_true"].to_numpy(int), predictions["y_pred"].to_numpy(int), size)


def _matrix(axis: Axes, counts: np.ndarray) -> None:
    """Draws one matrix; a class without clips has blank cells."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    axis.imshow(np.nan_to_num(shares), cmap=colormaps["Blues"], vmin=0, vmax=1.15, aspect="equal")
    for i, j in np.ndindex(*counts.shape):
        if not totals[i, 0]:
            continue
        dark = shares[i, j] > 0.72
        said = f"{counts[i, j]:.0f}\n{100 * shares[i, j]:.0f} %" if counts[i, j] else "0"
        axis.text(j, i, said, ha="center", va="center", fontsize=6, color="white" if dark else INK, linespacing=1.05)
    axis.set_xticks(np.arange(len(counts) - 1) + 0.5, minor=True)
    axis.set_yticks(np.arange(len(counts) - 1) + 0.5, minor=True)
    axis.grid(which="minor", color="white", lw=1)
    axis.tick_params(which="both", length=0)
    axis.spines[:].set_visible(False)
