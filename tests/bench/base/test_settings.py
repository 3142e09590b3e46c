from dataclasses import dataclass, field

import pytest

from bench.base.errors import BadInput, UnknownId
from bench.base.settings import (
    NAME,
    TRUTH,
    WHOLE,
    above,
    at_least,
    between,
    check,
    list_of,
    number,
    one_of,
    plain,
    read,
    rules,
    setting,
)


@dataclass(frozen=True)
class Inner:
    rate: float = setting(0.5, between(0, 1, open_end=True))
    kind: str = setting("a", one_of("a", "b"))


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = setting(1, at_least(1))
    limit: float | None = setting(None, above(0))
    inner: Inner = field(default_factory=Inner)


def test_plain_data_becomes_settings_and_back():
    settings = read(Outer, {"name": "x", "limit": 2, "inner": {"kind": "b"}}, "file")
    assert settings == Outer("x", limit=2.0, inner=Inner(kind="b"))
    assert read(Outer, plain(settings), "file") == settings


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "file: lacks the key 'name'"),
        ({"name": "x", "cuont": 1}, "file: unknown key 'cuont'; did you mean 'count'?"),
        ({"name": "x", "count": 0}, "file: count: 0 is not at least 1"),
        ({"name": "x", "limit": 0}, "file: limit: 0.0 is not above 0"),
        ({"name": "x", "inner": {"rate": 1.0}}, "file: inner: rate: 1.0 is not from 0 to below 1"),
        ({"name": "x", "inner": {"kind": "c"}}, "file: inner: kind: 'c' is not one of a, b"),
        ({"name": 3}, "file: name: 3 is not text"),
    ],
)
def test_a_setting_that_cannot_be_is_named(data, message):
    with pytest.raises(BadInput) as raised:
        read(Outer, data, "file")
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (number(), (0, 0.5, 3), (-1, float("nan"), float("inf"), True, "1", None)),
        (number(0, 1, above=True), (0.1, 1), (0, 1.1)),
        (number(1, whole=True), (1, 7), (1.0, 0)),
        (WHOLE, (0, -3), (True, 1.0, "1")),
        (TRUTH, (True, False), (0, "no", None)),
        (NAME, ("x",), ("", 1)),
        (one_of("a", "b"), ("a",), ("c", 1, ["a"])),
        (list_of(WHOLE, "whole numbers"), ([], [1, 2], (3,)), (1, [True], ["1"])),
    ],
)
def test_rules_of_values(rule, good, bad):
    assert all(map(rule.holds, good)) and not any(map(rule.holds, bad)) and rule.words


def test_a_table_of_rules_names_the_value_and_the_nearest_name():
    allowed = rules(gamma=number(), level=one_of("wave", "features"))
    assert check({"gamma": 2}, allowed, "focal") == {"gamma": 2}
    with pytest.raises(BadInput, match=r"focal: gamma = -1; give gamma as a number of at least 0"):
        check({"gamma": -1}, allowed, "focal")
    with pytest.raises(UnknownId, match=r"unknown hyper-parameter 'gama'; did you mean 'gamma'\?"):
        check({"gama": 1}, allowed, "focal", "hyper-parameter")
