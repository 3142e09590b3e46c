"""Two rows compared on the same clips: every paired difference of a test with its interval, and every decision.

The differences are those of ``bench.scores.intervals.mean_difference`` (``paired_difference`` for one seed each), from
one draw of patients for all rows of a test. A page states them to the digit that is printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.publish.page.compact import (
    CLIP_BYTES,
    DECISION_BYTES,
    PAIR_BYTES,
    bits_needed,
    packed,
    packed_size,
    packed_words,
    prefixed,
)
from bench.scores import metrics, per_test
from bench.scores.intervals import ScoredClips, effective_groups, expanded_interval, p_value
from bench.scores.printed import p_number
from bench.scores.schema import Record

DRAWS = 2000  # as bench.scores.intervals
WORDS = 3  # of each pair: low, high and p
_P_DIGITS = 1000

Rows = Mapping[int, Sequence[Record]]  # {place of a row on the board: its records by seed}


def differences(rows: Rows, test: str) -> dict[str, Any]:
    """All paired differences in the main metric between rows of a test.

    Parameters
    ----------
    rows
        Rows in the order in which they are stated; all with the same clips.
    test
        Name of the test.

    Returns
    -------
    dict
        ``rows``, their places; ``words``: low, high (in units of the last printed digit) and p (in thousandths) of
        each row minus each later one, base64 of 16-bit words; ``scale``: what a low or high is divided by. Where a
        metric's numbers are too large for that, ``lows`` and so on are plain lists.
    """
    places, first = list(rows), next(iter(rows.values()))[0]
    roles, metric = per_test.comparison_arguments(first)["roles"], metrics.get(first.data["task"]["main_metric"])
    read = [[_read(record, test) for record in own] for own in rows.values()]
    table = read[0][0]
    counts = table.draws(DRAWS, 0)
    drawn = [np.mean([each.sample(metric, roles, counts) for each in own], axis=0) for own in read]
    effective, scale = effective_groups(np.bincount(table.code)), 1000 if metric.unit == "%" else 100
    found = [
        (*expanded_interval(drawn[i] - drawn[j], table.groups, table.unit, effective)[:2],
         p_number(p_value(drawn[i] - drawn[j], effective)))
        for i in range(len(drawn))
        for j in range(i + 1, len(drawn))
    ]  # fmt: skip
    ends, p = np.array([f[:2] for f in found]).reshape(-1, 2), np.array([f[2] for f in found], dtype=float)
    words = np.column_stack([_printed(scale * ends), np.round(_P_DIGITS * p)])
    out: dict[str, Any] = {"rows": places, "scale": scale}
    try:
        return out | {"words": packed_words(words)}
    except OverflowError:
        return out | {"list": [None if np.isnan(x) else int(x) for x in words.ravel()]}


def _read(record: Record, test: str) -> ScoredClips:
    task = per_test.comparison_arguments(record)
    return ScoredClips.of(
        per_test.tested(record, test).sort_values("clip_id"), task["classes"], task["unit"], task["kind"]
    )


def _printed(values: np.ndarray) -> np.ndarray:
    """Numbers as they are printed, in units of the last digit: ties to even, as formatting does."""
    return np.array([[np.nan if np.isnan(x) else float(f"{x:.0f}") for x in row] for row in values]).reshape(-1, 2)


def most_rows(tests: Sequence[int], budget: int = PAIR_BYTES) -> int:
    """How many rows a test may have so that all pairs fit. ``tests``: the number of rows of each."""
    for most in range(max(tests, default=0), 1, -1):
        pairs = sum(min(rows, most) * (min(rows, most) - 1) // 2 for rows in tests)
        if packed_size(pairs, 16 * WORDS) <= budget:
            return most
    return 1


def clips(record: Record) -> dict[str, Any]:
    """The clips that records of a task share: names, patients, splits and labels."""
    table = record.predictions
    groups, splits = sorted(table["group"].unique()), sorted(table["split"].unique())
    of_group = {name: i for i, name in enumerate(groups)}
    return {
        "names": prefixed(list(table["clip_id"])),
        "groups": prefixed(groups),
        "group": packed([of_group[g] for g in table["group"]], bits_needed(len(groups) - 1)),
        "group_bits": bits_needed(len(groups) - 1),
        "splits": splits,
        "split": packed([splits.index(s) for s in table["split"]], bits_needed(len(splits) - 1)),
        "split_bits": bits_needed(len(splits) - 1),
        "true": packed(table["y_true"], label_bits(record)),
        "bits": label_bits(record),
        "n": len(table),
    }


def label_bits(record: Record) -> int:
    """Bits of a label of a record's task."""
    count = len(record.data["task"]["classes"])
    return count if record.data["task"].get("kind") == "multilabel" else bits_needed(count - 1)


def decisions(record: Record) -> str:
    """What a record decided of each clip, in the order of ``clips``."""
    return packed(record.predictions["y_pred"], label_bits(record))


def has_decisions(record: Record) -> bool:
    """Whether a record's predictions are labels, not numbers."""
    return record.data["task"].get("kind", "multiclass") != "regression"


def pair_model(board: Mapping[str, Any], by_key: Mapping[str, Record]) -> dict[str, Any]:
    """Pairs and decisions of a board, as many as fit, and what was left out.

    Parameters
    ----------
    board
        Of ``bench.publish.page.board``.
    by_key
        {key: record}.

    Returns
    -------
    dict
        ``tests`` {``task/test``: ``differences``}, ``clips`` {task: ``clips``}, ``decided`` {task: {place of a row:
        ``decisions`` of its first seed}}, ``left_out``: sentences that say what is missing and how to get it.
    """
    order = {row: i for i, row in enumerate(_best_first(board))}
    scored = {
        f"{test['task']}/{test['test']}": sorted(
            [(cell[0], [by_key[key] for key in cell[4]]) for cell in test["cells"] if cell[1] is not None],
            key=lambda item: order[item[0]],
        )
        for test in board["tests"]
    }
    most = most_rows([len(rows) for rows in scored.values()])
    names = {f"{test['task']}/{test['test']}": test["test"] for test in board["tests"]}
    tests = {
        column: differences(dict(rows[:most]), names[column])
        for column, rows in scored.items()
        if min(len(rows), most) > 1
    }
    left_out = []
    if any(len(rows) > most for rows in scored.values()):
        left_out.append(
            f"Differences are kept for the best {most} rows of each test, controls last; of others they are "
            "bench.scores.intervals.paired_difference of two records."
        )
    kept, decided, left = _decided(scored, names)
    return {"tests": tests, "clips": kept, "decided": decided, "left_out": [*left_out, *left]}


def _decided(
    scored: Mapping[str, Sequence[tuple[int, Sequence[Record]]]], names: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, dict[str, str]], list[str]]:
    """Clips and decisions of every task as far as they fit; and what was left out."""
    by_task: dict[str, dict[int, Record]] = {}
    for column, rows in scored.items():
        of_task = by_task.setdefault(column.removesuffix(f"/{names[column]}"), {})
        for row, own in rows:
            if has_decisions(own[0]):
                of_task.setdefault(row, own[0])
    known, decided, left_out, size = {}, {}, [], 0
    for task, own in by_task.items():
        if own:
            stated = clips(next(iter(own.values())))
            size += sum(len(str(part)) for part in stated["names"]) + len(stated["group"]) + len(stated["true"])
            if size > CLIP_BYTES:
                left_out.append(f"Clips of {task} and what was decided of them are not in this page: too many clips.")
                continue
            known[task] = stated
    share = DECISION_BYTES // max(1, len(known))
    for task, stated in known.items():
        each = packed_size(stated["n"], stated["bits"])
        most = max(2, share // each)
        own = dict(list(by_task[task].items())[:most])
        decided[task] = {str(row): decisions(record) for row, record in own.items()}
        if len(by_task[task]) > most:
            left_out.append(
                f"Decisions about clips of {task} are kept for {most} of {len(by_task[task])} rows; all are in the "
                "records."
            )
    return known, decided, left_out


def _best_first(board: Mapping[str, Any]) -> list[int]:
    """Places of the board's rows, ranked ones first, then controls and those chosen on the test."""
    rows = board["rows"]
    return sorted(range(len(rows)), key=lambda i: (rows[i]["class"] == "control", rows[i]["rank"] is None, i))
