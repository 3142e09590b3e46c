"""Scores as pure functions of a confusion matrix or of class scores, vectorised over sample weights.

Every metric accepts leading axes (one confusion matrix, or one weight vector, per bootstrap draw), so a single
bootstrap serves all of them. Values are fractions in [0, 1]; NaN means undefined (a class without clips).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench.base.errors import BadInput, UnknownId
from bench.scores.curves import ratio, stratified_auroc, weighted_ap, weighted_auroc
from bench.scores.label_kinds import KINDS, bits
from bench.types import TaskCard


@dataclass(frozen=True)
class Roles:
    """Which class is normal and which are adventitious; a class in neither (Poor Quality) enters no Sp or Se."""

    normal: int = 0
    adventitious: tuple[int, ...] = ()

    @classmethod
    def of(cls, card: TaskCard) -> Roles:
        """The roles that a task card names."""
        return cls(card.normal, tuple(card.adventitious))


@dataclass(frozen=True)
class Metric:
    """A named score.

    Attributes
    ----------
    name, title, formula
        Its id, and as tables name and explain it.
    direction
        ``higher`` or ``lower``: what is better.
    kind
        What ``fn`` takes. ``confusion``: ``fn(C (..., K, K) rows true, roles)``; ``scores``: ``fn(y (N,), s (N, K),
        w (..., N), roles)``; ``predicted``: ``fn(y (N,), p (N,), w (..., N), roles)``; ``strata``: as ``scores``, and
        the clips' ``strata`` (N,) and the task's ``kind``.
    fn
        Returns (...), one value per confusion matrix or weight vector.
    unit
        ``%`` for a fraction shown in percent, else that of the value itself (``target``: the target's own).
    """

    name: str
    title: str
    direction: str
    kind: str
    fn: Callable[..., np.ndarray]
    formula: str
    unit: str = "%"

    @property
    def pairs(self) -> bool:
        """Whether it is a statistic of pairs of clips.

        Such a one takes ``bench.scores.curves.GroupWeights`` for ``w`` too.
        """
        return self.name.startswith("auroc")


def get(name: str) -> Metric:
    """The metric of that name. Raises ``UnknownId``.

    ``recall.<k>`` is the recall of class index k, ``auroc.bit.<k>`` the AUROC of bit k of a multilabel task.
    """
    head, _, index = name.rpartition(".")
    if head == "auroc.bit" and index.isdecimal():
        return Metric(name, f"AUROC of bit {index}", "higher", "scores", partial(_auroc_bit, k=int(index)), "bit k")
    if head == "recall" and index.isdecimal():
        return Metric(
            name, f"recall of class {index}", "higher", "confusion", partial(_recall, k=int(index)), "Ckk/ΣCk·"
        )
    if name not in METRICS:
        raise UnknownId("metric", name, [*METRICS, "recall.0"])
    return METRICS[name]


def confusion(y_true: np.ndarray, y_pred: np.ndarray, n_classes: int, weights: np.ndarray | None = None) -> np.ndarray:
    """(..., K, K) float64, rows true, columns predicted; ``weights`` (..., N) counts each clip that many times."""
    cell = np.asarray(y_true) * n_classes + np.asarray(y_pred)  # (N,)
    if weights is None:
        return np.bincount(cell, minlength=n_classes**2).astype(float).reshape(n_classes, n_classes)
    one_hot = np.zeros((len(cell), n_classes**2))
    one_hot[np.arange(len(cell)), cell] = 1.0
    counts = np.asarray(weights, float) @ one_hot
    return counts.reshape(*counts.shape[:-1], n_classes, n_classes)


def evaluate(name: str, y_true: np.ndarray, y_pred: np.ndarray, scores: np.ndarray, roles: Roles) -> float:
    """One metric's value for N clips.

    Parameters
    ----------
    name
        Of the metric.
    y_true, y_pred
        (N,) class indices.
    scores
        (N, K) class scores.
    roles
        Of the task's classes.

    Raises
    ------
    BadInput
        For a metric that needs the clips' lengths.
    """
    metric = get(name)
    if metric.kind == "strata":
        raise BadInput(name, "needs the lengths of the clips", "take a metric of labels and scores alone")
    if metric.kind == "confusion":
        return float(metric.fn(confusion(y_true, y_pred, scores.shape[1]), roles))
    given = scores if metric.kind == "scores" else np.asarray(y_pred)
    return float(metric.fn(np.asarray(y_true), given, np.ones(len(y_true)), roles))


def _mean_defined(values: np.ndarray) -> np.ndarray:
    """The mean over the last axis of the entries that are not NaN; NaN where there is none."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))


def _recalls(c: np.ndarray) -> np.ndarray:
    """(..., K) recall of every class."""
    return ratio(np.diagonal(c, axis1=-2, axis2=-1), c.sum(axis=-1))


def _recall(c: np.ndarray, roles: Roles, k: int) -> np.ndarray:
    return ratio(c[..., k, k], c[..., k, :].sum(axis=-1))


def _sp(c: np.ndarray, roles: Roles) -> np.ndarray:
    return _recall(c, roles, roles.normal)


def _adventitious(roles: Roles) -> list[int]:
    if not roles.adventitious:
        raise BadInput("sensitivity", "the task names no adventitious classes", "set TaskCard.adventitious")
    return list(roles.adventitious)


def _se(c: np.ndarray, roles: Roles) -> np.ndarray:
    rows = _adventitious(roles)
    return ratio(c[..., rows, rows].sum(axis=-1), c[..., rows, :].sum(axis=(-2, -1)))


def _se2(c: np.ndarray, roles: Roles) -> np.ndarray:
    rows = _adventitious(roles)
    return ratio(c[..., rows, :][..., rows].sum(axis=(-2, -1)), c[..., rows, :].sum(axis=(-2, -1)))


def _as(c: np.ndarray, roles: Roles) -> np.ndarray:
    return (_se(c, roles) + _sp(c, roles)) / 2


def _score2(c: np.ndarray, roles: Roles) -> np.ndarray:
    return (_se2(c, roles) + _sp(c, roles)) / 2


def _hs(c: np.ndarray, roles: Roles) -> np.ndarray:
    se, sp = _se(c, roles), _sp(c, roles)
    return np.where(se + sp == 0, 0.0, ratio(2 * se * sp, se + sp))


def _sprsound_score(c: np.ndarray, roles: Roles) -> np.ndarray:
    return (_as(c, roles) + _hs(c, roles)) / 2


def _macro_se(c: np.ndarray, roles: Roles) -> np.ndarray:
    return np.nan_to_num(_recalls(c)).mean(axis=-1)


def _macro_sp(c: np.ndarray, roles: Roles) -> np.ndarray:
    support, total = c.sum(axis=-1), c.sum(axis=(-2, -1))[..., None]
    said = c.sum(axis=-2) - np.diagonal(c, axis1=-2, axis2=-1)  # of each class, wrongly
    return np.nan_to_num(1 - ratio(said, total - support)).mean(axis=-1)


def _macro_score(c: np.ndarray, roles: Roles) -> np.ndarray:
    se, sp = _macro_se(c, roles), _macro_sp(c, roles)
    return ((se + sp) / 2 + np.nan_to_num(ratio(2 * se * sp, se + sp))) / 2


def _uar(c: np.ndarray, roles: Roles) -> np.ndarray:
    return _mean_defined(_recalls(c))


def _macro_f1(c: np.ndarray, roles: Roles) -> np.ndarray:
    support = c.sum(axis=-1)
    f1 = ratio(2 * np.diagonal(c, axis1=-2, axis2=-1), support + c.sum(axis=-2))
    return _mean_defined(np.where(support > 0, f1, np.nan))


def _accuracy(c: np.ndarray, roles: Roles) -> np.ndarray:
    return ratio(np.trace(c, axis1=-2, axis2=-1), c.sum(axis=(-2, -1)))


def _auroc(y: np.ndarray, s: np.ndarray, w: np.ndarray, roles: Roles) -> np.ndarray:
    if s.shape[1] == 2:
        return weighted_auroc(y == 1, s[:, 1], w)
    return _mean_defined(np.stack([weighted_auroc(y == k, s[:, k], w) for k in range(s.shape[1])], axis=-1))


def _auroc_normal(y: np.ndarray, s: np.ndarray, w: np.ndarray, roles: Roles) -> np.ndarray:
    abnormal = np.isin(y, _adventitious(roles))
    counted = abnormal | (y == roles.normal)
    return weighted_auroc(abnormal[counted], -s[counted, roles.normal], w[..., counted])


def _auroc_bit(y: np.ndarray, s: np.ndarray, w: np.ndarray, roles: Roles, k: int) -> np.ndarray:
    return weighted_auroc(bits(y, s.shape[1])[:, k], s[:, k], w)


def _auroc_bits(y: np.ndarray, s: np.ndarray, w: np.ndarray, roles: Roles) -> np.ndarray:
    return _mean_defined(np.stack([_auroc_bit(y, s, w, roles, k) for k in range(s.shape[1])], axis=-1))


def _auroc_matched(
    y: np.ndarray, s: np.ndarray, w: np.ndarray, roles: Roles, strata: np.ndarray, kind: str
) -> np.ndarray:
    compared = [1] if kind == "multiclass" and s.shape[1] == 2 else range(s.shape[1])
    each = [stratified_auroc(KINDS[kind].of_class(y, k), s[:, k], w, strata) for k in compared]
    return _mean_defined(np.stack(each, axis=-1))


def _ap_bits(y: np.ndarray, s: np.ndarray, w: np.ndarray, roles: Roles) -> np.ndarray:
    present = bits(y, s.shape[1])
    return _mean_defined(np.stack([weighted_ap(present[:, k], s[:, k], w) for k in range(s.shape[1])], axis=-1))


def _f1_bits(y: np.ndarray, p: np.ndarray, w: np.ndarray, roles: Roles) -> np.ndarray:
    width = int(max(y.max(), p.max(), 1)).bit_length()
    true, said = bits(y, width).astype(float), bits(p, width).astype(float)
    support = w @ true
    f1 = ratio(2 * (w @ (true * said)), support + w @ said)
    return _mean_defined(np.where(support > 0, f1, np.nan))


def _mae(y: np.ndarray, p: np.ndarray, w: np.ndarray, roles: Roles) -> np.ndarray:
    return ratio(w @ np.abs(y - p), np.sum(w, axis=-1))


def _mape(y: np.ndarray, p: np.ndarray, w: np.ndarray, roles: Roles) -> np.ndarray:
    if (y == 0).any():
        return np.full(np.shape(w)[:-1], np.nan)
    return ratio(w @ np.abs((y - p) / y), np.sum(w, axis=-1))


DURATION_MATCHED = "auroc.duration_matched"
_MATCHED_FORMULA = "AUROC over the pairs of clips of one duration decile of the test: near 50 for length alone"

# ICBHI: Rocha et al. 2019 (10.1088/1361-6579/ab03ea), as coded in RespireNet, Patch-Mix, SCL, RSC and EVAR.
# SPRSound: Zhang et al. 2022 (10.1109/BioCAS54905.2022.9948569); exact class match, Poor Quality in neither term.
# Its macro variant is what PASA (AAAI 2026, test.py of github.com/wangying1586/PASA) calls sensitivity, specificity and
# overall score: means over all classes, each against the rest, 0 for a class without clips, Poor Quality included. It
# is another number: the same answers to the seven classes of inter make 0.599 of it and 0.848 of the challenge's.
METRICS: dict[str, Metric] = {
    name: Metric(name, title, "higher", kind, fn, formula)
    for name, title, kind, fn, formula in (
        ("icbhi.Sp", "Sp", "confusion", _sp, "C00/ΣC0·"),
        ("icbhi.Se", "Se (strict)", "confusion", _se, "Σ_{i∈A}Cii/Σ_{i∈A}Ci·"),
        ("icbhi.Score", "ICBHI Score", "confusion", _as, "(Sp+Se)/2"),
        ("icbhi.Se2", "Se (any abnormal)", "confusion", _se2, "Σ_{i,j∈A}Cij/Σ_{i∈A}Ci·"),
        ("icbhi.Score2", "ICBHI Score (any abnormal)", "confusion", _score2, "(Sp+Se2)/2"),
        ("sprsound.SE", "SE", "confusion", _se, "Σ_{i∈A}Cii/Σ_{i∈A}Ci·"),
        ("sprsound.SP", "SP", "confusion", _sp, "C00/ΣC0·"),
        ("sprsound.AS", "AS", "confusion", _as, "(SE+SP)/2"),
        ("sprsound.HS", "HS", "confusion", _hs, "2·SE·SP/(SE+SP), 0 if both are 0"),
        ("sprsound.Score", "SPRSound Score", "confusion", _sprsound_score, "(AS+HS)/2"),
        ("sprsound.macro_SE", "macro SE", "confusion", _macro_se, "Σ(Ckk/ΣCk·)/K, 0 for a class without clips"),
        ("sprsound.macro_SP", "macro SP", "confusion", _macro_sp, "mean over all classes of SP, each against the rest"),
        ("sprsound.macro_Score", "macro AS+HS", "confusion", _macro_score, "(AS+HS)/2 of macro SE and macro SP"),
        ("uar", "UAR", "confusion", _uar, "mean recall over the classes with clips"),
        ("macro_f1", "macro F1", "confusion", _macro_f1, "mean F1 over the classes with clips"),
        ("accuracy", "accuracy", "confusion", _accuracy, "ΣCii/ΣCij"),
        ("auroc", "AUROC", "scores", _auroc, "class 1 of two; else mean one-vs-rest over the classes with clips"),
        ("auroc.normal", "AUROC abnormal vs normal", "scores", _auroc_normal, "A against normal by 1 − s_normal"),
        ("auroc.bits", "macro AUROC", "scores", _auroc_bits, "mean AUROC over the labels that occur"),
        (DURATION_MATCHED, "AUROC within duration deciles", "strata", _auroc_matched, _MATCHED_FORMULA),
        ("ap.bits", "mAP", "scores", _ap_bits, "mean average precision over the labels that occur"),
        ("f1.bits", "macro F1", "predicted", _f1_bits, "mean F1 over the labels that occur"),
    )
} | {
    "mae": Metric("mae", "MAE", "lower", "predicted", _mae, "Σ|y−ŷ|/N", "target"),
    "mape": Metric("mape", "MAPE", "lower", "predicted", _mape, "Σ|(y−ŷ)/y|/N, undefined where a y is 0"),
}
