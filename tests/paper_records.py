"""Records made by hand for tests of what goes into a paper: predictions of a given accuracy, scored as always."""

import hashlib

import numpy as np
import pandas as pd

from bench.scores import per_test, records
from bench.scores.schema import Record

EVENTS = {
    "classes": ["Normal", "Adventitious"],
    "metrics": ["sprsound.Score", "sprsound.SE", "sprsound.SP", "auroc"],
    "main_metric": "sprsound.Score",
    "normal": 0,
    "adventitious": [1],
    "tests": {"inter": ["test_inter"]},
    "group": "patient",
    "domain": "device",
}
CYCLES = EVENTS | {
    "metrics": ["icbhi.Score", "icbhi.Se", "icbhi.Sp"],
    "main_metric": "icbhi.Score",
    "tests": {"corrected": ["test"], "official": ["test"]},
}
TASKS = {"sprsound.events2": EVENTS, "icbhi.cycles2": CYCLES}


def record(encoder="fbank.stats", task="sprsound.events2", accuracy=0.8, patients=40, data=None, **spec):
    """One record; ``data`` and ``spec`` replace what it says of the data and of what determines it."""
    facts = TASKS.get(task, EVENTS)
    kind = "control" if encoder.startswith("control.") else "frozen"
    full = {
        "schema": records.SCHEMA,
        "task": task,
        "task_version": 1,
        "manifest": "ab" * 32,
        "state": "complete",
        "excluded": "",
        "encoder": encoder,
        "encoder_version": 1,
        "weights": "none" if kind == "control" else "cd" * 32,
        "parameters": "none" if kind == "control" else "ef" * 32,
        "layer": -1,
        "pooling": "none" if kind == "control" else "mean",
        "clip": "none" if kind == "control" else "native",
        "resampler": "soxr VHQ",
        "dtype": "float32",
        "statistics": "",
        "protocol": "control" if kind == "control" else "linear",
        "protocol_version": 1 if kind == "control" else 3,
        "kind": kind,
        "seed": 0,
    } | spec
    predictions = _predictions(next(iter(facts["tests"].values()))[0], accuracy, patients, full["seed"])
    scores, domains = per_test.score_predictions(facts, predictions)
    splits = {
        "train": {"recordings": 300, "patients": 80, "clips": 600, "Normal": 400, "Adventitious": 200},
        "test": {"recordings": 60, "patients": patients, "clips": 3 * patients, "Normal": 60, "Adventitious": 60},
    }
    about = {
        "marks": [],
        "trained_on": ["audioset"],
        "weights_licence": "MIT",
        "parity": "golden",
        "params": 2_000_000,
        "task": facts,
        "state": full["state"],
        "incomplete": False,
        "excluded": [],
        "splits": splits,
        "recordings_in_full": 360,
        "groups_in_train": dict.fromkeys(facts["tests"], 0),
        "licence": "CC BY 4.0",
        "citation": "Somebody et al., 2022",
        "url": "https://example.org",
        "predictions_sha256": hashlib.sha256(records.predictions_csv(predictions)).hexdigest(),
    } | (data or {})
    selection = {"method": "none", "chosen": {}, "path": []}
    return Record(records.key(full), full, scores, domains, selection, about, predictions)


def _predictions(split, accuracy, patients, seed):
    noise = np.random.default_rng(seed)
    n = 3 * patients
    y = np.arange(n) % 2
    right = noise.random(n) < accuracy
    predicted = np.where(right, y, 1 - y)
    positive = np.clip(predicted * 0.6 + 0.2 + noise.normal(0, 0.05, n), 0.01, 0.99)
    return pd.DataFrame(
        {
            "clip_id": [f"c{i:04d}" for i in range(n)],
            "group": [f"p{i // 3:03d}" for i in range(n)],
            "domain": "device",
            "split": split,
            "duration_s": 1.0,
            "y_true": y,
            "y_pred": predicted,
            "s_0": 1 - positive,
            "s_1": positive,
        }
    )
