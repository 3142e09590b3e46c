"""EVAR's linear evaluation: Niizumi et al., nttcslab/eval-audio-repr, ``lineareval.py``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.preprocessing import StandardScaler

from bench.probe.literature._probe import LiteratureProbe, Outcome
from bench.probe.literature._rows import Rows
from bench.probe.literature._stack import Adam, LinearStack, uniform
from bench.probe.literature._training import Criterion, Progress, Recipe, generator, shuffled, trained
from bench.scores.metrics import Roles

BATCH, EPOCHS, PATIENCE, DECAY = 200, 200, 20, 1e-8


class EvarProbe(LiteratureProbe):
    """Features standardised on the rows trained on; a linear layer; cross-entropy averaged over rows and classes, or
    binary cross-entropy; Adam at a constant ``rate`` with weight decay 1e-8, batches of min(200, N), at most 200
    epochs; the state of best validation accuracy (mAP of labels), the last of equals, ends after 20 epochs without.
    """

    kinds = ("multiclass", "multilabel")

    def __init__(
        self,
        kind: str = "multiclass",
        n_classes: int = 2,
        metric: str = "accuracy",
        roles: Roles | None = None,
        seed: int = 42,
        validation_folds: int = 5,
        device: str = "cpu",
        progress: Progress | None = None,
        rate: float = 3e-4,
        epochs: int = EPOCHS,
    ):
        super().__init__(kind, n_classes, metric, roles, seed, validation_folds, device, progress)
        self.rate = rate
        self.epochs = epochs

    def _prepare(self, x: np.ndarray) -> None:
        self.scaler_ = StandardScaler().fit(x.astype(float))

    def _input(self, x: np.ndarray) -> np.ndarray:
        return self.scaler_.transform(x.astype(float)).astype(np.float32)

    def _outcomes(self, seeds: Sequence[int], rows: Rows, held: Rows) -> list[Outcome]:
        generators = [generator("literature/evar", seed) for seed in seeds]
        weights = [tensor.to(self.device) for tensor in uniform(generators, rows.x.shape[1], self.n_classes)]
        stack = LinearStack(*weights)
        criterion = Criterion("multilabel", "ap.bits")
        if self.kind == "multiclass":
            criterion = Criterion("multiclass", "accuracy", scale=1 / self.n_classes)
        best = trained(
            stack,
            Adam(stack.parameters, DECAY),
            rows,
            held,
            shuffled(generators, len(rows), min(BATCH, len(rows))),
            criterion,
            Recipe(self.epochs, lambda epoch, done: self.rate, patience=PATIENCE, latest=True),
            self.progress or (lambda share: None),
        )
        return [
            Outcome(network, {"epoch": chosen["epoch"], "lr": self.rate}, path, chosen["epoch"] == self.epochs)
            for network, chosen, path in zip(best.stack, best.kept, best.path, strict=True)
        ]
