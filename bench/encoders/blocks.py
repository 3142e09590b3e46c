"""An encoder's parameters in order from the input to the output: for rates that decay layer by layer and for training
the last blocks alone."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


class Group(nn.Module):
    """Modules and bare parameters that count as one block; it shares them with the encoder and is no part of it."""

    def __init__(self, parts: Iterable[nn.Module | nn.Parameter]):
        super().__init__()
        for i, part in enumerate(parts):
            if isinstance(part, nn.Parameter):
                self.register_parameter(str(i), part)
            else:
                self.add_module(str(i), part)


def ordered(root: nn.Module, stack: Iterable[nn.Module], tail: Iterable[nn.Module] = ()) -> list[nn.Module]:
    """``root``'s parameters, each in one block: those in neither ``stack`` nor ``tail`` as the first one (patches,
    positions, class tokens), every module of ``stack``, ``tail`` as the last one. What has no parameters is left out.
    """
    stack, last = list(stack), Group(tail)
    taken = {id(p) for module in (*stack, last) for p in module.parameters()}
    return [block for block in (Group(_rest(root, taken)), *stack, last) if any(True for _ in block.parameters())]


def longest(root: nn.Module) -> list[nn.Module]:
    """The same around the ``nn.ModuleList`` or ``nn.Sequential`` with the most children that have parameters (the
    first of several); what is registered behind it is the tail."""
    stacks = [module for module in root.modules() if isinstance(module, (nn.ModuleList, nn.Sequential))]
    counts = [sum(any(True for _ in child.parameters()) for child in stack) for stack in stacks]
    if not any(counts):
        return ordered(root, ())
    stack = stacks[counts.index(max(counts))]
    return ordered(root, stack, _behind(root, stack))


def _rest(module: nn.Module, taken: set[int]) -> list[nn.Module | nn.Parameter]:
    """What of ``module`` is not ``taken``: its own parameters and the largest modules that hold nothing taken."""
    parts: list[nn.Module | nn.Parameter] = [p for p in module.parameters(recurse=False) if id(p) not in taken]
    for child in module.children():
        held = {id(p) for p in child.parameters()}
        if held & taken:
            parts += _rest(child, taken)
        elif held:
            parts.append(child)
    return parts


def _behind(module: nn.Module, stack: nn.Module) -> list[nn.Module]:
    """The modules registered behind ``stack``, at every level from its own up to ``module``'s."""
    behind: list[nn.Module] = []
    found = False
    for child in module.children():
        if found:
            behind.append(child)
        elif any(part is stack for part in child.modules()):
            found, behind = True, [] if child is stack else _behind(child, stack)
    return behind
