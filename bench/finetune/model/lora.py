"""Low-rank adapters of an encoder's linear layers, through ``peft``."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from bench.base.errors import BadInput
from bench.encoders.batches import collate
from bench.finetune.recipe import Lora
from bench.types import Encoder

PROBE_S = 1.0  # of noise, to see which layers a forward pass calls


def adapt(encoder: Encoder, lora: Lora, where: str) -> None:
    """Adds adapters (Hu et al., LoRA, ICLR 2022) to the linear layers that the recipe names, all of them where it names
    none, and leaves gradients to the adapters alone.

    A layer whose weights the network reads without calling it, as attention in one fused call does (WavLM's), cannot
    be adapted. Raises ``BadInput`` where the recipe names one of those, where no layer is left, and without ``peft``.
    """
    from bench.base.optional_imports import import_torchaudio

    import_torchaudio()  # peft imports transformers, which imports it
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise BadInput("recipe: lora", "needs the package peft", "pip install 'respbench[lora]'") from error
    linear = {name: module for name, module in encoder.named_modules() if isinstance(module, nn.Linear)}
    called = _called(encoder, linear)
    known = _leaves(called)
    if missing := [name for name in lora.targets if name not in known]:
        read = ", whose weights are read without calling it" if missing[0] in _leaves(linear) else ""
        problem = f"has no linear layer {missing[0]} to adapt{read}"
        raise BadInput(where, problem, f"name some of: {', '.join(known) or 'none'}")
    targets = [name for name in called if not lora.targets or _leaf(name) in lora.targets]
    if not targets:
        raise BadInput(where, "has no linear layer to adapt", 'take another encoder, or train = "all" or "last"')
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, bias="none"
    )
    inject_adapter_in_model(config, encoder)
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_("lora_" in name)


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _leaves(names: Iterable[str]) -> list[str]:
    return sorted({_leaf(name) for name in names})


def _called(encoder: Encoder, linear: dict[str, nn.Linear]) -> list[str]:
    """The names of the layers that a forward pass calls."""
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
