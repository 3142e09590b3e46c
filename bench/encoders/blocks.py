"""Splits an encoder's parameters into blocks, in order from the input to the output.

Fine-tuning uses the blocks for learning rates that decay layer by layer, and to train the last blocks alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


class ParameterGroup(nn.Module):
    """Modules and bare parameters that count as one block; it shares them with the encoder and is no part of it."""

    def __init__(self, parts: Iterable[nn.Module | nn.Parameter]):
        super().__init__()
        for i, part in enumerate(parts):
            if isinstance(part, nn.Parameter):
                self.register_parameter(str(i), part)
            else:
                self.add_module(str(i), part)


def encoder_blocks(encoder: nn.Module) -> list[nn.Module]:
    """Returns the blocks that the encoder's own ``blocks()`` names, else those around its longest stack."""
    own = getattr(encoder, "blocks", None)
    return split_at_longest_stack(encoder) if own is None else own()


def split_around_stack(
    root: nn.Module, stack: Iterable[nn.Module], tail: Iterable[nn.Module | nn.Parameter] = ()
) -> list[nn.Module]:
    """Splits the parameters of ``root`` into blocks around a given stack of modules.

    Parameters
    ----------
    root : Module
        The encoder.
    stack : iterable of Module
        Modules of ``root`` that are one block each, in order.
    tail : iterable of Module or Parameter
        Parts of ``root`` behind the stack, which make up the last block.

    Returns
    -------
    list of Module
        Every parameter in one block: first what is in neither ``stack`` nor ``tail`` (patches, positions, class
        tokens), then the modules of ``stack``, then ``tail``. Blocks without parameters are left out.
    """
    stack, last = list(stack), ParameterGroup(tail)
    taken = {id(p) for module in (*stack, last) for p in module.parameters()}
    blocks = (ParameterGroup(_remaining_parts(root, taken)), *stack, last)
    return [block for block in blocks if any(True for _ in block.parameters())]


def split_at_longest_stack(root: nn.Module) -> list[nn.Module]:
    """Splits the parameters of ``root`` around its longest stack of modules.

    The stack is the ``nn.ModuleList`` or ``nn.Sequential`` with the most children that have parameters, the first of
    several; what is registered behind it is the tail. See ``split_around_stack``.
    """
    stacks = [module for module in root.modules() if isinstance(module, (nn.ModuleList, nn.Sequential))]
    counts = [sum(any(True for _ in child.parameters()) for child in stack) for stack in stacks]
    if not any(counts):
        return split_around_stack(root, ())
    stack = stacks[counts.index(max(counts))]
    return split_around_stack(root, stack, _modules_behind(root, stack))


def _remaining_parts(module: nn.Module, taken: set[int]) -> list[nn.Module | nn.Parameter]:
    """The parameters of ``module`` that are not ``taken``, as the largest modules that hold nothing taken."""
    parts: list[nn.Module | nn.Parameter] = [p for p in module.parameters(recurse=False) if id(p) not in taken]
    for child in module.children():
        held = {id(p) for p in child.parameters()}
        if held & taken:
            parts += _remaining_parts(child, taken)
        elif held:
            parts.append(child)
    return parts


def _modules_behind(module: nn.Module, stack: nn.Module) -> list[nn.Module]:
    """The modules registered behind ``stack``, at every level from its own up to that of ``module``."""
    behind: list[nn.Module] = []
    passed = False
    for child in module.children():
        if passed:
            behind.append(child)
        elif any(part is stack for part in child.modules()):
            passed, behind = True, [] if child is stack else _modules_behind(child, stack)
    return behind
