import pytest
import torch

from bench.base.errors import BadInput
from bench.finetune import fit
from bench.finetune.methods import create_method
from bench.finetune.methods.pafa import AttentivePooling, patient_losses
from bench.finetune.methods.shared.cross_entropy import cross_entropy
from bench.finetune.recipe import load_recipe
from toy_finetune import recipe, tiny
from toy_methods import FACTS, ToyModel, batch, random, same, trained


def distance(a, b):
    return sum((a[d] - b[d]) ** 2 for d in range(len(a)))


def slow(x, patient):
    """Both losses with every pair of patients formed, coordinate by coordinate."""
    members = {p: [x[i] for i in range(len(patient)) if patient[i] == p] for p in sorted(set(patient)) if p >= 0}
    if len(members) < 2:
        return 0 * x.sum(), 0 * x.sum()
    centre = {p: sum(of) / len(of) for p, of in members.items()}
    within = sum(distance(clip, centre[p]) for p, of in members.items() for clip in of)
    between = sum(distance(centre[p], centre[q]) for p in centre for q in centre if p < q)
    middle = sum(centre.values()) / len(centre)
    return within / (between + 1e-6), sum(distance(c, middle) for c in centre.values()) / len(centre)


@pytest.mark.parametrize(
    "patient",
    [
        [0, 1, 0, 2, 1, 1],
        [7, 3, 7, 3, 7, 3],  # codes with gaps
        [0, 1, 2, 3, 4, 5],  # one clip each
        [0, -1, 0, 2, -1, 2],  # some unknown
        [4, 4, 4, 4, 4, 4],  # one patient
        [-1, -1, -1, -1, -1, -1],  # all unknown
    ],
)
@pytest.mark.parametrize("which", [0, 1])
def test_losses_are_the_plain_sums(patient, which):
    code = torch.tensor(patient)
    same(lambda x: patient_losses(x, code)[which], lambda x: slow(x, patient)[which], random(6, 5))


def test_losses_by_hand():
    x = torch.tensor([[0.0, 0.0], [2.0, 0.0], [5.0, 0.0]])
    losses = patient_losses(x, torch.tensor([0, 0, 1]))  # centres 1 and 5: within 2, between 16, spread 2 * 4
    assert losses.cohesion.item() == pytest.approx(2 / 16) and losses.alignment.item() == pytest.approx(4)


def test_patients_at_one_place_pass_a_finite_gradient():
    x = torch.ones(4, 3, requires_grad=True)
    losses = patient_losses(x, torch.tensor([0, 1, 0, 1]))
    (losses.cohesion + losses.alignment).backward()
    assert losses.cohesion == 0 and x.grad.abs().max() == 0


def test_attention_is_the_plain_weighted_average():
    pooling = AttentivePooling(4).double()
    counted = torch.tensor([[True, True, True], [True, False, True]])

    def plain(tokens, weight, bias):
        rows = []
        for b in range(2):
            own = [n for n in range(3) if counted[b, n]]
            force = {n: torch.exp(sum(tokens[b, n, d] * weight[0, d] for d in range(4)) + bias[0]) for n in own}
            rows.append(sum(force[n] * tokens[b, n] for n in own) / sum(force.values()))
        return torch.stack(rows)

    def ours(tokens, weight, bias):
        given = {"match.weight": weight, "match.bias": bias}
        return torch.func.functional_call(pooling, given, (tokens, counted))

    same(ours, plain, random(2, 3, 4), random(1, 4, seed=1), random(1, seed=2))


@pytest.mark.parametrize("attention", [True, False])
def test_the_loss_is_put_together_as_released(attention):
    model, given = ToyModel(), batch([0, 1, 2, 3, 0, 1], domain=[0, 1, 0, 2, 1, 2])
    ours = create_method("pafa", FACTS, attention=attention, cohesion=0.3, alignment=0.7)
    loss, gradient = trained(ours, model, given)
    features, tokens, counted = model.reading(given)
    pooled = ours.pooling(tokens, counted) if attention else features
    cohesion, alignment = slow(ours.projector(pooled), [0, 1, 0, 2, 1, 2])
    expected = cross_entropy(model.logits(features), given.label) + 0.3 * cohesion + 0.7 * alignment
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    assert [type(layer).__name__ for layer in ours.projector] == ["Linear", "LayerNorm", "ReLU", "Linear"]
    learned = ["projector.0.weight", *(["pooling.match.weight"] if attention else [])]
    assert all(gradient[f"method.{name}"].abs().max() > 0 for name in learned)


def test_an_encoder_without_tokens_is_told_what_to_do():
    with pytest.raises(BadInput, match="attention = false"):
        create_method("pafa", FACTS._replace(token=0))
    create_method("pafa", FACTS._replace(token=0), attention=False)


def test_the_recipe_is_the_released_script_and_the_baseline_s_but_for_the_method():
    pafa, baseline = load_recipe("pafa-beats").numbers(), load_recipe("beats-ce").numbers()
    options = pafa.pop("method")["options"]
    assert baseline.pop("method")["name"] == "ce" and pafa == baseline
    assert options == {"cohesion": 50.0, "alignment": 0.0005, "attention": True}


@pytest.mark.parametrize("attention", [True, False])
def test_it_trains(task, attention):
    method = {"name": "pafa", "options": {"attention": attention, "cohesion": 0.01}}
    honest, _ = fit(tiny(), task, recipe(method=method, epochs=1), 0).records
    assert honest.spec["recipe"]["method"]["options"] == method["options"] | {"alignment": 0.0005, "column": "patient"}
