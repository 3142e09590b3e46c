"""Low-rank adapters of an encoder's linear layers, through ``peft``."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from bench.base.errors import BadInput
from bench.base.optional_imports import import_torchaudio
from bench.encoders.batches import collate
from bench.finetune.recipe import Lora
from bench.types import Encoder

PROBE_S = 1.0  # seconds of noise, to see which layers a forward pass calls


def add_adapters(encoder: Encoder, lora: Lora, where: str) -> None:
    """Add low-rank adapters to linear layers of an encoder, in place; only the adapters keep gradients.

    A layer whose weights the network reads without calling it, as attention in one fused call does (WavLM's), cannot
    be adapted.

    Parameters
    ----------
    encoder
        Any encoder with linear layers.
    lora
        Rank, scale, dropout, and the layers to adapt: all that can be where it names none.
    where
        What an error names: the encoder's id.

    Raises
    ------
    BadInput
        Where the recipe names a layer that cannot be adapted, where no layer is left, and without ``peft``.

    References
    ----------
    Hu et al., LoRA, ICLR 2022 (arXiv:2106.09685).
    """
    import_torchaudio()  # peft imports transformers, which imports it
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise BadInput("recipe: lora", "needs the package peft", "pip install 'respbench[lora]'") from error
    linear = {name: module for name, module in encoder.named_modules() if isinstance(module, nn.Linear)}
    called = _called_layers(encoder, linear)
    known = _last_parts(called)
    if missing := [name for name in lora.targets if name not in known]:
        read = ", whose weights are read without calling it" if missing[0] in _last_parts(linear) else ""
        problem = f"has no linear layer {missing[0]} to adapt{read}"
        raise BadInput(where, problem, f"name some of: {', '.join(known) or 'none'}")
    targets = [name for name in called if not lora.targets or _last_part(name) in lora.targets]
    if not targets:
        raise BadInput(where, "has no linear layer to adapt", 'take another encoder, or train = "all" or "last"')
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, bias="none"
    )
    inject_adapter_in_model(config, encoder)
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_("lora_" in name)


def _last_part(name: str) -> str:
    return name.rpartition(".")[2]


def _last_parts(names: Iterable[str]) -> list[str]:
    return sorted({_last_part(name) for name in names})


def _called_layers(encoder: Encoder, linear: dict[str, nn.Linear]) -> list[str]:
    """Return the names of the linear layers that a forward pass calls."""
    seen: set[str] = set()
    hooks = [
        module.register_forward_hook(lambda module, given, out, name=name: seen.add(name))
        for name, module in linear.items()
    ]
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(PROBE_S * encoder.card.sample_rate))
    try:
        with torch.no_grad():
            encoder(*collate(encoder, [noise.astype(np.float32)]))
    finally:
        for hook in hooks:
            hook.remove()
    return [name for name in linear if name in seen]
