import dataclasses

import numpy as np
import pytest

from bench.base.errors import BadInput, UnknownId
from bench.base.registry import task_card
from bench.probe import protocols
from bench.probe.linear import candidates


def test_linear_is_the_documented_grid_and_folds():
    card = task_card("icbhi.cycles4")
    probe = protocols.probe(protocols.get("linear"), card, seed=3)
    assert np.allclose(np.log10(probe.Cs), np.arange(-6, 5.1, 0.5)) and list(probe.class_weights) == [None, "balanced"]
    assert (probe.folds, probe.seed, probe.metric, list(probe.classes)) == (5, 3, card.main_metric, [0, 1, 2, 3])


def test_every_protocol_says_how_it_selects():
    for named in protocols.PROTOCOLS.values():
        assert named.selection and named.description and named.kind in ("frozen", "fewshot", "finetune", "control")


def test_descriptions_state_what_the_probes_do():
    from bench.probe.heads import attentive, cgp, layer_mix, mlp, protobin
    from bench.probe.neighbours import knn, prototype

    told = {name: named.description for name, named in protocols.PROTOCOLS.items()}
    heads = {"mlp": mlp, "attentive": attentive, "layer-mix": layer_mix}
    of_prototypes = {"protobin-style": protobin, "cgp-style": cgp}
    for name, module in (heads | of_prototypes).items():
        rates = ", ".join(f"{rate:.0e}".replace("e-0", "e-") for rate in module.LEARNING_RATES)
        assert f"{{{rates}}}" in told[name] and f"1..{module.EPOCHS};" in told[name]
    for name, module in of_prototypes.items():
        assert f"{{{', '.join(map(str, module.PROTOTYPES))}}} learned prototypes" in told[name]
        assert f"dropout {protobin.DROPPED}" in told[name]
    assert str(set(mlp.WIDTHS)).strip("{}").replace("1024, 256", "256, 1024") in told["mlp"]
    assert ", ".join(map(str, knn.NEIGHBOURS)) in told["knn"] and str(knn.TEMPERATURES).strip("()") in told["knn"]
    assert ", ".join(f"{s:g}" for s in prototype.SHRINKAGES) in told["prototype"]
    assert f"{layer_mix.MIXTURE_RATE_FACTOR:g} times" in told["layer-mix"]


@pytest.mark.parametrize("name", ["knn", "prototype", "mlp", "attentive", "protobin-style", "cgp-style", "layer-mix"])
def test_probes_are_chosen_by_the_tasks_main_metric(name):
    card, calls = task_card("icbhi.cycles4"), []
    probe = protocols.probe(protocols.get(name), card, 3, calls.append)
    goal = probe.goal
    assert (goal.metric, len(goal.classes), goal.roles.normal) == (card.main_metric, 4, card.normal)
    assert (probe.folds, probe.seed) == (protocols.FOLDS, 3)
    for parts in (5, 2, 10):
        for done in range(parts):
            probe.progress(done + 1, parts)
        assert sum(calls) == protocols.FOLDS
        calls.clear()


def test_a_regression_has_no_prototypes():
    card = dataclasses.replace(task_card("icbhi.cycles4"), kind="regression", classes=("litres",), main_metric="mae")
    with pytest.raises(BadInput, match="take the protocol linear"):
        protocols.probe(protocols.get("prototype"), card, 0)
    assert protocols.probe(protocols.get("knn"), card, 0).goal.columns == 1


def test_what_is_no_probe_is_refused():
    with pytest.raises(UnknownId, match="knn"):
        protocols.get("kn")
    with pytest.raises(UnknownId):
        protocols.probe(protocols.get("control"), task_card("icbhi.cycles2"), 0)


def test_a_protocol_under_another_clip_policy_says_so():
    named = protocols.get("linear", clip="tile8")
    assert (named.name, named.clip, protocols.get("linear").clip) == ("linear", "tile8", "native")
    assert dataclasses.replace(named, clip="native") == protocols.get("linear")
    with pytest.raises(UnknownId, match="tile8"):
        protocols.get("linear", clip="tile")


def test_the_description_states_how_shares_fall():
    assert f"less than {candidates.WITHIN} behind the best" in protocols.get("linear").description
