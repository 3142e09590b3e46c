"""Averages of weights over steps: one that training follows, and one that it does not see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bench.finetune.recipe import Averaging


class Averager:
    """``ema`` keeps a copy a ← decay · a + (1 − decay) · θ and lends it to predictions; ``step`` sets
    θ ← decay · θ_before + (1 − decay) · θ in the modules themselves, as Patch-Mix does (Bae et al., Interspeech 2023);
    ``none`` does nothing. Only tensors that training changes take part: parameters that need a gradient, and
    floating-point buffers that are part of the state."""

    def __init__(self, choice: Averaging, modules: Mapping[str, nn.Module]):
        self.choice = choice
        self.live = {f"{part}.{name}": tensor for part, module in modules.items() for name, tensor in _moving(module)}
        copied = choice.kind != "none"
        self.kept = {name: tensor.detach().clone() for name, tensor in self.live.items()} if copied else {}

    @torch.no_grad()
    def update(self) -> None:
        """To be called after every optimiser step."""
        decay = self.choice.decay
        for name, kept in self.kept.items():
            live = self.live[name]
            kept.mul_(decay).add_(live, alpha=1 - decay)
            if self.choice.kind == "step":
                live.copy_(kept)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """The weights that predictions are made with, in the modules while the context lasts."""
        if self.choice.kind != "ema":
            yield
            return
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, kept in self.kept.items():
            live = self.live[name]
            held = live.detach().clone()
            live.copy_(kept)
            kept.copy_(held)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint holds of it."""
        return dict(self.kept)

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes over a checkpoint's averages."""
        for name, kept in self.kept.items():
            kept.copy_(state[name])


def _moving(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    stored = module.state_dict(keep_vars=True)
    for name, tensor in stored.items():
        trained = isinstance(tensor, nn.Parameter) and tensor.requires_grad
        if trained or (not isinstance(tensor, nn.Parameter) and tensor.is_floating_point()):
            yield name, tensor
