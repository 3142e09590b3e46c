"""The shallow probe of HEAR: Turian et al., PMLR 176 (2022), arXiv:2203.03022, hear-eval-kit 2021.1.3."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from concurrent.futures import as_completed

import torch
from torch import Tensor
from torch.nn import functional

from bench.base.threads import workers
from bench.probe.literature._probe import LiteratureProbe, Outcome
from bench.probe.literature._rows import Rows
from bench.probe.literature._stack import Adam, Stack
from bench.probe.literature._training import Best, Criterion, Progress, Recipe, generator, trained
from bench.scores.metrics import Roles

GRID = {
    "hidden_layers": (1, 2),
    "initialization": ("xavier_uniform", "xavier_normal"),
    "lr": (3.2e-3, 1e-3, 3.2e-4, 1e-4),
}
POINTS, HIDDEN, DROPOUT = 8, 1024, 0.1
BATCH, EPOCHS, CHECK, PATIENCE = 1024, 500, 3, 20
_MOMENTUM, _EPSILON = 0.1, 1e-5  # of batch normalisation, as torch.nn.BatchNorm1d


class HearProbe(LiteratureProbe):
    """Eight points of a grid (1 or 2 hidden layers, learning rate, initialisation), drawn by the seed; each a network
    of 1024 units with batch normalisation, dropout 0.1 and ReLU on the embedding as it is; Adam, batches of 1024 in
    the rows' order, at most 500 epochs; the task's main metric on the validation rows every 3 epochs, ends after 20
    looks without improvement; the best state of the best point, the first of equals."""

    kinds = ("multiclass", "multilabel")

    def __init__(
        self,
        kind: str = "multiclass",
        n_classes: int = 2,
        metric: str = "auroc",
        roles: Roles | None = None,
        seed: int = 42,
        validation_folds: int = 5,
        device: str = "cpu",
        progress: Progress | None = None,
        hidden: int = HIDDEN,
        epochs: int = EPOCHS,
    ):
        super().__init__(kind, n_classes, metric, roles, seed, validation_folds, device, progress)
        self.hidden = hidden
        self.epochs = epochs

    def _outcomes(self, seeds: Sequence[int], rows: Rows, held: Rows) -> list[Outcome]:
        return [self._outcome(seed, rows, held) for seed in seeds]

    def _outcome(self, seed: int, rows: Rows, held: Rows) -> Outcome:
        points = drawn_points(seed)
        with workers(len(points)) as pool:
            running = [pool.submit(self._point, seed, i, point, rows, held) for i, point in enumerate(points)]
            for done, _ in enumerate(as_completed(running), start=1):
                if self.progress:
                    self.progress(done / len(points))
        best = [future.result() for future in running]
        path = [{**point, **one.kept[0]} for point, one in zip(points, best, strict=True)]
        chosen = max(range(len(path)), key=lambda i: path[i]["score"])
        best_params = {name: value for name, value in path[chosen].items() if name != "score"}
        rates = [point["lr"] for point in points]
        return Outcome(best[chosen].stack[0], best_params, path, points[chosen]["lr"] in (min(rates), max(rates)))

    def _point(self, seed: int, i: int, point: dict, rows: Rows, held: Rows) -> Best:
        drawn = generator("literature/hear", seed, i)
        sizes = [rows.x.shape[1], *[self.hidden] * point["hidden_layers"], self.n_classes]
        stack = MlpStack(sizes, point["initialization"], drawn, self.device)
        order = torch.arange(len(rows))[None].split(BATCH, dim=1)
        recipe = Recipe(self.epochs, lambda epoch, done: point["lr"], check=CHECK, patience=PATIENCE)
        criterion = Criterion(self.kind, self.metric, self.roles or Roles())
        return trained(stack, Adam(stack.parameters), rows, held, lambda epoch: order, criterion, recipe)


def drawn_points(seed: int) -> list[dict]:
    """The points of ``GRID`` that a seed tries, in their order: the first of all of them, shuffled."""
    points = [dict(zip(GRID, values)) for values in itertools.product(*GRID.values())]
    random.Random(seed).shuffle(points)
    return points[:POINTS]


class MlpStack(Stack):
    """One network (R = 1): for each hidden layer a linear one, batch normalisation, dropout, ReLU; then a linear one.

    ``parameters``: weight (1, in, out), bias, scale and shift (1, 1, out) of every hidden layer, weight and bias of the
    last; ``buffers``: running mean and variance (1, 1, out) of every hidden layer.
    """

    def __init__(self, sizes: Sequence[int], initialization: str, drawn: torch.Generator, device: str = "cpu"):
        parameters, buffers = [], []
        for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
            gain = 1.0 if i == 0 else math.sqrt(2)  # for what comes out of a ReLU
            spread = gain * math.sqrt(2 / (n_in + n_out))
            if initialization == "xavier_normal":
                weight = torch.randn(1, n_in, n_out, generator=drawn) * spread
            else:
                weight = (2 * torch.rand(1, n_in, n_out, generator=drawn) - 1) * spread * math.sqrt(3)
            parameters += [weight, (2 * torch.rand(1, 1, n_out, generator=drawn) - 1) / math.sqrt(n_in)]
            if i < len(sizes) - 2:
                parameters += [torch.ones(1, 1, n_out), torch.zeros(1, 1, n_out)]
                buffers += [torch.zeros(1, 1, n_out), torch.ones(1, 1, n_out)]
        super().__init__([tensor.to(device) for tensor in parameters], [tensor.to(device) for tensor in buffers])
        self.drawn = drawn

    def logits(self, x: Tensor, training: bool = False) -> Tensor:
        *hidden, weight, bias = self.parameters
        for i in range(len(hidden) // 4):
            x = x @ hidden[4 * i] + hidden[4 * i + 1]
            x = self._normalised(x, i, training) * hidden[4 * i + 2] + hidden[4 * i + 3]
            if training:
                kept = torch.rand(x.shape, generator=self.drawn).to(x.device) >= DROPOUT
                x = x * kept / (1 - DROPOUT)
            x = functional.relu(x)
        return x @ weight + bias

    def _normalised(self, x: Tensor, layer: int, training: bool) -> Tensor:
        """(1, B, H) by the batch's mean and variance, which the running ones follow, or by the running ones."""
        mean, variance = self.buffers[2 * layer : 2 * layer + 2]
        if training:
            n, now = x.shape[1], (x.mean(1, keepdim=True), x.var(1, correction=0, keepdim=True))
            mean.lerp_(now[0].detach(), _MOMENTUM)
            variance.lerp_(now[1].detach() * n / max(n - 1, 1), _MOMENTUM)
            mean, variance = now
        return (x - mean) / (variance + _EPSILON).sqrt()
