import numpy as np
import pytest
import torch

import bench
from bench.base.errors import BadInput
from bench.finetune import fit
from bench.finetune.methods import create_method
from bench.finetune.methods.pc_mcl import FINDINGS, class_scores, draw_among, mixed_pairs, patient_pairs
from bench.finetune.recipe import load_recipe
from toy_finetune import recipe, tiny
from toy_methods import FACTS, ToyModel, batch, random, same, softmax_row, trained

NAME = "pc-mcl-style"
LABEL, PATIENT = [0, 1, 2, 3, 0, 1], [0, 1, 0, 2, 1, -1]
BITS = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1]]


def given(seed=0):
    return batch(LABEL, seed=seed, domain=PATIENT)


def drawn(seed):
    """What the method draws of a batch of that seed, in its order."""
    source = given(seed)
    mixed = mixed_pairs(source, 0.5)
    return mixed, *patient_pairs(source, source.meta["patient"], 0.3)


def test_every_candidate_is_drawn_and_nothing_else():
    candidates = torch.tensor([[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]]).bool()
    source = torch.Generator().manual_seed(0)
    found = torch.stack([draw_among(candidates, source) for _ in range(400)])
    assert [sorted(set(column.tolist())) for column in found.T] == [[1, 2], [-1], [0], [0, 1, 2, 3]]
    assert ((found[:, 3] == 0).float().mean() - 0.25).abs() < 5 * (0.25 * 0.75 / 400) ** 0.5


def test_pairs_are_of_two_clips_and_say_truly_whether_of_one_patient():
    kinds, firsts = [], 0
    for seed in range(200):
        mixed, pairs, alike = drawn(seed)
        assert (mixed.first != mixed.second).all() and len(set(mixed.first.tolist())) == len(mixed.first)
        firsts += len(mixed.first)
        for i, j, one in zip(pairs.first.tolist(), pairs.second.tolist(), alike.tolist(), strict=True):
            assert i != j and PATIENT[i] >= 0 and PATIENT[j] >= 0 and (PATIENT[i] == PATIENT[j]) == bool(one)
            assert one == 0 or i != 3  # whose patient has no other clip
            kinds.append(one)
    assert abs(firsts / 1200 - 0.5) < 5 * (0.25 / 1200) ** 0.5
    assert abs(len(kinds) / 1000 - 0.3) < 5 * (0.21 / 1000) ** 0.5  # five clips of known patient
    assert abs(np.mean(kinds) - 0.4) < 5 * (0.24 / len(kinds)) ** 0.5  # half, but never of the fourth clip


def test_pairs_are_half_and_half_and_have_the_labels_of_either():
    mixed, pairs, _ = drawn(3)
    x, label = torch.arange(6 * 7).reshape(6, 7), torch.tensor(BITS)[LABEL]
    for each in (mixed, pairs):
        for row, bits, i, j in zip(each.joined(x), each.either(label), each.first, each.second, strict=True):
            assert row.tolist() == [*x[i, :3].tolist(), *x[j, :4].tolist()]
            assert bits.tolist() == [max(a, b) for a, b in zip(BITS[LABEL[i]], BITS[LABEL[j]], strict=True)]


class Given:
    """A model whose features are given; it keeps the waves that it was asked about."""

    def __init__(self, features):
        self.given = features

    def features(self, batch, *, view=0, mix=None, mixed=""):
        self.wave = batch.wave
        return self.given[: len(batch.wave)]


@pytest.mark.parametrize("seed", range(6))
def test_loss_and_gradient_are_the_plain_formula(seed):
    mixed, pairs, alike = drawn(seed)
    rows = [BITS[label] for label in LABEL]
    for each in (mixed, pairs):
        rows += [
            [max(a, b) for a, b in zip(BITS[LABEL[i]], BITS[LABEL[j]], strict=True)]
            for i, j in zip(each.first.tolist(), each.second.tolist(), strict=True)
        ]
    ours = create_method(NAME, FACTS, weight=0.7).double()

    def call(x, w, b, v, c):
        weights = {"labels.weight": w, "labels.bias": b, "match.weight": v, "match.bias": c}
        return torch.func.functional_call(Loss(ours), {f"method.{k}": t for k, t in weights.items()}, (x, given(seed)))

    def linear(row, w, b):
        return [sum(row[d] * w[k, d] for d in range(6)) + b[k] for k in range(len(b))]

    def slow(x, w, b, v, c):
        total = 0
        for n, bits in enumerate(rows):
            for z, y in zip(linear(x[n], w, b), bits, strict=True):
                p = 1 / (1 + torch.exp(-z))
                total = total - torch.log(p if y else 1 - p) / (3 * len(rows))
        matched = range(len(rows) - len(alike), len(rows))
        for n, one in zip(matched, alike.tolist(), strict=True):
            total = total - 0.7 * softmax_row(linear(x[n], v, c), one) / len(alike)
        return total

    inputs = (random(18, 6), random(3, 6, seed=1), random(3, seed=2), random(2, 6, seed=3), random(2, seed=4))
    same(call, slow, *inputs, atol=1e-9)


class Loss(torch.nn.Module):
    def __init__(self, method):
        super().__init__()
        self.method = method

    def forward(self, features, batch):
        return self.method.loss(Given(features), batch)


def test_single_clips_come_first_and_pairs_behind():
    mixed, pairs, _ = drawn(3)
    model = Given(torch.randn(18, 6))
    create_method(NAME, FACTS).loss(model, given(3))
    wave = given(3).wave
    assert torch.equal(model.wave, torch.cat([wave, mixed.joined(wave), pairs.joined(wave)]))


def test_classes_are_those_of_crackle_and_wheeze_at_one_half():
    logits = torch.tensor([[5.0, -1, -2], [5.0, 0.1, -3], [5.0, -0.1, 2], [-5.0, 3, 0.2]])
    for order in (tuple(FINDINGS), ("both", "wheeze", "crackle", "normal")):
        scores = class_scores(logits, torch.tensor([FINDINGS[name] for name in order]))
        assert [order[k] for k in scores.argmax(1).tolist()] == ["normal", "crackle", "wheeze", "both"]
        torch.testing.assert_close(scores.exp().sum(1), torch.ones(4))
    crackle, wheeze = torch.tensor(0.1).sigmoid(), torch.tensor(-3.0).sigmoid()
    expected = torch.stack(
        [(1 - crackle) * (1 - wheeze), crackle * (1 - wheeze), (1 - crackle) * wheeze, crackle * wheeze]
    )
    torch.testing.assert_close(class_scores(logits, torch.tensor(BITS))[1].exp(), expected)


@pytest.mark.parametrize("label", [[0, 1, 2, 3, 0], [2, 2, 2], [1]])
def test_degenerate_batches_train(label):
    for seed in range(3):
        for patient in ([0, 1, 2, 0, 1], [0] * 5, [-1] * 5):
            trained(create_method(NAME, FACTS), ToyModel(), batch(label, seed=seed, domain=patient[: len(label)]))


def test_a_task_of_other_classes_is_refused(task):
    with pytest.raises(BadInput, match="classes are normal, abnormal, not normal, crackle, wheeze, both; take icbhi"):
        fit(tiny(), task, recipe(method={"name": NAME}, epochs=1), 0)


def test_it_trains_on_four_classes(corpus):
    honest, _ = fit(
        tiny(), bench.load_task("icbhi.cycles4", corpus), recipe(method={"name": NAME}, epochs=1), 0
    ).records
    assert honest.spec["recipe"]["method"]["name"] == NAME


def test_the_recipe_is_pafa_s_but_for_the_method_and_the_length():
    ours, pafa = load_recipe("pc-mcl-style-beats").numbers(), load_recipe("pafa-beats").numbers()
    assert ours.pop("method")["options"] == {"weight": 0.1, "mixed": 0.5, "matched": 0.3}
    assert pafa.pop("method")["name"] == "pafa"
    assert ours["batches"].pop("clip") == "tile10" and pafa["batches"].pop("clip") == "tile5" and ours == pafa
