"""QLung's loss, gradient, margins and the rungs of its ablation."""

import math

import numpy as np
import pytest
import torch

from bench.finetune import fit
from bench.finetune.data.audio_quality import audio_quality_score
from bench.finetune.methods import create_method, default_options
from bench.finetune.methods.qlung import prior_margins
from bench.finetune.recipe import load_recipe
from toy_finetune import recipe, tiny
from toy_methods import FACTS, ToyModel, batch, cosine, random, same, trained

LABEL, QUALITY = [0, 1, 2, 3, 0, 3], [0.0, 0.2, 0.5, 0.7, 1.0, 0.3]
RUNGS = {
    "fixed": {"classifier": "linear", "margin": "fixed"},
    "quality": {"classifier": "linear", "margin": "quality"},
    "class": {"classifier": "linear", "margin": "quality and class"},
    "whole": {},
}


class Given:
    """A model whose features are given."""

    def __init__(self, features):
        self.given = features

    def features(self, batch, *, view=0, mix=None):
        return self.given


def slow(x, w, bias, options):
    """The loss as it is printed, clip by clip and class by class."""
    classifier, kind = options.get("classifier", "angular"), options.get("margin", "quality and class")
    total, counts = 0.0, FACTS.counts
    for i, y in enumerate(LABEL):
        near = [cosine(x[i], w[k]) for k in range(4)]
        prior = 0.2 / math.log(4) * -math.log(counts[y] / sum(counts))
        by_quality = 0.5 * QUALITY[i]
        m = {"fixed": 0.2, "quality": by_quality, "quality and class": 0.5 * by_quality + 0.5 * prior}[kind]
        z = [37.0 * c for c in near]
        if classifier == "linear":
            z = [sum(x[i, d] * w[k, d] for d in range(x.shape[1])) + bias[k] for k in range(4)]
        margined = [15.0 * (torch.cos(torch.acos(c) + m) if k == y else c) for k, c in enumerate(near)]
        for weight, logits in ((1.0, z), (0.4, margined)):
            total = total + weight * (torch.log(sum(torch.exp(v) for v in logits)) - logits[y])
    return total / len(LABEL)


@pytest.mark.parametrize("options", RUNGS.values(), ids=RUNGS)
def test_loss_and_gradient_are_the_plain_formula(options):
    given = batch(LABEL)._replace(quality=torch.tensor(QUALITY, dtype=torch.float64))
    bias = random(4, seed=2)
    method = create_method("qlung", FACTS, **options).double()
    method.margins = prior_margins(FACTS.counts, 0.2).double()

    def ours(x, w, b):
        state = {"prototypes": w} | ({"bias": b} if method.bias is not None else {})
        return torch.func.functional_call(method, state, (Given(x), given))

    method.forward = method.loss
    # margins are stored in float32: 0.4 · 15 · 0.35 · 2^-24 moves a loss by less than 1e-6
    same(ours, lambda x, w, b: slow(x, w, b, options), random(6, 6), random(4, 6, seed=1), bias, atol=1e-6)


def test_class_margins_of_icbhi():
    margins = prior_margins((2063, 1215, 501, 363), 0.2)
    assert [round(m, 2) for m in margins.tolist()] == [0.10, 0.18, 0.30, 0.35]
    assert margins.tolist() == pytest.approx([-0.2 * math.log(n / 4142) / math.log(4) for n in (2063, 1215, 501, 363)])
    assert prior_margins((5, 5, 5), 0.2).tolist() == pytest.approx([0.2] * 3)
    assert prior_margins((7, 0), 0.2).tolist() == [0, 0]


@pytest.mark.parametrize("entropy, energy, expected", [(0, 0, 1), (1, 0, 0.3), (1, 1, 0.6), (0, 1, 1), (0.5, 0.5, 0.8)])
def test_audio_quality_score_by_hand(entropy, energy, expected):
    assert audio_quality_score(entropy, energy, 0.7, 0.3) == pytest.approx(expected)
    assert audio_quality_score(1, 0, 3.0, 0.3) == 0


def test_quality_enters_where_the_rung_has_it():
    model = ToyModel()
    for name, options in RUNGS.items():
        ours = create_method("qlung", FACTS, **options)
        assert ours.needs == (set() if name == "fixed" else {"quality"})
        low, high = (trained(ours, model, batch(LABEL, quality=[q] * 6))[0] for q in (0.1, 0.9))
        assert (low == high) if name == "fixed" else low < high  # a better clip has to keep a wider margin


def test_the_second_term_leaves_the_classifier_alone_where_its_weight_is_0():
    given, model = batch(LABEL, quality=QUALITY), ToyModel()
    ours = create_method("qlung", FACTS, weight=0.0)
    logits = ours.scores(model, model.features(given), given.row)
    expected = torch.nn.functional.cross_entropy(logits, given.label).item()
    assert trained(ours, model, given)[0] == pytest.approx(expected, rel=1e-6)


def test_the_ladder_is_the_ablation_rung_by_rung():
    ladder = ("qlung-ast-fixed", "qlung-ast-quality", "qlung-ast-class", "qlung-ast")
    numbers = [load_recipe(name).numbers() for name in ladder]
    methods = [each.pop("method")["options"] for each in numbers]
    assert all(each == numbers[0] for each in numbers) and methods == list(RUNGS.values())
    assert all(load_recipe(name).published and load_recipe(name).differences for name in ladder)


@pytest.mark.parametrize("options", RUNGS.values(), ids=RUNGS)
def test_every_rung_trains_on_simulated_clips(options, task):
    honest, peeking = fit(tiny(), task, recipe(epochs=1, method={"name": "qlung", "options": options}), 0).records
    assert honest.spec["recipe"]["method"]["options"] == default_options("qlung") | options
    assert np.isfinite(honest.selection["losses"]).all() and peeking.key != honest.key
