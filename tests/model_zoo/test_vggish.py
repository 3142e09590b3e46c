import dataclasses

import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.encoders.batches import collate, embed
from bench.encoders.contract import check_encoder
from bench.encoders.pooling import pool
from model_zoo import vggish

SMALL = vggish.Geometry((4, 4, 6, 6, 8, 8), (32, 32, 16))
IDS = ["vggish.base", "vggish.base@opera"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(vggish, "FULL", SMALL)
    torch.manual_seed(0)


def _untrained(id="vggish.base"):
    return vggish.build(registry.encoder_card(id), None)


def _clip(samples):
    return (0.1 * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize("id", IDS)
def test_fits_the_contract(id):
    encoder = _untrained(id)
    encoder.weights_digest = "twin"
    # the deviation over a lone example is 0, where its square root has no gradient
    offered = {pooling: size for pooling, size in encoder.card.dims.items() if pooling != "[mean,std]"}
    encoder.card = dataclasses.replace(encoder.card, dims=offered)
    assert check_encoder(encoder) == []


def test_only_whole_examples_count():
    encoder = _untrained()
    one, two = vggish.SHORTEST, vggish.SHORTEST + 96 * 160
    assert [encoder.examples(n) for n in (one, two - 1, two)] == [1, 1, 2]
    assert encoder.batch_length(one) == two - 1
    long, cut = _clip(two + 5000), _clip(two)
    np.testing.assert_allclose(embed(encoder, [long], None), embed(encoder, [cut], None), rtol=1e-5)


def test_a_clip_shorter_than_one_example_is_padded_with_zeros():
    encoder, clip = _untrained(), _clip(3000)
    padded = np.pad(clip, (0, vggish.SHORTEST - 3000))
    np.testing.assert_array_equal(embed(encoder, [clip], None), embed(encoder, [padded], None))
    assert round(encoder.card.min_s * 16000) == vggish.SHORTEST


def test_freq_keeps_the_bands_of_the_maps_before_the_embedding():
    encoder = _untrained()
    tokens = encoder(*collate(encoder, [_clip(vggish.SHORTEST)]))
    for layer, bands in zip((-5, -4, -3, -2, -1), (32, 16, 8, 4, 1), strict=True):
        hidden = tokens.layers[layer].hidden  # (1, T', F', D)
        assert hidden.shape[2] == bands
        torch.testing.assert_close(pool(tokens, layer, "freq"), hidden.mean(dim=1).flatten(1))


def test_opera_takes_the_same_samples_at_another_rate():
    upstream = _untrained()
    torch.manual_seed(0)
    opera = _untrained("vggish.base@opera")
    assert (opera.card.sample_rate, opera.card.id) == (22050, "vggish.base@opera")
    assert opera.card.grid[0] == pytest.approx(0.6966, abs=1e-4)
    assert round(opera.card.min_s * 22050) == vggish.SHORTEST
    np.testing.assert_array_equal(embed(opera, [_clip(40000)], None), embed(upstream, [_clip(40000)], None))


def test_layers_of_a_clip_join_its_examples():
    encoder = _untrained()
    n = vggish.SHORTEST + 2 * 96 * 160
    with torch.inference_mode():
        tokens = encoder(torch.from_numpy(_clip(n))[None], torch.tensor([n]))
        first = encoder(torch.from_numpy(_clip(n)[: vggish.SHORTEST])[None], torch.tensor([vggish.SHORTEST]))
    assert [tuple(g.hidden.shape[1:]) for g in tokens.layers] == [
        (144, 32, 4),
        (72, 16, 4),
        (36, 8, 6),
        (18, 4, 8),
        (3, 1, 16),
    ]
    assert [round(g.hop_s, 2) for g in tokens.layers] == [0.02, 0.04, 0.08, 0.16, 0.96]
    torch.testing.assert_close(tokens.layers[-2].hidden[:, :6], first.layers[-2].hidden)
    torch.testing.assert_close(tokens.clip, tokens.layers[-1].hidden.mean(dim=(1, 2)))


def test_geometry_comes_from_the_file_and_unfitting_ones_are_refused(tmp_path):
    encoder, path = _untrained(), tmp_path / "vggish.pth"
    state = encoder.net.state_dict()
    torch.save(state, path)
    loaded = vggish.build(vggish.CARDS[0], path)
    assert loaded.card.dims["published"] == 16
    np.testing.assert_array_equal(embed(loaded, [_clip(20000)]), embed(encoder, [_clip(20000)]))
    torch.save({k: v for k, v in state.items() if k != "embeddings.2.bias"}, path)
    with pytest.raises(CheckpointError, match=r"missing: embeddings\.2\.bias"):
        vggish.build(vggish.CARDS[0], path)
    torch.save(state | {"pca_means": torch.zeros(16)}, path)
    with pytest.raises(CheckpointError, match="neither used nor declared ignored: pca_means"):
        vggish.build(vggish.CARDS[0], path)
    torch.save({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="lacks the tensors of a VGGish"):
        vggish.build(vggish.CARDS[0], path)
