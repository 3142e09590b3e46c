import pytest
import torch
from torch import nn

from bench.base.errors import BadInput
from bench.encoders.blocks import encoder_blocks
from bench.finetune.model.parts import (
    count_trained,
    freeze,
    gradient_checkpointing,
    parameter_groups,
    train_mode,
)
from bench.finetune.recipe import Lora, Optimiser, TrainedParts, recipe_of
from toy_finetune import tiny


def trained(encoder):
    return {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}


def test_rates_decay_block_by_block_towards_the_input():
    encoder, head = tiny(norm=False), nn.Linear(8, 2)
    optimiser = Optimiser(lr=1.0, head_lr=3.0, weight_decay=0.1)
    groups = parameter_groups(encoder, [head], TrainedParts(layer_decay=0.5), optimiser)
    rate = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert len(encoder_blocks(encoder)) == 4  # patches, three layers
    assert rate[id(encoder.patches.weight)] == (0.5**4, 0.1)
    assert [rate[id(layer.linear.weight)][0] for layer in encoder.layers] == [0.5**3, 0.5**2, 0.5]
    assert rate[id(encoder.layers[0].linear.bias)] == (0.5**3, 0.0)  # vectors are not decayed
    assert rate[id(head.weight)] == (3.0, 0.1)
    assert sum(len(group["params"]) for group in groups) == len(list(encoder.parameters())) + 2


def test_decay_of_all_and_the_heads_rate_by_default():
    groups = parameter_groups(tiny(), [nn.Linear(8, 2)], TrainedParts(), Optimiser(lr=2.0, decay_vectors=True))
    assert [(group["lr"], group["weight_decay"], group["base_lr"]) for group in groups] == [(2.0, 0.01, 2.0)]


def test_freezing_leaves_what_is_asked_for():
    everything = {name for name, _ in tiny().named_parameters()}
    for parts, expected in (
        (TrainedParts("all"), everything),
        (TrainedParts("none"), set()),
        (TrainedParts("last", last=1), {name for name in everything if name.startswith("layers.2.")}),
        (TrainedParts("last", last=2), {name for name in everything if name[:9] in ("layers.1.", "layers.2.")}),
    ):
        encoder = tiny()
        freeze(encoder, parts, Lora(), "test.tiny")
        assert trained(encoder) == expected
    with pytest.raises(BadInput, match="4 blocks"):
        freeze(tiny(), TrainedParts("last", last=5), Lora(), "test.tiny")


def test_modes_follow_what_is_trained():
    def modes(parts):
        encoder = tiny()
        train_mode(encoder, [head := nn.Dropout()], parts)
        assert head.training
        return [(layer.dropout.training, layer.norm.training) for layer in encoder.layers]

    assert modes(TrainedParts()) == [(True, False)] * 3
    assert modes(TrainedParts(norm="train")) == [(True, True)] * 3
    assert modes(TrainedParts("last", norm="train")) == [(False, False)] * 2 + [(True, True)]
    assert modes(TrainedParts("none", norm="train")) == [(False, False)] * 3


def test_recomputed_activations_give_the_same_gradients_and_leave_no_trace():
    encoder = tiny(norm=False)
    wave, length = torch.randn(3, 800, generator=torch.Generator().manual_seed(0)), torch.full((3,), 800)
    grads = []
    for wanted in (False, True):
        encoder.train()
        torch.manual_seed(1)
        encoder.zero_grad()
        with gradient_checkpointing(encoder, wanted):
            assert ("forward" in vars(encoder.layers[0])) == wanted
            encoder(wave, length).layers[-1].hidden.square().sum().backward()
        grads.append([p.grad.clone() for p in encoder.parameters()])
        assert "forward" not in vars(encoder.layers[0])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_numbers_trained_are_counted():
    encoder = tiny()
    recipe = recipe_of({"name": "x", "encoder": {"train": "none"}})
    freeze(encoder, recipe.encoder, recipe.lora, "test.tiny")
    assert count_trained(recipe, encoder, [nn.Linear(8, 2)]) == 18
