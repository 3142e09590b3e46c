import json

import pytest

from bench.base.errors import CheckpointError
from model_zoo._adapters.settings import MODEL, read_settings, require_settings


def held(folder, given, computed):
    (folder / MODEL).write_text(json.dumps(given))
    require_settings(folder, computed, "take another")


@pytest.mark.parametrize(
    ("given", "computed"),
    [
        ({"a": 1, "b": 2}, {"a": 1}),
        ({}, {"a": 1}),
        ({"a": "y"}, {"a": ("x", "y")}),
        ({"a": -4.26773930001}, {"a": -4.2677393}),
        ({"a": 1.0}, {"a": 1}),
        ({"a": {"b": 1}}, {"a.b": 1, "a.c": 2, "d.b": 3}),
        ({"a": 3}, {"a.b": 1}),
    ],
)
def test_settings_that_agree_are_taken(tmp_path, given, computed):
    held(tmp_path, given, computed)
    require_settings(tmp_path / "model.safetensors", computed, "")  # of the folder by its tensor file


@pytest.mark.parametrize(
    ("given", "computed"),
    [
        ({"a": 2}, {"a": 1}),
        ({"a": None}, {"a": 1}),
        ({"a": "1"}, {"a": 1}),
        ({"a": 1e-12}, {"a": 1e-6}),
        ({"a": float("nan")}, {"a": 1e-6}),
        ({"a": [1]}, {"a": 1}),
        ({"a": {"b": 2}}, {"a.b": 1}),
        ({"a": {}}, {"a": ("x", "y")}),
    ],
)
def test_the_first_that_does_not_is_named(tmp_path, given, computed):
    with pytest.raises(CheckpointError, match=r"its config.json says a.* instead of .*; take another"):
        held(tmp_path, given, computed)


@pytest.mark.parametrize("content", ["{", "[]", "3", "[" * 100_000, "\x00"])
def test_what_holds_no_settings_is_refused(tmp_path, content):
    (tmp_path / MODEL).write_text(content)
    with pytest.raises(CheckpointError, match=r"is not JSON|not settings"):
        read_settings(tmp_path, MODEL)


def test_no_file_says_nothing(tmp_path):
    assert read_settings(tmp_path, MODEL) == {}
