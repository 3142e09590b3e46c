"""OPERA's linear evaluation: Zhang et al., NeurIPS 2024, arXiv:2406.16148, and the code released with it."""

from __future__ import annotations

from collections.abc import Sequence

from bench.probe.literature._probe import LiteratureProbe, Outcome
from bench.probe.literature._rows import Rows
from bench.probe.literature._stack import Adam, LinearStack, normal
from bench.probe.literature._training import Criterion, Progress, Recipe, at_end, generator, shuffled, trained
from bench.scores.metrics import Roles

RATE, DECAY, CLIP = 1e-4, 0.97, 1.0
PENALTY = {"multiclass": 1e-5, "regression": 1e-1}


class OperaProbe(LiteratureProbe):
    """A linear layer on the embedding as it is, from N(0, 0.01²): cross-entropy + 1e-5 Σθ², or squared error + 0.1 Σθ²
    of a prediction ``ŵx · σ + μ`` in the target's unit (mean and spread of the rows trained on); Adam at 1e-4 · 0.97
    per epoch, gradient norm at most 1, shuffled batches; the state of best validation AUROC or absolute error, the
    first of equals. All seeds of a run train in one pass.

    ``keep``: every so many epochs the state is kept; ``patience``, ``delta``: early stopping where a task has it.
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
        progress: Progress | None = None,
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

    def _outcomes(self, seeds: Sequence[int], rows: Rows, held: Rows) -> list[Outcome]:
        generators = [generator("literature/opera", seed) for seed in seeds]
        outputs, unit = self.n_classes, {}
        if self.kind == "regression":
            spread = rows.target.std(correction=0).item()
            outputs, unit = 1, {"scale": spread or 1.0, "shift": rows.target.mean().item()}
        weights = [tensor.to(self.device) for tensor in normal(generators, rows.x.shape[1], outputs)]
        stack = LinearStack(*weights, **unit)
        recipe = Recipe(
            epochs=self.epochs,
            rate=lambda epoch, done: RATE * DECAY**epoch,
            clip=CLIP,
            penalty=PENALTY[self.kind],
            keep=self.keep,
            patience=self.patience,
            delta=self.delta,
        )
        best = trained(
            stack,
            Adam(stack.parameters),
            rows,
            held,
            shuffled(generators, len(rows), self.batch),
            Criterion(self.kind, "mae" if self.kind == "regression" else "auroc"),
            recipe,
            self.progress or (lambda share: None),
        )
        return [
            Outcome(network, {"epoch": chosen["epoch"]}, path, at_end(path, chosen))
            for network, chosen, path in zip(best.stack, best.kept, best.path, strict=True)
        ]
