"""The solver finds scikit-learn's optimum: binary and multinomial, weighted or not, tall and wide, up to separable."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from bench.errors import BadInput
from bench.probe import _solver
from bench.probe.linear import sample_weights

PATH = [1e-6, 1e-3, 1e-1, 1e1, 1e2]


def features(n, d, k, seed=0, separation=1.0):
    """Correlated features with decaying spectrum, unequal class sizes, every class present."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), np.minimum(rng.geometric(0.5, n - k) - 1, k - 1)])
    latent = rng.normal(size=(n, 12)) + separation * rng.normal(size=(k, 12))[y]
    mixing = rng.normal(size=(12, d)) * (np.arange(1, 13) ** -0.7)[:, None]
    return (latent @ mixing + 0.3 * rng.normal(size=(n, d))).astype(np.float32), y


def objective(z, y, weights, c, coef, intercept):
    """scikit-learn's objective, written down independently."""
    logits = z @ coef.T + intercept
    if logits.shape[1] == 1:
        logits = np.hstack([np.zeros_like(logits), logits])
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return c * -(weights * log_p[np.arange(len(y)), y]).sum() + 0.5 * (coef**2).sum()


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize(("n", "d", "k"), [(300, 20, 2), (60, 150, 2), (300, 20, 4), (60, 150, 4)])
def test_objective_equals_scikit_learn(n, d, k, class_weight):
    x, y = features(n, d, k)
    z, _ = _solver.standardise(x)
    design, weights = _solver.Design.of(z), sample_weights(y, class_weight)
    for c, fit in zip(PATH, _solver.fit_path(design, y, weights, PATH)):
        coef, intercept = fit.coefficients(design)
        ours = objective(z, y, weights, c, coef.T, intercept)
        reference = LogisticRegression(C=c, class_weight=class_weight, tol=1e-9, max_iter=20_000).fit(z, y)
        theirs = objective(z, y, weights, c, reference.coef_, reference.intercept_)
        assert ours == pytest.approx(fit.objective, rel=1e-10)
        assert ours <= theirs * (1 + 1e-8)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("k", [2, 3])
def test_coefficients_equal_scikit_learn(k):
    x, y = features(200, 10, k)
    z, _ = _solver.standardise(x)
    design = _solver.Design.of(z)
    coef, intercept = _solver.fit_path(design, y, np.ones(len(y)), [1.0], tolerance=1e-13)[0].coefficients(design)
    reference = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(z, y)
    np.testing.assert_allclose(coef.T, reference.coef_, atol=1e-5)
    np.testing.assert_allclose(intercept, reference.intercept_, atol=1e-5)


@pytest.mark.parametrize("shape", [(400, 60), (80, 200)])
def test_optimum_is_certified_on_separable_data(shape):
    """The objective is 1-strongly convex in W, so half the squared gradient bounds the gap, whoever solved it."""
    x, y = features(*shape, 4, separation=4.0)
    z, _ = _solver.standardise(x)
    design = _solver.Design.of(z)
    for c, fit in zip([1e2, 1e4], _solver.fit_path(design, y, np.ones(len(y)), [1e2, 1e4], tolerance=1e-12)):
        coef, intercept = fit.coefficients(design)
        logits = z @ coef + intercept
        p = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
        gradient = c * z.T @ (p - np.eye(4)[y]) + coef
        assert 0.5 * (gradient**2).sum() <= 1e-6 * fit.objective
        assert np.abs(c * (p - np.eye(4)[y]).sum(0)).max() < 1e-2


def test_path_and_single_fits_agree():
    x, y = features(150, 30, 3)
    design = _solver.Design.of(_solver.standardise(x)[0])
    path = _solver.fit_path(design, y, np.ones(len(y)), PATH)
    for c, fit in zip(PATH, path):
        alone = _solver.fit_path(design, y, np.ones(len(y)), [c])[0]
        assert fit.objective == pytest.approx(alone.objective, rel=2e-8)


def test_integer_weights_equal_repeated_rows():
    x, y = features(80, 10, 3)
    z, _ = _solver.standardise(x)
    times = np.random.default_rng(0).integers(1, 4, len(y))
    weighted = _solver.fit_path(_solver.Design.of(z), y, times, [0.1])[0]
    rows = np.repeat(np.arange(len(y)), times)
    repeated = _solver.fit_path(_solver.Design.of(z[rows]), y[rows], np.ones(len(rows)), [0.1])[0]
    assert weighted.objective == pytest.approx(repeated.objective, rel=1e-8)


def test_design_is_a_rotation():
    for shape in ((50, 20), (20, 50)):
        z = np.random.default_rng(0).normal(size=shape)
        design = _solver.Design.of(z)
        np.testing.assert_allclose(design.x.numpy() @ design.basis.T, z, atol=1e-10)
        np.testing.assert_allclose(design.basis.T @ design.basis, np.eye(20), atol=1e-10)


def test_standardise_equals_scikit_learn():
    x, _ = features(100, 8, 2)
    z, scaler = _solver.standardise(x)
    reference = StandardScaler().fit(x.astype(float))
    np.testing.assert_allclose(z, reference.transform(x.astype(float)), atol=1e-10)
    np.testing.assert_allclose(scaler(x[:3]), z[:3])


@pytest.mark.parametrize("magnitude", [1e-9, 1e-30, 1e12])
def test_features_of_any_magnitude_count_alike(magnitude):
    x, _ = features(100, 8, 2)
    tiny, _ = _solver.standardise(x.astype(float) * magnitude)
    np.testing.assert_allclose(tiny, _solver.standardise(x)[0], atol=1e-8)


def test_constant_features_are_left_out():
    """0.1 has a standard deviation of about 1e-17 in floating point: dividing by it would make noise of a constant."""
    x, _ = features(100, 8, 2)
    x[:, 3], x[:, 5] = 0.1, 0.0
    z, scaler = _solver.standardise(x)
    assert z.shape == (100, 6)
    assert not scaler.kept[[3, 5]].any()
    assert scaler(x + 1.0).shape == (100, 6)


def test_features_that_are_not_finite_are_refused():
    x, _ = features(20, 4, 2)
    x[7, 2] = np.nan
    with pytest.raises(BadInput, match="1 of 20 rows hold NaN or infinity, the first is row 7"):
        _solver.standardise(x)
    with pytest.raises(BadInput, match="matrix"):
        _solver.standardise(x[0])
