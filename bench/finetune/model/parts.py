"""What is trained at which rate: whole encoders, their last blocks, low-rank adapters, or the head alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from bench.base.errors import BadInput
from bench.encoders.blocks import encoder_blocks
from bench.finetune.model.lora import adapt
from bench.finetune.recipe import Lora, Optimiser, Parts, Recipe


def require_measured(encoder: nn.Module, parts: Parts, where: str) -> None:
    """Raises ``BadInput`` where BatchNorm of a network without pretraining would keep statistics that nothing has
    measured."""
    if parts.norm == "frozen" and any(True for _ in _norms(encoder)):
        problem = (
            "is trained from scratch, and the recipe keeps the statistics of its BatchNorm, which measured nothing"
        )
        remedy = 'say norm = "train" below [encoder], as sprsound-scratch does, or take that recipe'
        raise BadInput(where, problem, remedy)


def _norms(encoder: nn.Module) -> Iterator[nn.Module]:
    return (module for module in encoder.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))


def freeze(encoder: nn.Module, parts: Parts, lora: Lora, where: str) -> None:
    """Leaves gradients to what is trained, adding low-rank adapters if those are. Raises ``BadInput`` where there are
    fewer blocks than asked for, and as ``bench.finetune.model.lora.adapt``."""
    encoder.requires_grad_(parts.train == "all")
    if parts.train == "last":
        found = encoder_blocks(encoder)
        if parts.last > len(found):
            problem = f"has {len(found)} blocks, and the recipe trains the last {parts.last}"
            raise BadInput(where, problem, 'train fewer, or train = "all"')
        for block in found[-parts.last :]:
            block.requires_grad_(True)
    if parts.train == "lora":
        adapt(encoder, lora, where)


def train_mode(encoder: nn.Module, heads: Sequence[nn.Module], parts: Parts) -> None:
    """Training mode for what is trained, prediction mode for the rest; BatchNorm as the recipe says."""
    encoder.train(parts.train in ("all", "lora"))
    if parts.train == "last":
        for block in encoder_blocks(encoder)[-parts.last :]:
            block.train()
    if parts.norm == "frozen":
        for module in _norms(encoder):
            module.eval()
    for head in heads:
        head.train()


def parameter_groups(encoder: nn.Module, heads: Sequence[nn.Module], choice: Parts, optimiser: Optimiser) -> list[dict]:
    """torch's parameter groups, each with ``lr`` as it is before the schedule and ``base_lr``, the same.

    Block i of L (from 0, at the input) has the rate lr · layer_decay^(L − i), so that the last one is decayed once, as
    in BEiT (Bao et al., ICLR 2022); parameters in no block count as the first. ``heads`` have the head's rate.
    """
    found = encoder_blocks(encoder)
    depth = {id(p): i for i, block in enumerate(found) for p in block.parameters()}
    rates: dict[tuple[float, float], list[nn.Parameter]] = {}

    def add(parameter: nn.Parameter, rate: float) -> None:
        decayed = optimiser.decay_vectors or parameter.ndim > 1
        rates.setdefault((rate, optimiser.weight_decay if decayed else 0.0), []).append(parameter)

    for parameter in encoder.parameters():
        if parameter.requires_grad:
            add(parameter, optimiser.lr * choice.layer_decay ** (len(found) - depth.get(id(parameter), 0)))
    for head in heads:
        for parameter in head.parameters():
            add(parameter, optimiser.head_lr or optimiser.lr)
    return [
        {"params": parameters, "lr": rate, "base_lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in rates.items()
    ]


def trained_parameters(recipe: Recipe, encoder: nn.Module, heads: Sequence[nn.Module]) -> int:
    """How many numbers are trained."""
    groups = parameter_groups(encoder, heads, recipe.encoder, recipe.optimiser)
    return sum(p.numel() for group in groups for p in group["params"])


@contextmanager
def recomputed(encoder: nn.Module, wanted: bool) -> Iterator[None]:
    """While it lasts, activations inside the encoder's blocks are computed again in the backward pass, if wanted."""
    running = [b for b in encoder_blocks(encoder) if type(b).forward is not nn.Module.forward] if wanted else []
    for block in running:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block in running:
            del block.forward
