import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import multi_head_attention_forward

from bench.base.errors import BadInput
from bench.encoders.batches import collate, embed
from bench.finetune import fit
from bench.finetune.model.lora import add_adapters
from bench.finetune.recipe import Lora
from toy_finetune import RATE, WIDTH, Tiny, recipe, tiny


class Fused(Tiny):
    """An attention that reads the weights of its layers in one call, behind the blocks."""

    def __init__(self):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def tap(self, name, x):
        x = super().tap(name, x)
        if name != "patches":
            return x
        q, k, v, out = self.q_proj, self.k_proj, self.v_proj, self.out_proj
        x = x.transpose(0, 1)
        bias = torch.cat([q.bias, k.bias, v.bias])
        rest = {"need_weights": False, "use_separate_proj_weight": True}
        weights = {f"{name}_proj_weight": part.weight for name, part in zip("qkv", (q, k, v))}
        shared = (WIDTH, 2, None, bias, None, None, False, 0.0, out.weight, out.bias)
        return multi_head_attention_forward(x, x, x, *shared, **rest, **weights)[0].transpose(0, 1)


def heard(encoder):
    noise = np.random.default_rng(1).standard_normal(RATE).astype(np.float32)
    return encoder(*collate(encoder, [noise, 0.5 * noise[::-1].copy()])).layers[-1].hidden


def trained(encoder):
    return {name: p for name, p in encoder.named_parameters() if p.requires_grad}


def test_it_says_what_it_lacks(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(BadInput, match=r"respbench\[lora\]"):
        add_adapters(tiny(), Lora(), "test.tiny")


@pytest.mark.long
def test_adapters_of_the_layers_named_start_as_nothing_and_learn():
    encoder = tiny()
    before = heard(encoder).detach()
    add_adapters(encoder, Lora(rank=2, targets=("linear",)), "test.tiny")
    parts = trained(encoder)
    assert {name.split(".lora_")[0] for name in parts} == {f"layers.{i}.linear" for i in range(3)}
    assert sum(p.numel() for p in parts.values()) == 3 * 2 * 2 * WIDTH
    assert torch.equal(heard(encoder), before)
    for name, b in parts.items():
        if "lora_B" in name:
            nn.init.normal_(b)
    after = heard(encoder)
    assert not torch.allclose(after, before)
    after.square().sum().backward()
    assert all(bool(p.grad.any()) for p in parts.values())
    assert all(p.grad is None for name, p in encoder.named_parameters() if name not in parts)


def test_scale_is_alpha_over_rank():
    """Hu et al., section 4.1: W x + alpha / r · B A x."""
    encoder = tiny()
    add_adapters(encoder, Lora(rank=2, alpha=6.0, targets=("patches",)), "test.tiny")
    layer = encoder.patches
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    nn.init.normal_(b)
    x = torch.randn(5, 16)
    torch.testing.assert_close(layer(x), layer.base_layer(x) + 3.0 * x @ a.T @ b.T)


def test_layers_that_are_read_and_not_called_are_left_out_or_refused():
    encoder = Fused().eval()
    add_adapters(encoder, Lora(rank=2), "test.fused")
    assert {name.split(".lora_")[0] for name in trained(encoder)} == {
        "patches",
        *(f"layers.{i}.linear" for i in range(3)),
    }
    with pytest.raises(BadInput, match=r"no linear layer q_proj .* read without calling it; name some of: linear, pat"):
        add_adapters(Fused().eval(), Lora(targets=("linear", "q_proj")), "test.fused")


def test_names_that_no_layer_has_are_refused():
    with pytest.raises(BadInput, match="no linear layer query to adapt; name some of: linear, patches"):
        add_adapters(tiny(), Lora(targets=("linear", "query")), "test.tiny")


def test_networks_without_linear_layers_are_refused():
    class Bare(Tiny):
        def encode(self, wave, length):
            self.patches.forward = lambda x: x[..., :WIDTH]  # what remains of it is no layer
            return super().encode(wave, length)

    encoder = Bare(blocks=0)
    encoder.patches = nn.Identity()
    with pytest.raises(BadInput, match="has no linear layer to adapt; take another encoder"):
        add_adapters(encoder, Lora(), "test.bare")


def test_a_run_trains_the_adapters_and_nothing_else_of_the_encoder(task):
    found = fit(tiny(), task, recipe(encoder={"train": "lora"}, lora={"rank": 2}, epochs=1), 0)
    held = {name.replace(".base_layer", ""): value for name, value in found.encoder.state_dict().items()}
    assert all(torch.equal(held[name], value) for name, value in tiny().named_parameters())
    assert all(bool(value.any()) for name, value in held.items() if "lora_B" in name)
    assert np.isfinite(embed(found.encoder, [np.ones(RATE, np.float32)])).all()
