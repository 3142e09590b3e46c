"""How well a task's labels are predicted without hearing what they are about.

Each shortcut gets the encoders' own probe: the same standardisation, folds, grid and selection, fitted on training
clips and scored on the tests, so that its row stands beside theirs as ``meta.<name>``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bench.base.progress import Progress, silent
from bench.base.registry import CONTROL_PREFIX
from bench.data.manifest import TRAIN, Prepared
from bench.encoders.features.store import FeatureStore
from bench.encoders.pooling import LayerPooling
from bench.encoders.weights.code import named
from bench.probe.goal import too_few
from bench.runs.audit.checks.fitted import FittedProbes
from bench.runs.audit.control_tables import FeatureTable
from bench.scores import intervals, label_kinds, metrics
from bench.scores.metrics import DURATION_MATCHED, Roles
from bench.types import Encoder, Finding, Score, TaskCard

STRONG = 0.65  # AUROC that a finding names, or 1 less that, where its interval leaves out 0.5


def encoder_table(
    encoder: Encoder, prepared: Prepared, source: str, progress: Progress = silent, others: Sequence[LayerPooling] = ()
) -> FeatureTable:
    """An encoder's default embedding as a table, through the feature store.

    ``others`` are encoded in the same pass, for whoever needs them later.
    """
    want = default_embedding(encoder)
    store = FeatureStore(encoder, prepared)
    store.encode([want, *others], progress)
    return FeatureTable(table_name(encoder), source, store.gather(want))


def table_name(encoder: Encoder) -> str:
    """What an encoder's table is called: a control goes by its own name, code of a model's own is told."""
    return named(encoder.card.id.removeprefix(CONTROL_PREFIX), encoder.card.code)


def default_embedding(encoder: Encoder) -> LayerPooling:
    """The (layer, pooling) that a card names as its own."""
    return encoder.card.pool_layer, encoder.card.default_pooling


def probed(
    tables: Sequence[FeatureTable],
    rows: pd.DataFrame,
    card: TaskCard,
    resamples: int = 1000,
    progress: Progress = silent,
) -> list[dict]:
    """Fits and scores the linear probe on every table.

    Returns
    -------
    list[dict]
        One per table: name, source, number of ``columns``, ``tests`` {test: {metric: Score}}, ``direction``,
        ``probes`` and their ``predictions``; the last four empty or None where nothing could be fitted.
    """
    out = []
    with progress(f"probe shortcuts of {card.id}", len(tables)) as tick:
        for table in tables:
            row = {"name": table.name, "source": table.source, "columns": table.features.shape[1]}
            row |= {"tests": {}, "direction": {}, "probes": None, "predictions": None}
            if table.features.shape[1] and trainable(rows, card):
                row["probes"] = FittedProbes(table.features, rows, card)
                row["predictions"] = row["probes"].predicted
                row["tests"] = score_tests(row["predictions"], card, resamples)
                row["direction"] = direction(table, rows, card)
            out.append(row)
            tick(1)
    return out


def trainable(rows: pd.DataFrame, card: TaskCard) -> bool:
    """Whether there is anything to test on, and the training clips hold two labels and can be dealt into folds."""
    train = rows if card.leave_one_out else rows[rows["split"].isin(TRAIN)]
    tested = card.leave_one_out or len(train) < len(rows)
    varied = train["label"].nunique() > 1
    if card.kind == "multilabel":  # each label is fitted by itself
        present = label_kinds.bits(train["label"].to_numpy(), len(card.classes))
        varied = bool((present.any(axis=0) & ~present.all(axis=0)).all())
    groups = train["group"].to_numpy(str)
    parts = [groups != name for name in sorted(set(groups))] if card.leave_one_out else [np.ones(len(train), bool)]
    few = any(too_few(train["label"].to_numpy()[part], groups[part], card.kind) for part in parts)
    return tested and varied and not few


def score_tests(predicted: pd.DataFrame, card: TaskCard, resamples: int) -> dict[str, dict[str, Score]]:
    """{test: {metric: Score}} of the main metric, AUROC and, where durations are known, AUROC within their deciles.

    Of a regression task it is the main metric alone.
    """
    names = scored_by(card)
    if "duration_s" in predicted and label_kinds.of(card).auroc:
        names = (*names, DURATION_MATCHED)
    return score_by(names, predicted, card, resamples)


def score_by(
    names: Sequence[str], predicted: pd.DataFrame, card: TaskCard, resamples: int
) -> dict[str, dict[str, Score]]:
    """{test: {metric: Score}} of the named metrics, of the tests that have clips."""
    out = {}
    for test, splits in card.tests.items():
        part = predicted[predicted["split"].isin(splits)]
        if part.empty:
            continue
        arguments = (card.classes, Roles.of(card), resamples)
        out[test] = intervals.score_table(part, names, *arguments, recalls=False, kind=card.kind)
    return out


def scored_by(card: TaskCard) -> tuple[str, ...]:
    """AUROC, where the task's kind has one, and the main metric."""
    return tuple(dict.fromkeys([*filter(None, [label_kinds.of(card).auroc]), card.main_metric]))


def direction(table: FeatureTable, rows: pd.DataFrame, card: TaskCard) -> dict[str, float]:
    """{test, and ``train``: AUROC of the bare number for the adventitious classes against the normal one}.

    Below a half, lower values are abnormal. Empty for words, and where the task names no adventitious class.
    """
    if table.value is None or not card.adventitious or card.kind != "multiclass":
        return {}
    labels = rows["label"].to_numpy()
    counted = np.isin(labels, [card.normal, *card.adventitious]) & ~np.isnan(table.value)
    out = {}
    for name, splits in {"train": TRAIN, **card.tests}.items():
        own = counted & rows["split"].isin(splits).to_numpy()
        out[name] = float(metrics.weighted_auroc(labels[own] != card.normal, table.value[own], np.ones(int(own.sum()))))
    return out


def findings(probed_rows: Sequence[Mapping], card: TaskCard) -> list[Finding]:
    """One finding per test that something but the sound predicts, naming what does, the strongest first.

    Of a control that was fitted on several sets of clips the first counts.
    """
    auroc, by_test = label_kinds.of(card).auroc, {}
    for row in {row["name"]: row for row in reversed(probed_rows)}.values():
        for test, scores in row["tests"].items():
            score = scores.get(auroc)
            if score and abs(score.value - 0.5) >= STRONG - 0.5 and not score.low <= 0.5 <= score.high:
                by_test.setdefault(test, []).append((score.value, row["name"]))
    remedy = "read an encoder's score against these control rows"
    return [
        Finding(
            "warning",
            "shortcut",
            test,
            "AUROC in percent without hearing the sound (below 50: the other way round than in training): "
            + ", ".join(f"{CONTROL_PREFIX}{name} {100 * value:.1f}" for value, name in sorted(strong, reverse=True)),
            remedy,
        )
        for test, strong in by_test.items()
    ]
