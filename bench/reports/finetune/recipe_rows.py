"""The numbers of fine-tuned records: runs of several seeds as one row, with both protocols and what was compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.probe.protocols import BEST_TEST, FINETUNE, PEEK, PEEKING, peeked_in_the_same_run
from bench.reports.names import encoder_name, recipe_labels
from bench.scores import intervals, metrics, per_test
from bench.scores.intervals import Difference
from bench.scores.schema import Record
from bench.types import Score

UNTOLD = "What differs from the source, the record does not say."
BASE = "ce"  # the method that others are compared with
FROZEN = "linear"  # the probe shown beside
SAME = ("task", "manifest", "encoder", "encoder_version", "weights", "settings", "code", "clip", "dtype", "device")


@dataclass(frozen=True)
class Column:
    """One protocol's scores over seeds.

    ``score`` is their mean with the interval of patients for these seeds, ``seed_sd`` their standard deviation
    (n − 1; NaN of one seed). The two are never merged.
    """

    score: Score
    seed_sd: float
    seeds: tuple[int, ...]
    by_seed: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """The comparison with a base recipe.

    ``difference`` is over the seeds that both have, ``seed_sd`` of the seeds' own differences; ``alike`` says whether
    the two recipes differ in the method alone.
    """

    difference: Difference
    seed_sd: float
    seeds: tuple[int, ...]
    base: str
    alike: bool


@dataclass(frozen=True)
class Row:
    """All runs of one recipe with one encoder and pooling on one task, scored on one test.

    ``encoder`` and ``recipe`` are as tables name them (``bench.reports.names``), ``told`` is what the recipe says of
    itself, ``spec`` that of the first seed's honest record. ``peeking`` is the same run at the epoch that the test
    chose, ``gap`` its difference to the honest one; ``literature`` is the run on all training rows; ``cost`` sums
    seconds and device-hours over the seeds.
    """

    task: str
    test: str
    metric: str
    encoder: str
    pooling: str
    recipe: str
    method: str
    honest: Column
    peeking: Column | None
    literature: Column | None
    gap: Comparison | None
    compared: Comparison | None
    epochs: tuple[int, ...]
    cost: Mapping[str, float]
    spec: Mapping
    told: Mapping


def rows(records: Sequence[Record]) -> list[Row]:
    """Rows of the fine-tuned among the records, in order of task, encoder and test (the headline first)."""
    labels = recipe_labels(records)
    groups: dict[tuple, dict[str, list[Record]]] = {}
    for record in sorted(records, key=lambda r: r.spec["seed"]):
        if record.spec["protocol"] in (FINETUNE, *PEEKING):
            of_encoder = encoder_name(record.spec), record.spec["layer"], record.spec["pooling"]
            run_of = record.spec["task"], *of_encoder, labels[record.key]
            part = PEEK if peeked_in_the_same_run(record.spec) else record.spec["protocol"]
            groups.setdefault(run_of, {FINETUNE: [], PEEK: [], BEST_TEST: []})[part].append(record)
    out = []
    for (task, *_), parts in groups.items():
        if not parts[FINETUNE]:
            continue
        bases = [other[FINETUNE] for (its, *_), other in groups.items() if its == task and other[FINETUNE]]
        facts = parts[FINETUNE][0].data["task"]
        out += [_row(test, parts, bases, labels) for test in _tests(facts) if test in parts[FINETUNE][0].scores]
    return sorted(out, key=lambda row: (row.task, row.encoder))


def _tests(task: Mapping) -> list[str]:
    first = per_test.headline(task)
    return [first, *(test for test in task["tests"] if test != first)]


def _row(test: str, parts: Mapping[str, list[Record]], bases: Sequence[list[Record]], labels: Mapping[str, str]) -> Row:
    honest, peeking, literature = parts[FINETUNE], parts[PEEK], parts[BEST_TEST]
    first = honest[0]
    base, alike = _base(honest, bases)
    return Row(
        task=first.spec["task"],
        test=test,
        metric=first.data["task"]["main_metric"],
        encoder=encoder_name(first.spec),
        pooling=first.spec["pooling"],
        recipe=labels[first.key],
        method=first.spec["recipe"]["method"]["name"],
        honest=column(honest, test),
        peeking=column(peeking, test) if peeking else None,
        literature=column(literature, test) if literature else None,
        gap=compared(peeking, honest, test, FINETUNE, True) if peeking else None,
        compared=compared(honest, base, test, labels[base[0].key], alike) if base else None,
        epochs=tuple(record.selection["chosen"]["epoch"] for record in honest),
        cost={
            name: float(sum(record.run.get(name, np.nan) for record in honest)) for name in ("wall_s", "device_hours")
        }
        | {"memory_mb": max(_memory(record) for record in honest)},
        spec=first.spec,
        told=first.data["recipe"],
    )


def _memory(record: Record) -> float:
    memory_mb = record.run.get("device_memory_mb")
    return float(memory_mb if memory_mb is not None else record.run.get("peak_memory_mb", np.nan))


def _base(ours: list[Record], bases: Sequence[list[Record]]) -> tuple[list[Record], bool]:
    """(The runs to compare with, whether they differ in the method alone).

    These are the runs of cross-entropy on the same encoder and data with the same other settings, else those of the
    recipe named after it; none for cross-entropy itself, unless it learned from teachers, too.
    """
    spec = ours[0].spec
    if spec["recipe"]["method"]["name"] == BASE and "distillation" not in spec["recipe"]:
        return [], True
    alike, same_name = [], []
    for other in bases:
        theirs = other[0].spec
        same = all(theirs.get(name) == spec.get(name) for name in SAME)
        if not same or theirs["recipe"]["method"]["name"] != BASE or other[0].key == ours[0].key:
            continue
        if _rest(theirs) == _rest(spec):
            alike = alike or other
        elif other[0].data["recipe"]["name"] == BASE:
            same_name = same_name or other
    return (alike, True) if alike else (same_name, False)


def _rest(spec: Mapping) -> dict:
    """A recipe without its method."""
    return {name: value for name, value in spec["recipe"].items() if name != "method"}


def teaching(recipe: Mapping) -> str:
    """Whose soft labels runs of a recipe learned from, to follow its method; empty where there were none."""
    learned = recipe.get("distillation")
    if not learned:
        return ""
    whom = ", ".join(learned["teachers"])
    return f", and soft labels (weight {learned['weight']}, temperature {learned['temperature']}) of {whom}"


def column(records: Sequence[Record], test: str) -> Column:
    """The main metric on a test over the records of several seeds."""
    metric = records[0].data["task"]["main_metric"]
    score = per_test.mean_over_seeds(records, test, metric)
    values = tuple(_value(record, test) for record in records)
    return Column(score, _sd(values), tuple(record.spec["seed"] for record in records), values)


def _value(record: Record, test: str) -> float:
    value = record.scores[test][record.data["task"]["main_metric"]]["value"]
    return np.nan if value is None else value


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else np.nan


def compared(ours: Sequence[Record], theirs: Sequence[Record], test: str, base: str, alike: bool) -> Comparison | None:
    """``ours`` minus ``theirs`` in the main metric over the seeds that both have; None where they share none."""
    pairs = [(a, b) for a in ours for b in theirs if a.spec["seed"] == b.spec["seed"]]
    if not pairs:
        return None
    metric = ours[0].data["task"]["main_metric"]
    sides = [[per_test.tested(record, test) for record in side] for side in zip(*pairs)]
    difference = intervals.mean_difference(*sides, metric, **per_test.comparison_arguments(ours[0]))
    own = [_value(a, test) - _value(b, test) for a, b in pairs]
    return Comparison(difference, _sd(own), tuple(a.spec["seed"] for a, _ in pairs), base, alike)


def frozen(records: Sequence[Record], row: Row) -> Record | None:
    """The linear probe of the frozen encoder that the row started from, where the records hold one.

    Of several, the one with the row's clip policy, pooling and layer is preferred.
    """
    same = ("task", "encoder", "encoder_version", "weights", "settings", "code")
    probes = [
        record
        for record in records
        if record.spec["protocol"] == FROZEN
        and record.spec["seed"] == 0
        and row.test in record.scores
        and all(record.spec.get(name) == row.spec.get(name) for name in same)
    ]
    nearest = ("clip", "pooling", "layer")
    return min(probes, key=lambda r: ([r.spec[name] != row.spec[name] for name in nearest], r.key), default=None)


def differences(told: Mapping) -> tuple[str, ...]:
    """What differs from a recipe's source, in sentences; one that says so where a record does not tell.

    ``told`` is what the recipe says of itself. Nothing differs where there is no source.
    """
    if not told["source"]:
        return ()
    return tuple(told.get("differences", (UNTOLD,)))


def named(row: Row) -> str:
    """The row's recipe, with how many differences from its source are told below."""
    differs = differences(row.told)
    if not differs:
        return row.recipe
    count = "differences not recorded" if differs == (UNTOLD,) else f"differs: {len(differs)}"
    return f"{row.recipe} ({count})"


def unit_of(row: Row) -> str:
    """The unit of the row's metric."""
    return metrics.get(row.metric).unit
