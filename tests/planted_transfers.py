"""Records of transfers with planted effects: how well classes are told apart, in-domain and out of it, is chosen."""

import numpy as np
import pandas as pd

from bench.base.registry import task_card
from bench.scores import label_kinds, per_test, records
from bench.scores.schema import Record

TRANSFER, REVERSE = "transfer.icbhi-sprsound", "transfer.sprsound-icbhi"
NO_CHOICE = {"method": "none", "chosen": {}, "path": []}
PATIENTS, CLIPS = 40, 12  # of every test, and of every patient


def record(
    encoder, strength, *, task=TRANSFER, shift=0.0, protocol="linear", patients=PATIENTS, selection=NO_CHOICE, **other
):
    """A record whose log odds lie ``strength[split]`` standard deviations on their class's side of ``shift``.

    Splits without a strength have no clips. Clips, labels and their noise are the same for all encoders, so that
    differences between records of equal strength are nothing but what was planted. ``other`` goes into the spec.
    """
    card = task_card(task)
    facts = per_test.task_facts(card)
    parts = [
        _predictions(split, power, shift, len(card.classes), facts.get("kind", "multiclass"), patients)
        for split, power in strength.items()
    ]
    predictions = pd.concat(parts, ignore_index=True)
    scores, domains = per_test.score_predictions(facts, predictions)
    splits = {
        split: {"recordings": len(part), "patients": part["group"].nunique(), "clips": len(part)}
        for split, part in predictions.groupby("split")
    }
    splits["train"] = {"recordings": 99, "patients": 33, "clips": 990}
    kind = "control" if encoder.startswith("control.") else "fewshot" if protocol.startswith("fewshot") else "frozen"
    spec = {
        **{"schema": records.SCHEMA, "task": task, "task_version": card.version, "manifest": "m", "state": "complete"},
        **{"excluded": "", "encoder": encoder, "encoder_version": 1, "weights": encoder, "parameters": "p"},
        **{"layer": -1, "pooling": "mean", "clip": "native", "resampler": "r", "dtype": "float32", "statistics": ""},
        **{"protocol": "control" if kind == "control" else protocol, "protocol_version": 3, "kind": kind, "seed": 0},
        **other,
    }
    data = {
        **{"marks": [], "trained_on": [], "weights_licence": "", "task": facts, "state": "complete"},
        **{"incomplete": False, "excluded": [], "splits": splits, "recordings_in_full": None, "groups_in_train": {}},
        **{"licence": "", "citation": "", "url": "", "predictions_sha256": ""},
    }
    return Record(records.key(spec), spec, scores, domains, selection, data, predictions)


def majority(splits, task=TRANSFER, **more):
    """``control.majority``: every clip normal."""
    return record("control.majority", dict.fromkeys(splits, None), task=task, **more)


def _predictions(split, power, shift, classes, kind, patients):
    corpus = "sprsound" if "inter" in split else "icbhi"  # whose clips are the same in a transfer and in its reverse
    rng = np.random.default_rng([*corpus.encode()])
    n = patients * CLIPS
    groups = np.repeat(np.arange(patients), CLIPS)
    labels = rng.integers(0, 2, (n, classes)) if kind == "multilabel" else rng.integers(0, 2, n)
    noise = rng.normal(0, 1, labels.shape) + np.resize(rng.normal(0, 0.3, patients)[groups], labels.T.shape).T
    odds = np.full(labels.shape, -10000.0) if power is None else power * (2 * labels - 1) + noise + shift
    if kind == "multilabel":
        scores, label = odds, labels @ (1 << np.arange(classes))
    else:
        scores = np.stack([-np.logaddexp(0, odds), -np.logaddexp(0, -odds)], axis=1)
        label = labels
    scores = records.as_stored(scores)
    table = pd.DataFrame(
        {
            "clip_id": [f"{corpus}-{i:04d}" for i in range(n)],
            "group": [f"{corpus}:{g:03d}" for g in groups],
            "domain": [f"corpus/device {g % 3}" for g in groups],
            "split": split,
            "duration_s": records.as_stored(rng.uniform(0.5, 4, n)),
            "y_true": label,
        }
    )
    table["y_pred"] = label_kinds.KINDS[kind].decided(scores)
    return table.assign(**{f"s_{k}": scores[:, k] for k in range(scores.shape[1])})
