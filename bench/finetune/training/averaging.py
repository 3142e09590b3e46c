"""Moving averages of weights over optimiser steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bench.finetune.recipe import Averaging


class Averager:
    """Averages the tensors that training changes.

    ``ema`` keeps a copy a ← decay · a + (1 − decay) · θ, with which predictions are made; ``step`` sets
    θ ← decay · θ_before + (1 − decay) · θ in the modules themselves, as Patch-Mix does; ``none`` does nothing. Tensors
    that training changes are parameters that need a gradient, and floating-point buffers that are part of the state.

    Parameters
    ----------
    averaging
        The recipe's kind and decay.
    modules
        {name: module} whose tensors are averaged.

    References
    ----------
    Bae et al., Interspeech 2023 (arXiv:2305.14032), for ``step``.
    """

    def __init__(self, averaging: Averaging, modules: Mapping[str, nn.Module]):
        self.averaging = averaging
        self.live = {
            f"{part}.{name}": tensor for part, module in modules.items() for name, tensor in _trained_tensors(module)
        }
        copied = averaging.kind != "none"
        self.averages = {name: tensor.detach().clone() for name, tensor in self.live.items()} if copied else {}

    @torch.no_grad()
    def update(self) -> None:
        """Average the tensors; called after every optimiser step."""
        decay = self.averaging.decay
        for name, average in self.averages.items():
            live = self.live[name]
            average.mul_(decay).add_(live, alpha=1 - decay)
            if self.averaging.kind == "step":
                live.copy_(average)

    @contextmanager
    def for_prediction(self) -> Iterator[None]:
        """Put the weights with which predictions are made into the modules, while the context lasts."""
        if self.averaging.kind != "ema":
            yield
            return
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, average in self.averages.items():
            live = self.live[name]
            held = live.detach().clone()
            live.copy_(average)
            average.copy_(held)

    def state(self) -> dict[str, Tensor]:
        """Return the averages, for a checkpoint."""
        return dict(self.averages)

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore the averages from a checkpoint."""
        for name, average in self.averages.items():
            average.copy_(state[name])


def _trained_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    stored = module.state_dict(keep_vars=True)
    for name, tensor in stored.items():
        trained = isinstance(tensor, nn.Parameter) and tensor.requires_grad
        if trained or (not isinstance(tensor, nn.Parameter) and tensor.is_floating_point()):
            yield name, tensor
