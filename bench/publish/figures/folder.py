"""Every figure that the records of a results folder allow, as files with their captions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.base.errors import BadInput, UnknownId
from bench.base.paths import file_name, write_text
from bench.base.progress import Progress, silent
from bench.publish.figures import canvas, rows
from bench.publish.figures.across.heat_map import heat_map
from bench.publish.figures.across.in_and_out import in_and_out
from bench.publish.figures.across.poolings import poolings
from bench.publish.figures.decisions.confusion import confusion
from bench.publish.figures.decisions.reliability import reliability
from bench.reports.names import rank_class
from bench.scores.records import load_all
from bench.scores.schema import Record

NAMES = ("heat_map", "poolings", "in_and_out", "confusion", "reliability")


@dataclass(frozen=True)
class Planned:
    """A figure that may be drawn: which it is, the stem of its files, and what draws it at a width."""

    name: str
    stem: str
    draw: Callable[..., canvas.PaperFigure]


@dataclass(frozen=True)
class Outcome:
    """What was written, and {stem of a figure: why it was left out}."""

    written: tuple[Path, ...]
    left_out: dict[str, str]


def draw_folder(
    folder: Path,
    out: Path | None = None,
    *,
    only: Sequence[str] = (),
    width: int = 2,
    formats: Sequence[str] = ("pdf", "png"),
    progress: Progress = silent,
) -> Outcome:
    """Draws the figures of a results folder, each with its caption as text; what would be the same stays untouched.

    Parameters
    ----------
    folder
        A results folder.
    out
        Where the files go; by default ``figures`` in the folder.
    only
        Names of figures (``NAMES``); by default all.
    width
        1 or 2 columns.
    formats
        Of ``pdf``, ``png`` and ``svg``.
    progress
        Counts figures.

    Returns
    -------
    Outcome
        With the reason for every figure that the records do not allow.

    Raises
    ------
    UnknownId
        For the name of a figure or format that does not exist.
    BadInput
        For a folder without records, and a width that is neither 1 nor 2.
    """
    for kind, given, known in (("figure", only, NAMES), ("format", formats, canvas.FORMATS)):
        for name in given:
            if name not in known:
                raise UnknownId(kind, name, known)
    canvas.inches(width)
    plans = [plan for plan in planned(load_all(folder)) if not only or plan.name in only]
    out = folder / "figures" if out is None else out
    written: list[Path] = []
    left_out: dict[str, str] = {}
    with progress("draw", len(plans)) as tick:
        for plan in plans:
            try:
                figure = plan.draw(width=width)
            except BadInput as error:
                left_out[plan.stem] = str(error)
            else:
                written += canvas.write(figure, out / plan.stem, formats)
                written.append(out / f"{plan.stem}.txt")
                write_text(written[-1], figure.caption + "\n")
            tick(1)
    return Outcome(tuple(written), left_out)


def planned(records: Sequence[Record]) -> Iterator[Planned]:
    """Every figure that might be drawn of the records, class by class where rows of several are not comparable."""
    classes = rows.classes_of(records)
    for draw in (heat_map, poolings):
        for of in classes or [""]:
            stem = _stem(draw.__name__, "" if of == next(iter(classes), "") else of)
            yield Planned(draw.__name__, stem, partial(draw, records, of=of))
    yield Planned("in_and_out", "in_and_out", partial(in_and_out, records))
    for draw in (confusion, reliability):
        for (task, of), own in _by_task(records).items():
            yield Planned(draw.__name__, _stem(draw.__name__, task, "" if of == classes[0] else of), partial(draw, own))


def _by_task(records: Sequence[Record]) -> dict[tuple[str, str], list[Record]]:
    """{(task, class): its records}, without controls."""
    out: dict[tuple[str, str], list[Record]] = {}
    for record in rows.without_controls(records):
        out.setdefault((record.spec["task"], rank_class(record.spec)), []).append(record)
    return dict(sorted(out.items()))


def _stem(*parts: str) -> str:
    return file_name(" ".join(part for part in parts if part)).replace("%20", "-").replace("%2F", "-")
