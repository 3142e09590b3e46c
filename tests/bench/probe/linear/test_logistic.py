"""The linear probe chooses by pooled out-of-fold predictions of unseen patients, and says what it chose from."""

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from bench.base.errors import BadInput
from bench.probe import LogisticPathCV
from bench.probe.goal import assign_folds
from bench.probe.linear.design import Designs
from bench.scores.metrics import Roles

GRID = (1e-4, 1e-2, 1.0)


def corpus(n=240, d=12, k=3, patients=20, seed=0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.choice(k, n - k, p=np.array([6, 2, 1])[:k] / sum([6, 2, 1][:k]))])
    groups = rng.integers(0, patients, n)
    x = rng.normal(size=(n, d)) + 0.8 * rng.normal(size=(k, d))[y] + rng.normal(size=(patients, d))[groups]
    return x.astype(np.float32), y, groups


def test_selection_equals_a_plain_scikit_learn_loop():
    x, y, groups = corpus()
    x = x.astype(float)  # StandardScaler computes in the precision of its input
    probe = LogisticPathCV(Cs=GRID, metric="uar").fit(x, y, groups)
    splits = list(StratifiedGroupKFold(5, shuffle=True, random_state=0).split(x, y, groups))
    expected = []
    for c in GRID:
        for weight in (None, "balanced"):
            pooled = np.empty(len(y), int)
            for train, held_out in splits:
                model = LogisticRegression(C=c, class_weight=weight, tol=1e-8, max_iter=5000)
                pooled[held_out] = make_pipeline(StandardScaler(), model).fit(x[train], y[train]).predict(x[held_out])
            expected.append({"C": c, "class_weight": weight, "score": balanced_accuracy_score(y, pooled)})
    assert [(p["C"], p["class_weight"]) for p in probe.path_] == [(e["C"], e["class_weight"]) for e in expected]
    np.testing.assert_allclose([p["score"] for p in probe.path_], [e["score"] for e in expected], atol=1e-12)
    best = max(expected, key=lambda e: e["score"])
    assert probe.best_params_ == {"C": best["C"], "class_weight": best["class_weight"]}
    near = np.maximum(0, 1 - (best["score"] - np.array([e["score"] for e in expected])) / 0.05)
    near *= np.exp([-np.log10(e["C"] / GRID[0]) for e in expected])
    near = np.maximum(0, near - 0.005 * near.max())
    np.testing.assert_allclose([p.get("share", 0) for p in probe.path_], near / near.sum(), atol=1e-5)
    logits = 0.0
    for share, candidate in zip(near / near.sum(), expected, strict=True):
        model = LogisticRegression(C=candidate["C"], class_weight=candidate["class_weight"], tol=1e-9, max_iter=5000)
        logits = logits + share * make_pipeline(StandardScaler(), model).fit(x, y).decision_function(x)
    np.testing.assert_allclose(probe.predict_proba(x), softmax(logits, axis=1), atol=1e-4)


def test_no_patient_lies_in_two_folds():
    x, y, groups = corpus()
    probe = LogisticPathCV(Cs=(1e-2,), class_weights=(None,)).fit(x, y, groups)
    assert all(len(np.unique(probe.folds_[groups == g])) == 1 for g in np.unique(groups))
    assert set(probe.folds_) == set(range(5))


def test_is_deterministic_and_seed_changes_the_folds():
    x, y, groups = corpus()
    first, again, other = (LogisticPathCV(Cs=GRID, seed=seed).fit(x, y, groups) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.predict_proba(x), again.predict_proba(x))
    assert first.path_ == again.path_
    assert (first.folds_ != other.folds_).any()


def test_ties_go_to_the_smaller_c_and_the_first_class_weight():
    x, y, groups = corpus()
    probe = LogisticPathCV(Cs=(1.0, 1e-2, 1e-1), metric=lambda y_true, proba: 0.5).fit(x, y, groups)
    assert probe.best_params_ == {"C": 1e-2, "class_weight": None}
    assert probe.at_edge_
    assert [p["C"] for p in probe.path_[::2]] == [1e-2, 1e-1, 1.0]


def test_chosen_inside_the_grid_is_not_at_its_edge():
    x, y, groups = corpus()
    calls = iter([0.1, 0.1, 0.9, 0.2, 0.3, 0.3])
    probe = LogisticPathCV(Cs=GRID, metric=lambda y_true, proba: next(calls)).fit(x, y, groups)
    assert probe.best_params_ == {"C": 1e-2, "class_weight": None}
    assert not probe.at_edge_


def test_a_class_missing_from_a_fold_has_probability_zero_there():
    x, y, groups = corpus()
    y[y == 2] = 0
    y[groups == 3] = 2  # the only patient with class 2
    seen = {}
    LogisticPathCV(Cs=(1e-2,), class_weights=(None,), metric=lambda t, p: seen.setdefault("p", p).mean()).fit(
        x, y, groups
    )
    assert (seen["p"][groups == 3, 2] == 0).all()
    assert (seen["p"][(y != 2), 2] > 0).any()
    np.testing.assert_allclose(seen["p"].sum(1), 1, atol=1e-7)  # logarithms of nine digits


def test_tied_classes_are_decided_alike_whatever_the_penalty():
    """Two classes of whom a fact says the same have exactly equal probabilities; the last bit must not choose."""
    fact = np.repeat([1, 0, 1, 0, 1, 0], [12, 4, 4, 40, 18, 6])
    y = np.repeat([0, 1, 2], [16, 44, 24])
    x, groups = np.stack([fact, 1 - fact], 1).astype(float), np.arange(84) % 2  # both halves alike
    found = []
    for order in (np.arange(84), np.random.default_rng(0).permutation(84)):
        probe = LogisticPathCV(class_weights=("balanced",), metric="icbhi.Score", roles=Roles(0, (1, 2)))
        found.append([round(c["score"], 9) for c in probe.fit(x[order], y[order], groups[order]).path_])
    assert found[0] == found[1] and len(set(found[0])) == 1


def test_columns_for_classes_never_seen():
    x, y, groups = corpus(k=2)
    probe = LogisticPathCV(Cs=(1e-2,), classes=range(4)).fit(x, y * 2, groups)
    proba = probe.predict_proba(x)
    assert proba.shape == (len(y), 4)
    assert (proba[:, [1, 3]] == 0).all()
    assert set(probe.predict(x)) <= {0, 2}
    assert (probe.predict(x) == y * 2).mean() > 0.6


def test_wide_features_and_auroc_selection():
    x, y, groups = corpus(n=90, d=200, k=2)
    probe = LogisticPathCV(Cs=GRID, metric="auroc").fit(x, y, groups)
    assert 0.5 < probe.path_[0]["score"] <= 1
    assert probe.coef_.shape == (1, 200)


def test_metric_by_name_uses_the_roles():
    x, y, groups = corpus()
    probe = LogisticPathCV(Cs=GRID, metric="icbhi.Score", roles=Roles(0, (1, 2))).fit(x, y, groups)
    assert max(p["score"] for p in probe.path_) > 0.5


def test_fewer_patients_than_folds():
    x, y, groups = corpus(patients=3)
    probe = LogisticPathCV(Cs=(1e-2,)).fit(x, y, groups)
    assert probe.n_folds_ == 3
    assert set(probe.folds_) == {0, 1, 2}


def test_folds_without_any_other_class_still_work():
    x, y, _ = corpus(n=40, k=2)
    groups = y.copy()  # two patients, one class each
    probe = LogisticPathCV(Cs=(1e-2,)).fit(x, y, groups)
    assert probe.n_folds_ == 2
    assert probe.path_[0]["score"] == 0.0


def test_progress_is_reported_per_fold():
    x, y, groups = corpus()
    calls = []
    LogisticPathCV(Cs=(1e-2,), progress=lambda done, total: calls.append((done, total))).fit(x, y, groups)
    assert calls == [(i, 5) for i in range(1, 6)]


@pytest.mark.long
@parametrize_with_checks([LogisticPathCV(Cs=(1e-3, 1e-1, 1e1, 1e2))])
def test_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)


def test_labels_may_have_names():
    x, y, groups = corpus()
    names = np.array(["normal", "crackle", "wheeze"])
    named = LogisticPathCV(Cs=GRID, classes=names).fit(x, names[y], groups)
    by_index = LogisticPathCV(Cs=GRID).fit(x, y, groups)
    np.testing.assert_array_equal(named.predict_proba(x), by_index.predict_proba(x))
    np.testing.assert_array_equal(named.predict(x), names[by_index.predict(x)])


def test_without_groups_every_row_is_its_own():
    x, y, _ = corpus()
    probe = LogisticPathCV(Cs=GRID).fit(x, y)
    assert np.bincount(probe.folds_).tolist() == [48] * 5


@pytest.mark.long
def test_rows_are_factorised_once():
    """Another metric on the same rows and folds chooses from the same path, another seed makes only its folds anew."""
    x, y, groups = corpus()
    designs = Designs(max_bytes=10**8)
    first = LogisticPathCV(Cs=GRID, designs=designs).fit(x, y, groups)
    assert (designs.made, designs.solved) == (6, 1)
    other = LogisticPathCV(Cs=GRID, metric="macro_f1", designs=designs).fit(x, y, groups)
    assert (designs.made, designs.solved) == (6, 1)
    assert other.path_ == LogisticPathCV(Cs=GRID, metric="macro_f1").fit(x, y, groups).path_ != first.path_
    LogisticPathCV(Cs=GRID, seed=1, designs=designs).fit(x, y, groups)
    assert 6 < designs.made <= 11 and designs.solved == 2
    LogisticPathCV(Cs=GRID, seed=1, designs=designs).fit(x, np.roll(y, 1), groups)
    assert designs.solved == 3
    alone = LogisticPathCV(Cs=GRID).fit(x, y, groups)
    np.testing.assert_array_equal(first.predict_proba(x), alone.predict_proba(x))


@pytest.mark.long
def test_folds_side_by_side_change_no_bit():
    x, y, groups = corpus(n=700, d=150)  # enough features for folds to run side by side
    one, many = (LogisticPathCV(Cs=GRID, designs=Designs(threads=n)).fit(x, y, groups) for n in (1, None))
    assert one.path_ == many.path_ and (one.coef_ == many.coef_).all()


@pytest.mark.long
def test_few_factorisations_are_kept():
    """The design of all rows, and of it the latest where room is short."""
    x, y, groups = corpus()
    for room, made in ((10**8, 17), (1, 18)):
        designs = Designs(max_bytes=room)
        for rows, labels in ((240, y), (236, y), (240, np.roll(y, 1))):
            LogisticPathCV(Cs=GRID, designs=designs).fit(x[:rows], labels[:rows], groups[:rows])
        assert designs.made == made


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda x, y, g: (x, y, np.zeros_like(g)), "all belong to one group"),
        (lambda x, y, g: (x, np.zeros_like(y), g), "every training row has class 0"),
        (lambda x, y, g: (np.where(y[:, None] == 1, np.inf, x), y, g), "NaN or infinity"),
        (lambda x, y, g: (x, y + 5, g), "5 is none of the 3 classes"),
    ],
)
def test_bad_training_rows_are_refused(change, problem):
    with pytest.raises(BadInput, match=problem):
        LogisticPathCV(Cs=(1e-2,), classes=range(3)).fit(*change(*corpus()))


def test_unknown_class_weight_is_refused():
    with pytest.raises(BadInput, match="class_weight"):
        LogisticPathCV(Cs=(1e-2,), class_weights=("auto",)).fit(*corpus())


def test_folds_do_not_depend_on_group_names():
    _, y, groups = corpus()
    by_number, _ = assign_folds(y, groups, 5, 0)
    by_name, _ = assign_folds(y, np.array([f"p{g:02d}" for g in groups]), 5, 0)
    np.testing.assert_array_equal(by_number, by_name)


def test_features_that_never_vary_give_the_prior():
    y, groups = np.array([0, 0, 1] * 8), np.repeat(np.arange(8), 3)
    probe = LogisticPathCV(classes=range(2)).fit(np.ones((24, 3)), y, groups)
    np.testing.assert_allclose(
        probe.predict_proba(np.zeros((2, 3)))[:, 1],
        [expit(np.log(1 / 2) / 2)] * 2,  # both class weights score alike, so that each has half of the shares
        atol=1e-6,
    )
