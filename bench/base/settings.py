"""Settings as frozen dataclasses whose every value is checked: read from plain data, written back as plain data."""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, TypeVar

from bench.base.errors import BadInput

S = TypeVar("S")


@dataclass(frozen=True)
class Rule:
    """What a value must hold, and the words for it."""

    holds: Callable[[Any], bool]
    words: str


def at_least(least: float) -> Rule:
    return Rule(lambda value: value >= least, f"at least {least:g}")


def above(least: float) -> Rule:
    return Rule(lambda value: value > least, f"above {least:g}")


def between(least: float, most: float, open_end: bool = False) -> Rule:
    """From ``least`` to ``most``, which itself is left out with ``open_end``."""
    words = f"from {least:g} to {'below ' if open_end else ''}{most:g}"
    return Rule(lambda value: least <= value < most if open_end else least <= value <= most, words)


def one_of(*choices: str) -> Rule:
    return Rule(lambda value: value in choices, f"one of {', '.join(choices)}")


def setting(default: Any, rule: Rule | None = None) -> Any:
    """A dataclass field with a rule; a value of None (where its type allows it) is not held against the rule."""
    return dataclasses.field(default=default, metadata={"rule": rule})


def read(kind: type[S], data: Mapping[str, Any], where: str) -> S:
    """Settings of a dataclass ``kind`` from plain data. Raises ``BadInput`` that names the key for one that is unknown
    or missing and for a value of another form or outside its rule."""
    if not isinstance(data, Mapping):
        raise BadInput(where, f"{data!r} is not a table", f"give {', '.join(f.name for f in dataclasses.fields(kind))}")
    known = {f.name: f for f in dataclasses.fields(kind)}
    types = typing.get_type_hints(kind)
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            remedy = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise BadInput(where, f"unknown key {key!r}", remedy)
    given = {}
    for name, field in known.items():
        if name in data:
            given[name] = _value(types[name], data[name], f"{where}: {name}", field.metadata.get("rule"))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise BadInput(where, f"lacks the key {name!r}", "add it")
    return kind(**given)


def _value(kind: Any, value: Any, where: str, rule: Rule | None) -> Any:
    """A value in the form that its type asks for, held against its rule."""
    choices = typing.get_args(kind) if NoneType in typing.get_args(kind) else (kind,)
    if value is None and NoneType in choices:
        return None
    (wanted,) = (choice for choice in choices if choice is not NoneType)
    if dataclasses.is_dataclass(wanted):
        return read(wanted, value, where)
    origin = typing.get_origin(wanted) or wanted
    if origin is tuple:
        form = typing.get_args(wanted)
        listed = isinstance(value, list | tuple)
        if not listed or (form[-1] is not Ellipsis and len(value) != len(form)):
            raise BadInput(where, f"{value!r} is not {_words(wanted)}", "mend the value")
        inner = [form[0]] * len(value) if form[-1] is Ellipsis else form
        return tuple(_value(each, part, where, rule) for each, part in zip(inner, value, strict=True))
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    wrong_bool = isinstance(value, bool) and wanted is not bool
    if not isinstance(value, origin) or wrong_bool or (isinstance(value, float) and not math.isfinite(value)):
        raise BadInput(where, f"{value!r} is not {_words(wanted)}", "mend the value")
    if rule is not None and not rule.holds(value):
        raise BadInput(where, f"{value!r} is not {rule.words}", "mend the value")
    return value


def _words(kind: Any) -> str:
    if typing.get_origin(kind) is tuple:
        form = typing.get_args(kind)
        return (
            "a list, each " + _words(form[0])
            if form[-1] is Ellipsis
            else f"a list of {len(form)}, each {_words(form[0])}"
        )
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false"}.get(kind, "a table")


def plain(settings: Any) -> dict[str, Any]:
    """Settings as JSON-ready data, every default written out."""
    return {name: _plain(value) for name, value in dataclasses.asdict(settings).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value
