"""Whether paths that end early decide as whole ones do: python scripts/benchmarks/path_end.py [--task T ...]

For every stored record of the protocol ``linear`` on classes, its probe is fitted twice to its features: by the name of
the metric, so that its paths may end, and by the same metric as a callable, which has the whole path. The best
candidate and every decision on the test must be the same. Printed are the candidates that are no longer solved, how far
their scores stay behind the best, and the seconds of both fits, whole paths first. With --replay nothing is computed:
the rule is put to the stored scores of paths that were solved to their last C, as if half of the deviance were always
explained, which ends more paths than the probe does. Exit status 1 where a choice or a decision differs.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

from bench.base import registry
from bench.data.manifest import TRAIN, load_task, prepare
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import load_encoder
from bench.probe.linear.candidates import may_end
from bench.probe.linear.design import Designs
from bench.probe.linear.logistic import HALF_DECADES, LogisticPathCV
from bench.probe.linear.solver.path import FIRST
from bench.probe.protocols import FOLDS
from bench.scores import metrics, records
from bench.scores.metrics import Roles
from bench.scores.schema import Record, Spec


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--task", nargs="+")
    parser.add_argument("--encoder", nargs="+")
    parser.add_argument("--root", type=Path, help="folder of the corpora")
    parser.add_argument("--replay", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    alike = True
    found = stored(arguments.results, arguments.task, arguments.encoder)
    if arguments.replay:
        found = [record for record in found if "path_ends" not in record.selection]
    if not found:
        print("no record of classes under linear that is asked for", file=sys.stderr)
        return 1
    for record in found:
        line, same = replayed(record) if arguments.replay else compared(record, arguments.root)
        print(line, flush=True)
        alike &= same
    return 0 if alike else 1


def stored(results: Path, tasks: list[str] | None, encoders: list[str] | None) -> list[Record]:
    """The records to compare for: of classes, seed 0."""
    return [
        record
        for record in records.load_all(results)
        if record.spec["protocol"] == "linear"
        and record.spec["seed"] == 0
        and len(record.selection["path"]) == 2 * len(HALF_DECADES)
        and (tasks is None or record.spec["task"] in tasks)
        and (encoders is None or record.spec["encoder"] in encoders)
    ]


def compared(record: Record, root: Path | None = None) -> tuple[str, bool]:
    """A line of figures, and whether choice and decisions are the same."""
    spec = record.spec
    card, want = registry.task_card(spec["task"]), (spec["layer"], spec["pooling"])
    prepared, encoder = prepare(load_task(card.id, root)), load_encoder(spec["encoder"])
    store = FeatureStore(encoder, prepared, spec["clip"])
    store.encode([want])
    features, train = store.gather(want), prepared.rows["split"].isin(TRAIN).to_numpy()
    rows = prepared.rows[train]

    def score(y: np.ndarray, proba: np.ndarray) -> float:
        return metrics.evaluate(card.main_metric, y, proba.argmax(axis=1), proba, Roles.of(card))

    probes, seconds = [], []
    for metric in (score, card.main_metric):
        began = time.monotonic()
        probe = LogisticPathCV(
            metric=metric,
            roles=Roles.of(card),
            classes=range(len(card.classes)),
            folds=FOLDS,
            seed=spec["seed"],
            designs=Designs(threads=1),
        )
        probes.append(probe.fit(features[train], rows["label"].to_numpy(), rows["group"].to_numpy()))
        seconds.append(f"{time.monotonic() - began:8.1f} s")
    whole, ended = probes
    chosen = whole.best_params_ == ended.best_params_
    differ = int((whole.predict(features[~train]) != ended.predict(features[~train])).sum())
    ends = {end["class_weight"]: end["C"] for end in ended.path_ends_}
    verdict = "same" if chosen and not differ else f"chosen {ended.best_params_}, {differ} decisions differ"
    return f"{_unsolved(spec, whole.path_, ends)} {' '.join(seconds)}  {verdict}", chosen and not differ


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
    return f"{_unsolved(before.spec, path, ends)}  {'same' if same else f'chosen {found}'}", same


def _unsolved(spec: Spec, path: list[dict], ends: dict[str | None, float]) -> str:
    """What a path is of, how many of its candidates lie beyond the ends, and how far behind they are."""
    behind = [
        max(each["score"] for each in path) - candidate["score"]
        for candidate in path
        if candidate["C"] > ends.get(candidate["class_weight"], np.inf)
    ]
    unsolved = f"{len(behind):3d} not solved, {min(behind):.3f} behind or more" if behind else "all solved"
    return f"{spec['task']}  {spec['encoder']}  {spec['pooling']}".ljust(64) + f"of {len(path)}, {unsolved:36s}"


if __name__ == "__main__":
    sys.exit(main())
