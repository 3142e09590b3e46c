"""Whether paths that end early choose as whole ones do: python scripts/benchmarks/path_end.py [--task T ...]

Every stored record of the protocol ``linear`` whose path was solved to its last C is made again from its features: the
chosen candidate must be the same, and every decision on the test that of the record's candidate fitted by itself (the
record's own decisions are on the features of the machine that made it). Printed are the candidates that are no longer
solved, how far their scores stay behind the best, and the seconds of both probes, those of the record on the machine
that made it. With --replay nothing is computed: the rule is put to the stored scores, as if half of the deviance were
always explained, which ends more paths than the probe does. Exit status 1 where a choice or a decision differs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from bench.base import registry
from bench.data.manifest import TRAIN, Prepared, load_task, prepare
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import load_encoder
from bench.probe.linear.candidates import may_end
from bench.probe.linear.crossfit import GAP_TO_PREDICT, coefficients
from bench.probe.linear.design import Designs
from bench.probe.linear.fold import class_log_probabilities, sample_weights
from bench.probe.linear.logistic import HALF_DECADES
from bench.probe.linear.solver.path import FIRST, one_hot
from bench.runs.evaluate import record_from_features
from bench.scores import records
from bench.scores.schema import Record
from bench.types import TaskCard


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--task", nargs="+")
    parser.add_argument("--encoder", nargs="+")
    parser.add_argument("--replay", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    alike = True
    for before in stored(arguments.results, arguments.task, arguments.encoder):
        line, same = replayed(before) if arguments.replay else compared(before)
        print(line, flush=True)
        alike &= same
    return 0 if alike else 1


def stored(results: Path, tasks: list[str] | None, encoders: list[str] | None) -> list[Record]:
    """The records to compare with: of classes, seed 0, with every candidate solved."""
    return [
        record
        for record in records.load_all(results)
        if record.spec["protocol"] == "linear"
        and record.spec["seed"] == 0
        and len(record.selection["path"]) == 2 * len(HALF_DECADES)
        and "path_ends" not in record.selection
        and (tasks is None or record.spec["task"] in tasks)
        and (encoders is None or record.spec["encoder"] in encoders)
    ]


def compared(before: Record) -> tuple[str, bool]:
    """A line of figures, and whether choice and decisions are the same."""
    spec = before.spec
    card, want = registry.task_card(spec["task"]), (spec["layer"], spec["pooling"])
    prepared, encoder = prepare(load_task(card.id)), load_encoder(spec["encoder"])
    store = FeatureStore(encoder, prepared, spec["clip"])
    store.encode([want])
    features = store.gather(want)
    after = record_from_features(features, spec, encoder.card, card, prepared, designs=Designs(threads=1))
    chosen = before.selection["chosen"] == after.selection["chosen"]
    differ = int((after.predictions["y_pred"].to_numpy() != _decided(before, features, prepared, card)).sum())
    ends = {end["class_weight"]: end["C"] for end in after.selection.get("path_ends", [])}
    seconds = [f"{record.run.get('probe_s', float('nan')):8.1f} s" for record in (before, after)]
    verdict = "same" if chosen and not differ else f"chosen {after.selection['chosen']}, {differ} decisions differ"
    return f"{_unsolved(before, ends)} {' '.join(seconds)}  {verdict}", chosen and not differ


def replayed(before: Record) -> tuple[str, bool]:
    """The same from the stored scores alone."""
    path = before.selection["path"]
    scores = np.array([each["score"] for each in path], float).reshape(len(HALF_DECADES), -1)
    solved = np.full(scores.shape[1], len(HALF_DECADES))
    for end in range(FIRST, len(HALF_DECADES)):
        going_on = np.flatnonzero(solved == len(HALF_DECADES))
        best = max(scores[: min(end, n), j].max() for j, n in enumerate(solved))
        for j in going_on:
            if may_end(scores[:end, j], best, len(HALF_DECADES) - end, explained=1.0):
                solved[j] = end
    weights = [each["class_weight"] for each in path[: len(solved)]]
    ends = {w: HALF_DECADES[n - 1] for w, n in zip(weights, solved, strict=True) if n < len(HALF_DECADES)}
    found = max(
        (each for each in path if each["C"] <= ends.get(each["class_weight"], np.inf)), key=lambda each: each["score"]
    )
    same = all(found[name] == value for name, value in before.selection["chosen"].items())
    return f"{_unsolved(before, ends)}  {'same' if same else f'chosen {found}'}", same


def _unsolved(record: Record, ends: dict[str | None, float]) -> str:
    """What a record is of, how many of its candidates lie beyond the ends, and how far behind they are."""
    path, spec = record.selection["path"], record.spec
    behind = [
        max(each["score"] for each in path) - candidate["score"]
        for candidate in path
        if candidate["C"] > ends.get(candidate["class_weight"], np.inf)
    ]
    unsolved = f"{len(behind):3d} not solved, {min(behind):.3f} behind or more" if behind else "all solved"
    return f"{spec['task']}  {spec['encoder']}  {spec['pooling']}".ljust(64) + f"of {len(path)}, {unsolved:36s}"


def _decided(record: Record, features: np.ndarray, prepared: Prepared, card: TaskCard) -> np.ndarray:
    """Decisions on the test of the candidate that a record of classes chose, fitted on all training rows."""
    train, labels = prepared.rows["split"].isin(TRAIN).to_numpy(), prepared.rows["label"].to_numpy()
    design, scaler = Designs().of(features[train], principal=False)
    present, y = np.unique(labels[train], return_inverse=True)
    chosen = record.selection["chosen"]
    weights = sample_weights(y, chosen["class_weight"])[None]
    w, b = coefficients(design, one_hot(y)[None], weights, [chosen["C"]], GAP_TO_PREDICT)
    logits = scaler(features[~train]) @ w[0].numpy().T + b[0].numpy()
    return class_log_probabilities(logits[None], present, len(card.classes))[0].argmax(axis=1)


if __name__ == "__main__":
    sys.exit(main())
