"""DINOv2's linear evaluation: Oquab et al., arXiv:2304.07193, facebookresearch/dinov2 ``eval/linear.py``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from bench.probe.literature.shared.loop import (
    Criterion,
    ReportShare,
    TrainingSettings,
    cosine_rate,
    seeded_generator,
    train,
)
from bench.probe.literature.shared.probe import LiteratureProbe, Outcome
from bench.probe.literature.shared.replicas import LinearReplicas, Momentum, normal_layer
from bench.probe.literature.shared.rows import LabelledRows
from bench.scores.metrics import Roles

LEARNING_RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)
BATCH, EPOCHS, EPOCH_STEPS = 128, 10, 1250
_SCALE = BATCH / 256  # a learning rate is stated for batches of 256


class DinoV2Probe(LiteratureProbe):
    """Linear layers on the embedding as it is, one for each of 13 learning rates, trained in one pass.

    They start from N(0, 0.01²) and see the same batches of 128: SGD with momentum 0.9, cosine to 0 over ``epochs``
    times ``epoch_steps`` steps; of the final states the one of best validation accuracy, the smaller rate among equals.

    Parameters
    ----------
    kind, n_classes, metric, roles, seed, validation_folds, device, progress
        As ``LiteratureProbe``.
    epochs : int
        Epochs.
    epoch_steps : int
        Steps of an epoch.

    References
    ----------
    Oquab et al., DINOv2: Learning robust visual features without supervision, arXiv:2304.07193;
    github.com/facebookresearch/dinov2, ``dinov2/eval/linear.py``.
    """

    def __init__(
        self,
        kind: str = "multiclass",
        n_classes: int = 2,
        metric: str = "accuracy",
        roles: Roles | None = None,
        seed: int = 0,
        validation_folds: int = 5,
        device: str = "cpu",
        progress: ReportShare | None = None,
        epochs: int = EPOCHS,
        epoch_steps: int = EPOCH_STEPS,
    ):
        super().__init__(kind, n_classes, metric, roles, seed, validation_folds, device, progress)
        self.epochs = epochs
        self.epoch_steps = epoch_steps

    def outcomes(self, seeds: Sequence[int], rows: LabelledRows, validation: LabelledRows) -> list[Outcome]:
        """One outcome per seed."""
        return [self._outcome(seed, rows, validation) for seed in seeds]

    def _outcome(self, seed: int, rows: LabelledRows, validation: LabelledRows) -> Outcome:
        generator = seeded_generator("literature/dinov2", seed)
        weights = normal_layer([generator] * len(LEARNING_RATES), rows.x.shape[1], self.n_classes)
        network = LinearReplicas(*(tensor.to(self.device) for tensor in weights))
        rates = torch.tensor(LEARNING_RATES, device=self.device) * _SCALE
        stream = endless_batches(len(rows), BATCH, generator)
        best = train(
            network,
            Momentum(network.parameters),
            rows,
            validation,
            lambda epoch: [next(stream) for _ in range(self.epoch_steps)],
            Criterion(self.kind, "accuracy"),
            TrainingSettings(
                self.epochs, lambda epoch, done: cosine_rate(rates, 0.0, done), check=self.epochs, keep=self.epochs
            ),
            self.progress or (lambda share: None),
        )
        scores = [kept["score"] for kept in best.kept]
        chosen = scores.index(max(scores))
        path = [{"lr": rate, "score": score} for rate, score in zip(LEARNING_RATES, scores, strict=True)]
        return Outcome(
            best.networks[chosen], {"lr": LEARNING_RATES[chosen]}, path, chosen in (0, len(LEARNING_RATES) - 1)
        )


def endless_batches(n: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Yields row indices (size,) without end: all ``n`` rows in ever new orders, batches running on across them."""
    remaining = torch.empty(0, dtype=torch.long)
    while True:
        while len(remaining) < size:
            remaining = torch.cat([remaining, torch.randperm(n, generator=generator)])
        yield remaining[:size]
        remaining = remaining[size:]
