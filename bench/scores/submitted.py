"""Scores anyone's prediction file by a task's own metrics, without audio or model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd

from bench.base.errors import BadInput
from bench.scores import intervals, label_kinds, per_test, records
from bench.scores.metrics import METRICS
from bench.scores.schema import MetricScores, Scores
from bench.types import TaskCard


class FileScores(TypedDict):
    """What the predictions of a file score.

    Attributes
    ----------
    task
        The task's id.
    scores
        {test: {metric: score}}.
    expected
        {test: number of its clips}; None for clips that are scored as given.
    warnings
        What a reader of the scores must know, one sentence each.
    """

    task: str
    scores: Scores
    expected: dict[str, int | None]
    warnings: list[str]


def score_file(card: TaskCard, file: Path, manifest: pd.DataFrame | None = None, absent: str = "") -> FileScores:
    """Scores of a prediction file by the metrics of its task.

    Clips that the manifest knows are scored per test, with an interval by patient bootstrap. A file that holds an
    unknown clip is scored as given, as one test ``as given``, with a clip-level interval and a warning.

    Parameters
    ----------
    card
        The task.
    file
        CSV (gzip allowed) with ``clip_id,y_true,y_pred`` and optionally ``s_0 … s_{K-1}`` and ``duration_s``, the
        clips' lengths in seconds, for the AUROC within duration deciles. Labels are indices or class names, in the
        task's spelling or in one that its card knows.
    manifest
        The task's own (``bench.load_task``).
    absent
        Why there is no manifest, where it is None.

    Raises
    ------
    BadInput
        For a malformed file, and for a label that contradicts the manifest.
    """
    table = _read(file, card)
    warnings = []
    known = table.iloc[:0]
    if manifest is None:
        warnings.append(f"the task's manifest is not at hand ({absent})")
    else:
        manifest = manifest.set_index("clip_id")
        known = table[table["clip_id"].isin(manifest.index)]
        truth = manifest["label"].reindex(known["clip_id"]).to_numpy()
        wrong = known[known["y_true"].to_numpy() != truth]
        if len(wrong):
            raise BadInput(
                file,
                f"y_true of {wrong['clip_id'].iloc[0]} contradicts the manifest, as do {len(wrong) - 1} others",
                "check the label order: " + ", ".join(f"{k} {name}" for k, name in enumerate(card.classes)),
            )
    if manifest is None or len(known) < len(table):
        warnings.append(
            f"{len(table) - len(known)} of {len(table)} clip ids are not in the manifest of {card.id}: all are scored "
            "as given, with a clip-level interval, which is too narrow where a patient has several clips"
        )
        table = table.assign(group=table["clip_id"], domain="", split="as given")
        as_given = {"as given": _scores(table, card, "clip")}
        return {"task": card.id, "scores": as_given, "expected": {"as given": None}, "warnings": warnings}
    for column in ("group", "domain", "split"):
        table[column] = manifest[column].reindex(table["clip_id"]).to_numpy()
    scores: Scores = {}
    expected: dict[str, int | None] = {}
    for name, splits in card.tests.items():
        part = table[table["split"].isin(splits)]
        if part.empty:
            continue
        clips = int(manifest["split"].isin(splits).sum())
        if len(part) < clips:
            warnings.append(f"test {name}: {len(part)} of its {clips} clips are in the file; scored on those")
        scores[name], expected[name] = _scores(part, card, card.group), clips
    ignored = int((~table["split"].isin({s for splits in card.tests.values() for s in splits})).sum())
    if ignored:
        warnings.append(f"{ignored} clips belong to no test of {card.id} (training clips) and are not scored")
    if not scores:
        raise BadInput(file, f"none of its clips belongs to a test of {card.id}", "give predictions for test clips")
    return {"task": card.id, "scores": scores, "expected": expected, "warnings": warnings}


def _scores(table: pd.DataFrame, card: TaskCard, unit: str) -> MetricScores:
    has_class_scores = "s_0" in table.columns
    task = per_test.task_facts(card)
    names = per_test.metric_names(task, table) if "duration_s" in table else card.metrics
    metrics = [name for name in names if has_class_scores or METRICS[name].kind not in ("scores", "strata")]
    recalls = has_class_scores or label_kinds.of(card).per_class == "recall"
    scores = intervals.score_table(table, metrics, unit=unit, recalls=recalls, **per_test.label_arguments(task))
    return {name: records.score_json(score) for name, score in scores.items()}


def _read(file: Path, card: TaskCard) -> pd.DataFrame:
    """The file with integer labels. Raises ``BadInput`` naming the file, the column and the first bad line."""
    try:
        table = pd.read_csv(file, dtype={"clip_id": str, "y_true": str, "y_pred": str})
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise BadInput(file, f"not a readable CSV file ({error})", "give clip_id,y_true,y_pred[,s_0,…]") from error
    lacking = [name for name in ("clip_id", "y_true", "y_pred") if name not in table.columns]
    if lacking:
        raise BadInput(file, f"no column {', '.join(lacking)}", "give clip_id,y_true,y_pred[,s_0,…]")
    if table.empty:
        raise BadInput(file, "no predictions in it", "give one line per test clip")
    if table["clip_id"].duplicated().any():
        twice = table.loc[table["clip_id"].duplicated(), "clip_id"].iloc[0]
        raise BadInput(file, f"clip {twice} appears more than once", "give one line per clip")
    out = pd.DataFrame({"clip_id": table["clip_id"]})
    for column in ("y_true", "y_pred"):
        out[column] = [parse_label(value, card, file, column, line + 2) for line, value in enumerate(table[column])]
    columns = [f"s_{k}" for k in range(len(card.classes))]
    given = [name for name in table.columns if name.startswith("s_")]
    if given and sorted(given) != sorted(columns):
        raise BadInput(file, f"score columns {', '.join(given)}", f"{card.id} needs {', '.join(columns)}, or none")
    for name in columns if given else []:
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(float)
        if not np.isfinite(values).all():
            line = int(np.flatnonzero(~np.isfinite(values))[0]) + 2
            raise BadInput(file, f"{name} in line {line} is not a finite number", "give a score for every class")
        out[name] = values
    if "duration_s" in table:
        out["duration_s"] = pd.to_numeric(table["duration_s"], errors="coerce")
        unknown = ~(out["duration_s"] > 0)
        if unknown.any():
            line = int(np.flatnonzero(unknown)[0]) + 2
            raise BadInput(file, f"duration_s in line {line} is not a length in seconds", "give all of them, or none")
    return out


def _plain(name: str) -> str:
    """A class name without what spellings differ in.

    The challenge writes both Wheeze+Crackle and Wheeze & Crackle, others Crackle + Wheeze.
    """
    return "+".join(sorted(" ".join(part.split()) for part in re.split("[+&]", name.lower())))


def parse_label(value: object, card: TaskCard, file: Path, column: str, line: int) -> float:
    """The label that a cell of a prediction file stands for: an index, a class name, or a spelling on the card.

    Raises ``BadInput``, which names the column and the line, for a cell that is none of these.
    """
    text = str(value).strip()
    spelt = {_plain(name): label for name, label in card.spellings.items()}
    names = {_plain(name): k for k, name in enumerate(card.classes)}
    label = spelt[_plain(text)] if _plain(text) in spelt else label_kinds.of(card).read(_plain(text), names)
    if label is None:
        known = f"0…{len(card.classes) - 1} or {', '.join(card.classes)}"
        remedy = {"multilabel": f"use names of {', '.join(card.classes)} joined by +", "regression": "use a number"}
        raise BadInput(file, f"{column} in line {line} is {text!r}", remedy.get(card.kind, f"use {known}"))
    return label
