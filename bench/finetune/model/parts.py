"""Which parameters are trained, and at which learning rate: of the encoder all, its last blocks, adapters, or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from bench.base.errors import BadInput
from bench.encoders.blocks import encoder_blocks
from bench.finetune.model.lora import add_adapters
from bench.finetune.recipe import Lora, Optimiser, Recipe, TrainedParts


def require_measured(encoder: nn.Module, parts: TrainedParts, where: str) -> None:
    """Raise ``BadInput`` where BatchNorm would keep the statistics of a network that has not been pretrained."""
    if parts.norm == "frozen" and any(True for _ in _batch_norms(encoder)):
        problem = (
            "is trained from scratch, and the recipe keeps the statistics of its BatchNorm, which measured nothing"
        )
        remedy = 'say norm = "train" below [encoder], as sprsound-scratch does, or take that recipe'
        raise BadInput(where, problem, remedy)


def _batch_norms(encoder: nn.Module) -> Iterator[nn.Module]:
    return (module for module in encoder.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))


def freeze(encoder: nn.Module, parts: TrainedParts, lora: Lora, where: str) -> None:
    """Keep gradients of the trained parts only, in place, and add low-rank adapters where the recipe trains them.

    Raises
    ------
    BadInput
        Where there are fewer blocks than the recipe trains, and as ``bench.finetune.model.lora.add_adapters``.
    """
    encoder.requires_grad_(parts.train == "all")
    if parts.train == "last":
        blocks = encoder_blocks(encoder)
        if parts.last > len(blocks):
            problem = f"has {len(blocks)} blocks, and the recipe trains the last {parts.last}"
            raise BadInput(where, problem, 'train fewer, or train = "all"')
        for block in blocks[-parts.last :]:
            block.requires_grad_(True)
    if parts.train == "lora":
        add_adapters(encoder, lora, where)


def train_mode(encoder: nn.Module, heads: Sequence[nn.Module], parts: TrainedParts) -> None:
    """Put the trained parts into training mode and the rest into prediction mode; BatchNorm as the recipe says."""
    encoder.train(parts.train in ("all", "lora"))
    if parts.train == "last":
        for block in encoder_blocks(encoder)[-parts.last :]:
            block.train()
    if parts.norm == "frozen":
        for module in _batch_norms(encoder):
            module.eval()
    for head in heads:
        head.train()


def parameter_groups(
    encoder: nn.Module, heads: Sequence[nn.Module], parts: TrainedParts, optimiser: Optimiser
) -> list[dict]:
    """Group trained parameters by learning rate and weight decay.

    Block i of L (from 0, at the input) has the rate lr · layer_decay^(L − i), so that the last one is decayed once;
    parameters in no block count as the first. ``heads`` have the head's rate.

    Returns
    -------
    list of dict
        torch's parameter groups; ``lr`` is the rate before the schedule, and ``base_lr`` the same.

    References
    ----------
    Bao et al., BEiT, ICLR 2022 (arXiv:2106.08254).
    """
    blocks = encoder_blocks(encoder)
    depth = {id(p): i for i, block in enumerate(blocks) for p in block.parameters()}
    rates: dict[tuple[float, float], list[nn.Parameter]] = {}

    def add(parameter: nn.Parameter, rate: float) -> None:
        decayed = optimiser.decay_vectors or parameter.ndim > 1
        rates.setdefault((rate, optimiser.weight_decay if decayed else 0.0), []).append(parameter)

    for parameter in encoder.parameters():
        if parameter.requires_grad:
            add(parameter, optimiser.lr * parts.layer_decay ** (len(blocks) - depth.get(id(parameter), 0)))
    for head in heads:
        for parameter in head.parameters():
            add(parameter, optimiser.head_lr or optimiser.lr)
    return [
        {"params": parameters, "lr": rate, "base_lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in rates.items()
    ]


def count_trained(recipe: Recipe, encoder: nn.Module, heads: Sequence[nn.Module]) -> int:
    """Count the scalar parameters that are trained."""
    groups = parameter_groups(encoder, heads, recipe.encoder, recipe.optimiser)
    return sum(p.numel() for group in groups for p in group["params"])


@contextmanager
def gradient_checkpointing(encoder: nn.Module, enabled: bool) -> Iterator[None]:
    """Recompute activations inside the encoder's blocks in the backward pass, while the context lasts."""
    callable_blocks = (
        [b for b in encoder_blocks(encoder) if type(b).forward is not nn.Module.forward] if enabled else []
    )
    for block in callable_blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block in callable_blocks:
            del block.forward
