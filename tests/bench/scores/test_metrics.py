"""Metrics against hand counts, published facts, scikit-learn, and the invariances that a bootstrap relies on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from bench.base.errors import BadInput, UnknownId
from bench.scores import metrics
from bench.scores.metrics import DURATION_MATCHED, METRICS, Roles
from bench.types import TaskCard

ROLES4 = Roles(0, (1, 2, 3))
# rows normal, crackle, wheeze, both
HAND = np.array([[80, 10, 5, 5], [20, 60, 15, 5], [10, 10, 25, 5], [2, 4, 4, 10]], float)


def value(name, c, roles=ROLES4):
    return float(metrics.get(name).fn(np.asarray(c, float), roles))


def example(seed=0, n=200, k=4, ties=True):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    scores = rng.dirichlet(np.ones(k), n) + 0.3 * np.eye(k)[y]
    scores = np.round(scores, 1) if ties else scores
    return y, scores.argmax(1), scores, rng


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("icbhi.Sp", 80 / 100),
        ("icbhi.Se", 95 / 170),
        ("icbhi.Score", (80 / 100 + 95 / 170) / 2),
        ("icbhi.Se2", 138 / 170),
        ("icbhi.Score2", (80 / 100 + 138 / 170) / 2),
        ("uar", (0.8 + 0.6 + 0.5 + 0.5) / 4),
        ("accuracy", 175 / 270),
        ("recall.2", 0.5),
    ],
)
def test_hand_counted_confusion(name, expected):
    assert value(name, HAND) == pytest.approx(expected, abs=1e-15)


def test_sprsound_leaves_poor_quality_out():
    c = [[70, 20, 10], [5, 5, 0], [10, 10, 40]]  # Normal, Poor Quality, Adventitious
    se, sp = 40 / 60, 70 / 100
    roles = Roles(0, (2,))
    assert value("sprsound.SE", c, roles) == pytest.approx(se)
    assert value("sprsound.SP", c, roles) == pytest.approx(sp)
    harmonic = 2 * se * sp / (se + sp)
    assert value("sprsound.HS", c, roles) == pytest.approx(harmonic)
    assert value("sprsound.Score", c, roles) == pytest.approx(((se + sp) / 2 + harmonic) / 2)


def test_the_macro_variant_is_what_its_paper_prints():
    """PASA's answers on inter and intra together (its results_summary.txt), and the challenge's Score of the same."""
    c = [
        [1572, 7, 17, 0, 3, 126, 3],
        [0, 8, 5, 0, 0, 1, 0],
        [21, 3, 326, 0, 1, 60, 2],
        [0, 0, 2, 0, 0, 0, 0],
        [4, 2, 2, 0, 0, 9, 0],
        [40, 0, 3, 0, 1, 211, 0],
        [0, 0, 1, 0, 0, 3, 0],
    ]
    roles = Roles(0, (1, 2, 3, 4, 5, 6))
    assert value("sprsound.macro_SE", c, roles) == pytest.approx(0.4425640030023308)
    assert value("sprsound.macro_SP", c, roles) == pytest.approx(0.9703561401843431)
    assert value("sprsound.macro_Score", c, roles) == pytest.approx(0.6571712737390838, abs=1e-8)
    assert value("sprsound.Score", c, roles) == pytest.approx(0.8386, abs=5e-5)


def test_a_class_without_clips_counts_as_missed_in_the_macro_variant_alone():
    c = [[8, 2, 0], [1, 3, 0], [0, 0, 0]]
    assert value("sprsound.macro_SE", c) == pytest.approx((0.8 + 0.75 + 0) / 3)
    assert value("sprsound.macro_SP", c) == pytest.approx((0.75 + 0.8 + 1) / 3)
    assert value("uar", c) == pytest.approx((0.8 + 0.75) / 2)
    assert not any("Score" in metrics.get(f"sprsound.macro_{name}").title for name in ("SE", "SP", "Score"))


def test_all_normal_gives_the_published_floors():
    c = [[1579, 0, 0, 0], [649, 0, 0, 0], [385, 0, 0, 0], [143, 0, 0, 0]]
    assert value("icbhi.Score", c) == 0.5
    assert value("sprsound.Score", c) == 0.25


def test_harmonic_score_is_zero_when_nothing_is_right():
    assert value("sprsound.HS", [[0, 5], [5, 0]], Roles(0, (1,))) == 0.0


def test_m2d2_scores_are_consistent():
    """Published M2D2 row: Score 64.30 with Se 44.25 implies Sp 84.35, and Se2 56.23 gives the binary Score 70.29."""
    c = [[8435, 1565, 0, 0], [4377, 4425, 1198, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert value("icbhi.Score", c) == pytest.approx(0.6430)
    assert value("icbhi.Score2", c) == pytest.approx(0.7029)


def test_absent_class_is_undefined_not_zero():
    c = np.array([[5, 0, 0], [1, 4, 0], [0, 0, 0]])
    assert np.isnan(value("recall.2", c))
    assert value("uar", c) == pytest.approx((1 + 0.8) / 2)
    assert np.isnan(value("icbhi.Se", [[3, 0], [0, 0]], Roles(0, (1,))))


@pytest.mark.parametrize("seed", range(3))
def test_confusion_metrics_equal_scikit_learn(seed):
    y, predicted, _, _ = example(seed)
    c = metrics.confusion(y, predicted, 4)
    np.testing.assert_array_equal(c, reference.confusion_matrix(y, predicted))
    assert value("uar", c) == pytest.approx(reference.balanced_accuracy_score(y, predicted))
    assert value("macro_f1", c) == pytest.approx(reference.f1_score(y, predicted, average="macro"))
    assert value("accuracy", c) == pytest.approx(reference.accuracy_score(y, predicted))


@pytest.mark.parametrize("ties", [True, False])
def test_auroc_equals_scikit_learn(ties):
    y, _, scores, rng = example(5, ties=ties)
    weights = rng.integers(0, 4, (3, len(y))).astype(float)
    binary = metrics.get("auroc").fn((y > 1).astype(int), scores[:, :2], weights, ROLES4)
    for row, area in zip(weights, binary):
        assert area == pytest.approx(reference.roc_auc_score(y > 1, scores[:, 1], sample_weight=row))
    normalised = scores / scores.sum(1, keepdims=True)
    ours = metrics.evaluate("auroc", y, scores.argmax(1), normalised, ROLES4)
    assert ours == pytest.approx(reference.roc_auc_score(y, normalised, multi_class="ovr", average="macro"))


def test_auroc_skips_classes_that_a_draw_lacks():
    y = np.array([0, 0, 1, 1, 2])
    scores = np.eye(3)[[0, 1, 1, 1, 2]]
    both = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]], float)
    with_all, without = metrics.get("auroc").fn(y, scores, both, Roles(0, (1, 2)))
    assert with_all == pytest.approx((0.75 + 5 / 6 + 1) / 3)
    assert without == pytest.approx((0.75 + 0.75) / 2)


def test_auroc_of_constant_scores_is_one_half():
    y = np.array([0, 1, 0, 1, 1])
    assert metrics.evaluate("auroc", y, y, np.full((5, 2), 0.5), Roles(0, (1,))) == 0.5


def test_auroc_normal_leaves_other_classes_out():
    y, predicted, scores, _ = example(2, k=3, ties=False)
    counted = y != 1
    ours = metrics.evaluate("auroc.normal", y, predicted, scores, Roles(0, (2,)))
    assert ours == pytest.approx(reference.roc_auc_score(y[counted] == 2, -scores[counted, 0]))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(sorted(set(METRICS) - {DURATION_MATCHED})))
def test_invariant_to_order_duplication_and_repetition(seed, name):
    y, predicted, scores, rng = example(seed, n=40)
    if name in ("mae", "mape"):
        y, predicted = y + 0.5, predicted + 0.25
    whole = metrics.evaluate(name, y, predicted, scores, ROLES4)
    order = rng.permutation(len(y))
    twice = np.tile(np.arange(len(y)), 2)
    for rows in (order, twice):
        assert metrics.evaluate(name, y[rows], predicted[rows], scores[rows], ROLES4) == pytest.approx(whole)
    weights = rng.integers(0, 3, len(y))
    rows = np.repeat(np.arange(len(y)), weights)
    metric = metrics.get(name)
    if metric.kind == "confusion":
        weighted = metric.fn(metrics.confusion(y, predicted, 4, weights), ROLES4)
    else:
        weighted = metric.fn(y, scores if metric.kind == "scores" else predicted, weights, ROLES4)
    repeated = metrics.evaluate(name, y[rows], predicted[rows], scores[rows], ROLES4)
    assert float(weighted) == pytest.approx(repeated, nan_ok=True)


@pytest.mark.parametrize("name", [name for name in METRICS if METRICS[name].kind == "confusion"])
def test_confusion_metrics_are_vectorised(name):
    rng = np.random.default_rng(1)
    stack = rng.integers(0, 9, (2, 3, 4, 4)).astype(float)
    together = metrics.get(name).fn(stack, ROLES4)
    assert together.shape == (2, 3)
    assert together[1, 2] == pytest.approx(value(name, stack[1, 2]), nan_ok=True)


def test_roles_of_a_card():
    card = TaskCard("x.y", 1, ("N", "PQ", "A"), "uar", ("uar",), {}, "", "", "", normal=0, adventitious=(2,))
    assert Roles.of(card) == Roles(0, (2,))


def test_errors_say_what_to_do():
    with pytest.raises(UnknownId, match=r"did you mean 'icbhi.Score'"):
        metrics.get("icbhi.score")
    with pytest.raises(BadInput, match="adventitious"):
        value("icbhi.Se", HAND, Roles(0, ()))
