"""Reliability curves: what share of clips is right (or abnormal) at each level of confidence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from bench.base.errors import BadInput
from bench.drawing.canvas import PaperFigure, blank, drawn, inches
from bench.drawing.labels import broken
from bench.drawing.looks import BLUE, GREY, INK
from bench.publish.figures import captions
from bench.publish.figures.decisions.of_record import Shown, about, one_task
from bench.reports.out_of_domain.measures.calibration import BINS, Calibration, calibration
from bench.reports.out_of_domain.measures.resampled import OWN, Draws
from bench.scores.printed import amount
from bench.scores.schema import Record

PER_ROW = {1: 2, 2: 4}  # panels beside each other
_TITLE = 6.5  # points


@drawn
def reliability(records: Record | Sequence[Record], width: int = 1, test: str = "") -> PaperFigure:
    """A reliability curve for each row, in bins of equally many clips, with its expected calibration error.

    Parameters
    ----------
    records
        One record, or several of one task; of several seeds the lowest is shown, and rows without probabilities, such
        as controls that are always sure, are left out.
    width
        1 or 2 columns.
    test
        Of the task; by default its headline test.

    Raises
    ------
    BadInput
        For records of several tasks, of a task without one class a clip, for a test that the task does not have, and
        where no record has probabilities.
    """
    shown, test = one_task("reliability", records, test)
    task = shown[0].record.data["task"]
    panels: list[tuple[Shown, Calibration]] = []
    refused = []
    for each in shown:
        found = calibration(Draws(), each.record, test, None, OWN)
        if found is None or len(found.curve) < 2:
            refused.append(each.name)
        else:
            panels.append((each, found))
    if not panels:
        problem = f"of {', '.join(refused)} all clips have the same probability, or none"
        raise BadInput("figure reliability", problem, "take records of an encoder with class scores")
    columns = min(PER_ROW[width], len(panels))
    lines = math.ceil(len(panels) / columns)
    side = min((inches(width) - 0.15) / columns, 2.3)
    titles = [broken(each.name, side - 0.3, 1.12 * _TITLE) for each, _ in panels]
    rise = 0.11 * max(title.count("\n") + 1 for title in titles) + 0.06
    figure = blank(width, lines * (side - 0.2 + 0.15 + rise) + 0.15)
    axes = figure.subplots(lines, columns, squeeze=False)
    two = len(task["classes"]) == 2
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for i, (axis, (_, found), title) in enumerate(zip(axes.flat, panels, titles)):
        _panel(axis, found)
        axis.set_title(title, fontsize=_TITLE)
        x, y = (f"P({task['classes'][1]}) (%)", f"{task['classes'][1]} (%)") if two else ("confidence (%)", "right (%)")
        axis.set(xlabel=x if i + columns >= len(panels) else "", ylabel=y if i % columns == 0 else "")
    figure.caption = _caption([each for each, _ in panels], test, panels[0][1], two, refused)
    return figure


def _panel(axis: Axes, found: Calibration) -> None:
    """Draws one curve; the band spans the bins' intervals."""
    curve, error = 100 * found.curve[["probability", "outcome", "low", "high"]], found.error
    axis.plot([0, 100], [0, 100], color=GREY, lw=0.7, ls=(0, (4, 2)), zorder=0)
    axis.fill_between(curve["probability"], curve["low"], curve["high"], color=BLUE, alpha=0.22, lw=0)
    axis.plot(curve["probability"], curve["outcome"], color=BLUE, marker="o", ms=3, lw=1)
    axis.set(xlim=(-3, 103), ylim=(-3, 103), aspect="equal", xticks=(0, 50, 100), yticks=(0, 50, 100))
    below = ((curve["outcome"] - curve["probability"]) * found.curve["n"]).sum() < 0  # where the curve leaves room
    place = (0.05, 0.97, "left", "top") if below else (0.97, 0.05, "right", "bottom")
    said = "ECE " + amount({name: getattr(error, name) for name in ("value", "low", "high")})
    axis.text(*place[:2], said, transform=axis.transAxes, ha=place[2], va=place[3], fontsize=6, color=INK)


def _caption(shown: Sequence[Shown], test: str, found: Calibration, two: bool, refused: Sequence[str]) -> str:
    task = shown[0].record.data["task"]
    what = (
        f"share of clips that are {task['classes'][1]} against the probability given to it"
        if two
        else "share of clips whose predicted class is right against the probability given to that class"
    )
    return captions.caption(
        f"Reliability: {what}, in at most {BINS} bins of equally many clips; on the dashed line a probability means "
        "what it says",
        "ECE: expected calibration error in percent, the mean distance of the bins from that line, weighted by clips",
        f"In brackets its interval ({found.error.method}); band: the bins' intervals by the same draws, bins fixed",
        f"Without probabilities, so left out: {', '.join(refused)}" if refused else "",
        *about(shown, test),
    )
