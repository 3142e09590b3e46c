import dataclasses

import numpy as np
import pytest

from bench import protocol
from bench.errors import UnknownId
from bench.registry import task_card


def test_linear_version_2_is_the_documented_grid_and_folds():
    card = task_card("icbhi.cycles4")
    probe = protocol.probe(protocol.get("linear"), card, seed=3)
    assert np.allclose(np.log10(probe.Cs), np.arange(-6, 5.5, 0.5)) and list(probe.class_weights) == [None, "balanced"]
    assert (probe.folds, probe.seed, probe.metric, list(probe.classes)) == (5, 3, card.main_metric, [0, 1, 2, 3])
    assert protocol.get("linear").version == 2


def test_every_protocol_says_how_it_selects():
    for named in protocol.PROTOCOLS.values():
        assert named.selection and named.description and named.kind in ("frozen", "fewshot", "finetune", "control")


def test_what_is_no_probe_is_refused():
    with pytest.raises(UnknownId, match="knn"):
        protocol.get("kn")
    with pytest.raises(UnknownId):
        protocol.probe(protocol.get("control"), task_card("icbhi.cycles2"), 0)


def test_a_protocol_under_another_clip_policy_says_so():
    named = protocol.get("linear", clip="tile8")
    assert (named.name, named.clip, protocol.get("linear").clip) == ("linear", "tile8", "native")
    assert dataclasses.replace(named, clip="native") == protocol.get("linear")
    with pytest.raises(UnknownId, match="tile8"):
        protocol.get("linear", clip="tile")
