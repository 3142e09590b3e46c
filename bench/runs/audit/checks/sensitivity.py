"""How far features, decisions and scores depend on what no microphone hears: rounding, and noise of one 16-bit step.

Three changes leave a clip's sound as it is: dither of one 16-bit step, a resampler of another quality, and another
code path of the processor. What they move is the noise floor of a band that a recording does not have, which a
logarithm makes as large as sound; a probe that standardises its features then decides by it.

Dither is tried on all clips: features are encoded anew, and the probe is chosen and fitted anew. The other two are
tried on all clips of a small task, else on some of the tested ones, whose features are then given to the probe as it
was fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.base.parallel.shared import Shared
from bench.base.progress import Progress, silent
from bench.data.manifest import TRAIN, Prepared
from bench.encoders.features import statistics
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import require_trained
from bench.encoders.pooling import LayerPooling
from bench.encoders.weights.code import named
from bench.probe import protocols
from bench.probe.linear.design import standardise
from bench.runs.audit import variants
from bench.runs.audit.checks import shortcuts
from bench.runs.audit.checks.fitted import PROTOCOL, FittedProbes
from bench.runs.context import NOTHING
from bench.scores import records
from bench.types import Encoder, Finding, Score, TaskCard

DITHER, RESAMPLER, PATH = "dither16", f"soxr-{variants.OTHER_QUALITY}", "another code path"
SOME = 200  # clips of a change that is not tried on all
TENTH = 0.1  # of an interval's width: a score that moves by more is marked
HALF = 0.5  # of the probe that goes to other candidates: a choice that changes is marked
# of what is kept of features, in the order in which it is told; the last two of few encoders
_OF_ENCODER = ("encoder", "encoder_version", "weights", "parameters", "resampler", "settings", "code")


def sensitivity(
    encoder: Encoder,
    here: Prepared,
    card: TaskCard,
    requested: Sequence[LayerPooling] = (),
    *,
    fitted: Mapping[LayerPooling, FittedProbes] = NOTHING,
    some: int = SOME,
    resamples: int = 1000,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """What each change does to an encoder's embeddings and to the linear probes of them.

    Parameters
    ----------
    encoder
        With weights, or needing none.
    here
        The clips with audio.
    card
        The task's card.
    requested
        The (layer, pooling) pairs, the card's own by default. Every change is encoded once for all of them.
    fitted
        Probes of features as they are, where they are known already.
    some
        The resampler and the code path are tried on this many clips, spread evenly over those tested.
    resamples
        Draws of groups behind the intervals.

    Returns
    -------
    list[dict]
        JSON-ready, one for each (layer, pooling): identity of the encoder and its features, ``tests`` {test: plain
        score}, ``chosen``, and ``changes``, one entry each as ``effect`` makes them. Empty where no probe can be
        fitted.
    """
    require_trained(encoder.card)
    if here.rows.empty or not shortcuts.trainable(here.rows, card):
        return []
    requested = tuple(requested) or (shortcuts.default_embedding(encoder),)
    stores = {clip: FeatureStore(encoder, here, clip) for clip in ("native", DITHER)}
    for store in stores.values():
        store.encode(requested, progress)
    train = np.ones(len(here.rows), bool) if card.leave_one_out else here.rows["split"].isin(TRAIN).to_numpy()
    everything = np.arange(len(here.rows))
    picked = _some(everything if card.leave_one_out else everything[~train], everything, some)
    spec = stores["native"].spec
    out = []
    with progress(f"sensitivity of {encoder.card.id}", 3 + len(requested)) as tick:
        tried = _tried(encoder, here, picked, requested, tick)
        for each in requested:
            features = stores["native"].gather(each)
            probes = fitted.get(each) or FittedProbes(features, here.rows, card)
            plain = Plain.of(probes, _deviation(features[train]), resamples)
            changes = [effect(DITHER, plain, everything, stores[DITHER].gather(each) - features)]
            changes += [effect(name, plain, picked, moved[each]) for name, moved in tried.items()]
            tick(1)
            out.append(
                {name: spec[name] for name in _OF_ENCODER if name in spec}
                | {
                    "layer": each[0],
                    "pooling": each[1],
                    "protocol": PROTOCOL,
                    "protocol_version": protocols.get(PROTOCOL).version,
                    "metric": card.main_metric,
                    "clips": len(features),
                    "chosen": probes.chosen,
                    "tests": {test: records.score_json(score) for test, score in plain.scores.items()},
                    "changes": changes,
                }
            )
    return out


def _tried(
    encoder: Encoder,
    here: Prepared,
    picked: np.ndarray,
    requested: Sequence[LayerPooling],
    tick: Callable[[int], None],
) -> dict[str, dict[LayerPooling, np.ndarray]]:
    """{change: {(layer, pooling): what it moves the features of the clips ``picked`` by}}, of changes tried on some."""
    encoding = {"encoder": Shared(encoder), "rows": here.rows.iloc[picked], "prepared": here, "requested": requested}
    usual = variants.Encoding(**encoding)
    statistics.fit(encoder, here, "native")  # the stores left those of clips under dither, or none where all is stored
    try:
        before = usual()
        tick(1)
        other = variants.Encoding(**encoding, quality=variants.OTHER_QUALITY)()
        tick(1)
        elsewhere = usual.elsewhere()
        tick(1)
    finally:
        usual.encoder.remove()
    after = {RESAMPLER: other, PATH: elsewhere}
    return {name: {each: changed[each] - before[each] for each in requested} for name, changed in after.items()}


@dataclass(frozen=True)
class Plain:
    """Probes on features as they are.

    ``scores``: {test: the task's main metric}; ``deviation`` (P,) of the features over training clips, 0 of those that
    a probe leaves out as constant; ``resamples``: draws of groups behind intervals.
    """

    probes: FittedProbes
    scores: Mapping[str, Score]
    deviation: np.ndarray
    resamples: int

    @classmethod
    def of(cls, probes: FittedProbes, deviation: np.ndarray, resamples: int) -> Plain:
        """Scores the probes."""
        return cls(probes, _scores(probes, resamples), deviation, resamples)


def _deviation(features: np.ndarray) -> np.ndarray:
    """(P,) standard deviation of features (N, P), 0 of those that a probe leaves out as constant."""
    scaler = standardise(features)[1]
    deviation = np.zeros(len(scaler.kept))
    deviation[scaler.kept] = scaler.scale
    return deviation


def _scores(probes: FittedProbes, resamples: int) -> dict[str, Score]:
    metric = probes.card.main_metric
    scored = shortcuts.score_by((metric,), probes.predicted, probes.card, resamples)
    return {test: scores[metric] for test, scores in scored.items()}


def effect(name: str, plain: Plain, clips: np.ndarray, moved: np.ndarray) -> dict[str, Any]:
    """What a change does.

    Parameters
    ----------
    name
        The change.
    plain
        The probes on the features as they are.
    clips
        Rows that it was tried on.
    moved
        (clips, P) by which it moves their features.

    Returns
    -------
    dict
        ``name``; number of ``clips``; ``shift``, the largest of a feature in units of its deviation, and
        ``median_shift``, that of the middle feature; ``constant``: features left out as constant that it moves;
        ``tested`` clips and how many of them have another ``decision``. Where all clips were tried also ``tests``
        {test: {value, change, of_interval}}, ``chosen`` of the probe fitted anew, and ``other_candidates``, the part of
        it that consists of other candidates than before (0 to 1, the largest of several probes), else None.
    """
    probes, deviation = plain.probes, plain.deviation
    varies = deviation > 0
    by_feature = np.abs(moved).max(axis=0) if len(moved) else np.zeros(moved.shape[1])
    shifts = by_feature[varies] / deviation[varies]
    features = probes.features.copy()
    features[clips] += moved
    whole = len(clips) == len(features)
    again = FittedProbes(features, probes.rows, probes.card) if whole else None
    predicted = again.predicted if again else probes.answers(features)
    tried = predicted["clip_id"].isin(probes.rows["clip_id"].iloc[clips]).to_numpy()
    decisions = predicted["y_pred"].to_numpy() != probes.predicted["y_pred"].to_numpy()
    scores = _scores(again, plain.resamples) if again else {}
    return {
        "name": name,
        "clips": len(clips),
        "shift": float(shifts.max(initial=0.0)),
        "median_shift": float(np.median(shifts)) if len(shifts) else 0.0,
        "constant": int((by_feature[~varies] > 0).sum()),
        "tested": int(tried.sum()),
        "decisions": int((decisions & tried).sum()),
        "tests": {test: _moved(score, scores[test]) for test, score in plain.scores.items()} if again else None,
        "chosen": again.chosen if again else None,
        "other_candidates": _apart(probes.shares, again.shares) if again else None,
    }


def _apart(before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]]) -> float:
    """The largest total variation distance between the candidates' shares of probes."""
    distances = [
        sum(abs(a.get(name, 0.0) - b.get(name, 0.0)) for name in a.keys() | b.keys())
        / (sum(a.values()) + sum(b.values()))
        for a, b in zip(before, after, strict=True)
    ]
    return max(distances, default=0.0)


def _moved(before: Score, after: Score) -> dict[str, float | None]:
    """A score under a change, by what it moves, and what share of its interval's width that is."""
    change, width = after.value - before.value, before.high - before.low
    share = abs(change) / width if width > 0 else 0.0 if change == 0 else None
    known = {"value": after.value, "change": change, "of_interval": share}
    return {name: None if value is None or np.isnan(value) else float(value) for name, value in known.items()}


def _some(tested: np.ndarray, everything: np.ndarray, most: int) -> np.ndarray:
    """All clips where they are few, else ``most`` of the tested ones, evenly spread."""
    if len(everything) <= most:
        return everything
    return tested[np.unique(np.linspace(0, len(tested) - 1, most).round().astype(int))]


def reasons(facts: Mapping[str, Any], test: str) -> list[str]:
    """Why a row of a leaderboard is marked on a test, in a few words each; none where rounding does not reach it."""
    out = []
    for change in facts["changes"]:
        moved = (change["tests"] or {}).get(test, {})
        share, by = moved.get("of_interval"), moved.get("change")
        if by and (share is None or share > TENTH):
            width = "no interval" if share is None else f"{share:.0%} of its interval"
            out.append(f"{change['name']} moves the score by {width}")
        if (change["other_candidates"] or 0.0) > HALF:
            out.append(f"{change['name']} changes the probe's choice")
    return out


def findings(every: Sequence[Mapping[str, Any]], card: TaskCard) -> list[Finding]:
    """A warning for every test on which the row of an encoder and pooling is marked."""
    return [
        Finding(
            "warning",
            "sensitivity",
            f"{named(facts['encoder'], facts.get('code', ''))} {facts['pooling']} on {card.id}/{test}",
            "; ".join(why),
            "take its score as no more exact than that, or run it with --clip dither16",
        )
        for facts in every
        for test in facts["tests"]
        if (why := reasons(facts, test))
    ]
