"""OPERA's linear evaluation: Zhang et al., NeurIPS 2024, arXiv:2406.16148, and the code released with it."""

from __future__ import annotations

from collections.abc import Sequence

from bench.probe.literature.shared.loop import (
    Criterion,
    ReportShare,
    TrainingSettings,
    at_end,
    seeded_generator,
    shuffled_batches,
    train,
)
from bench.probe.literature.shared.probe import LiteratureProbe, Outcome
from bench.probe.literature.shared.replicas import Adam, LinearReplicas, normal_layer
from bench.probe.literature.shared.rows import LabelledRows
from bench.scores.metrics import Roles

LEARNING_RATE, DECAY, CLIP = 1e-4, 0.97, 1.0
PENALTY = {"multiclass": 1e-5, "regression": 1e-1}


class OperaProbe(LiteratureProbe):
    """A linear layer on the embedding as it is, from N(0, 0.01²).

    Cross-entropy + 1e-5 Σθ², or squared error + 0.1 Σθ² of a prediction ``ŵx · σ + μ`` in the target's unit (mean and
    spread of the rows trained on); Adam at 1e-4 · 0.97 per epoch, gradient norm at most 1, shuffled batches; the state
    of best validation AUROC or absolute error, the first of equals. All seeds of a run train in one pass.

    Parameters
    ----------
    kind, n_classes, metric, roles, seed, validation_folds, device, progress
        As ``LiteratureProbe``.
    batch : int
        Rows of a batch.
    epochs : int
        Most epochs.
    keep : int
        The state may be kept after every so many epochs.
    patience : int, optional
        Epochs without improvement after which training ends, where a task has early stopping.
    delta : float
        By how much an epoch has to be better to count as an improvement.

    References
    ----------
    Zhang et al., Towards open respiratory acoustic foundation models: pretraining and benchmarking, NeurIPS 2024,
    arXiv:2406.16148; github.com/evelyn0414/OPERA.
    """

    kinds = ("multiclass", "regression")

    def __init__(
        self,
        kind: str = "multiclass",
        n_classes: int = 2,
        metric: str = "auroc",
        roles: Roles | None = None,
        seed: int = 0,
        validation_folds: int = 5,
        device: str = "cpu",
        progress: ReportShare | None = None,
        batch: int = 64,
        epochs: int = 64,
        keep: int = 1,
        patience: int | None = None,
        delta: float = 0.0,
    ):
        super().__init__(kind, n_classes, metric, roles, seed, validation_folds, device, progress)
        self.batch = batch
        self.epochs = epochs
        self.keep = keep
        self.patience = patience
        self.delta = delta

    def outcomes(self, seeds: Sequence[int], rows: LabelledRows, validation: LabelledRows) -> list[Outcome]:
        """One outcome per seed."""
        generators = [seeded_generator("literature/opera", seed) for seed in seeds]
        outputs, unit = self.n_classes, {}
        if self.kind == "regression":
            spread = rows.target.std(correction=0).item()
            outputs, unit = 1, {"scale": spread or 1.0, "shift": rows.target.mean().item()}
        weights = [tensor.to(self.device) for tensor in normal_layer(generators, rows.x.shape[1], outputs)]
        network = LinearReplicas(*weights, **unit)
        settings = TrainingSettings(
            epochs=self.epochs,
            rate=lambda epoch, done: LEARNING_RATE * DECAY**epoch,
            clip=CLIP,
            penalty=PENALTY[self.kind],
            keep=self.keep,
            patience=self.patience,
            delta=self.delta,
        )
        best = train(
            network,
            Adam(network.parameters),
            rows,
            validation,
            shuffled_batches(generators, len(rows), self.batch),
            Criterion(self.kind, "mae" if self.kind == "regression" else "auroc"),
            settings,
            self.progress or (lambda share: None),
        )
        return [
            Outcome(network, {"epoch": chosen["epoch"]}, path, at_end(path, chosen))
            for network, chosen, path in zip(best.networks, best.kept, best.path, strict=True)
        ]
