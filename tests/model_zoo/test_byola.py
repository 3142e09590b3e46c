import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.encoders.batches import collate, embed
from bench.encoders.contract import check_encoder
from model_zoo import byola


def _untrained(id):
    torch.manual_seed(0)
    encoder = byola.build(registry.encoder_card(id), None)
    encoder.weights_digest = "twin"
    return encoder


def _clips(*seconds):
    rng = np.random.default_rng(0)
    return [
        (0.1 * rng.standard_normal(round(16000 * s)) * np.hanning(round(16000 * s))).astype(np.float32) for s in seconds
    ]


@pytest.mark.long
@pytest.mark.parametrize("id", ["byola.v1", "byola.v2", "byola.v2@evar"])
def test_fits_the_contract(id):
    assert check_encoder(_untrained(id)) == []


def test_published_is_mean_plus_maximum_over_time():
    encoder, clips = _untrained("byola.v1"), _clips(1.0)
    np.testing.assert_allclose(embed(encoder, clips, None), embed(encoder, clips, "mean+max"), rtol=1e-5, atol=1e-6)


def test_v2_keeps_its_local_features_before_the_others():
    encoder = _untrained("byola.v2")
    with torch.inference_mode():
        tokens = encoder(*collate(encoder, _clips(1.0)))
    *_, block, last = tokens.layers
    assert [tuple(g.hidden.shape[1:]) for g in (block, last)] == [(25, 16, 64), (25, 1, 3072)]
    torch.testing.assert_close(last.hidden[:, :, 0, :1024], block.hidden.flatten(2))
    torch.testing.assert_close(last.hidden[:, :, 0, 1024:], encoder.net.fc(block.hidden.flatten(2)))
    assert [round(g.hop_s, 2) for g in tokens.layers] == [0.02, 0.04, 0.04]


def test_v1_layers_end_without_a_frequency_axis():
    encoder = _untrained("byola.v1")
    with torch.inference_mode():
        tokens = encoder(*collate(encoder, _clips(1.0)))
    shapes = [tuple(g.hidden.shape[1:]) for g in tokens.layers]
    assert shapes == [(50, 32, 64), (25, 16, 64), (12, 8, 64), (12, 1, 2048)]


def test_policies_differ_in_filters_and_in_what_is_fitted():
    waves = {policy: _untrained(f"byola.v1@{policy}") for policy in byola.POLICIES}
    assert [waves[p].needs_stats for p in byola.POLICIES] == [False, True, True, False]
    wave, length = collate(waves["upstream"], _clips(1.0))
    mels = {policy: encoder.log_mel(wave, length) for policy, encoder in waves.items()}
    assert torch.equal(mels["upstream"], mels["upstream-fit"])
    assert torch.equal(mels["evar"], mels["evar-fixed"])
    assert float((mels["upstream"] - mels["evar"]).abs().max()) > 1
    assert torch.equal(waves["upstream"].fbank(wave, length), (mels["upstream"] - byola.MEAN) / byola.STD)


def test_statistics_are_those_of_every_value_of_the_training_clips():
    encoder, clips = _untrained("byola.v1@evar"), _clips(1.0, 0.5, 0.9)
    values = torch.cat([encoder.log_mel(*collate(encoder, [clip])).flatten() for clip in clips]).double()
    encoder.fit_stats([collate(encoder, clips[:2]), collate(encoder, clips[2:])])
    assert float(encoder.mean) == pytest.approx(float(values.mean()), rel=1e-5)
    assert float(encoder.std) == pytest.approx(float(values.std(correction=0)), rel=1e-5)
    normal = torch.cat([encoder.fbank(*collate(encoder, [clip])).flatten() for clip in clips])
    assert float(normal.mean()) == pytest.approx(0, abs=1e-4)
    assert float(normal.std()) == pytest.approx(1, abs=1e-3)
    assert {"mean", "std"} <= {name for name, _ in encoder.named_buffers()}


def test_fixed_statistics_stay():
    encoder = _untrained("byola.v1")

    def never():
        raise AssertionError("read a batch")
        yield

    encoder.fit_stats(never())
    assert float(encoder.mean) == pytest.approx(byola.MEAN)


def test_silence_as_training_data_gives_finite_answers():
    encoder = _untrained("byola.v1@upstream-fit")
    encoder.fit_stats([collate(encoder, [np.zeros(16000, np.float32)])])
    assert np.isfinite(embed(encoder, _clips(1.0), None)).all()


def test_geometry_comes_from_the_file_and_unfitting_ones_are_refused(tmp_path):
    small = byola.Geometry(3, 64, 128)
    path, (v1, v2) = tmp_path / "byola.pth", byola.CARDS
    state = _untrained("byola.v1").net.state_dict()
    cut = {
        key: tensor[: small.features, : small.features] if tensor.shape == (2048, 2048) else tensor[: small.features]
        for key, tensor in state.items()
        if key.startswith("fc.")
    }
    torch.save(state | cut, path)
    loaded = byola.build(v1, path)
    assert loaded.card.dims["published"] == loaded.card.dims["mean"] == 128
    with pytest.raises(CheckpointError, match=r"has 3 convolution blocks, byola\.v2 has 2"):
        byola.build(v2, path)
    torch.save(_untrained("byola.v2").net.state_dict(), path)
    assert byola.build(v2, path).card.dims["published"] == 3072
    with pytest.raises(CheckpointError, match=r"has 2 convolution blocks, byola\.v1 has 3"):
        byola.build(v1, path)
    torch.save({k: v for k, v in state.items() if k != "features.5.running_var"}, path)
    with pytest.raises(CheckpointError, match=r"missing: features\.5\.running_var"):
        byola.build(v1, path)
    torch.save(state | {"projector.0.weight": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r"neither used nor declared ignored: projector\.0\.weight"):
        byola.build(v1, path)
    torch.save({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="lacks the tensors of a BYOL-A network"):
        byola.build(v1, path)
    torch.save(state | {"fc.0.weight": torch.zeros(2048, 500)}, path)
    with pytest.raises(CheckpointError, match="do not lead to 500 features"):
        byola.build(v1, path)


def test_the_licence_is_on_the_card():
    assert all("NTT evaluation agreement" in text for c in byola.CARDS for text in (c.licence, c.weights[0].licence))
