"""The loop that published probes share: batches, steps, a look at the validation rows, the best state kept."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.base.errors import BadInput
from bench.probe.literature.shared.replicas import Adam, Momentum, Replicas, clip_gradients
from bench.probe.literature.shared.rows import LabelledRows
from bench.probe.log_probabilities import from_logits
from bench.scores import label_kinds, metrics
from bench.scores.metrics import Roles

ReportShare = Callable[[float], None]  # called with the share of the work that is done
Batches = Callable[[int], Sequence[Tensor]]  # epoch → row indices (R, B), or (B,) for all replicas alike


@dataclass(frozen=True)
class Criterion:
    """What is minimised on batches, and by what validation is judged.

    Attributes
    ----------
    kind : str
        The task's kind (``bench.scores.label_kinds``).
    metric : str
        Metric of ``bench.scores.metrics`` that judges the validation rows.
    roles : Roles
        Classes of a special role for the metric.
    scale : float
        Factor of the loss.
    """

    kind: str
    metric: str
    roles: Roles = field(default_factory=Roles)
    scale: float = 1.0

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean loss (R,) of the batch per replica.

        Cross-entropy, binary cross-entropy over all labels, or squared error, of ``logits`` (R, B, K); ``target`` is
        that of the batch per replica, or shared by all.
        """
        shape = logits.shape[:2] if self.kind == "multiclass" else logits.shape
        target = target.expand(shape)
        if self.kind == "multiclass":
            each = functional.cross_entropy(logits.transpose(1, 2), target, reduction="none")
        elif self.kind == "multilabel":
            each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        else:
            each = (logits - target) ** 2
        return self.scale * each.flatten(1).mean(1)

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Scores (N, K) as the task's kind has them, of outputs (N, K)."""
        return from_logits(logits) if self.kind == "multiclass" else logits

    def judge(self, labels: np.ndarray, logits: np.ndarray) -> float:
        """Value of the metric for outputs (N, K), negated where low is better; NaN where it is undefined."""
        scores = self.scores(logits)
        value = metrics.evaluate(self.metric, labels, label_kinds.KINDS[self.kind].decided(scores), scores, self.roles)
        return value if metrics.get(self.metric).direction == "higher" else -value


@dataclass(frozen=True)
class TrainingSettings:
    """How long to train and what to keep.

    Attributes
    ----------
    epochs : int
        Most epochs.
    rate : callable
        ``rate(epoch, done)`` is the learning rate in epoch 0, 1, …, when that share of all steps is done.
    clip : float, optional
        Bound of the gradient's norm.
    penalty : float
        ``penalty`` · Σθ² is added to the loss.
    check : int
        Validation rows are judged after every so many epochs.
    keep : int
        The state may be kept after every so many epochs.
    patience : int, optional
        Training ends when so many judgements in a row have not improved.
    delta : float
        By how much a judgement has to be better to count as an improvement.
    latest : bool
        Whether of equals the last is kept, not the first.
    """

    epochs: int
    rate: Callable[[int, float], float | Tensor]
    clip: float | None = None
    penalty: float = 0.0
    check: int = 1
    keep: int = 1
    patience: int | None = None
    delta: float = 0.0
    latest: bool = False


class BestStates:
    """The best state of each replica so far.

    Attributes
    ----------
    path : list of list of dict
        Per replica, ``epoch`` (from 1) and ``score`` of every state compared.
    kept : list of dict
        Per replica, ``epoch`` and ``score`` of the best state.
    networks : list of Replicas or None
        Per replica, the network (R = 1) in its best state.
    """

    def __init__(self, n_replicas: int, settings: TrainingSettings):
        self.settings = settings
        self.path: list[list[dict]] = [[] for _ in range(n_replicas)]
        self.kept: list[dict] = [{} for _ in range(n_replicas)]
        self.networks: list[Replicas | None] = [None] * n_replicas
        self._top = [-math.inf] * n_replicas  # what patience is measured from
        self._waited = [0] * n_replicas

    def offer(self, epoch: int, scores: Sequence[float], network: Replicas) -> bool:
        """Compares the state after an epoch by its validation scores (R,); returns whether any replica is to go on."""
        for r, score in enumerate(scores):
            if self._ended(r):
                continue
            if epoch % self.settings.keep == 0:
                self.path[r].append({"epoch": epoch, "score": score})
                if self._better(score, self.kept[r].get("score", -math.inf), 0.0):
                    self.kept[r], self.networks[r] = self.path[r][-1], network.replica(r)
            improved = self._better(score, self._top[r], self.settings.delta)
            self._top[r] = score if improved else self._top[r]
            self._waited[r] = 0 if improved else self._waited[r] + 1
        return not all(map(self._ended, range(len(self.path))))

    def _ended(self, r: int) -> bool:
        return self.settings.patience is not None and self._waited[r] >= self.settings.patience

    def _better(self, score: float, than: float, delta: float) -> bool:
        return score > than + delta or (self.settings.latest and score == than)


def train(
    network: Replicas,
    optimiser: Adam | Momentum,
    rows: LabelledRows,
    validation: LabelledRows,
    batches: Batches,
    criterion: Criterion,
    settings: TrainingSettings,
    progress: ReportShare = lambda share: None,
) -> BestStates:
    """Trains a network and keeps what validates best.

    Parameters
    ----------
    network : Replicas
        R replicas, trained in place.
    optimiser : Adam or Momentum
        Trains the network's parameters.
    rows, validation : LabelledRows
        Rows to train on, and rows to judge states on.
    batches : callable
        Returns an epoch's row indices, (R, B) or (B,) for all replicas alike.
    criterion : Criterion
        Loss and judgement.
    settings : TrainingSettings
        How long to train and what to keep.
    progress : callable
        Called with the share of the work that is done after each epoch.

    Returns
    -------
    BestStates
        The best state of each replica.

    Raises
    ------
    BadInput
        Where the criterion's metric is undefined on the validation rows.
    """
    best = BestStates(network.n_replicas, settings)
    for epoch in range(settings.epochs):
        order = batches(epoch)
        for i, index in enumerate(order):
            loss = criterion.loss(network.logits(rows.x[index], training=True), rows.target[index])
            if settings.penalty:
                loss = loss + settings.penalty * sum((p**2).flatten(1).sum(1) for p in network.parameters)
            gradients = torch.autograd.grad(loss.sum(), network.parameters)
            if settings.clip:
                gradients = clip_gradients(gradients, settings.clip)
            optimiser.step(gradients, settings.rate(epoch, (epoch + i / len(order)) / settings.epochs))
        progress((epoch + 1) / settings.epochs)
        if (epoch + 1) % settings.check == 0:
            scores = _validation_scores(network, validation, criterion)
            if not best.offer(epoch + 1, scores, network):
                break
    if None in best.networks:
        problem = f"{criterion.metric} is undefined on the {len(validation)} validation rows"
        raise BadInput("validation rows", problem, "choose a task whose validation rows hold every class")
    return best


@torch.no_grad()
def _validation_scores(network: Replicas, validation: LabelledRows, criterion: Criterion) -> list[float]:
    outputs = network.logits(validation.x).double().cpu().numpy()
    return [criterion.judge(validation.labels, logits) for logits in outputs]


def seeded_generator(*key: object) -> torch.Generator:
    """A generator of its own for every key, such as a protocol's name and a seed."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def shuffled_batches(generators: Sequence[torch.Generator], n: int, size: int) -> Batches:
    """Each epoch all ``n`` rows in an order of its own per replica, the last batch as small as it comes."""
    return lambda epoch: torch.stack([torch.randperm(n, generator=g) for g in generators]).split(size, dim=1)


def cosine_rate(first: float | Tensor, last: float | Tensor, done: float) -> float | Tensor:
    """The learning rate on half a cosine from ``first`` to ``last``, when a share of all steps is done."""
    return last + (first - last) * (1 + math.cos(math.pi * done)) / 2


def at_end(path: Iterable[dict], chosen: dict) -> bool:
    """Whether the state chosen is the last compared: longer training might have gone further."""
    return chosen["epoch"] == max(candidate["epoch"] for candidate in path)
