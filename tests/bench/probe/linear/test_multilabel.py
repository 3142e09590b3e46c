import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bench.base.errors import BadInput
from bench.probe.linear.candidates import CandidateGrid, shares
from bench.probe.linear.crossfit import crossfit
from bench.probe.linear.design import Designs
from bench.probe.linear.logistic import HALF_DECADES
from bench.probe.linear.multilabel import MultilabelPathCV
from bench.scores.label_kinds import bits


def _example(n=120, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    return rng.standard_normal((n, 6)) + np.pad(bits(y, 2) * 2.0, ((0, 0), (0, 4))), y, np.arange(n) // 4


def test_every_label_is_a_probe_of_its_own_on_shared_folds():
    X, y, groups = _example()
    designs = Designs(max_bytes=10**8)
    probe = MultilabelPathCV(("crackle", "wheeze"), designs=designs).fit(X, y, groups)
    assert designs.made == 6
    wheeze = bits(y, 2)[:, [1]].T.astype(int)
    grid = CandidateGrid(HALF_DECADES, (None, "balanced"), 2)
    scores = []

    def auroc(at, log_proba):
        scores.append(roc_auc_score(wheeze[at[0]], log_proba[:, 1] - log_proba[:, 0]))
        return scores[-1]

    refit = crossfit(X, wheeze, probe.folds_, grid, Designs(), auroc, whole=True).refit
    np.testing.assert_allclose([c["score"] for c in probe.path_ if c["label"] == "wheeze"], scores, atol=1e-9)
    chosen = (probe.best_params_["wheeze C"], probe.best_params_["wheeze class_weight"])
    assert chosen == [(c, w) for c in HALF_DECADES for w in (None, "balanced")][int(np.argmax(scores))]
    log = refit(0, shares(np.reshape(scores, (len(HALF_DECADES), 2)), 1 / np.array(HALF_DECADES))).log_proba(X)
    np.testing.assert_allclose(probe.predict_scores(X)[:, 1], log[:, 1] - log[:, 0], rtol=1e-9)


def test_no_patient_lies_in_two_folds():
    X, y, groups = _example()
    probe = MultilabelPathCV(("crackle", "wheeze")).fit(X, y, groups)
    assert all(len(set(probe.folds_[groups == group])) == 1 for group in set(groups))


def test_a_label_without_examples_is_named():
    X, y, groups = _example()
    with pytest.raises(BadInput, match="wheeze: no training clip"):
        MultilabelPathCV(("crackle", "wheeze")).fit(X, y & 1, groups)


@pytest.mark.parametrize("seed", range(8))
def test_a_label_of_one_patient_does_not_hold_up_the_others(seed):
    """A fold whose training rows lack a label solves nothing for it, also when the paths of the others have ended."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(40), 10)
    first, second = rng.integers(0, 2, 400), (groups == 3).astype(int)
    X = rng.standard_normal((400, 200)) + 0.5 * first[:, None] * (np.arange(200) < 5)
    probe = MultilabelPathCV(("crackle", "wheeze")).fit(X, first + 2 * second, groups)
    assert len(probe.path_) == 2 * len(HALF_DECADES) * 2
