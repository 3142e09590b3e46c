import math

import pytest
import torch

from bench.base.errors import BadInput
from bench.finetune import fit
from bench.finetune.methods import create_method
from bench.finetune.methods.dual_axis_patchmix import AxisMixing
from bench.finetune.recipe import load_recipe
from toy_finetune import recipe, tiny
from toy_methods import FACTS, ToyModel, batch, cosine, random, same, softmax_row, trained

NAME = "dual-axis-patchmix-style"
LABEL = [0, 1, 1, 2, 0]
AXES = {"both": ("time", "frequency"), "time": ("time",), "frequency": ("frequency",)}


@pytest.mark.parametrize("axis, dimension", [("time", 1), ("frequency", 2)])
def test_one_run_of_the_axis_is_the_partner_s_and_the_share_is_what_stays(axis, dimension):
    x = torch.randn(5, 12, 9, generator=torch.Generator().manual_seed(0))
    runs, firsts = set(), set()
    for seed in range(60):
        mixing = AxisMixing(batch(LABEL, seed=seed), 1.0, axis)
        with pytest.raises(BadInput, match="no spectrogram to mix"):
            _ = mixing.share
        mixed = mixing(x)
        assert torch.equal(mixed, mixing(x))
        size = x.shape[dimension]
        run = math.floor(size * (1 - mixing.lam))
        kept = []
        for n in range(size):
            ours, own, other = (t.select(dimension, n) for t in (mixed, x, x[mixing.partner]))
            assert torch.equal(ours, own) or torch.equal(ours, other)
            kept.append(torch.equal(ours, own))
        if not torch.equal(mixing.partner, torch.arange(5)):
            taken = [n for n in range(size) if not kept[n]]
            assert len(taken) == run and taken == list(range(taken[0], taken[0] + run)) if run else not taken
            firsts |= set(taken[:1])
        assert mixing.share == pytest.approx(1 - run / size)
        runs.add(run)
    assert len(runs) > 5 and len(firsts) > 3


def test_spectrograms_of_another_number_of_clips_are_refused():
    with pytest.raises(BadInput, match="4 spectrograms of 2 clips"):
        AxisMixing(batch([0, 1]), 1.0, "time")(torch.zeros(4, 3, 2))


class Given:
    """A model whose features are given: clean ones first, then the mixed ones of each axis."""

    def __init__(self, *features):
        self.left = list(features)

    def features(self, batch, *, view=0, mix=None, mixed=""):
        if mix is not None:
            assert mixed == "spectrogram" and not torch.is_grad_enabled()
            mix(torch.zeros(5, 12, 9))
        return self.left.pop(0)

    def logits(self, features):
        return features[:, :4]


@pytest.mark.parametrize("axes", AXES)
def test_loss_and_gradient_are_the_plain_formula(axes):
    ours = create_method(NAME, FACTS, axes=axes, alpha=0.7, temperature=0.5).double().eval()
    w, b = ours.projector[0].weight.detach(), ours.projector[0].bias.detach()
    v, c = ours.projector[3].weight.detach(), ours.projector[3].bias.detach()
    inputs = [random(5, 6, seed=seed) for seed in range(1 + len(AXES[axes]))]

    def project(row):
        hidden = [(sum(w[k, d] * row[d] for d in range(6)) + b[k]) / (1 + 1e-5) ** 0.5 for k in range(6)]
        return [sum(v[k, d] * hidden[d].clamp_min(0) for d in range(6)) + c[k] for k in range(6)]

    def slow(clean, *mixed):
        total = -sum(softmax_row(list(clean[i, :4]), LABEL[i]) for i in range(5)) / 5
        given = batch(LABEL, seed=3)
        answers = [project(clean[j]) for j in range(5)]
        for axis, x in zip(AXES[axes], mixed, strict=True):
            mixing = AxisMixing(given, 1.0, axis)
            mixing(torch.zeros(5, 12, 9))
            for i in range(5):
                asked = project(x[i].detach())
                row = [cosine(asked, answers[j]) / 0.5 for j in range(5)]
                own, other = softmax_row(row, i), softmax_row(row, int(mixing.partner[i]))
                total = total - 0.7 * (mixing.share * own + (1 - mixing.share) * other) / 5
        return total

    same(lambda *x: ours.loss(Given(*x), batch(LABEL, seed=3)), slow, *inputs, atol=1e-9)


@pytest.mark.parametrize("label", [[0, 1, 2, 3, 0], [2, 2, 2], [1]])
def test_degenerate_batches_train(label):
    for seed in range(3):
        model = ToyModel()
        _, gradient = trained(create_method(NAME, FACTS), model, batch(label, seed=seed))
        assert len(model.asked) == 3 and gradient["model.embed.weight"].abs().max() > 0


def test_an_encoder_that_mixes_nothing_is_refused():
    class Deaf(ToyModel):
        def features(self, batch, *, view=0, mix=None, mixed=""):
            return super().features(batch, view=view)

    with pytest.raises(BadInput, match="no spectrogram to mix"):
        create_method(NAME, FACTS).loss(Deaf(), batch([0, 1]))


def test_the_recipe_has_what_the_digests_say():
    options = load_recipe("dual-axis-patchmix-style-ast").method.options
    assert options == {"alpha": 1.0, "temperature": 0.2, "beta": 1.0, "axes": "both"}


def test_it_trains_behind_the_augmentation_of_the_recipe(task):
    spectrogram = {"band_mask": 4, "mixstyle": 1.0}
    honest, _ = fit(tiny(), task, recipe(method={"name": NAME}, epochs=1, spectrogram=spectrogram), 0).records
    assert honest.spec["recipe"]["spectrogram"]["mixstyle"] == 1.0
    assert honest.spec["recipe"]["method"]["name"] == NAME


def test_an_encoder_without_a_spectrogram_is_refused(task):
    encoder = tiny()
    encoder.offers = frozenset({"patches"})
    with pytest.raises(BadInput, match=f"the method {NAME} mixes spectrograms"):
        fit(encoder, task, recipe(method={"name": NAME}, epochs=1, spectrogram={}), 0)
