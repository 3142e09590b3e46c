import pytest
import torch

from bench.finetune.methods import METHODS, create_method
from bench.finetune.recipe import Distillation
from bench.finetune.training.distillation import distilled_loss, soft_label_loss
from toy_methods import FACTS, ToyModel, batch, random, same

LABELS = [0, 1, 2, 3, 0, 1]


def soft_labels(clips, seed=3):
    return torch.softmax(2 * torch.randn(clips, 4, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 4.0])
def test_the_loss_on_soft_labels_is_the_plain_sum(temperature):
    soft = soft_labels(3).double()
    soft[1] = torch.tensor([0.0, 1.0, 0.0, 0.0])  # a teacher without doubt

    def plain(logits):
        total = 0
        for i in range(3):
            raised = [torch.exp(logits[i, k] / temperature) for k in range(4)]
            for k in range(4):
                if soft[i, k] > 0:
                    total = total + soft[i, k] * (torch.log(soft[i, k]) - torch.log(raised[k] / sum(raised)))
        return temperature**2 * total / 3

    same(lambda logits: soft_label_loss(logits, soft, temperature), plain, random(3, 4))


def test_the_gradient_is_the_difference_of_probabilities_times_the_temperature():
    soft, logits = soft_labels(2).double(), random(2, 4)
    grad = torch.autograd.grad(soft_label_loss(logits, soft, 3.0), logits)[0]
    expected = 3.0 * (torch.softmax(logits / 3, dim=1) - soft) / 2  # Hinton et al., eq. 2, times T^2, over two clips
    torch.testing.assert_close(grad, expected.detach())


@pytest.mark.parametrize("name", METHODS)
def test_any_method_is_joined_by_the_soft_labels_of_unmixed_clips(name):
    settings = Distillation(("folder",), weight=0.3, temperature=2.0)
    model = ToyModel()

    def given():
        return batch(LABELS, seed=4)._replace(soft_label=soft_labels(len(LABELS)))

    torch.manual_seed(0)
    ours, twin = create_method(name, FACTS), create_method(name, FACTS)
    twin.load_state_dict(ours.state_dict())
    loss = distilled_loss(ours, model, given(), settings)
    passes = len(model.asked)
    own = twin.loss(model, given())
    asked = len(model.asked) - passes
    soft = soft_label_loss(ours.scores(model, model.features(given()), given().row), soft_labels(len(LABELS)), 2.0)
    torch.testing.assert_close(loss, 0.7 * own + 0.3 * soft)
    mixes = {"patchmix", "mixup", "lungmix-style", "pc-mcl-style"}  # which never read a clip as it is
    assert passes - asked == (name in mixes)
    model.zero_grad()
    loss.backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in [*model.parameters(), *ours.parameters()])


@pytest.mark.parametrize("weight, alone", [(0.0, "own"), (1.0, "soft")])
def test_at_its_ends_the_weight_leaves_one_loss_alone(weight, alone):
    model, method = ToyModel(), create_method("ce", FACTS)
    given = batch(LABELS)._replace(soft_label=soft_labels(len(LABELS)))
    loss = distilled_loss(method, model, given, Distillation(("folder",), weight, 1.5))
    parts = {"own": method.loss(model, given)}
    parts["soft"] = soft_label_loss(model.logits(model.features(given)), given.soft_label, 1.5)
    torch.testing.assert_close(loss, parts[alone])
