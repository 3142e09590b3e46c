"""Records of invented encoders on invented tasks, without audio: for tests of whatever shows records."""

import hashlib

import numpy as np
import pandas as pd

from bench.scores import per_test, records
from bench.scores.schema import Record

DIGEST = "0123456789abcdef" * 4


def task_facts(classes=("normal", "wheeze"), tests=None, **more):
    return {
        "classes": list(classes),
        "metrics": ["icbhi.Score", "uar", "auroc"],
        "main_metric": "icbhi.Score",
        "normal": 0,
        "adventitious": list(range(1, len(classes))),
        "tests": dict(tests or {"corrected": ["test"], "official": ["test", "test_overlap"]}),
        "group": "patient",
        "domain": "device",
        **more,
    }


def clips(task, n=60, groups=12, seed=0, name="clip"):
    """The clips of a task as a prediction table without predictions; the domain tells even from odd patients."""
    draw = np.random.default_rng(seed)
    splits = sorted({split for own in task["tests"].values() for split in own})
    patient = np.sort(draw.integers(0, groups, n))
    return pd.DataFrame(
        {
            "clip_id": [f"{name}{i:05d}" for i in range(n)],
            "group": [f"p{p:03d}" for p in patient],
            "domain": [f"device {p % 2}" for p in patient],
            "split": [splits[p % len(splits)] for p in patient],
            "duration_s": np.round(draw.uniform(0.5, 5, n), 3),
            "y_true": draw.integers(0, len(task["classes"]), n),
        }
    )


def predictions(task, table, skill, seed):
    """Class scores that are better than chance by ``skill`` standard deviations."""
    draw = np.random.default_rng(seed)
    scores = draw.standard_normal((len(table), len(task["classes"])))
    scores[np.arange(len(table)), table["y_true"]] += skill
    scores = records.as_stored(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))
    columns = {f"s_{k}": scores[:, k] for k in range(scores.shape[1])}
    return table.assign(y_pred=scores.argmax(axis=1), **columns)


def record(id, encoder, task, table, *, skill=1.0, seed=0, scores=None, data=None, run=None, **spec):
    """A record of an encoder on a task's clips; ``scores`` are computed unless they are given."""
    whole = {
        "schema": records.SCHEMA,
        "task": id,
        "task_version": 1,
        "manifest": DIGEST,
        "state": "complete",
        "excluded": "",
        "encoder": encoder,
        "encoder_version": 1,
        "weights": DIGEST,
        "parameters": DIGEST,
        "layer": -1,
        "pooling": "mean",
        "clip": "native",
        "resampler": "soxr-HQ",
        "dtype": "float32",
        "statistics": "",
        "protocol": "linear",
        "protocol_version": 3,
        "kind": "frozen",
        "seed": seed,
    } | spec
    own = predictions(task, table, skill, [seed, *encoder.encode()])
    made, domains = per_test.score_predictions(task, own) if scores is None else scores
    counts = {s: int((table["split"] == s).sum()) for s in sorted(table["split"].unique())}
    split = {
        name: {"clips": n, "recordings": n, "patients": 3} | dict.fromkeys(task["classes"], 1)
        for name, n in counts.items()
    }
    facts = {
        "task": task,
        "state": whole["state"],
        "incomplete": False,
        "excluded": [],
        "splits": split,
        "recordings_in_full": None,
        "groups_in_train": dict.fromkeys(task["tests"], 0),
        "licence": "free for research",
        "citation": "Nobody, 2026",
        "url": "https://example.org",
        "marks": [],
        "trained_on": ["audioset"],
        "weights_licence": "MIT",
        "parity": "golden",
        "policy": "upstream",
        "params": 1_000_000,
        "predictions_sha256": DIGEST,
    } | (data or {})
    selection = {
        "method": "pooled out-of-fold main metric",
        "chosen": {"C": 0.1, "class_weight": None},
        "path": [{"C": c, "class_weight": None, "score": 0.5 + c, "share": 0.5} for c in (0.1, 0.01)],
        "folds": {},
    }
    facts["predictions_sha256"] = hashlib.sha256(records.predictions_csv(own)).hexdigest()
    return Record(
        records.key(whole), whole, made, domains, selection, facts, own, run or {"wall_s": 1.5, "commit": "abc"}
    )
