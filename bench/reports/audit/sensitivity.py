"""An encoder's sensitivity to rounding: the audit's section, its stored form, and what a leaderboard shows of it.

The stored form is what the audit found, with the identity of the data. A leaderboard shows it beside the records of the
same encoder, weights, data and probe, and of no others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.base.errors import BadInput
from bench.base.paths import file_name
from bench.reports.audit.summary import AUDIT_FOLDER
from bench.reports.tables import markdown
from bench.runs.audit.checks.sensitivity import DITHER, TENTH, reasons
from bench.scores import metrics
from bench.scores.printed import BLANK, amount, missing
from bench.scores.schema import Record

SENSITIVITY_FOLDER = "sensitivity"  # in an audit's folder
_SHARED = ("encoder", "encoder_version", "weights", "parameters", "resampler", "layer", "pooling", "protocol")
_ABOUT = (
    "What changes where the sound does not. *Shift*: the most that a feature of a clip moves, in units of its standard "
    "deviation over training clips, of the feature that moves most and of the middle one. *Decisions*: tested clips "
    "that get another class. *Score*: with the probe chosen and fitted anew, where all clips were tried, and what it "
    f"moves by; by more than {TENTH:.0%} of its interval's width, or with another choice of the probe, the encoder's "
    "row is marked on a leaderboard."
)


def sensitivity_section(facts: Mapping[str, Any]) -> list[str]:
    """Heading, explanation and table; empty where no encoder was tried."""
    if not facts:
        return []
    unit = metrics.get(facts["metric"]).unit
    header = ["change", "clips", "shift", "of the middle feature", "decisions", "probe's choice"]
    header += [f"{facts['metric']} on {test}" for test in facts["tests"]]
    plain = ["none", facts["clips"], BLANK, BLANK, BLANK, "; ".join(map(_words, facts["chosen"][:1]))]
    rows = [[*plain, *(amount(score, unit) for score in facts["tests"].values())]]
    for change in facts["changes"]:
        same = BLANK if change["other_candidates"] is None else f"{change['other_candidates']:.0%}"
        scores = [_moved((change["tests"] or {}).get(test), unit) for test in facts["tests"]]
        shifts = [f"{change[name]:.2g}" for name in ("shift", "median_shift")]
        decisions = f"{change['decisions']} of {change['tested']}"
        rows.append([change["name"], change["clips"], *shifts, decisions, same, *scores])
    parts = [f"## What rounding and noise of one 16-bit step do to {facts['encoder']}", _ABOUT]
    parts.append(markdown(header, rows, right=(1, 2, 3, 4)))
    if still := [f"{change['name']} {change['constant']}" for change in facts["changes"] if change["constant"]]:
        parts.append(f"Features that are the same for all training clips, and move: {', '.join(still)}.")
    return parts


def stored_sensitivity(facts: Mapping[str, Any]) -> dict[str, Any]:
    """An audit's sensitivity with the identity of its data."""
    return {name: facts[name] for name in ("task", "version", "digest")} | dict(facts["sensitivity"])


def read_sensitivities(folder: Path, records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """{record key: the stored sensitivity of its encoder and data}, of the records that have one.

    Raises ``BadInput`` for a file that is not readable.
    """
    stored = {path: _read(path) for path in _files(folder, records)}
    out = {}
    for record in records:
        found = stored.get(_file(folder, record))
        if found and _identity(record) == _stored_identity(found):
            out[record.key] = found
    return out


def marks(facts: Mapping[str, Any] | None, test: str) -> list[str]:
    """What is said of a row on a test; nothing where it was not tried or moves little."""
    return [f"**sensitive to rounding**: {'; '.join(why)}"] if facts and (why := reasons(facts, test)) else []


def under_dither(facts: Mapping[str, Any] | None, test: str, unit: str) -> str:
    """By how much a score moves under dither of one 16-bit step; blank where it was not tried."""
    for change in facts["changes"] if facts else ():
        if change["name"] == DITHER and (moved := (change["tests"] or {}).get(test)):
            return _points(moved["change"], unit)
    return BLANK


def _files(folder: Path, records: Iterable[Record]) -> list[Path]:
    return [path for path in dict.fromkeys(_file(folder, record) for record in records) if path.exists()]


def _file(folder: Path, record: Record) -> Path:
    task, encoder = file_name(record.spec["task"]), file_name(record.spec["encoder"])
    return folder / AUDIT_FOLDER / SENSITIVITY_FOLDER / task / f"{encoder}.json"


def _read(path: Path) -> dict[str, Any]:
    remedy = "make it again with `respbench audit TASK --encoder ID --out FOLDER`"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        _stored_identity(facts)
        for test in facts["tests"]:
            reasons(facts, test)
            under_dither(facts, test, "%")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(path, f"no readable sensitivity ({type(error).__name__}: {error})", remedy) from error
    return facts


def _identity(record: Record) -> tuple:
    spec = dict(record.spec)
    names = ("task", "task_version", "manifest", "protocol_version", "clip", *_SHARED)
    return tuple(spec[name] for name in names)


def _stored_identity(facts: Mapping[str, Any]) -> tuple:
    data = (facts["task"], facts["version"], facts["digest"], facts["protocol_version"], "native")
    return *data, *(facts[name] for name in _SHARED)


def _words(chosen: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in chosen.items())


def _moved(moved: Mapping[str, Any] | None, unit: str) -> str:
    if moved is None:
        return BLANK
    share = BLANK if missing(moved["of_interval"]) else f"{moved['of_interval']:.0%} of its interval"
    return f"{amount(moved, unit, interval=False)} ({_points(moved['change'], unit)}, {share})"


def _points(change: float | None, unit: str) -> str:
    if missing(change):
        return BLANK
    return f"{100 * change:+.1f}" if unit == "%" else f"{change:+.2f}"
