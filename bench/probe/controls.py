"""Scores of label-only controls: what the training labels alone achieve, without any feature.

``control.majority`` calls every clip normal (no label at all, of a multilabel task), which is what the floors of Score
50 and 25 refer to; ``control.chance`` draws each prediction from the training labels; ``control.mean``, of a
regression task, predicts the training mean.
"""

from __future__ import annotations

import numpy as np

from bench.base.errors import UnknownId
from bench.probe.log_probabilities import FLOOR, from_logits, from_shares
from bench.scores.label_kinds import bits
from bench.types import TaskCard


def names(card: TaskCard) -> tuple[str, ...]:
    """Names of the label-only controls of a task."""
    return ("control.mean",) if card.kind == "regression" else ("control.chance", "control.majority")


def scores(name: str, card: TaskCard, train: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Scores of clips from the training labels alone.

    Parameters
    ----------
    name : str
        One of ``names(card)``.
    card : TaskCard
        The task.
    train : np.ndarray of shape (N,)
        Training labels as the task's kind has them.
    n : int
        Number of clips to score.
    seed : int
        Seed of drawn predictions.

    Returns
    -------
    np.ndarray of shape (n, K)
        Scores as the task's kind has them (``bench.scores.label_kinds``).

    Raises
    ------
    UnknownId
        For a name that is no control of the task.
    """
    if name not in names(card):
        raise UnknownId("control", name, names(card))
    if name == "control.mean":
        return np.full((n, 1), train.mean())
    rng = np.random.default_rng(seed)
    if card.kind == "multilabel":
        share = np.clip(bits(train, len(card.classes)).mean(axis=0), 1e-12, 1 - 1e-12)
        if name == "control.majority":
            return np.full((n, len(share)), FLOOR)
        # log odds + logistic noise exceed 0 with the probability of the share
        return np.log(share / (1 - share)) + rng.logistic(size=(n, len(share)))
    prior = np.bincount(train, minlength=len(card.classes)) / len(train)
    if name == "control.majority":
        return from_shares(np.tile(np.eye(len(prior))[card.normal], (n, 1)))
    # Gumbel-max: the argmax of log prior + Gumbel noise is a draw from the prior, and the scores carry no signal.
    with np.errstate(divide="ignore"):
        return from_logits(np.log(prior) + rng.gumbel(size=(n, len(prior))))


def left_out(name: str, card: TaskCard, labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Scores of every row from the labels of all groups but its own.

    Parameters
    ----------
    name, card, seed
        As ``scores``.
    labels : np.ndarray of shape (N,)
        Labels as the task's kind has them.
    groups : np.ndarray of shape (N,)
        Group (patient) of each row.

    Returns
    -------
    np.ndarray of shape (N, K)
        Scores as the task's kind has them.
    """
    out: np.ndarray | None = None
    for group in sorted(set(groups)):
        own = groups == group
        of_group = scores(name, card, labels[~own], int(own.sum()), seed)
        out = np.empty((len(labels), of_group.shape[1])) if out is None else out
        out[own] = of_group
    return out
