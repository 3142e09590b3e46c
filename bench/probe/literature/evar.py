"""EVAR's linear evaluation: Niizumi et al., nttcslab/eval-audio-repr, ``lineareval.py``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.preprocessing import StandardScaler

from bench.probe.literature.shared.loop import (
    Criterion,
    ReportShare,
    TrainingSettings,
    seeded_generator,
    shuffled_batches,
    train,
)
from bench.probe.literature.shared.probe import LiteratureProbe, Outcome
from bench.probe.literature.shared.replicas import Adam, LinearReplicas, uniform_layer
from bench.probe.literature.shared.rows import LabelledRows
from bench.scores.metrics import Roles

BATCH, EPOCHS, PATIENCE, DECAY = 200, 200, 20, 1e-8


class EvarProbe(LiteratureProbe):
    """A linear layer on features standardised by the rows trained on.

    Cross-entropy averaged over rows and classes, or binary cross-entropy; Adam at a constant ``rate`` with weight decay
    1e-8, batches of min(200, N); the state of best validation accuracy (mAP of labels), the last of equals; training
    ends after 20 epochs without improvement.

    Parameters
    ----------
    kind, n_classes, metric, roles, seed, validation_folds, device, progress
        As ``LiteratureProbe``.
    rate : float
        Learning rate.
    epochs : int
        Most epochs.

    References
    ----------
    Niizumi et al., github.com/nttcslab/eval-audio-repr, ``lineareval.py``.
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
        progress: ReportShare | None = None,
        rate: float = 3e-4,
        epochs: int = EPOCHS,
    ):
        super().__init__(kind, n_classes, metric, roles, seed, validation_folds, device, progress)
        self.rate = rate
        self.epochs = epochs

    def prepare(self, x: np.ndarray) -> None:
        """Fits the scaler to the features (N, D) of the rows trained on."""
        self.scaler_ = StandardScaler().fit(x.astype(float))

    def network_input(self, x: np.ndarray) -> np.ndarray:
        """Standardised features (N, D), float32."""
        return self.scaler_.transform(x.astype(float)).astype(np.float32)

    def outcomes(self, seeds: Sequence[int], rows: LabelledRows, validation: LabelledRows) -> list[Outcome]:
        """One outcome per seed."""
        generators = [seeded_generator("literature/evar", seed) for seed in seeds]
        weights = [tensor.to(self.device) for tensor in uniform_layer(generators, rows.x.shape[1], self.n_classes)]
        network = LinearReplicas(*weights)
        criterion = Criterion("multilabel", "ap.bits")
        if self.kind == "multiclass":
            criterion = Criterion("multiclass", "accuracy", scale=1 / self.n_classes)
        best = train(
            network,
            Adam(network.parameters, DECAY),
            rows,
            validation,
            shuffled_batches(generators, len(rows), min(BATCH, len(rows))),
            criterion,
            TrainingSettings(self.epochs, lambda epoch, done: self.rate, patience=PATIENCE, latest=True),
            self.progress or (lambda share: None),
        )
        return [
            Outcome(network, {"epoch": chosen["epoch"], "lr": self.rate}, path, chosen["epoch"] == self.epochs)
            for network, chosen, path in zip(best.networks, best.kept, best.path, strict=True)
        ]
