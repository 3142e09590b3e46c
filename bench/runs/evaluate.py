"""One (encoder, task, protocol, seed) to a Record: the only place where the stages meet.

The probe is handed training rows alone; test rows reach ``predict_proba`` and nothing else. Scores are computed from
the predictions as they will be read back from disk, so ``verify`` can hold every digit against them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from bench.base import provenance
from bench.base.errors import BadInput
from bench.base.parallel.engine import LOCAL, Engine
from bench.base.progress import Progress, Tick, silent
from bench.data import clips
from bench.data.manifest import TRAIN, Prepared, prepare
from bench.encoders.batches import device_of
from bench.encoders.features.store import FeatureStore
from bench.encoders.probe_inputs import probe_input, required_features, resolve_layer_pooling
from bench.probe import controls, protocols
from bench.probe.goal import too_few
from bench.runs.spec import control_spec, encoder_spec
from bench.scores import label_kinds, records
from bench.scores.per_test import score_predictions, task_facts
from bench.scores.schema import CONSTANT_FEATURES, Choice, DataFacts, EncoderFacts, Record, RunFacts, Selection, Spec
from bench.types import Encoder, EncoderCard, Protocol, Task, TaskCard

if TYPE_CHECKING:
    from bench.probe.linear.design import Designs

Bar = Callable[[int], AbstractContextManager[Tick]]


def evaluate(
    encoder: Encoder,
    task: Task,
    protocol: str = "linear",
    seeds: Sequence[int] | None = None,
    *,
    pooling: str | None = None,
    layer: int | None = None,
    clip: str = "native",
    on_bad_clip: str = "error",
    engine: Engine = LOCAL,
    progress: Progress = silent,
) -> list[Record]:
    """One record per seed for a frozen encoder on a task.

    Parameters
    ----------
    encoder, task
        As ``bench.load_encoder`` and ``bench.load_task`` give them.
    protocol
        The name of a protocol (``respbench ls protocols``).
    seeds
        By default the protocol's own.
    pooling, layer
        By default the card's.
    clip
        The name of a clip policy (``bench.data.clips``).
    on_bad_clip
        ``error`` refuses data with unusable clips; ``exclude`` goes on without them, lists them and marks the records
        incomplete; ``keep-short`` takes recordings that their headers call longer as long as they are, and lists them.
    progress
        Where features and folds are counted (``bench.base.progress``).
    engine
        Where clips are encoded; no number depends on it.

    Raises
    ------
    UnknownId
        For a protocol, pooling, layer or clip policy that does not exist.
    BadInput
        For unusable data, before anything is computed.
    """
    prepared = prepare(task, on_bad_clip, progress)
    under_clip = protocols.get(protocol, clip)
    layer_pooling = resolve_layer_pooling(encoder.card, pooling, layer, under_clip.reads)
    check_trainable(task.card, prepared.rows)
    store = FeatureStore(encoder, prepared, under_clip.clip)
    store.encode(required_features(encoder.card, layer_pooling, under_clip.reads), progress, engine)
    features = probe_input(store, encoder.card, layer_pooling, under_clip)
    return [
        record_from_features(
            features,
            encoder_spec(encoder, task.card, prepared, protocol, seed, *layer_pooling, clip, store.spec),
            encoder.card,
            task.card,
            prepared,
            device=str(device_of(encoder)),
            drift=store.drift,
            progress=progress,
        )
        for seed in (under_clip.seeds if seeds is None else seeds)
    ]


def record_from_features(
    features: np.ndarray,
    spec: Spec,
    encoder: EncoderCard,
    card: TaskCard,
    prepared: Prepared,
    *,
    device: str = "cpu",
    designs: Designs | None = None,
    drift: float | None = None,
    progress: Progress = silent,
) -> Record:
    """The record that ``spec`` identifies: a probe is fitted, its predictions are scored.

    Parameters
    ----------
    features
        Float32 of all clips in the order of ``prepared.rows``, as ``bench.encoders.probe_inputs.probe_input`` gives
        them: (N, D), of tokens (N, T, D), of layers (N, L, D), of their steps (N, L, T, D).
    spec
        As ``bench.runs.spec.encoder_spec`` builds it.
    device
        Where the features were computed; a linear probe is solved there too if it is CUDA's.
    designs
        Shares factorisations with other records of the same clips, and says where they are solved instead.
    drift
        Of features at another precision than float32 (``FeatureStore.drift``).
    """
    from bench.probe.linear.design import Designs, solving_device  # torch, of no use to a list of records

    began = time.monotonic()
    designs = designs or Designs(solving_device(device))
    protocol = protocols.get(spec["protocol"], spec["clip"])
    title = f"{protocol.name} {encoder.id} {spec['pooling']} on {card.id}"
    predict = _left_out if card.leave_one_out else _held_out
    new_probe = partial(protocols.probe, protocol, card, spec["seed"], designs=designs)
    scores, selection = predict(card, prepared, features, protocol, new_probe, partial(progress, title))
    probed = time.monotonic()
    facts = encoder_facts(encoder, card)
    if _constant(features if card.leave_one_out else features[prepared.rows["split"].isin(TRAIN).to_numpy()]):
        facts["marks"].append(CONSTANT_FEATURES)
    if clips.keeps_lengths(protocol.clip):
        facts["clips_padded_to_min_s"] = _shorter(prepared, encoder)
        facts["clips_cropped_to_max_s"] = _longer(prepared, encoder)
    record = assemble_record(card, prepared, spec, scores, selection, facts, {})
    stamp = provenance.stamp(device, time.monotonic() - began) | {"probe_s": round(probed - began, 3)}
    if drift is not None:
        stamp["precision_drift"] = drift
    return replace(record, run=cast(RunFacts, stamp))


def _held_out(
    card: TaskCard, prepared: Prepared, features: np.ndarray, protocol: Protocol, new_probe: Callable, progress: Bar
) -> tuple[np.ndarray, Selection]:
    """(scores of the test rows, selection) of one probe fitted on the training rows."""
    train = prepared.rows["split"].isin(TRAIN).to_numpy()
    groups = prepared.rows["group"].to_numpy()
    with progress(protocols.FOLDS) as tick:
        probe = _fitted(protocol, new_probe(tick=tick), features[train], prepared.rows[train])
    selection: Selection = {
        "method": protocol.selection,
        **_choice(probe),
        "at_edge": getattr(probe, "at_edge_", False),
        "folds": _fold_of_group(probe, groups[train]),
    }
    return probe.predict_scores(features[~train]), selection


def _choice(probe: Any) -> Choice:
    """What a fitted probe chose, and from what."""
    choice: Choice = {"chosen": probe.best_params_, "path": [_rounded(candidate) for candidate in probe.path_]}
    if ends := getattr(probe, "path_ends_", []):
        choice["path_ends"] = ends
    if count := getattr(probe, "left_out_", 0):
        choice["features_left_out"] = count
    return choice


def _left_out(
    card: TaskCard, prepared: Prepared, features: np.ndarray, protocol: Protocol, new_probe: Callable, progress: Bar
) -> tuple[np.ndarray, Selection]:
    """(scores of all rows, selection) of one probe per group, fitted and chosen on all other groups."""
    groups = prepared.rows["group"].to_numpy()
    names = sorted(set(groups))
    scores, choices = np.empty((len(groups), 0)), {}
    with progress(len(names)) as tick:
        for name in names:
            left_out = groups == name
            probe = _fitted(protocol, new_probe(), features[~left_out], prepared.rows[~left_out])
            predicted = probe.predict_scores(features[left_out])
            if not scores.size:
                scores = np.empty((len(groups), predicted.shape[1]))
            scores[left_out], choices[str(name)] = predicted, _choice(probe)
            tick(1)
    method = f"leave one {card.group} out; inside the others: {protocol.selection}"
    chosen = {name: str(choice["chosen"]) for name, choice in choices.items()}
    return scores, {"method": method, "chosen": chosen, "path": [], "left_out": choices}


def _fitted(protocol: Protocol, probe: Any, features: np.ndarray, rows: pd.DataFrame) -> Any:
    """The protocol's probe, fitted on these rows; it is told which are the task's own for validation if it asks."""
    validation = {"validation": (rows["split"] == "val").to_numpy()} if protocol.validates else {}
    return probe.fit(features, rows["label"].to_numpy(), rows["group"].to_numpy(), **validation)


def control_record(name: str, card: TaskCard, prepared: Prepared, seed: int = 0) -> Record:
    """A label-only control row: it knows the training labels alone (``bench.probe.controls``)."""
    began = time.monotonic()
    check_trainable(card, prepared.rows)
    tested = _tested(prepared.rows).to_numpy()
    labels, groups = prepared.rows["label"].to_numpy(), prepared.rows["group"].to_numpy()
    if card.leave_one_out:
        scores = controls.left_out(name, card, labels, groups, seed)
    else:
        scores = controls.scores(name, card, labels[~tested], int(tested.sum()), seed)
    spec = control_spec(name, card, prepared, seed)
    facts: EncoderFacts = {"marks": [], "weights_licence": "", "trained_on": []}
    selection: Selection = {"method": "none", "chosen": {}, "path": []}
    run = cast(RunFacts, provenance.stamp("cpu", time.monotonic() - began))
    return assemble_record(card, prepared, spec, scores, selection, facts, run)


def check_trainable(card: TaskCard, rows: pd.DataFrame) -> None:
    """Raises ``BadInput`` where the clips at hand, rows of the manifest, cannot serve a probe.

    That is: no training clips, one class only, no clips of the first test, no group that can be left out, or too few
    groups, or clips of every class, for a choice by held-out groups.
    """
    tested = _tested(rows)
    train = rows if card.leave_one_out else rows[~tested]
    if train["label"].nunique() < 2:
        kind = label_kinds.of(card)
        held = [name for name, n in kind.counts(train["label"].to_numpy(), card.classes).items() if n]
        problem = f"its training split holds {', '.join(held) or 'nothing'} and a probe needs two classes"
        raise BadInput(card.id, problem, "complete the corpus")
    first, splits = next(iter(card.tests.items()))
    if not rows["split"].isin(splits).any():
        raise BadInput(card.id, f"there is no audio of its headline test `{first}`", "complete the corpus")
    if card.leave_one_out and not tested.all():
        remedy = "its manifest() must give all rows a test split"
        raise BadInput(card.id, f"it leaves one {card.group} out in turn, and has training rows", remedy)
    if card.leave_one_out and rows["group"].nunique() < 3:
        raise BadInput(card.id, f"leaving one {card.group} out needs three", "complete the corpus")
    parts = {"its training split": train}
    if card.leave_one_out:
        parts = {f"without {card.group} {name}": rows[rows["group"] != name] for name in sorted(set(rows["group"]))}
    for where, part in parts.items():
        problem = too_few(part["label"].to_numpy(), part["group"].to_numpy(), card.kind)
        if part["label"].nunique() < 2:
            problem = "all have one label"
        if problem:
            remedy = f"a probe needs two {card.group}s, two classes and two clips of one of them; add clips"
            raise BadInput(card.id, f"{where}: {len(part)} clips, and {problem}", remedy)


def _tested(rows: pd.DataFrame) -> pd.Series:
    """Which rows are predicted."""
    return ~rows["split"].isin(TRAIN)


def assemble_record(
    card: TaskCard,
    prepared: Prepared,
    spec: Spec,
    scores: np.ndarray,
    selection: Selection,
    encoder: EncoderFacts,
    run: RunFacts,
) -> Record:
    """A record from class scores.

    Parameters
    ----------
    card, prepared, spec, selection, run
        Of the record.
    scores
        (N_test, K) as the task's kind has them (``bench.scores.label_kinds``), in the order of the test rows.
    encoder
        What is known of the encoder (``encoder_facts``).
    """
    test = prepared.rows[_tested(prepared.rows)]
    order = test["clip_id"].argsort().to_numpy()
    test = test.sort_values("clip_id")
    rounded = records.as_stored(np.asarray(scores)[order])
    predictions = pd.DataFrame(
        {
            "clip_id": test["clip_id"].to_numpy(),
            "group": test["group"].to_numpy(),
            "domain": test["domain"].to_numpy(),
            "split": test["split"].to_numpy(),
            "duration_s": records.as_stored((test["end_s"] - test["start_s"]).to_numpy()),
            "y_true": test["label"].to_numpy(),
            "y_pred": label_kinds.of(card).decided(rounded),
            **{f"s_{k}": rounded[:, k] for k in range(rounded.shape[1])},
        }
    )
    task = task_facts(card)
    data: DataFacts = {
        "task": task,
        "state": prepared.state,
        "incomplete": prepared.incomplete,
        "excluded": [str(finding) for finding in prepared.excluded],
        "splits": {split: dict(counts) for split, counts in prepared.statistics.items()},
        "recordings_in_full": sum(counts["recordings"] for counts in card.counts.values()) or None,
        "groups_in_train": _shared_groups(card, prepared),
        "licence": card.licence,
        "citation": card.citation,
        "url": card.url,
        "predictions_sha256": hashlib.sha256(records.predictions_csv(predictions)).hexdigest(),
        **encoder,
    }
    if prepared.short:
        data["short"] = list(prepared.short)
    by_test, by_domain = score_predictions(task, predictions)
    return Record(records.key(spec), spec, by_test, by_domain, selection, data, predictions, run)


def _shared_groups(card: TaskCard, prepared: Prepared) -> dict[str, int]:
    """{test: number of its groups that training holds too}; the board names the tests where it is not 0."""
    rows = prepared.rows
    train = set() if card.leave_one_out else set(rows.loc[rows["split"].isin(TRAIN), "group"])
    return {
        test: len(train & set(rows.loc[rows["split"].isin(splits), "group"])) for test, splits in card.tests.items()
    }


def encoder_facts(encoder: EncoderCard, task: TaskCard) -> EncoderFacts:
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


def _constant(features: np.ndarray) -> bool:
    """Whether all rows are alike."""
    return bool((features[1:2] == features[:1]).all() and (features == features[:1]).all())


def _rounded(candidate: Mapping[str, Any]) -> dict[str, Any]:
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
