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
from bench.probe.literature._rows import Rows
from bench.probe.literature._stack import Adam, Momentum, Stack, clipped
from bench.probe.log_probabilities import from_logits
from bench.scores import label_kinds, metrics
from bench.scores.metrics import Roles

Progress = Callable[[float], None]  # of the share of the work that is done
Batches = Callable[[int], Sequence[Tensor]]  # epoch → row indices (R, B), or (B,) for all replicas alike


@dataclass(frozen=True)
class Criterion:
    """What is minimised on batches, and by what validation is judged: ``metric`` (with ``roles``) of
    ``bench.scores.metrics``. ``scale`` multiplies the loss."""

    kind: str
    metric: str
    roles: Roles = field(default_factory=Roles)
    scale: float = 1.0

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(R,) mean loss of the batch per replica: cross-entropy, binary cross-entropy over all labels, or squared
        error. ``logits`` (R, B, K); ``target`` of the batch per replica, or shared by all."""
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
        """(N, K) scores as the task's kind has them, of outputs (N, K)."""
        return from_logits(logits) if self.kind == "multiclass" else logits

    def judged(self, labels: np.ndarray, logits: np.ndarray) -> float:
        """The metric of outputs (N, K), turned so that higher is better; NaN where it is undefined."""
        scores = self.scores(logits)
        value = metrics.evaluate(self.metric, labels, label_kinds.KINDS[self.kind].decided(scores), scores, self.roles)
        return value if metrics.get(self.metric).direction == "higher" else -value


@dataclass(frozen=True)
class Recipe:
    """How long to train and what to keep. ``rate(epoch, done)``: learning rate in epoch 0, 1, …, when that share of
    all steps is done. ``penalty`` · Σθ² is added to the loss, ``clip`` bounds the gradient's norm. Validation is
    looked at after every ``check`` epochs, the state is kept after every ``keep``; training ends when ``patience``
    looks in a row have not improved by more than ``delta``. Of equals the first is kept, or the last if ``latest``."""

    epochs: int
    rate: Callable[[int, float], float | Tensor]
    clip: float | None = None
    penalty: float = 0.0
    check: int = 1
    keep: int = 1
    patience: int | None = None
    delta: float = 0.0
    latest: bool = False


class Best:
    """The best state of each replica so far. ``path[r]``: epoch (from 1) and score of every state compared."""

    def __init__(self, replicas: int, recipe: Recipe):
        self.recipe = recipe
        self.path: list[list[dict]] = [[] for _ in range(replicas)]
        self.kept: list[dict] = [{} for _ in range(replicas)]
        self.stack: list[Stack | None] = [None] * replicas
        self._top = [-math.inf] * replicas  # what patience is measured from
        self._waited = [0] * replicas

    def offer(self, epoch: int, scores: Sequence[float], stack: Stack) -> bool:
        """Whether any replica is to go on, after a look at the validation rows."""
        for r, score in enumerate(scores):
            if self._ended(r):
                continue
            if epoch % self.recipe.keep == 0:
                self.path[r].append({"epoch": epoch, "score": score})
                if self._better(score, self.kept[r].get("score", -math.inf), 0.0):
                    self.kept[r], self.stack[r] = self.path[r][-1], stack.replica(r)
            improved = self._better(score, self._top[r], self.recipe.delta)
            self._top[r] = score if improved else self._top[r]
            self._waited[r] = 0 if improved else self._waited[r] + 1
        return not all(map(self._ended, range(len(self.path))))

    def _ended(self, r: int) -> bool:
        return self.recipe.patience is not None and self._waited[r] >= self.recipe.patience

    def _better(self, score: float, than: float, delta: float) -> bool:
        return score > than + delta or (self.recipe.latest and score == than)


def trained(
    stack: Stack,
    optimiser: Adam | Momentum,
    rows: Rows,
    held: Rows,
    batches: Batches,
    criterion: Criterion,
    recipe: Recipe,
    progress: Progress = lambda share: None,
) -> Best:
    """The best states of a stack trained on ``rows`` and judged on ``held``. Raises ``BadInput`` where the criterion's
    metric is undefined on the validation rows."""
    best = Best(stack.replicas, recipe)
    for epoch in range(recipe.epochs):
        order = batches(epoch)
        for i, index in enumerate(order):
            loss = criterion.loss(stack.logits(rows.x[index], training=True), rows.target[index])
            if recipe.penalty:
                loss = loss + recipe.penalty * sum((p**2).flatten(1).sum(1) for p in stack.parameters)
            gradients = torch.autograd.grad(loss.sum(), stack.parameters)
            if recipe.clip:
                gradients = clipped(gradients, recipe.clip)
            optimiser.step(gradients, recipe.rate(epoch, (epoch + i / len(order)) / recipe.epochs))
        progress((epoch + 1) / recipe.epochs)
        if (epoch + 1) % recipe.check == 0 and not best.offer(epoch + 1, _judged(stack, held, criterion), stack):
            break
    if None in best.stack:
        problem = f"{criterion.metric} is undefined on the {len(held)} validation rows"
        raise BadInput("validation rows", problem, "choose a task whose validation rows hold every class")
    return best


@torch.no_grad()
def _judged(stack: Stack, held: Rows, criterion: Criterion) -> list[float]:
    outputs = stack.logits(held.x).double().cpu().numpy()
    return [criterion.judged(held.labels, logits) for logits in outputs]


def generator(*key: object) -> torch.Generator:
    """A generator of its own for every key, such as a protocol's name and a seed."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def shuffled(generators: Sequence[torch.Generator], n: int, size: int) -> Batches:
    """Each epoch all ``n`` rows in an order of its own per replica, the last batch as small as it comes."""
    return lambda epoch: torch.stack([torch.randperm(n, generator=g) for g in generators]).split(size, dim=1)


def cosine(first: float | Tensor, last: float | Tensor, done: float) -> float | Tensor:
    """The learning rate on half a cosine from ``first`` to ``last``, when a share of all steps is done."""
    return last + (first - last) * (1 + math.cos(math.pi * done)) / 2


def at_end(path: Iterable[dict], chosen: dict) -> bool:
    """Whether the state chosen is the last compared: longer training might have gone further."""
    return chosen["epoch"] == max(candidate["epoch"] for candidate in path)
