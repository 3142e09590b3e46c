"""The solver finds scikit-learn's optimum: binary and multinomial, weighted or not, tall and wide, up to separable."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from bench.base.errors import BadInput
from bench.probe.linear.design import Design, standardise
from bench.probe.linear.fold import sample_weights
from bench.probe.linear.solver import exact, newton
from bench.probe.linear.solver.path import fit_path, one_hot

pytestmark = pytest.mark.paths

PATH = [1e-6, 1e-3, 1e-1, 1e1, 1e2, 1e5]


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


def fitted(z, y, path, weights=None, tolerance=1e-8):
    """(objective, (M, D) coefficients, (M,) intercepts) at every C of one labelling."""
    design = Design.of(z)
    weights = np.ones(len(y)) if weights is None else weights
    fits = fit_path(design, one_hot(y)[None], weights[None], path, tolerance)
    coef, intercept = fits.coefficients(design)
    return list(zip(fits.objective.tolist(), coef.numpy(), intercept.numpy()))


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize(("n", "d", "k"), [(300, 20, 2), (60, 150, 2), (300, 20, 4), (60, 150, 4)])
def test_objective_equals_scikit_learn(n, d, k, class_weight):
    x, y = features(n, d, k)
    z, _ = standardise(x)
    weights = sample_weights(y, class_weight)
    for c, (value, coef, intercept) in zip(PATH, fitted(z, y, PATH, weights)):
        ours = objective(z, y, weights, c, coef, intercept)
        reference = LogisticRegression(C=c, class_weight=class_weight, tol=1e-10, max_iter=50_000).fit(z, y)
        theirs = objective(z, y, weights, c, reference.coef_, reference.intercept_)
        assert ours == pytest.approx(value, rel=1e-9)
        assert ours <= theirs * (1 + 1e-8)
        if c < 1e5:  # where scikit-learn stops short of the optimum
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("k", [2, 3])
def test_coefficients_equal_scikit_learn(k):
    x, y = features(200, 10, k)
    z, _ = standardise(x)
    _, coef, intercept = fitted(z, y, [1.0], tolerance=1e-13)[0]
    reference = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(z, y)
    np.testing.assert_allclose(coef, reference.coef_, atol=1e-5)
    np.testing.assert_allclose(intercept, reference.intercept_, atol=1e-5)


@pytest.mark.parametrize("shape", [(400, 60), (80, 200)])
def test_optimum_is_certified_on_separable_data(shape):
    """The objective is 1-strongly convex in W, so half the squared gradient bounds the gap, whoever solved it."""
    x, y = features(*shape, 4, separation=4.0)
    z, _ = standardise(x)
    path = [1e2, 1e3, 1e4, 1e5]
    for c, (value, coef, intercept) in zip(path, fitted(z, y, path, tolerance=1e-12)):
        logits = z @ coef.T + intercept
        p = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
        gradient = c * z.T @ (p - np.eye(4)[y]) + coef.T
        assert 0.5 * (gradient**2).sum() <= 1e-6 * value
        assert np.abs(c * (p - np.eye(4)[y]).sum(0)).max() < 1e-2


@pytest.mark.parametrize("k", [2, 4])
def test_problems_that_take_factors_reach_the_same_optimum(monkeypatch, k):
    monkeypatch.setattr(newton, "PATIENCE_PER_AXIS", 0.0)
    monkeypatch.setattr(newton, "LEAST_PATIENCE", 4)
    monkeypatch.setattr(exact, "MAX_UNKNOWNS", 0)
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(600, 6))
    y = (latent[:, :k] + rng.normal(size=(600, k))).argmax(1)
    z, _ = standardise(latent @ rng.normal(size=(6, 40)) + 1e-2 * rng.normal(size=(600, 40)))
    design, path = Design.of(z), [1e-6, 1e-4, 1e-2, 1e0, 1e2, 1e3, 1e4, 1e5]
    fits = fit_path(design, one_hot(y)[None], np.ones((1, 600)), path)
    assert fits.stiff.any() and not fits.stiff.all()
    coef, intercept = (each.numpy() for each in fits.coefficients(design))
    for c, w, b in zip(path, coef, intercept):
        reference = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(z, y)
        theirs = objective(z, y, np.ones(600), c, reference.coef_, reference.intercept_)
        assert objective(z, y, np.ones(600), c, w, b) == pytest.approx(theirs, rel=1e-8)


def test_path_and_single_fits_agree():
    x, y = features(150, 30, 3)
    z, _ = standardise(x)
    path = [float(c) for c in np.logspace(-6, 5, 23)]
    for c, (value, *_) in zip(path, fitted(z, y, path)):
        assert value == pytest.approx(fitted(z, y, [c])[0][0], rel=2e-8)


def test_labellings_solved_together_and_alone_agree():
    x, y = features(150, 30, 2)
    design = Design.of(standardise(x)[0])
    other = np.roll(y, 7)
    targets, weights = np.stack([one_hot(y), one_hot(other)]), np.ones((2, len(y)))
    together = fit_path(design, targets, weights, PATH).objective
    alone = [fit_path(design, targets[[i]], weights[[i]], PATH).objective for i in (0, 1)]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=2e-8)


def test_integer_weights_equal_repeated_rows():
    x, y = features(80, 10, 3)
    z, _ = standardise(x)
    times = np.random.default_rng(0).integers(1, 4, len(y))
    rows = np.repeat(np.arange(len(y)), times)
    weighted, repeated = fitted(z, y, [0.1], times.astype(float)), fitted(z[rows], y[rows], [0.1])
    assert weighted[0][0] == pytest.approx(repeated[0][0], rel=1e-8)


def test_duplicated_rows_and_features_are_no_obstacle():
    x, y = features(60, 150, 3)
    twice = np.tile(x, (2, 2))
    z, _ = standardise(twice)
    for c, (value, coef, intercept) in zip(PATH, fitted(z, np.tile(y, 2), PATH)):
        assert value == pytest.approx(objective(z, np.tile(y, 2), np.ones(120), c, coef, intercept), rel=1e-9)
        single = fitted(np.sqrt(2) * standardise(x)[0], y, [c], np.full(60, 2.0))[0][0]
        assert value == pytest.approx(single, rel=1e-7)


@pytest.mark.parametrize("shape", [(50, 20), (20, 50)])
def test_design_is_a_rotation(shape):
    z = np.random.default_rng(0).normal(size=shape)
    design = Design.of(z)
    assert design.x.shape == (shape[0], 20)
    np.testing.assert_allclose(design.x @ design.x.T, z @ z.T, atol=1e-9)
    axes = design.coefficients(torch.eye(20, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(axes @ axes.T, np.eye(20), atol=1e-9)
    np.testing.assert_allclose(z @ axes.T, design.x, atol=1e-9)


def test_standardise_equals_scikit_learn():
    x, _ = features(100, 8, 2)
    z, scaler = standardise(x)
    reference = StandardScaler().fit(x.astype(float))
    np.testing.assert_allclose(z, reference.transform(x.astype(float)), atol=1e-10)
    np.testing.assert_allclose(scaler(x[:3]), z[:3])


@pytest.mark.parametrize("magnitude", [1e-9, 1e-30, 1e12])
def test_features_of_any_magnitude_count_alike(magnitude):
    x, _ = features(100, 8, 2)
    tiny, _ = standardise(x.astype(float) * magnitude)
    np.testing.assert_allclose(tiny, standardise(x)[0], atol=1e-8)


def test_constant_features_are_left_out():
    """0.1 has a standard deviation of about 1e-17 in floating point: dividing by it would make noise of a constant."""
    x, _ = features(100, 8, 2)
    x[:, 3], x[:, 5] = 0.1, 0.0
    z, scaler = standardise(x)
    assert z.shape == (100, 6)
    assert not scaler.kept[[3, 5]].any()
    assert scaler(x + 1.0).shape == (100, 6)


def test_features_that_are_not_finite_are_refused():
    x, _ = features(20, 4, 2)
    x[7, 2] = np.nan
    with pytest.raises(BadInput, match="1 of 20 rows hold NaN or infinity, the first is row 7"):
        standardise(x)
    with pytest.raises(BadInput, match="matrix"):
        standardise(x[0])


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1])
def test_candidates_are_within_their_tolerance_where_separable_rows_are_hardly_penalised(seed):
    rng = np.random.default_rng(seed)
    n, d, k = 160, 400, 6
    y = rng.choice(k, n, p=2.0 ** -np.arange(1, k + 1) / (1 - 2.0**-k))
    y[:k] = range(k)
    latent = rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -0.5
    latent += 0.5 * rng.normal(size=(k, d))[y] * (rng.random(d) < 0.1)
    design = Design.of(standardise((latent @ rng.normal(size=(d, d))).astype(np.float32))[0])
    target = np.stack([one_hot(y)] * 2)
    weights = np.stack([sample_weights(y, name) for name in (None, "balanced")])
    path = 10 ** np.arange(-6, 5.5, 0.5)
    found, tight = (fit_path(design, target, weights, list(path), gap).objective for gap in (1e-6, 1e-11))
    assert ((found - tight) / tight).max() <= 1e-6
