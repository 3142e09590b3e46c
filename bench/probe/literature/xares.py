"""The linear probe of XARES 0.1.3 (jimbozhang/xares)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bench.probe.literature.shared.loop import (
    Criterion,
    TrainingSettings,
    at_end,
    cosine_rate,
    seeded_generator,
    shuffled_batches,
    train,
)
from bench.probe.literature.shared.probe import LiteratureProbe, Outcome
from bench.probe.literature.shared.replicas import Adam, LinearReplicas, uniform_layer
from bench.probe.literature.shared.rows import LabelledRows

BATCH, EPOCHS, LEARNING_RATE = 32, 10, 1e-3


class XaresProbe(LiteratureProbe):
    """Layer normalisation, then a linear layer.

    Adam from 1e-3 to 1e-4 on half a cosine over all steps, shuffled batches of 32, 10 epochs; the state of best
    validation accuracy (mAP of labels), the first of equals. Parameters are those of ``LiteratureProbe``.

    References
    ----------
    github.com/jimbozhang/xares, version 0.1.3.
    """

    kinds = ("multiclass", "multilabel")

    def outcomes(self, seeds: Sequence[int], rows: LabelledRows, validation: LabelledRows) -> list[Outcome]:
        """One outcome per seed."""
        generators = [seeded_generator("literature/xares", seed) for seed in seeds]
        size = (len(seeds), 1, rows.x.shape[1])
        weights = uniform_layer(generators, rows.x.shape[1], self.n_classes)
        norm = [torch.ones(size, device=self.device), torch.zeros(size, device=self.device)]
        network = LinearReplicas(*(tensor.to(self.device) for tensor in weights), norm=norm)
        best = train(
            network,
            Adam(network.parameters),
            rows,
            validation,
            shuffled_batches(generators, len(rows), BATCH),
            Criterion(self.kind, "ap.bits" if self.kind == "multilabel" else "accuracy"),
            TrainingSettings(EPOCHS, lambda epoch, done: cosine_rate(LEARNING_RATE, LEARNING_RATE / 10, done)),
            self.progress or (lambda share: None),
        )
        return [
            Outcome(network, {"epoch": chosen["epoch"]}, path, at_end(path, chosen))
            for network, chosen, path in zip(best.networks, best.kept, best.path, strict=True)
        ]
