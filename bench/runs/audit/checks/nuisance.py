"""What an encoder's embeddings reveal that no diagnosis should rest on: device, data set, patient, duration.

Everything is predicted for clips that the probe has not seen. Device, data set and duration: patients in five folds,
each predicted by a probe on the others. Patient: the recordings of every patient with two or more are parted, the
patient of one half being looked for among the other half; recordings of one session count as different ones.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import balanced_accuracy_score, r2_score

from bench.probe import LogisticPathCV, RidgePathCV
from bench.probe.goal import Goal, assign_folds, too_few
from bench.probe.linear.design import standardise
from bench.probe.neighbours.knn import KnnProbe
from bench.types import Finding, TaskCard

FOLDS = 5
CORPUS = "corpus"
_ALPHAS = tuple(10.0**power for power in range(-1, 6))  # coarse: the fifth digit of R² is of no use
_STRENGTHS = (1e-4, 1e-2, 1.0)  # C of the device probe: coarse, because the answer is seldom close
_LEAST = 10  # clips of a device below which it is left out
_LEAST_GROUPS = 2
_LEAST_DEALT = 3  # groups of which one is held out and the others still chosen by
_FEW_GROUPS = f"fewer than {_LEAST_DEALT} groups"
_RECALL, _LINEAR, _DURATION, _FIT = "balanced accuracy", "linear on recordings", "duration", "R²"
_CONSTANT = "the features are constant"


def nuisance(features: np.ndarray, rows: pd.DataFrame, card: TaskCard) -> list[dict]:
    """Measures what embeddings reveal besides the label.

    Parameters
    ----------
    features
        (N, D) embeddings of the rows.
    rows
        The manifest of the N clips.
    card
        The task's card.

    Returns
    -------
    list[dict]
        JSON-ready rows ``what``, ``measure``, ``value``, ``chance``, ``n``, ``classes``, ``note``; one whose ``value``
        is None says in ``note`` why there is none.
    """
    if not len(features) or (features == features[:1]).all():
        return [_blank(what, measure, _CONSTANT) for what, measure in _asked(card)]
    out = [_domain(card.domain, rows["domain"].to_numpy(str), features, rows)]
    corpora = np.array([domain.partition("/")[0] for domain in rows["domain"].astype(str)])
    if (corpora != rows["domain"]).any() and len(set(corpora)) > 1:
        out.append(_domain(CORPUS, corpora, features, rows))
    return [*out, *_patient(card.group, features, rows), _duration(features, rows)]


def findings(rows: list[dict], encoder: str) -> list[Finding]:
    """One note of all that was measured."""
    measured = [
        f"{row['what']} ({row['measure']} {100 * row['value']:.0f} %, chance {100 * row['chance']:.1f} %)"
        for row in rows
        if row["value"] is not None
    ]
    remedy = "what separates classes may separate these instead: read scores by domain and with duration matched"
    return (
        [Finding("note", "nuisance", encoder, "its embeddings tell " + ", ".join(measured), remedy)] if measured else []
    )


def _asked(card: TaskCard) -> tuple[tuple[str, str], ...]:
    """(what, measure) of what is asked of the embeddings of any task."""
    return (card.domain, _RECALL), (card.group, _nearest(card.group)), (card.group, _LINEAR), (_DURATION, _FIT)


def _nearest(group: str) -> str:
    return f"{group}'s nearest recording"


def _domain(what: str, names: np.ndarray, features: np.ndarray, rows: pd.DataFrame) -> dict:
    """Balanced accuracy of a linear probe for the device."""
    measure = _RECALL
    groups = rows["group"].to_numpy(str)
    counted = pd.DataFrame({"name": names, "group": groups}).groupby("name")["group"].agg(["size", "nunique"])
    common = counted.index[(counted["size"] >= _LEAST) & (counted["nunique"] >= _LEAST_GROUPS)]
    left = sorted(set(names) - set(common))
    note = f"without {', '.join(left)}: too few" if left else ""
    if len(common) < 2:
        return _blank(what, measure, f"one {what} only" if not left else note)
    own = np.isin(names, common)
    labels = np.searchsorted(common.to_numpy(str), names[own])
    predicted = np.empty(own.sum(), int)
    if len(set(groups[own])) < _LEAST_DEALT:
        return _blank(what, measure, _FEW_GROUPS)
    x, folds = features[own], assign_folds(labels, groups[own], FOLDS, 0)[0]
    for fold in np.unique(folds):
        seen = folds != fold
        if len(set(labels[seen])) < 2 or too_few(labels[seen], groups[own][seen]):
            predicted[~seen] = labels[seen][0]
            continue
        probe = LogisticPathCV(_STRENGTHS, ("balanced",), folds=3, metric="uar", classes=range(len(common)))
        predicted[~seen] = probe.fit(x[seen], labels[seen], groups[own][seen]).predict(x[~seen])
    value = balanced_accuracy_score(labels, predicted)
    return _row(what, measure, value, 1 / len(common), int(own.sum()), len(common), note)


def _patient(group: str, features: np.ndarray, rows: pd.DataFrame) -> list[dict]:
    """Accuracy of the nearest recording, and of a linear classifier, among the patients' other recordings.

    A recording's embedding is the mean over its clips.
    """
    measures = (_nearest(group), _LINEAR)
    frame = pd.DataFrame(features.astype(float)).groupby(rows["path"].to_numpy(str)).mean()
    of_path = rows.drop_duplicates("path").set_index("path")["group"].astype(str)
    owner = of_path.reindex(frame.index).to_numpy(str)
    turn = pd.Series(owner).groupby(owner).cumcount().to_numpy()
    several = pd.Series(owner).map(pd.Series(owner).value_counts()).to_numpy() >= 2
    if len(set(owner[several])) < 2:
        nobody = group == "recording"  # no ids of people
        why = "people have no ids here" if nobody else f"fewer than two {group}s with two recordings"
        return [_blank("person" if nobody else group, "nearest recording" if nobody else measures[0], why)]
    tested = several & (turn % 2 == 1)
    known = several & ~tested
    names, labels = np.unique(owner, return_inverse=True)
    x = frame.to_numpy()
    z, scaler = standardise(x[known])
    if not z.shape[1]:
        return [_blank(group, measure, f"{_CONSTANT} in the recordings known") for measure in measures]
    knn = KnnProbe(Goal(tuple(names)), (1,), (1.0,)).fit(x[known], labels[known], owner[known])
    ridge = RidgeClassifier(alpha=float(z.shape[1])).fit(z, labels[known])
    chance = 1 / len(set(labels[known]))
    note = f"{int(known.sum())} recordings known, {int(tested.sum())} asked"
    answers = (knn.predict_scores(x[tested]).argmax(axis=1), ridge.predict(scaler(x[tested])))
    return [
        _row(
            group, measure, (answer == labels[tested]).mean(), chance, int(tested.sum()), len(set(labels[known])), note
        )
        for measure, answer in zip(measures, answers)
    ]


def _duration(features: np.ndarray, rows: pd.DataFrame) -> dict:
    """R² of a ridge regression for the logarithm of the duration."""
    seconds = np.log((rows["end_s"] - rows["start_s"]).to_numpy(float))
    groups = rows["group"].to_numpy(str)
    if np.ptp(seconds) == 0 or len(set(groups)) < _LEAST_DEALT:
        return _blank(_DURATION, _FIT, "all clips are of one length" if np.ptp(seconds) == 0 else _FEW_GROUPS)
    predicted = np.empty(len(seconds))
    folds = assign_folds(np.zeros(len(seconds), int), groups, FOLDS, 0)[0]
    for fold in np.unique(folds):
        seen = folds != fold
        probe = RidgePathCV(alphas=_ALPHAS).fit(features[seen], seconds[seen], groups[seen])
        predicted[~seen] = probe.predict(features[~seen])
    return _row(_DURATION, _FIT, r2_score(seconds, predicted), 0.0, len(seconds), 0, "of its logarithm")


def _row(what: str, measure: str, value: float, chance: float, n: int, classes: int, note: str) -> dict:
    facts = {"what": what, "measure": measure, "value": round(float(value), 4), "chance": round(chance, 4)}
    return facts | {"n": n, "classes": classes, "note": note}


def _blank(what: str, measure: str, note: str) -> dict:
    return {"what": what, "measure": measure, "value": None, "chance": None, "n": 0, "classes": 0, "note": note}
