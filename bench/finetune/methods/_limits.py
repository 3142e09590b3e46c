"""What a hyper-parameter may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Real
from types import MappingProxyType
from typing import Any, NamedTuple

from bench.base.errors import BadInput


class Limit(NamedTuple):
    """``holds`` says whether a value may be; ``says`` says so in words."""

    says: str
    holds: Callable[[Any], bool]


def number(low: float = 0.0, high: float = math.inf, above: bool = False, whole: bool = False) -> Limit:
    """A finite number from ``low`` (without it where ``above``) to ``high``; ``whole``: without a fraction."""
    start = f"above {low:g}" if above else f"of at least {low:g}"
    end = "" if high == math.inf else f" and at most {high:g}"

    def holds(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if whole else Real) or not math.isfinite(value):
            return False
        return (value > low if above else value >= low) and value <= high

    return Limit(f"a {'whole ' if whole else ''}number {start}{end}", holds)


def switch() -> Limit:
    """True or False."""
    return Limit("true or false", lambda value: isinstance(value, bool))


def word() -> Limit:
    """A name."""
    return Limit("a name", lambda value: isinstance(value, str) and bool(value))


def choice(*options: str) -> Limit:
    """One of some words."""
    return Limit(f"one of {', '.join(options)}", lambda value: isinstance(value, str) and value in options)


def limits(**each: Limit) -> Mapping[str, Limit]:
    """{hyper-parameter: limit}, read-only."""
    return MappingProxyType(each)


def checked(where: str, values: Mapping[str, Any], allowed: Mapping[str, Limit]) -> dict[str, Any]:
    """The values, each within its limit. Raises ``BadInput``."""
    for name, value in values.items():
        if not allowed[name].holds(value):
            raise BadInput(where, f"{name} = {value!r}", f"give {name} as {allowed[name].says}")
    return dict(values)
