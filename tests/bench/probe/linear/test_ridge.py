import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from bench.base.errors import BadInput
from bench.probe.linear.ridge import RidgePathCV


def _example(n=60, d=8, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * np.arange(1, d + 1)
    return X, X[:, 0] * 2 + 30 + noise * rng.standard_normal(n), np.arange(n) // 5


@pytest.mark.parametrize(("n", "d"), [(60, 8), (20, 50)])
def test_equals_scikit_learn(n, d):
    X, y, groups = _example(n, d)
    probe = RidgePathCV(alphas=[3.0]).fit(X, y, groups)
    scaler = StandardScaler().fit(X)
    theirs = Ridge(alpha=3.0).fit(scaler.transform(X), y)
    np.testing.assert_allclose(probe.predict(X), theirs.predict(scaler.transform(X)), rtol=1e-6)


def test_the_penalty_is_chosen_inside_train_by_group():
    X, y, groups = _example()
    probe = RidgePathCV().fit(X, y, groups)
    assert all(len(set(probe.folds_[groups == group])) == 1 for group in set(groups))
    assert probe.best_params_["alpha"] == max(probe.path_, key=lambda c: c["score"])["alpha"]
    assert np.abs(probe.predict(X) - y).mean() < 0.5
    noise = np.random.default_rng(1).standard_normal(60)
    assert RidgePathCV().fit(X, noise, groups).best_params_["alpha"] > probe.best_params_["alpha"]


def test_one_group_is_refused():
    X, y, _ = _example()
    with pytest.raises(BadInput, match="one group"):
        RidgePathCV().fit(X, y, np.zeros(60))


def test_left_out_groups_are_predicted_as_if_never_seen():
    """Closed form against one refit per group, with the standardisation of all rows."""
    X, y, groups = _example(n=40, d=60)
    probe = RidgePathCV(alphas=[10.0, 1.0, 0.01]).fit(X, y, groups)
    z = StandardScaler().fit_transform(X)
    for candidate in probe.path_:
        errors = []
        for group in np.unique(groups):
            out = groups == group
            errors += list(np.abs(Ridge(alpha=candidate["alpha"]).fit(z[~out], y[~out]).predict(z[out]) - y[out]))
        assert -candidate["score"] == pytest.approx(np.mean(errors), rel=1e-6)


@parametrize_with_checks([RidgePathCV()])
def test_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)
