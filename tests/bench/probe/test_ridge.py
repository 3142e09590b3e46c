import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from bench.errors import BadInput
from bench.probe.ridge import RidgeProbe


def _example(n=60, d=8, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * np.arange(1, d + 1)
    return X, X[:, 0] * 2 + 30 + noise * rng.standard_normal(n), np.arange(n) // 5


@pytest.mark.parametrize(("n", "d"), [(60, 8), (20, 50)])
def test_equals_scikit_learn(n, d):
    X, y, groups = _example(n, d)
    probe = RidgeProbe(alphas=[3.0]).fit(X, y, groups)
    scaler = StandardScaler().fit(X)
    theirs = Ridge(alpha=3.0).fit(scaler.transform(X), y)
    np.testing.assert_allclose(probe.predict(X), theirs.predict(scaler.transform(X)), rtol=1e-6)


def test_the_penalty_is_chosen_inside_train_by_group():
    X, y, groups = _example()
    probe = RidgeProbe().fit(X, y, groups)
    assert all(len(set(probe.folds_[groups == group])) == 1 for group in set(groups))
    assert probe.best_params_["alpha"] == max(probe.path_, key=lambda c: c["score"])["alpha"]
    assert np.abs(probe.predict(X) - y).mean() < 0.5
    noise = np.random.default_rng(1).standard_normal(60)
    assert RidgeProbe().fit(X, noise, groups).best_params_["alpha"] > probe.best_params_["alpha"]


def test_one_group_is_refused():
    X, y, _ = _example()
    with pytest.raises(BadInput, match="one group"):
        RidgeProbe().fit(X, y, np.zeros(60))
