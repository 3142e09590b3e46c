"""One (encoder, task, protocol, seed) to a Record: the only place where the stages meet.

The probe is handed training rows alone; test rows reach ``predict_proba`` and nothing else. Scores are computed from
the predictions as they will be read back from disk, so ``verify`` can hold every digit against them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bench import protocol as protocols
from bench import provenance, records, stats
from bench.errors import BadInput, UnknownId
from bench.features import FeatureStore, store_spec
from bench.manifest import TRAIN, Prepared, prepare
from bench.probe._scores import from_logits, from_shares
from bench.progress import Progress, silent
from bench.types import Encoder, EncoderCard, Record, Task, TaskCard

CONTROLS = ("control.chance", "control.majority")
CONTROL_ENCODERS = ("meta.duration",)


def evaluate(
    encoder: Encoder,
    task: Task,
    protocol: str = "linear",
    seeds: Sequence[int] = (0,),
    *,
    pooling: str | None = None,
    layer: int | None = None,
    on_bad_clip: str = "error",
    progress: Progress = silent,
) -> list[Record]:
    """One record per seed for a frozen encoder on a task.

    ``pooling`` and ``layer`` default to the card's. ``on_bad_clip="exclude"`` goes on without unusable clips, lists
    them and marks the records incomplete. Raises ``BadInput`` for unusable data before anything is computed.
    """
    prepared = prepare(task, on_bad_clip, progress)
    return [
        evaluate_prepared(encoder, task.card, prepared, protocol, seed, pooling=pooling, layer=layer, progress=progress)
        for seed in seeds
    ]


def evaluate_prepared(
    encoder: Encoder,
    card: TaskCard,
    prepared: Prepared,
    protocol: str,
    seed: int,
    *,
    pooling: str | None = None,
    layer: int | None = None,
    progress: Progress = silent,
) -> Record:
    """``evaluate`` for data that has been prepared already, one seed."""
    began = time.monotonic()
    want = choice(encoder.card, pooling, layer)
    named = protocols.get(protocol)
    check_trainable(card, prepared)
    spec = encoder_spec(encoder, card, prepared, protocol, seed, *want)
    store = FeatureStore(encoder, prepared, named.clip)
    store.encode([want], progress)
    features = store.gather(want)
    train = prepared.rows["split"].isin(TRAIN).to_numpy()
    labels, groups = prepared.rows["label"].to_numpy(), prepared.rows["group"].to_numpy()
    with progress(f"{named.name} {encoder.card.id} {want[1]} on {card.id}", protocols.FOLDS) as tick:
        probe = protocols.probe(named, card, seed, tick)
        probe.fit(features[train], labels[train], groups[train])
    selection = {
        "method": named.selection,
        "chosen": probe.best_params_,
        "path": [_rounded(candidate) for candidate in probe.path_],
        "at_edge": getattr(probe, "at_edge_", False),
        "folds": _fold_of_group(probe, groups[train]),
    }
    facts = encoder_facts(encoder.card, card) | {
        "clips_padded_to_min_s": _shorter(prepared, encoder.card),
        "clips_cropped_to_max_s": _longer(prepared, encoder.card),
    }
    device = next((str(p.device) for p in getattr(encoder, "parameters", list)()), "cpu")
    scores = probe.predict_log_proba(features[~train])
    return assemble(card, prepared, spec, scores, selection, facts, provenance.stamp(device, time.monotonic() - began))


def control(name: str, card: TaskCard, prepared: Prepared, seed: int = 0) -> Record:
    """A control row that hears nothing: ``control.chance`` draws each prediction from the train prior,
    ``control.majority`` calls every clip normal, which is what the floors of Score 50 and 25 refer to."""
    began = time.monotonic()
    train = prepared.rows["split"].isin(TRAIN).to_numpy()
    check_trainable(card, prepared)
    labels = prepared.rows["label"].to_numpy()[train]
    prior = np.bincount(labels, minlength=len(card.classes)) / len(labels)
    tested = int((~train).sum())
    if name == "control.majority":
        scores = from_shares(np.tile(np.eye(len(prior))[card.normal], (tested, 1)))
    elif name == "control.chance":
        # Gumbel-max: the argmax of log prior + Gumbel noise is a draw from the prior, and the scores carry no signal.
        noise = np.random.default_rng(seed).gumbel(size=(tested, len(prior)))
        with np.errstate(divide="ignore"):
            scores = from_logits(np.log(prior) + noise)
    else:
        raise UnknownId("control", name, CONTROLS)
    spec = control_spec(name, card, prepared, seed)
    facts = {"marks": [], "weights_licence": "", "trained_on": []}
    selection = {"method": "none", "chosen": {}, "path": []}
    return assemble(card, prepared, spec, scores, selection, facts, provenance.stamp("cpu", time.monotonic() - began))


# ------------------------------------------------------------------ identity


def choice(card: EncoderCard, pooling: str | None, layer: int | None) -> tuple[int, str]:
    """(layer, pooling) with the card's defaults filled in. Raises ``UnknownId`` for a pooling it does not offer."""
    pooling = pooling or card.default_pooling
    if pooling not in card.dims:
        raise UnknownId(f"pooling of {card.id}", pooling, card.dims)
    if layer is None:
        return card.pool_layer, pooling
    if not -card.layers <= layer < card.layers:
        raise UnknownId(f"layer of {card.id}", str(layer), map(str, range(card.layers)))
    # one name for one layer: counted from the last, so that -1 is the last of every encoder
    return (layer if layer < 0 else layer - card.layers), pooling


def encoder_spec(
    encoder: Encoder, card: TaskCard, prepared: Prepared, protocol: str, seed: int, layer: int, pooling: str
) -> dict:
    """What determines the numbers of a frozen-encoder record."""
    named = protocols.get(protocol)
    store = store_spec(encoder, prepared, named.clip)
    return {
        **task_spec(card, prepared),
        "encoder": encoder.card.id,
        "encoder_version": encoder.card.version,
        "weights": store["weights"],
        "parameters": store["parameters"],
        "layer": layer,
        "pooling": pooling,
        "clip": named.clip,
        "resampler": store["resampler"],
        "dtype": store["dtype"],
        "statistics": store["statistics"],
        "protocol": named.name,
        "protocol_version": named.version,
        "kind": named.kind,
        "seed": seed,
    }


def control_spec(name: str, card: TaskCard, prepared: Prepared, seed: int) -> dict:
    """What determines the numbers of a control row."""
    named = protocols.get("control")
    blank = dict.fromkeys(("weights", "parameters", "pooling", "clip", "resampler", "dtype", "statistics"), "none")
    return {
        **task_spec(card, prepared),
        "encoder": name,
        "encoder_version": 1,
        **blank,
        "layer": -1,
        "protocol": named.name,
        "protocol_version": named.version,
        "kind": named.kind,
        "seed": seed,
    }


def task_spec(card: TaskCard, prepared: Prepared) -> dict:
    """What a task and the data at hand contribute to what determines a record."""
    excluded = "\n".join(sorted(map(str, prepared.excluded)))
    return {
        "schema": records.SCHEMA,
        "task": card.id,
        "task_version": card.version,
        "manifest": prepared.digest,
        "state": prepared.state,
        "excluded": hashlib.sha256(excluded.encode()).hexdigest() if excluded else "",
    }


# ------------------------------------------------------------------ assembly


def check_trainable(card: TaskCard, prepared: Prepared) -> None:
    """Raises ``BadInput`` where the copy at hand has no training clips, one class only, or no test clips."""
    rows = prepared.rows
    train = rows[rows["split"].isin(TRAIN)]
    if train["label"].nunique() < 2:
        held = ", ".join(card.classes[k] for k in sorted(train["label"].unique())) or "nothing"
        raise BadInput(card.id, f"its training split holds {held} and a probe needs two classes", "complete the corpus")
    if not (~rows["split"].isin(TRAIN)).any():
        raise BadInput(card.id, "its test splits hold no clip", "complete the corpus")


def assemble(
    card: TaskCard,
    prepared: Prepared,
    spec: Mapping,
    scores: np.ndarray,
    selection: Mapping,
    facts: Mapping,
    stamp: dict,
) -> Record:
    """A Record from class scores (N_test, K), natural logarithms of probabilities, in the order of the test rows."""
    test = prepared.rows[~prepared.rows["split"].isin(TRAIN)].sort_values("clip_id")
    order = prepared.rows[~prepared.rows["split"].isin(TRAIN)]["clip_id"].argsort().to_numpy()
    rounded = records.round_scores(np.asarray(scores)[order])
    predictions = pd.DataFrame(
        {
            "clip_id": test["clip_id"].to_numpy(),
            "group": test["group"].to_numpy(),
            "domain": test["domain"].to_numpy(),
            "split": test["split"].to_numpy(),
            "y_true": test["label"].to_numpy(),
            "y_pred": rounded.argmax(axis=1),
            **{f"s_{k}": rounded[:, k] for k in range(rounded.shape[1])},
        }
    )
    task = task_facts(card)
    data = {
        "task": task,
        "state": prepared.state,
        "incomplete": prepared.incomplete,
        "excluded": [str(finding) for finding in prepared.excluded],
        "splits": prepared.statistics,
        "recordings_in_full": sum(counts["recordings"] for counts in card.counts.values()) or None,
        "groups_in_train": _shared_groups(card, prepared),
        "licence": card.licence,
        "citation": card.citation,
        "url": card.url,
        "predictions_sha256": hashlib.sha256(records.predictions_csv(predictions)).hexdigest(),
        **facts,
    }
    tables, domains = scores_of(task, predictions)
    return Record(records.key(spec), dict(spec), tables, domains, dict(selection), data, predictions, stamp)


def task_facts(card: TaskCard) -> dict:
    """The part of a task's card that its scores depend on, JSON-ready: every record carries its own copy."""
    return {
        "classes": list(card.classes),
        "metrics": list(card.metrics),
        "main_metric": card.main_metric,
        "normal": card.normal,
        "adventitious": list(card.adventitious),
        "tests": {name: list(splits) for name, splits in card.tests.items()},
        "group": card.group,
        "domain": card.domain,
    }


def _shared_groups(card: TaskCard, prepared: Prepared) -> dict[str, int]:
    """{test: number of its groups that training holds too}; the board names the tests where it is not 0."""
    rows = prepared.rows
    train = set(rows.loc[rows["split"].isin(TRAIN), "group"])
    return {
        test: len(train & set(rows.loc[rows["split"].isin(splits), "group"])) for test, splits in card.tests.items()
    }


def scores_of(task: Mapping, predictions: pd.DataFrame) -> tuple[dict, dict]:
    """(scores, domains) of a prediction table, JSON-ready: per test, every metric with its interval; per test and
    domain, the same metrics. A test without clips is left out: its cell stays blank."""
    tables, domains = {}, {}
    for test, splits in task["tests"].items():
        part = predictions[predictions["split"].isin(splits)]
        if part.empty:
            continue
        table = stats.score_table(part, **metric_arguments(task))
        tables[test] = {name: records.score_json(score) for name, score in table.items()}
        by_domain = stats.domain_table(part, **metric_arguments(task))
        domains[test] = {
            domain: {name: records.score_json(score) for name, score in table.items()}
            for domain, table in by_domain.items()
        }
    return tables, domains


def metric_arguments(task: Mapping) -> dict:
    """The arguments of ``bench.stats`` functions from a record's own copy of its task card."""
    from bench.metrics import Roles

    return {
        "metrics": task["metrics"],
        "classes": task["classes"],
        "roles": Roles(task["normal"], tuple(task["adventitious"])),
    }


def encoder_facts(encoder: EncoderCard, task: TaskCard) -> dict:
    """What a table says about an encoder beside its number."""
    seen = sorted(set(encoder.trained_on) & set(task.corpora))
    return {
        "marks": [f"{corpus} seen in pretraining" for corpus in seen],
        "trained_on": list(encoder.trained_on),
        "weights_licence": "; ".join(weights.licence for weights in encoder.weights),
        "parity": encoder.parity,
        "policy": encoder.policy,
        "params": encoder.params,
    }


def _rounded(candidate: Mapping) -> dict:
    """A candidate of the search with its score as scores are stored; an undefined one is null."""
    score = candidate["score"]
    return {**candidate, "score": None if np.isnan(score) else round(score, records.DECIMALS)}


def _fold_of_group(probe: object, groups: np.ndarray) -> dict[str, int]:
    """{group: the fold that held it out}; empty for probes that select nothing."""
    folds = getattr(probe, "folds_", ())
    return {group: int(fold) for group, fold in sorted(zip(groups, folds))}


def _durations(prepared: Prepared) -> np.ndarray:
    return (prepared.rows["end_s"] - prepared.rows["start_s"]).to_numpy()


def _shorter(prepared: Prepared, card: EncoderCard) -> int:
    return int((_durations(prepared) < card.min_s).sum())


def _longer(prepared: Prepared, card: EncoderCard) -> int:
    return 0 if card.max_s is None else int((_durations(prepared) > card.max_s).sum())
