"""DINOv2's linear evaluation: Oquab et al., arXiv:2304.07193, facebookresearch/dinov2 ``eval/linear.py``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from bench.probe.literature._probe import LiteratureProbe, Outcome
from bench.probe.literature._rows import Rows
from bench.probe.literature._stack import LinearStack, Momentum, normal
from bench.probe.literature._training import Criterion, Progress, Recipe, cosine, generator, trained
from bench.scores.metrics import Roles

RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)
BATCH, EPOCHS, EPOCH_STEPS = 128, 10, 1250
_SCALE = BATCH / 256  # a learning rate is stated for batches of 256


class DinoV2Probe(LiteratureProbe):
    """A linear layer on the embedding as it is, from N(0, 0.01²), once for each of 13 learning rates, all trained in
    one pass on the same batches: SGD with momentum 0.9, cosine to 0 over ``epochs`` times ``epoch_steps`` steps,
    batches of 128; of the final states the one of best validation accuracy, the smaller rate among equals."""

    def __init__(
        self,
        kind: str = "multiclass",
        n_classes: int = 2,
        metric: str = "accuracy",
        roles: Roles | None = None,
        seed: int = 0,
        validation_folds: int = 5,
        device: str = "cpu",
        progress: Progress | None = None,
        epochs: int = EPOCHS,
        epoch_steps: int = EPOCH_STEPS,
    ):
        super().__init__(kind, n_classes, metric, roles, seed, validation_folds, device, progress)
        self.epochs = epochs
        self.epoch_steps = epoch_steps

    def _outcomes(self, seeds: Sequence[int], rows: Rows, held: Rows) -> list[Outcome]:
        return [self._outcome(seed, rows, held) for seed in seeds]

    def _outcome(self, seed: int, rows: Rows, held: Rows) -> Outcome:
        drawn = generator("literature/dinov2", seed)
        weights = normal([drawn] * len(RATES), rows.x.shape[1], self.n_classes)
        stack = LinearStack(*(tensor.to(self.device) for tensor in weights))
        rates = torch.tensor(RATES, device=self.device) * _SCALE
        stream = _stream(len(rows), BATCH, drawn)
        best = trained(
            stack,
            Momentum(stack.parameters),
            rows,
            held,
            lambda epoch: [next(stream) for _ in range(self.epoch_steps)],
            Criterion(self.kind, "accuracy"),
            Recipe(self.epochs, lambda epoch, done: cosine(rates, 0.0, done), check=self.epochs, keep=self.epochs),
            self.progress or (lambda share: None),
        )
        scores = [kept["score"] for kept in best.kept]
        chosen = scores.index(max(scores))
        path = [{"lr": rate, "score": score} for rate, score in zip(RATES, scores, strict=True)]
        return Outcome(best.stack[chosen], {"lr": RATES[chosen]}, path, chosen in (0, len(RATES) - 1))


def _stream(n: int, size: int, drawn: torch.Generator) -> Iterator[torch.Tensor]:
    """Batches (size,) without end: all ``n`` rows in a new order, again and again, batches running on across them."""
    left = torch.empty(0, dtype=torch.long)
    while True:
        while len(left) < size:
            left = torch.cat([left, torch.randperm(n, generator=drawn)])
        yield left[:size]
        left = left[size:]
