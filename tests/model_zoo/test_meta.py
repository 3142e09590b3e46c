import numpy as np

from bench.encoder_contract import check_encoder
from bench.encoders import embed, load_encoder


def test_is_the_logarithm_of_the_duration_in_seconds():
    encoder = load_encoder("meta.duration")
    waves = [np.zeros(n, np.float32) for n in (8000, 80, 24000)]
    np.testing.assert_allclose(embed(encoder, waves, None)[:, 0], np.log([1.0, 0.01, 3.0]), atol=1e-6)


def test_fits_the_contract():
    assert check_encoder(load_encoder("meta.duration")) == []
