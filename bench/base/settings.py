"""Settings and the rules that their values keep, for every file, flag and hyper-parameter.

Settings of a fixed form are frozen dataclasses whose fields have a type and, where that is not enough, a ``Rule``; they
are read from plain data and written back as plain data. Settings whose names depend on something else, such as the
hyper-parameters of a method, are a table of rules that also say what kind of value is meant (``check``).
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType, NoneType
from typing import TYPE_CHECKING, Any, TypeVar

from bench.base.errors import BadInput, UnknownId, suggestion

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

S = TypeVar("S", bound="DataclassInstance")


@dataclass(frozen=True)
class Rule:
    """What a value must be: ``holds`` decides, ``words`` say it to the user (they follow "is not")."""

    holds: Callable[[Any], bool]
    words: str


# ------------------------------------------------- rules of values whose type a dataclass declares


def at_least(least: float) -> Rule:
    """A number from ``least`` on."""
    return Rule(lambda value: value >= least, f"at least {least:g}")


def above(least: float) -> Rule:
    """A number greater than ``least``."""
    return Rule(lambda value: value > least, f"above {least:g}")


def between(least: float, most: float, open_end: bool = False) -> Rule:
    """A number from ``least`` to ``most``, which itself is left out with ``open_end``."""
    words = f"from {least:g} to {'below ' if open_end else ''}{most:g}"
    return Rule(lambda value: least <= value < most if open_end else least <= value <= most, words)


def one_of(*choices: str) -> Rule:
    """One of some words."""
    return Rule(lambda value: isinstance(value, str) and value in choices, f"one of {', '.join(choices)}")


# ------------------------------------------------- rules that say what kind of value is meant, too


def number(low: float = 0.0, high: float = math.inf, above: bool = False, whole: bool = False) -> Rule:
    """A finite number from ``low`` (itself left out with ``above``) to ``high``; ``whole``: without a fraction."""
    start = f"above {low:g}" if above else f"of at least {low:g}"
    end = "" if high == math.inf else f" and at most {high:g}"
    kind: Any = int if whole else Real

    def holds(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
            return False
        return (value > low if above else value >= low) and value <= high

    return Rule(holds, f"a {'whole ' if whole else ''}number {start}{end}")


NAME = Rule(lambda value: isinstance(value, str) and bool(value), "a name")
TEXT = Rule(lambda value: isinstance(value, str), "a text in quotes")
TRUTH = Rule(lambda value: isinstance(value, bool), "true or false")
WHOLE = Rule(lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number")


def list_of(each: Rule, words: str) -> Rule:
    """A list whose every entry keeps a rule; ``words`` name the list."""
    return Rule(lambda value: isinstance(value, list | tuple) and all(map(each.holds, value)), words)


def rules(**each: Rule) -> Mapping[str, Rule]:
    """A table of rules, {name of the setting: rule}, that cannot be changed."""
    return MappingProxyType(each)


def check(values: Mapping[str, Any], allowed: Mapping[str, Rule], where: str, kind: str = "key") -> dict[str, Any]:
    """The values as they are, each held against its rule.

    Parameters
    ----------
    values
        {name: value}.
    allowed
        {name: rule} of every name that may be given.
    where
        What the values belong to, for the error message.
    kind
        What a name is called in the error message.

    Raises
    ------
    UnknownId
        For a name without a rule; suggests the nearest one.
    BadInput
        For a value that breaks its rule.
    """
    for name, value in values.items():
        if name not in allowed:
            raise UnknownId(kind, name, allowed)
        if not allowed[name].holds(value):
            raise BadInput(where, f"{name} = {value!r}", f"give {name} as {allowed[name].words}")
    return dict(values)


# ------------------------------------------------- settings as dataclasses


def setting(default: Any, rule: Rule | None = None) -> Any:
    """A dataclass field with a rule; a value of None (where its type allows it) is not held against the rule."""
    return dataclasses.field(default=default, metadata={"rule": rule})


def read(kind: type[S], data: Mapping[str, Any], where: str) -> S:
    """Settings of a dataclass from plain data.

    Parameters
    ----------
    kind
        The dataclass; a field of another dataclass is read from a table of its own.
    data
        Plain data, as TOML or JSON gives it. What is absent has its default.
    where
        What the data are, for the error message.

    Raises
    ------
    BadInput
        That names the key, for one that is unknown or missing and for a value of another type or against its rule.
    """
    if not isinstance(data, Mapping):
        raise BadInput(where, f"{data!r} is not a table", f"give {', '.join(f.name for f in dataclasses.fields(kind))}")
    known = {f.name: f for f in dataclasses.fields(kind)}
    types = typing.get_type_hints(kind)
    for key in data:
        if key not in known:
            raise BadInput(where, f"unknown key {key!r}", suggestion(key, known))
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
    (required,) = (choice for choice in choices if choice is not NoneType)
    if isinstance(required, type) and dataclasses.is_dataclass(required):
        return read(required, value, where)
    origin = typing.get_origin(required) or required
    if origin is tuple:
        form = typing.get_args(required)
        is_list = isinstance(value, list | tuple)
        if not is_list or (form[-1] is not Ellipsis and len(value) != len(form)):
            raise BadInput(where, f"{value!r} is not {_words(required)}", "mend the value")
        inner = [form[0]] * len(value) if form[-1] is Ellipsis else form
        return tuple(_value(each, part, where, rule) for each, part in zip(inner, value, strict=True))
    if required is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    wrong_bool = isinstance(value, bool) and required is not bool
    if not isinstance(value, origin) or wrong_bool or (isinstance(value, float) and not math.isfinite(value)):
        raise BadInput(where, f"{value!r} is not {_words(required)}", "mend the value")
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
