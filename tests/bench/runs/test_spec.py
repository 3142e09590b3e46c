"""The identity of a result: one builder for all kinds, and keys that stay what they are."""

import pytest

from bench.base import registry
from bench.data.manifest import Prepared
from bench.probe import protocols
from bench.runs.spec import control_spec, result_spec
from bench.scores import records
from bench.scores.schema import Spec, violations


@pytest.fixture
def card():
    return registry.task_card("icbhi.cycles2")


@pytest.fixture
def prepared(tmp_path):
    return Prepared(
        rows=None,
        excluded=(),
        digest="0" * 64,
        statistics={},
        recordings={},
        incomplete=False,
        state="complete",
        root=tmp_path,
    )


FEATURES = {
    **{"encoder": "mfcc.stats", "encoder_version": 1, "layer": -1, "pooling": "mean", "clip": "native"},
    **{"weights": "none", "parameters": "none", "statistics": "", "resampler": "soxr VHQ", "dtype": "float32"},
}


@pytest.mark.parametrize(
    ("protocol", "more", "key"),
    [
        ("linear", {}, "1c177dd7f669de96d310"),
        ("linear", {"settings": "a" * 64, "code": "b" * 40}, "1716b738cce184201fa7"),
        ("finetune", {"device": "cpu", "recipe": {"epochs": 2, "method": {"name": "ce"}}}, "82310c574b993caa0c6e"),
    ],
)
def test_keys_are_pinned(card, prepared, protocol, more, key):
    spec = result_spec(card, prepared, protocols.get(protocol), 0, **FEATURES, **more)
    assert records.key(spec) == key and not list(violations(spec, Spec))
    assert set(spec) == set(Spec.__annotations__) - ({"settings", "code", "device", "recipe", "teachers"} - set(more))


def test_the_key_of_a_control_row_is_pinned(card, prepared):
    spec = control_spec("control.chance", card, prepared, 0)
    assert records.key(spec) == "a606d04b2ef1377149c5" and not list(violations(spec, Spec))


def test_everything_that_determines_a_result_changes_its_key(card, prepared):
    linear = protocols.get("linear")
    first = records.key(result_spec(card, prepared, linear, 0, **FEATURES))
    others = [result_spec(card, prepared, linear, 1, **FEATURES)]
    others.append(result_spec(card, prepared, protocols.get("knn"), 0, **FEATURES))
    for name, value in FEATURES.items():
        changed = FEATURES | {name: 7 if isinstance(value, int) else "other"}
        others.append(result_spec(card, prepared, linear, 0, **changed))
    assert len({first, *map(records.key, others)}) == 1 + len(others)
