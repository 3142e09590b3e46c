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

from bench.base.parallel.threads import workers
from bench.probe.literature.shared.loop import (
    BestStates,
    Criterion,
    ReportShare,
    TrainingSettings,
    seeded_generator,
    train,
)
from bench.probe.literature.shared.probe import LiteratureProbe, Outcome
from bench.probe.literature.shared.replicas import Adam, Replicas
from bench.probe.literature.shared.rows import LabelledRows
from bench.scores.metrics import Roles

HYPERPARAMETER_GRID = {
    "hidden_layers": (1, 2),
    "initialization": ("xavier_uniform", "xavier_normal"),
    "lr": (3.2e-3, 1e-3, 3.2e-4, 1e-4),
}
POINTS, HIDDEN, DROPOUT = 8, 1024, 0.1
BATCH, EPOCHS, CHECK, PATIENCE = 1024, 500, 3, 20
_MOMENTUM, _EPSILON = 0.1, 1e-5  # of batch normalisation, as torch.nn.BatchNorm1d


class HearProbe(LiteratureProbe):
    """The best of eight small networks, whose hyperparameters the seed draws from a grid.

    The grid is 1 or 2 hidden layers × initialisation × learning rate; each point is a network with batch normalisation,
    dropout 0.1 and ReLU on the embedding as it is; Adam, batches of 1024 in the rows' order; the task's main metric on
    the validation rows every 3 epochs, ends after 20 judgements without improvement; the best state of the best point,
    the first of equals.

    Parameters
    ----------
    kind, n_classes, metric, roles, seed, validation_folds, device, progress
        As ``LiteratureProbe``.
    hidden : int
        Units of a hidden layer.
    epochs : int
        Most epochs.

    References
    ----------
    Turian et al., HEAR: Holistic evaluation of audio representations, PMLR 176 (2022), arXiv:2203.03022;
    github.com/hearbenchmark/hear-eval-kit, version 2021.1.3.
    """

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
        progress: ReportShare | None = None,
        hidden: int = HIDDEN,
        epochs: int = EPOCHS,
    ):
        super().__init__(kind, n_classes, metric, roles, seed, validation_folds, device, progress)
        self.hidden = hidden
        self.epochs = epochs

    def outcomes(self, seeds: Sequence[int], rows: LabelledRows, validation: LabelledRows) -> list[Outcome]:
        """One outcome per seed."""
        return [self._outcome(seed, rows, validation) for seed in seeds]

    def _outcome(self, seed: int, rows: LabelledRows, validation: LabelledRows) -> Outcome:
        points = drawn_points(seed)
        with workers(len(points)) as pool:
            running = [pool.submit(self._point, seed, i, point, rows, validation) for i, point in enumerate(points)]
            for done, _ in enumerate(as_completed(running), start=1):
                if self.progress:
                    self.progress(done / len(points))
        states = [future.result() for future in running]
        path = [{**point, **state.kept[0]} for point, state in zip(points, states, strict=True)]
        chosen = max(range(len(path)), key=lambda i: path[i]["score"])
        best_params = {name: value for name, value in path[chosen].items() if name != "score"}
        rates = [point["lr"] for point in points]
        return Outcome(states[chosen].networks[0], best_params, path, points[chosen]["lr"] in (min(rates), max(rates)))

    def _point(self, seed: int, i: int, point: dict, rows: LabelledRows, validation: LabelledRows) -> BestStates:
        generator = seeded_generator("literature/hear", seed, i)
        sizes = [rows.x.shape[1], *[self.hidden] * point["hidden_layers"], self.n_classes]
        network = MlpReplica(sizes, point["initialization"], generator, self.device)
        order = torch.arange(len(rows))[None].split(BATCH, dim=1)
        settings = TrainingSettings(self.epochs, lambda epoch, done: point["lr"], check=CHECK, patience=PATIENCE)
        criterion = Criterion(self.kind, self.metric, self.roles or Roles())
        return train(network, Adam(network.parameters), rows, validation, lambda epoch: order, criterion, settings)


def drawn_points(seed: int) -> list[dict]:
    """The points of ``HYPERPARAMETER_GRID`` that a seed tries: the first ones of all of them, shuffled."""
    points = [dict(zip(HYPERPARAMETER_GRID, values)) for values in itertools.product(*HYPERPARAMETER_GRID.values())]
    random.Random(seed).shuffle(points)
    return points[:POINTS]


class MlpReplica(Replicas):
    """One network (R = 1): for each hidden layer a linear one, batch normalisation, dropout, ReLU; then a linear one.

    ``parameters`` are weight (1, in, out), bias, scale and shift (1, 1, out) of every hidden layer, weight and bias of
    the last; ``buffers`` are running mean and variance (1, 1, out) of every hidden layer.

    Parameters
    ----------
    sizes : sequence of int
        Widths from the features to the outputs.
    initialization : str
        ``xavier_normal`` or ``xavier_uniform``.
    generator : torch.Generator
        Draws first weights and dropout.
    device : str
        torch's name of the device to compute on.
    """

    def __init__(self, sizes: Sequence[int], initialization: str, generator: torch.Generator, device: str = "cpu"):
        parameters, buffers = [], []
        for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
            gain = 1.0 if i == 0 else math.sqrt(2)  # for what comes out of a ReLU
            spread = gain * math.sqrt(2 / (n_in + n_out))
            if initialization == "xavier_normal":
                weight = torch.randn(1, n_in, n_out, generator=generator) * spread
            else:
                weight = (2 * torch.rand(1, n_in, n_out, generator=generator) - 1) * spread * math.sqrt(3)
            parameters += [weight, (2 * torch.rand(1, 1, n_out, generator=generator) - 1) / math.sqrt(n_in)]
            if i < len(sizes) - 2:
                parameters += [torch.ones(1, 1, n_out), torch.zeros(1, 1, n_out)]
                buffers += [torch.zeros(1, 1, n_out), torch.ones(1, 1, n_out)]
        super().__init__([tensor.to(device) for tensor in parameters], [tensor.to(device) for tensor in buffers])
        self.generator = generator

    def logits(self, x: Tensor, training: bool = False) -> Tensor:
        """Outputs (1, B, K) for rows (1, B, D) or (B, D)."""
        *hidden, weight, bias = self.parameters
        for i in range(len(hidden) // 4):
            x = x @ hidden[4 * i] + hidden[4 * i + 1]
            x = self._normalised(x, i, training) * hidden[4 * i + 2] + hidden[4 * i + 3]
            if training:
                kept = torch.rand(x.shape, generator=self.generator).to(x.device) >= DROPOUT
                x = x * kept / (1 - DROPOUT)
            x = functional.relu(x)
        return x @ weight + bias

    def _normalised(self, x: Tensor, layer: int, training: bool) -> Tensor:
        """(1, B, H) by the batch's mean and variance, which the running ones follow, or by the running ones."""
        mean, variance = self.buffers[2 * layer : 2 * layer + 2]
        if training:
            n, of_batch = x.shape[1], (x.mean(1, keepdim=True), x.var(1, correction=0, keepdim=True))
            mean.lerp_(of_batch[0].detach(), _MOMENTUM)
            variance.lerp_(of_batch[1].detach() * n / max(n - 1, 1), _MOMENTUM)
            mean, variance = of_batch
        return (x - mean) / (variance + _EPSILON).sqrt()
