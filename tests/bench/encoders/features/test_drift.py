import pytest

from bench.data.manifest import load_task, prepare
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import load_encoder


@pytest.mark.long
def test_half_precision_is_measured_and_float32_is_not(simulated, tmp_path):
    prepared = prepare(load_task("icbhi.cycles4", simulated))
    exact = FeatureStore(load_encoder("random.efficientat.mn04"), prepared, folder=tmp_path)
    exact.encode([(-1, "mean")])
    assert exact.drift is None
    reduced = FeatureStore(load_encoder("random.efficientat.mn04", precision="bfloat16"), prepared, folder=tmp_path)
    assert reduced.folder != exact.folder
    reduced.encode([(-1, "mean")])
    assert 1e-5 < reduced.drift < 0.2
    assert reduced.encoder.precision == "bfloat16"
