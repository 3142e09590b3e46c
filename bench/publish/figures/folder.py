"""Every figure that the records of a results folder allow, as files with their captions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.base.errors import BadInput, RespBenchError, UnknownId
from bench.base.paths import write_text
from bench.base.progress import Progress, silent
from bench.drawing import canvas
from bench.encoders.weights.code import OPTION, named, revisions
from bench.publish.figures import rows
from bench.publish.figures.across.cost import cost
from bench.publish.figures.across.heat_map import heat_map
from bench.publish.figures.across.in_and_out import in_and_out
from bench.publish.figures.across.poolings import poolings
from bench.publish.figures.across.ranks import ranks
from bench.publish.figures.decisions.confusion import confusion
from bench.publish.figures.decisions.reliability import reliability
from bench.publish.figures.decisions.trade_off import trade_off
from bench.publish.figures.maps import embedding_map
from bench.reports.names import rank_class
from bench.scores.records import load_all
from bench.scores.schema import Record
from bench.types import ALL_LAYERS

ACROSS = {"ranks": ranks, "heat_map": heat_map, "poolings": poolings, "cost": cost}  # of one class of rows
OF_TASK = {"confusion": confusion, "reliability": reliability}
TRADE_OFF, TRANSFERS, MAP = "trade_off", "in_and_out", "embedding_map"
NAMES = (*ACROSS, TRANSFERS, TRADE_OFF, *OF_TASK, MAP)


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
    root: Path | None = None,
    progress: Progress = silent,
    trust_remote_code: str | Sequence[str] | None = None,
) -> Outcome:
    """Draws the figures of a results folder, each with its caption as text; what would be the same stays untouched.

    Parameters
    ----------
    folder
        A results folder.
    out
        Where the files go; by default ``figures`` in the folder.
    only
        Names of figures (``NAMES``); by default all but maps, which take recordings, weights and minutes.
    width
        1 or 2 columns.
    formats
        Of ``pdf``, ``png`` and ``svg``.
    root
        The data folder, of maps; by default ``$RESPBENCH_DATA`` or ``./data``.
    progress
        Counts figures.
    trust_remote_code
        As of ``bench.load_encoder``, for maps of rows whose records are of these revisions.

    Returns
    -------
    Outcome
        With the reason for every figure that the records do not allow.

    Raises
    ------
    UnknownId
        For the name of a figure or format that does not exist.
    BadInput
        For a folder without records, a width that is neither 1 nor 2, and a trusted revision that no record is of.
    """
    for kind, given, known in (("figure", only, NAMES), ("format", formats, canvas.FORMATS)):
        for name in given:
            if name not in known:
                raise UnknownId(kind, name, known)
    canvas.inches(width)
    wanted = only or tuple(name for name in NAMES if name != MAP)
    records, trusted = load_all(folder), revisions(trust_remote_code)
    for revision in trusted:
        if all(record.spec.get("code") != revision for record in records):
            problem = f"no record in {folder} is of a model's own code of this revision"
            raise BadInput(f"{OPTION} {revision}", problem, "leave it out to see which revision a map needs")
    plans = [plan for plan in planned(records, root, trusted) if plan.name in wanted]
    out = folder / "figures" if out is None else out
    written: list[Path] = []
    left_out: dict[str, str] = {} if only else {MAP: f"takes recordings and weights; ask for it: --only {MAP}"}
    with progress("draw", len(plans)) as tick:
        for plan in plans:
            try:
                figure = plan.draw(width=width)
            except RespBenchError as error:
                left_out[plan.stem] = str(error)
            else:
                written += canvas.write(figure, out / plan.stem, formats)
                written.append(out / f"{plan.stem}.txt")
                write_text(written[-1], figure.caption + "\n")
            tick(1)
    return Outcome(tuple(written), left_out)


def planned(records: Sequence[Record], root: Path | None = None, trusted: Sequence[str] = ()) -> Iterator[Planned]:
    """Every figure that might be drawn of the records, class by class where rows of several are not comparable.

    ``root`` is the data folder of maps, ``trusted`` the revisions of code that comes with models and may run for them.
    """
    classes = rows.classes_of(records) or [""]
    for name, draw in ACROSS.items():
        for of in classes:
            yield Planned(name, _stem(name, "" if of == classes[0] else of), partial(draw, records, of=of))
    yield Planned(TRANSFERS, TRANSFERS, partial(in_and_out, records))
    for (task, of), own in _by_task(records).items():
        stem = _stem(task, "" if of == classes[0] else of)
        with_controls = [record for record in records if record.spec["task"] == task]
        yield Planned(TRADE_OFF, f"{TRADE_OFF}-{stem}", partial(trade_off, with_controls, of=of))
        for name, draw in OF_TASK.items():
            yield Planned(name, f"{name}-{stem}", partial(draw, own))
    for task, encoder, pooling, layer, code in _maps(records):
        stem = _stem(MAP, task, rows.label(named(encoder, code), pooling, layer))
        own = {"root": root, "trust_remote_code": [code] if code in trusted else None}
        yield Planned(MAP, stem, partial(embedding_map, task, encoder, pooling, layer, **own))


def _maps(records: Sequence[Record]) -> list[tuple[str, str, str, int, str]]:
    """(task, encoder, pooling, layer, revision of its own code) of every frozen row on clips as they are.

    But for layers mixed by the probe.
    """
    found = {
        (*(r.spec[name] for name in ("task", "encoder", "pooling", "layer")), r.spec.get("code", "")): None
        for r in rows.without_controls(records)
        if r.spec["kind"] == "frozen" and r.spec["clip"] == "native" and r.spec["layer"] != ALL_LAYERS
    }
    return sorted(found)


def _by_task(records: Sequence[Record]) -> dict[tuple[str, str], list[Record]]:
    """{(task, class): its records}, without controls."""
    out: dict[tuple[str, str], list[Record]] = {}
    for record in rows.without_controls(records):
        out.setdefault((record.spec["task"], rank_class(record.spec)), []).append(record)
    return dict(sorted(out.items()))


def _stem(*parts: str) -> str:
    """The stem of a figure's files, which LaTeX takes: without spaces, commas and percent signs."""
    return re.sub(r"[^\w.@+-]+", "-", "-".join(part for part in parts if part), flags=re.ASCII)
