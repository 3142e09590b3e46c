import pytest

from bench.base import registry
from bench.base.errors import BadInput, UnknownId
from bench.encoders import probe_inputs
from bench.runs import choices
from bench.runs.choices import EncoderChoice
from bench.types import ALL_LAYERS


def test_an_encoder_is_parsed_with_its_poolings_its_checkpoint_and_its_layers():
    choice = EncoderChoice.parse("efficientat.mn04:published,[mean,max]", (-1, -2))
    assert choice == EncoderChoice("efficientat.mn04", ("published", "[mean,max]"), (-1, -2))
    card = registry.encoder_card("efficientat.mn04")
    pairs = [(card.pool_layer, "published"), (-1, "[mean,max]"), (-2, "[mean,max]")]
    assert choice.requested(card) == pairs  # the authors' own embedding has no layers and is taken once
    assert EncoderChoice.parse("efficientat.mn04=there.pt", (-99,)).weights == "there.pt"  # known once it is loaded
    with pytest.raises(UnknownId, match="layer"):
        EncoderChoice.parse("efficientat.mn04:mean", (-99,))


@pytest.mark.parametrize("empty", ["efficientat.mn04=", "efficientat.mn04:mean= "])
def test_an_empty_checkpoint_is_never_the_released_one(empty):
    with pytest.raises(BadInput, match="names no checkpoint behind ="):
        EncoderChoice.parse(empty)
    assert choices.with_weights("a.b:mean=x=y.pt") == ("a.b:mean", "x=y.pt")
    assert choices.with_weights("a.b") == ("a.b", None)


def test_every_choice_is_named_once():
    asked = choices.EncoderChoice("wavlm.base", ("mean", "freq"), (-1, -2))
    card = registry.encoder_card("wavlm.base")
    assert len(asked.requested(card)) == 4
    assert asked.requested(card, "tokens") == [(-1, "tokens"), (-2, "tokens")]
    assert asked.requested(card, "layers") == [(ALL_LAYERS, "mean"), (ALL_LAYERS, "freq")]
    assert probe_inputs.resolve_layer_pooling(card, None, 0) == (-card.layers, "mean")


def test_the_authors_embedding_has_no_other_layer():
    with pytest.raises(BadInput, match="'published' has no layer -3"):
        EncoderChoice.parse("ast.base:published", [-3])
    swept = EncoderChoice("ast.base", ("published",), (-3, -1), layers_optional=True)
    assert [pooling for _, pooling in swept.requested(registry.encoder_card("ast.base"))] == ["published"]
