"""The linear probe of XARES 0.1.3 (jimbozhang/xares)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bench.probe.literature._probe import LiteratureProbe, Outcome
from bench.probe.literature._rows import Rows
from bench.probe.literature._stack import Adam, LinearStack, uniform
from bench.probe.literature._training import Criterion, Recipe, at_end, cosine, generator, shuffled, trained

BATCH, EPOCHS, RATE = 32, 10, 1e-3


class XaresProbe(LiteratureProbe):
    """Layer normalisation, then a linear layer; Adam from 1e-3 to 1e-4 on half a cosine over all steps, shuffled
    batches of 32, 10 epochs; the state of best validation accuracy (mAP of labels), the first of equals."""

    kinds = ("multiclass", "multilabel")

    def _outcomes(self, seeds: Sequence[int], rows: Rows, held: Rows) -> list[Outcome]:
        generators = [generator("literature/xares", seed) for seed in seeds]
        size = (len(seeds), 1, rows.x.shape[1])
        weights = uniform(generators, rows.x.shape[1], self.n_classes)
        norm = [torch.ones(size, device=self.device), torch.zeros(size, device=self.device)]
        stack = LinearStack(*(tensor.to(self.device) for tensor in weights), norm=norm)
        best = trained(
            stack,
            Adam(stack.parameters),
            rows,
            held,
            shuffled(generators, len(rows), BATCH),
            Criterion(self.kind, "ap.bits" if self.kind == "multilabel" else "accuracy"),
            Recipe(EPOCHS, lambda epoch, done: cosine(RATE, RATE / 10, done)),
            self.progress or (lambda share: None),
        )
        return [
            Outcome(network, {"epoch": chosen["epoch"]}, path, at_end(path, chosen))
            for network, chosen, path in zip(best.stack, best.kept, best.path, strict=True)
        ]
