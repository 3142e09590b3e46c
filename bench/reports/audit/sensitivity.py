"""Encoders' sensitivity to rounding: the audit's sections, its stored form, and what a leaderboard shows of it.

The stored form, one file for each encoder and pooling, is what the audit found, with the identity of the data. A
leaderboard shows it beside the records of the same encoder, pooling, weights, data and probe, and of no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.base.errors import BadInput
from bench.base.paths import file_name, parse_json
from bench.reports.audit.summary import AUDIT_FOLDER
from bench.reports.names import encoder_name
from bench.reports.tables import markdown
from bench.runs.audit.checks.sensitivity import DITHER, HALF, TENTH, reasons
from bench.scores import metrics
from bench.scores.printed import BLANK, amount, missing
from bench.scores.schema import Record

SENSITIVITY_FOLDER = "sensitivity"  # in an audit's folder
_SHARED = ("encoder", "encoder_version", "weights", "parameters", "resampler", "layer", "pooling")
_SHARED += ("protocol", "protocol_version")
_OF_FEW = ("settings", "code")  # of few encoders, as in a record's spec
_ABOUT = (
    "What changes where the sound does not. *Shift*: the most that a feature of a clip moves, in units of its standard "
    "deviation over training clips, of the feature that moves most and of the middle one. *Decisions*: tested clips "
    "that get another class. *Score*: with the probe chosen and fitted anew, where all clips were tried, and what it "
    "moves by. *Other candidates*: the part of the probe, a mean of candidates, that goes to others than before; of "
    "several probes the largest. A row is marked on a leaderboard where its score moves by more than "
    f"{TENTH:.0%} of its interval's width, or more than {HALF:.0%} of its probe goes to other candidates."
)


def sensitivity_sections(every: Sequence[Mapping[str, Any]]) -> list[str]:
    """Explanation, then heading and table of each encoder and pooling; empty where none was tried."""
    parts = ["## What rounding and noise of one 16-bit step do", _ABOUT] if every else []
    return parts + [part for facts in every for part in _section(facts)]


def _section(facts: Mapping[str, Any]) -> list[str]:
    unit = metrics.get(facts["metric"]).unit
    header = ["change", "clips", "shift", "of the middle feature", "decisions", "other candidates"]
    header += ["best candidate", *(f"{facts['metric']} on {test}" for test in facts["tests"])]
    plain = ["none", facts["clips"], BLANK, BLANK, BLANK, BLANK, _chosen(facts)]
    rows = [[*plain, *(amount(score, unit) for score in facts["tests"].values())]]
    for change in facts["changes"]:
        others = BLANK if change["other_candidates"] is None else f"{change['other_candidates']:.0%}"
        scores = [_moved((change["tests"] or {}).get(test), unit) for test in facts["tests"]]
        shifts = [f"{change[name]:.2g}" for name in ("shift", "median_shift")]
        decisions = f"{change['decisions']} of {change['tested']}"
        rows.append([change["name"], change["clips"], *shifts, decisions, others, _chosen(change), *scores])
    parts = [f"### {encoder_name(facts)}, {facts['pooling']}", markdown(header, rows, right=(1, 2, 3, 4, 5))]
    if still := [f"{change['name']} {change['constant']}" for change in facts["changes"] if change["constant"]]:
        parts.append(f"Features that the probe leaves out as constant, and that move: {', '.join(still)}.")
    return parts


def stored_sensitivities(facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """{file in the audits' folder: what an audit found of an encoder and pooling, with the identity of the data}."""
    data = {name: facts[name] for name in ("task", "version", "digest")}
    folder = f"{SENSITIVITY_FOLDER}/{file_name(facts['task'])}"
    return {
        f"{folder}/{file_name(found['encoder'])}.{file_name(found['pooling'])}.json": data | found
        for found in audited_rows(facts)
    }


def audited_rows(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an audit found of each encoder and pooling; none in audits that were made before there was any.

    Raises ``ValueError`` for an audit that has it in the form of before.
    """
    found = facts.get("sensitivity") or []
    if isinstance(found, Mapping):
        raise ValueError("its sensitivity is of one pooling alone, as it was before: make it again")
    return found


def read_sensitivities(folder: Path, records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """{record key: the stored sensitivity of its encoder, pooling and data}, of the records that have one.

    Raises ``BadInput`` for a file of their tasks that is not readable.
    """
    tasks = sorted({record.spec["task"] for record in records})
    stored = {spec: found for task in tasks for spec, found in _stored(folder / AUDIT_FOLDER, file_name(task))}
    by_spec = {record.key: stored.get(_values(record.spec)) for record in records}
    return {key: found for key, found in by_spec.items() if found}


def sensitive_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows that boards mark by what a folder of audits found: of each the fields of a record's spec.

    Raises ``BadInput`` for a folder without stored sensitivities, and for one that is not readable.
    """
    stored = list(_stored(folder))
    if not stored:
        problem = f"holds no {SENSITIVITY_FOLDER}/<task>/<encoder>.<pooling>.json"
        raise BadInput(folder, problem, "give a folder that `respbench audit TASK --encoder ID --out FOLDER` wrote")
    return [dict(spec) for spec, found in stored if any(reasons(found, test) for test in found["tests"])]


def marks(facts: Mapping[str, Any] | None, test: str) -> list[str]:
    """What is said of a row on a test; nothing where it was not tried or moves little."""
    return [f"**sensitive to rounding**: {'; '.join(why)}"] if facts and (why := reasons(facts, test)) else []


def under_dither(facts: Mapping[str, Any] | None, test: str, unit: str) -> str:
    """By how much a score moves under dither of one 16-bit step; blank where it was not tried."""
    for change in facts["changes"] if facts else ():
        if change["name"] == DITHER and (moved := (change["tests"] or {}).get(test)):
            return _points(moved["change"], unit)
    return BLANK


def _stored(audits: Path, task: str = "*") -> Iterator[tuple[tuple[tuple[str, Any], ...], dict[str, Any]]]:
    """(the fields of a spec that a record of it has, what was found) of every file of a task, as on disk, or of all."""
    for path in sorted((audits / SENSITIVITY_FOLDER).glob(f"{task}/*.json")):
        facts = _read(path)
        yield _values(_spec(facts)), facts


def _read(path: Path) -> dict[str, Any]:
    remedy = "delete it and make it again with `respbench audit TASK --encoder ID:POOLING --out FOLDER`"
    try:
        facts = parse_json(path.read_text(encoding="utf-8"))
        hash(_values(_spec(facts)))
        for test in facts["tests"]:
            reasons(facts, test)
            under_dither(facts, test, "%")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(path, f"no readable sensitivity ({type(error).__name__}: {error})", remedy) from error
    return facts


def _spec(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored as fields of a record's spec."""
    data = {"task": facts["task"], "task_version": facts["version"], "manifest": facts["digest"], "clip": "native"}
    return data | {name: facts[name] for name in _SHARED} | {name: facts[name] for name in _OF_FEW if name in facts}


def _values(spec: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    names = ("task", "task_version", "manifest", "clip", *_SHARED, *(name for name in _OF_FEW if name in spec))
    return tuple((name, spec[name]) for name in names)


def _chosen(tried: Mapping[str, Any]) -> str:
    """The best candidate of a probe; of several probes that of the first."""
    return _words(tried["chosen"][0]) if tried["chosen"] else BLANK


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
