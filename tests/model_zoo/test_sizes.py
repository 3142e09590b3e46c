"""Networks too large for a test with values: their parameters are counted without any."""

import pytest
import torch

from bench.base import registry

LARGE = (
    "whisper.large_v3@short",
    "whisper.large_v3",
    "wavlm.large",
    "qwen.2_audio_7b",
    "qwen.2_5_omni_7b",
    "w2v_bert.2_0",
)


@pytest.mark.parametrize("id", LARGE)
def test_a_card_tells_the_size_of_its_network(id, monkeypatch):
    monkeypatch.setattr("model_zoo._adapters.frontend.KaldiFbank", lambda *_, **__: torch.nn.Identity())  # has values
    card = registry.encoder_card(id)
    with torch.device("meta"):
        encoder = registry.family(registry.ENCODERS, id).build(card, None)
    assert sum(p.numel() for p in encoder.parameters()) == card.params
    assert (encoder.card.dims, encoder.card.layers) == (card.dims, card.layers)
