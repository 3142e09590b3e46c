import numpy as np
import pytest
import torch

from bench.base.errors import BadInput
from bench.encoders.batches import collate
from bench.finetune.model.heads import build_classifier, build_readout, token_sequence
from bench.finetune.recipe import HeadChoice
from bench.types import Grid, Tokens
from toy_finetune import card, tiny


def tokens(*sizes, seed=0):
    """Clips of these lengths in 50 ms frames; what lies behind a clip's own tokens is noise."""
    source = torch.Generator().manual_seed(seed)
    hidden = torch.randn(len(sizes), max(sizes), 2, 8, generator=source)
    return Tokens((Grid(hidden, torch.tensor(sizes), 0.05, "last"),))


@pytest.mark.parametrize("kind", ["linear", "mlp", "attentive", "transformer"])
def test_padding_never_enters_a_head(kind):
    torch.manual_seed(0)
    head = build_readout(HeadChoice(kind, heads=2, queries=3), card(grid=(0.05, 2))).eval()
    if kind == "attentive":
        torch.nn.init.normal_(head.query)
    both = tokens(5, 3)
    grid = both.layers[0]
    alone = Tokens((grid._replace(hidden=grid.hidden[1:, :3], length=torch.tensor([3])),))
    found = head(both)
    assert found.shape == (2, head.width) and found.dtype == torch.float32
    assert torch.allclose(found[1:], head(alone), atol=1e-5)
    logits = build_classifier(HeadChoice(kind), head.width, 4)(found)
    assert logits.shape == (2, 4)


def test_attention_starts_as_the_mean_of_normalised_tokens():
    head = build_readout(HeadChoice("attentive"), card(grid=(0.05, 2)))
    x, counted = token_sequence(tokens(5, 3).layers[0])
    expected = head.norm(x)[1][counted[1]].mean(0)
    assert torch.allclose(head(tokens(5, 3))[1], expected, atol=1e-5)


def test_a_classifier_is_built_as_told():
    names = [type(m).__name__ for m in build_classifier(HeadChoice("mlp", norm="batch", dropout=0.1, hidden=5), 8, 2)]
    assert names == ["BatchNorm1d", "Linear", "ReLU", "Dropout", "Linear"]
    assert [type(m).__name__ for m in build_classifier(HeadChoice(norm="layer"), 8, 2)] == ["LayerNorm", "Linear"]


def test_what_an_encoder_cannot_give_is_refused():
    with pytest.raises(BadInput, match="does not offer pooling 'cls'"):
        build_readout(HeadChoice(pooling="cls"), card())
    with pytest.raises(BadInput, match="gives no tokens"):
        build_readout(HeadChoice("attentive"), card(dims={"max": 8}))
    with pytest.raises(BadInput, match="do not divide"):
        build_readout(HeadChoice("transformer", heads=3), card())


def test_pooled_features_are_those_of_the_frozen_encoder():
    from bench.encoders.batches import embed

    encoder = tiny()
    waves = [np.random.default_rng(n).standard_normal(n).astype(np.float32) / 10 for n in (900, 1500)]
    head = build_readout(HeadChoice(pooling="max"), encoder.card)
    with torch.no_grad():
        found = torch.cat([head(encoder(*collate(encoder, [wave]))) for wave in waves])
    np.testing.assert_allclose(found.numpy(), embed(encoder, waves, "max"), atol=1e-5)
