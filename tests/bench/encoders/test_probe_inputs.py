"""What probes are handed, from the store to the record."""

import dataclasses

import numpy as np
import pytest
import torch

import bench
from bench.base import registry
from bench.base.errors import BadInput, UnknownId
from bench.data.manifest import prepare
from bench.encoders import probe_inputs
from bench.encoders.features.store import FeatureStore
from bench.probe import protocols
from bench.probe.heads.attentive import AttentiveProbe
from bench.probe.heads.cgp import CgpStyleProbe
from bench.probe.heads.layer_mix import LayerMixProbe
from bench.probe.heads.mlp import MlpProbe
from bench.probe.heads.protobin import ProtobinStyleProbe
from bench.reports.leaderboard.report import console_leaderboard
from bench.scores import records
from bench.types import ALL_LAYERS, EncoderCard, Grid, Tokens
from model_zoo._adapters.cards import dims

HOP = 800


class Layered(torch.nn.Module):
    """Three layers of two bands and four channels: random projections of short frames."""

    def __init__(self, widths=(4, 4, 4)):
        super().__init__()
        self.card = EncoderCard(
            id="test.layered",
            version=1,
            sample_rate=4000,
            dims=dims(widths[-1], 2),
            frontend="",
            citation="",
            licence="",
            min_s=0.4,
            layers=len(widths),
            grid=(HOP / 4000, 2),
        )
        source = torch.Generator().manual_seed(0)
        self.weights_digest = "none"
        self.layers = torch.nn.ParameterList([torch.randn(HOP // 2, width, generator=source) for width in widths])

    def batch_length(self, n):
        return -(-n // HOP) * HOP

    def forward(self, wave, length):
        frames = wave.unflatten(1, (-1, 2, HOP // 2))  # (B, T', 2, HOP / 2)
        count = (length + HOP - 1) // HOP
        return Tokens(tuple(Grid((frames @ w).abs(), count, HOP / 4000, str(k)) for k, w in enumerate(self.layers)))


@pytest.fixture(scope="module")
def encoder():
    return Layered().eval()


@pytest.fixture(scope="module")
def task(simulated):
    return bench.load_task("icbhi.cycles2", simulated)


@pytest.fixture
def brief(monkeypatch):
    """Fewer candidates, so that tests of the path from store to record are quick."""
    common = ((1e-2,), 2, 5, 0, None)  # rates, epochs, folds, seed, progress
    one, few = ((1,),), ((8,),)
    for kind, first in (
        (MlpProbe, few),
        (AttentiveProbe, one),
        (LayerMixProbe, ()),
        (ProtobinStyleProbe, few),
        (CgpStyleProbe, few),
    ):
        monkeypatch.setattr(kind.__init__, "__defaults__", first + common)


@pytest.mark.long
def test_tokens_and_layers_come_in_the_order_of_time_and_depth(encoder, task):
    prepared = prepare(task)
    store = FeatureStore(encoder, prepared)
    names = (("attentive", "tokens"), ("layer-mix", "layers"), ("cgp-style", "layer-steps"))
    named = {reads: protocols.get(name) for name, reads in names}
    want = {reads: probe_inputs.resolve_layer_pooling(encoder.card, None, None, reads) for reads in named}
    assert want == {
        "tokens": (-1, "tokens"),
        "layers": (ALL_LAYERS, "mean"),
        "layer-steps": (ALL_LAYERS, "steps"),
    }
    for reads in named:
        store.encode(probe_inputs.required_features(encoder.card, want[reads], reads))
    given = (probe_inputs.probe_input(store, encoder.card, want[reads], named[reads]) for reads in named)
    tokens, layers, steps = given
    n = len(prepared.rows)
    assert tokens.shape == (n, 8 * 2, 4) and layers.shape == (n, 3, 4) and steps.shape == (n, 3, 8, 4)
    np.testing.assert_array_equal(tokens.reshape(n, -1), store.gather((-1, "tokens")))
    for k in range(3):
        np.testing.assert_array_equal(layers[:, k], store.gather((k - 3, "mean")))
    np.testing.assert_allclose(steps[:, -1], tokens.reshape(n, 8, 2, 4).mean(2), rtol=1e-5, atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("name", ["knn", "prototype", "mlp", "attentive", "protobin-style", "cgp-style", "layer-mix"])
def test_from_cached_features_to_a_record(name, encoder, task, brief):
    made = bench.evaluate(encoder, task, name, seeds=(0,))[0]
    layer, pooling = {
        "attentive": (-1, "tokens"),
        "protobin-style": (-1, "tokens"),
        "cgp-style": (ALL_LAYERS, "steps"),
        "layer-mix": (ALL_LAYERS, "mean"),
    }.get(name, (-1, "mean"))
    assert (made.spec["layer"], made.spec["pooling"], made.spec["protocol"]) == (layer, pooling, name)
    groups = set(task.manifest.query("split == 'train'")["group"])
    assert set(made.selection["folds"]) == groups and made.selection["path"] and made.selection["chosen"]
    assert 0 <= made.scores["corrected"][task.card.main_metric]["value"] <= 1
    again = bench.evaluate(encoder, task, name, seeds=(0,))[0]
    assert records.to_json(again) == records.to_json(made)
    assert records.predictions_csv(again.predictions) == records.predictions_csv(made.predictions)


@pytest.mark.long
def test_test_labels_reach_no_probe(encoder, task, brief):
    shuffled = task.manifest.copy()
    test = shuffled["split"] != "train"
    shuffled.loc[test, "label"] = np.random.default_rng(0).permutation(shuffled.loc[test, "label"])
    other = dataclasses.replace(task, manifest=shuffled)
    for name in ("knn", "prototype", "attentive"):
        mine, theirs = (bench.evaluate(encoder, t, name, seeds=(0,))[0] for t in (task, other))
        assert mine.selection == theirs.selection
        assert (mine.predictions["y_pred"] == theirs.predictions["y_pred"]).all()


def test_probes_that_draw_have_five_seeds():
    own = {name: named.seeds for name, named in protocols.PROTOCOLS.items() if not name.startswith("literature/")}
    drawn = {name for name, seeds in own.items() if seeds == (0, 1, 2, 3, 4)}
    heads = {"mlp", "attentive", "protobin-style", "cgp-style", "layer-mix"}
    assert drawn == heads | {"finetune", "finetune/best-test-epoch"}
    assert all(seeds == (0,) for name, seeds in own.items() if name not in drawn)


@pytest.mark.long
def test_a_board_names_all_layers(encoder, task, brief):
    made = [bench.evaluate(encoder, task, name, seeds=(0,))[0] for name in ("layer-mix", "knn")]
    assert "test.layered all layers" in console_leaderboard(made)


def test_what_an_encoder_cannot_give_is_refused(encoder, task):
    wavlm, opensmile = registry.encoder_card("wavlm.base"), registry.encoder_card("opensmile.egemaps")
    one = dataclasses.replace(wavlm, layers=1)
    with pytest.raises(BadInput, match="a mixture needs several"):
        probe_inputs.resolve_layer_pooling(one, None, None, "layers")
    with pytest.raises(BadInput, match="gives no tokens"):
        probe_inputs.resolve_layer_pooling(opensmile, None, None, "tokens")
    published = dataclasses.replace(wavlm, dims=dict(wavlm.dims) | {"published": 8}, default_pooling="published")
    assert probe_inputs.resolve_layer_pooling(published, None, None, "layers") == (ALL_LAYERS, "mean")
    with pytest.raises(BadInput, match="no layers to mix"):
        probe_inputs.resolve_layer_pooling(published, "published", None, "layers")
    with pytest.raises(UnknownId, match="pooling"):
        probe_inputs.resolve_layer_pooling(wavlm, "meen", None, "layers")
    with pytest.raises(BadInput, match="gives no steps"):
        probe_inputs.resolve_layer_pooling(opensmile, None, None, "layer-steps")
    for name in ("layer-mix", "cgp-style"):
        with pytest.raises(BadInput, match=r"different widths \(3, 4\)"):
            bench.evaluate(Layered((3, 4)).eval(), task, name, seeds=(0,))
