"""How far features, decisions and scores depend on what no microphone hears: rounding, and noise of one 16-bit step.

Three changes leave a clip's sound as it is: dither of one 16-bit step, a resampler of another quality, and another
code path of the processor. What they move is the noise floor of a band that a recording does not have, which a
logarithm makes as large as sound; a probe that standardises its features then decides by it.

Dither is tried on all clips: features are encoded anew, and the probe is chosen and fitted anew. The other two are
tried on all clips of a small task, else on some of the tested ones, whose features are then given to the probe as it
was fitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.base.parallel.shared import Shared
from bench.base.progress import Progress, silent
from bench.data.manifest import TRAIN, Prepared
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import require_trained
from bench.probe import protocols
from bench.runs.audit import variants
from bench.runs.audit.checks import shortcuts
from bench.scores import label_kinds, records
from bench.types import Encoder, Finding, Score, TaskCard

DITHER, RESAMPLER, PATH = "dither16", f"soxr-{variants.OTHER_QUALITY}", "another code path"
SOME = 200  # clips of a change that is not tried on all
TENTH = 0.1  # of an interval's width: a score that moves by more is marked
HALF = 0.5  # of the probe that goes to other candidates: a choice that changes is marked
PROTOCOL = "linear"


def sensitivity(
    encoder: Encoder,
    here: Prepared,
    card: TaskCard,
    *,
    some: int = SOME,
    resamples: int = 1000,
    progress: Progress = silent,
) -> dict[str, Any]:
    """What each change does to an encoder's default embedding and to the linear probe of it.

    Parameters
    ----------
    encoder
        With weights, or needing none.
    here
        The clips with audio.
    card
        The task's card.
    some
        The resampler and the code path are tried on this many clips, spread evenly over those tested.
    resamples
        Draws of groups behind the intervals.

    Returns
    -------
    dict
        JSON-ready: identity of the encoder and its features, ``tests`` {test: plain score}, ``chosen``, and
        ``changes``, one entry each as ``effect`` makes them. Empty where no probe can be fitted.
    """
    require_trained(encoder.card)
    if here.rows.empty or not shortcuts.trainable(here.rows, card):
        return {}
    want = (encoder.card.pool_layer, encoder.card.default_pooling)
    stores = {clip: FeatureStore(encoder, here, clip) for clip in ("native", DITHER)}
    for store in stores.values():
        store.encode([want], progress)
    plain = stores["native"].gather(want)
    probes = _Probes(plain, here.rows, card, resamples)
    train = np.ones(len(here.rows), bool) if card.leave_one_out else here.rows["split"].isin(TRAIN).to_numpy()
    deviation = plain[train].std(axis=0, dtype=np.float64)

    everything = np.arange(len(here.rows))
    changes = [effect(DITHER, probes, deviation, everything, stores[DITHER].gather(want) - plain)]
    picked = _some(everything if card.leave_one_out else everything[~train], everything, some)
    encoding = {"encoder": Shared(encoder), "rows": here.rows.iloc[picked], "prepared": here, "want": want}
    usual = variants.Encoding(**encoding)
    with progress(f"sensitivity of {encoder.card.id}", 3) as tick:
        try:
            before = usual()
            tick(1)
            other = variants.Encoding(**encoding, quality=variants.OTHER_QUALITY)()
            changes.append(effect(RESAMPLER, probes, deviation, picked, other - before))
            tick(1)
            changes.append(effect(PATH, probes, deviation, picked, usual.elsewhere() - before))
            tick(1)
        finally:
            usual.encoder.remove()
    spec = stores["native"].spec
    return {
        **{name: spec[name] for name in ("encoder", "encoder_version", "weights", "parameters", "resampler")},
        "layer": want[0],
        "pooling": want[1],
        "protocol": PROTOCOL,
        "protocol_version": protocols.get(PROTOCOL).version,
        "metric": card.main_metric,
        "clips": len(plain),
        "chosen": probes.chosen,
        "tests": {test: records.score_json(score) for test, score in probes.scores.items()},
        "changes": changes,
    }


class _Probes:
    """The linear probe of a task, chosen and fitted on given features; several where one group is left out in turn."""

    def __init__(self, features: np.ndarray, rows: pd.DataFrame, card: TaskCard, resamples: int):
        self.features, self.rows, self.card, self.resamples = features, rows, card, resamples
        groups = rows["group"].to_numpy(str)
        if card.leave_one_out:
            self.held = [groups == group for group in sorted(set(groups))]
        else:
            self.held = [~rows["split"].isin(TRAIN).to_numpy()]
        labels = rows["label"].to_numpy()
        self.fitted = [protocols.probe(protocols.get(PROTOCOL), card, 0) for _ in self.held]
        for probe, held in zip(self.fitted, self.held, strict=True):
            probe.fit(features[~held], labels[~held], groups[~held])
        self.chosen = [{name: str(value) for name, value in probe.best_params_.items()} for probe in self.fitted]
        self.shares = [_shares(probe.path_) for probe in self.fitted]
        self.predicted = self.answers(features)
        scored = shortcuts.score_tests(self.predicted, card, resamples)
        self.scores: dict[str, Score] = {test: scores[card.main_metric] for test, scores in scored.items()}

    def answers(self, features: np.ndarray) -> pd.DataFrame:
        """Predictions of the tested clips from other features of the same clips."""
        parts = []
        for probe, held in zip(self.fitted, self.held, strict=True):
            scores = records.as_stored(probe.predict_scores(features[held]))
            part = self.rows.loc[held, ["clip_id", "group", "split"]]
            columns = {f"s_{k}": scores[:, k] for k in range(scores.shape[1])}
            decided = label_kinds.of(self.card).decided(scores)
            parts.append(part.assign(y_true=self.rows.loc[held, "label"], y_pred=decided, **columns))
        return pd.concat(parts).sort_values("clip_id", kind="stable", ignore_index=True)


def effect(name: str, plain: _Probes, deviation: np.ndarray, clips: np.ndarray, moved: np.ndarray) -> dict[str, Any]:
    """What a change does.

    Parameters
    ----------
    name
        The change.
    plain
        Probes on the features as they are.
    deviation
        (P,) of the features over training clips.
    clips
        Rows that it was tried on.
    moved
        (clips, P) by which it moves their features.

    Returns
    -------
    dict
        ``name``; number of ``clips``; ``shift``, the largest of a feature in units of its deviation, and
        ``median_shift``, that of the middle feature; ``constant``: features without deviation that it moves;
        ``tested`` clips and how many of them have another ``decision``. Where all clips were tried also ``tests``
        {test: {value, change, of_interval}}, ``chosen`` of the probe fitted anew, and ``other_candidates``, the part of
        it that consists of other candidates than before (0 to 1, the largest of several probes), else None.
    """
    varies = deviation > 0
    by_feature = np.abs(moved).max(axis=0) if len(moved) else np.zeros(moved.shape[1])
    shifts = by_feature[varies] / deviation[varies]
    features = plain.features.copy()
    features[clips] += moved
    whole = len(clips) == len(features)
    again = _Probes(features, plain.rows, plain.card, plain.resamples) if whole else None
    predicted = again.predicted if again else plain.answers(features)
    tried = predicted["clip_id"].isin(plain.rows["clip_id"].iloc[clips]).to_numpy()
    decisions = predicted["y_pred"].to_numpy() != plain.predicted["y_pred"].to_numpy()
    return {
        "name": name,
        "clips": len(clips),
        "shift": float(shifts.max(initial=0.0)),
        "median_shift": float(np.median(shifts)) if len(shifts) else 0.0,
        "constant": int((by_feature[~varies] > 0).sum()),
        "tested": int(tried.sum()),
        "decisions": int((decisions & tried).sum()),
        "tests": {test: _moved(score, again.scores[test]) for test, score in plain.scores.items()} if again else None,
        "chosen": again.chosen if again else None,
        "other_candidates": _apart(plain.shares, again.shares) if again else None,
    }


def _shares(path: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """{candidate: its share in the probe} of those that have one."""
    shared = [candidate for candidate in path if "share" in candidate]
    return {str({n: v for n, v in c.items() if n not in ("score", "share")}): c["share"] for c in shared}


def _apart(before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]]) -> float:
    """The largest total variation distance between the candidates' shares of probes."""
    distances = [
        sum(abs(a.get(name, 0.0) - b.get(name, 0.0)) for name in a.keys() | b.keys()) / (sum(a.values()) + sum(b.values()))
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


def findings(facts: Mapping[str, Any], card: TaskCard) -> list[Finding]:
    """A warning for every test whose row is marked."""
    told = {test: reasons(facts, test) for test in facts["tests"]} if facts else {}
    return [
        Finding(
            "warning",
            "sensitivity",
            f"{facts['encoder']} on {card.id}/{test}",
            "; ".join(why),
            "take its score as no more exact than that, or run it with --clip dither16",
        )
        for test, why in told.items()
        if why
    ]
