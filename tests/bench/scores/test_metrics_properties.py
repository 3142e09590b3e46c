"""What must not change a score: the order of clips, the names of classes, patients counted several times; and what
scikit-learn makes of the same answers and weights."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from bench.data.manifest import load_task
from bench.scores import intervals, label_kinds, metrics
from bench.scores.metrics import METRICS, Roles

ROLES = Roles(0, (1, 2, 3))
NUMBERS, BITS = ("mae", "mape"), ("auroc.bits", "ap.bits", "f1.bits")
OF_KIND = {
    "multiclass": tuple(name for name in METRICS if name not in (*NUMBERS, *BITS)),
    "multilabel": BITS,
    "regression": NUMBERS,
}
CLASSES = {"multiclass": ("normal", "crackle", "wheeze", "both"), "multilabel": ("a", "b", "c"), "regression": ("t",)}


def answers(kind, seed, n=80, groups=10):
    """A prediction table with ties among the scores and patients of different sizes."""
    rng, k = np.random.default_rng(seed), len(CLASSES[kind])
    scores = rng.standard_normal((n, k)).round(1)
    if kind == "multiclass":
        y = np.r_[np.arange(k), rng.integers(0, k, n - k)]
        scores += 0.6 * np.eye(k)[y]
    elif kind == "multilabel":
        y = np.r_[2**k - 1, 0, rng.integers(0, 2**k, n - 2)]
        scores += 0.6 * label_kinds.bits(y, k)
    else:
        y = rng.uniform(5, 30, n)
        scores += y[:, None]
    frame = pd.DataFrame({"clip_id": [f"c{i:03d}" for i in range(n)], "y_true": y})
    frame["group"] = [f"p{g:02d}" for g in np.minimum(rng.geometric(0.25, n), groups)]
    frame["duration_s"] = rng.choice([0.5, 1.0, 2.0, 4.0], n)  # lengths that repetition leaves in their strata
    frame["y_pred"] = label_kinds.KINDS[kind].decided(scores)
    return frame.assign(**{f"s_{j}": scores[:, j] for j in range(k)})


def table(frame, kind, resamples=60, seed=0, roles=ROLES):
    return intervals.score_table(frame, OF_KIND[kind], CLASSES[kind], roles, resamples, seed, kind=kind)


def again(frame, times):
    """Every patient ``times`` times, as that many patients."""
    copies = [frame.assign(clip_id=f"{k}:" + frame["clip_id"], group=f"{k}:" + frame["group"]) for k in range(times)]
    return pd.concat(copies, ignore_index=True)


def same(one, other):
    assert list(one) == list(other)
    for name, score in one.items():
        pairs = [(score.value, other[name].value), (score.low, other[name].low), (score.high, other[name].high)]
        assert all(a == pytest.approx(b, abs=1e-12, nan_ok=True) for a, b in pairs), name
        assert (score.n, score.groups, score.method) == (other[name].n, other[name].groups, other[name].method)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(sorted(CLASSES)))
def test_the_order_of_clips_changes_no_value_and_no_interval(seed, kind):
    frame = answers(kind, seed)
    same(table(frame, kind), table(frame.sample(frac=1, random_state=seed), kind))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(kind, name) for kind, names in OF_KIND.items() for name in names]))
def test_the_order_of_clips_changes_no_difference_and_no_p(seed, which):
    kind, name = which
    one = answers(kind, seed)
    other = answers(kind, seed + 1).assign(y_true=one["y_true"], group=one["group"])
    told = [
        intervals.paired_difference(a, b, name, CLASSES[kind], ROLES, 60, kind=kind)
        for a, b in ((one, other), (one.sample(frac=1, random_state=1), other.sample(frac=1, random_state=2)))
    ]
    for field in ("value", "low", "high", "p"):
        assert getattr(told[0], field) == pytest.approx(getattr(told[1], field), abs=1e-12, nan_ok=True)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(sorted(CLASSES)), st.integers(2, 4))
def test_patients_counted_several_times_change_no_value(seed, kind, times):
    frame = answers(kind, seed)
    once, often = table(frame, kind), table(again(frame, times), kind)
    for name, score in once.items():
        assert often[name].value == pytest.approx(score.value, abs=1e-12, nan_ok=True), name
        assert (often[name].n, often[name].groups) == (times * score.n, times * score.groups)


@pytest.mark.parametrize("kind", sorted(CLASSES))
def test_more_patients_of_the_same_kind_narrow_the_interval(kind):
    """The mean width over draws shrinks as the root of the number of patients, and at few patients faster, because the
    tails are less expanded: k times as many never make it wider."""
    frame = answers(kind, 4, n=120, groups=12)

    def widths(times):
        drawn = [table(again(frame, times), kind, resamples=300, seed=seed) for seed in range(4)]
        return {name: np.mean([part[name].high - part[name].low for part in drawn]) for name in OF_KIND[kind]}

    once, four, nine = (widths(times) for times in (1, 4, 9))
    for name in OF_KIND[kind]:
        assert nine[name] < four[name] < once[name], name
        assert four[name] < 0.65 * once[name] and nine[name] < 0.45 * once[name], name


@pytest.mark.long
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(4)), st.sets(st.integers(1, 3), min_size=1))
def test_classes_by_another_number_and_their_roles_with_them_change_no_score(seed, order, adventitious):
    """Class k becomes class ``order[k]``, in labels, answers, scores and roles."""
    order, frame = np.array(order), answers("multiclass", seed)
    scores = frame[[f"s_{k}" for k in range(4)]].to_numpy()
    renamed = frame.assign(y_true=order[frame["y_true"]], y_pred=order[frame["y_pred"]])
    renamed = renamed.assign(**{f"s_{order[k]}": scores[:, k] for k in range(4)})
    roles = Roles(0, tuple(sorted(adventitious)))
    moved = Roles(int(order[0]), tuple(int(order[k]) for k in roles.adventitious))
    one, other = (table(f, "multiclass", 30, roles=r) for f, r in ((frame, roles), (renamed, moved)))
    for name in OF_KIND["multiclass"]:
        for field in ("value", "low", "high"):
            expected = getattr(one[name], field)
            assert getattr(other[name], field) == pytest.approx(expected, abs=1e-9, nan_ok=True), name
    for k, name in enumerate(CLASSES["multiclass"]):
        assert other[f"recall.{CLASSES['multiclass'][order[k]]}"].value == pytest.approx(one[f"recall.{name}"].value)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(3)))
def test_labels_by_another_number_change_no_multilabel_score(seed, order):
    frame = answers("multilabel", seed)
    renamed = frame.assign(**{f"s_{order[k]}": frame[f"s_{k}"] for k in range(3)})
    for column in ("y_true", "y_pred"):
        renamed[column] = label_kinds.bits(frame[column].to_numpy(), 3) @ (1 << np.array(order))
    one, other = table(frame, "multilabel", 30), table(renamed, "multilabel", 30)
    for name in BITS:
        assert other[name].value == pytest.approx(one[name].value, abs=1e-12), name


def test_two_classes_exchanged_leave_the_area_as_it_is():
    frame = answers("multiclass", 0)
    y, s = (frame["y_true"] > 1).astype(int).to_numpy(), frame[["s_0"]].to_numpy() - frame[["s_1"]].to_numpy()
    one = metrics.evaluate("auroc", y, y, np.c_[-s, s], ROLES)
    assert metrics.evaluate("auroc", 1 - y, y, np.c_[s, -s], ROLES) == pytest.approx(one)


@pytest.mark.parametrize("seed", range(3))
def test_weighted_answers_equal_scikit_learn(seed):
    frame, rng = answers("multiclass", seed), np.random.default_rng(seed)
    y, predicted = frame["y_true"].to_numpy(), frame["y_pred"].to_numpy()
    weights = rng.uniform(0.1, 3, len(y))
    told = {"sample_weight": weights}
    c = metrics.confusion(y, predicted, 4, weights)
    np.testing.assert_allclose(c, reference.confusion_matrix(y, predicted, **told))
    theirs = {
        "uar": reference.balanced_accuracy_score(y, predicted, **told),
        "macro_f1": reference.f1_score(y, predicted, average="macro", **told),
        "accuracy": reference.accuracy_score(y, predicted, **told),
        "icbhi.Sp": reference.recall_score(y, predicted, average=None, **told)[0],
        "icbhi.Se": reference.recall_score(y, predicted, labels=[1, 2, 3], average="weighted", **told),
        "icbhi.Se2": reference.recall_score(y > 0, predicted > 0, **told),
        "sprsound.macro_SE": reference.recall_score(y, predicted, average="macro", **told),
        **{f"recall.{k}": v for k, v in enumerate(reference.recall_score(y, predicted, average=None, **told))},
    }
    for name, value in theirs.items():
        assert float(metrics.get(name).fn(c, ROLES)) == pytest.approx(value), name

    shares = np.exp(frame[[f"s_{k}" for k in range(4)]].to_numpy())
    shares /= shares.sum(1, keepdims=True)
    # scikit-learn's macro one-vs-rest takes no weights: its own binary area, class by class
    areas = [reference.roc_auc_score(y == k, shares[:, k], **told) for k in range(4)]
    assert float(metrics.get("auroc").fn(y, shares, weights, ROLES)) == pytest.approx(np.mean(areas))
    normal = reference.roc_auc_score(y > 0, -shares[:, 0], **told)
    assert float(metrics.get("auroc.normal").fn(y, shares, weights, ROLES)) == pytest.approx(normal)


@pytest.mark.parametrize("seed", range(3))
def test_weighted_labels_and_numbers_equal_scikit_learn(seed):
    frame, rng = answers("multilabel", seed), np.random.default_rng(seed)
    y, predicted = frame["y_true"].to_numpy(), frame["y_pred"].to_numpy()
    weights, scores = rng.uniform(0.1, 3, len(y)), frame[["s_0", "s_1", "s_2"]].to_numpy()
    true, said = label_kinds.bits(y, 3), label_kinds.bits(predicted, 3)
    told = {"sample_weight": weights}
    for name, value in {
        "auroc.bits": np.mean([reference.roc_auc_score(true[:, k], scores[:, k], **told) for k in range(3)]),
        "ap.bits": reference.average_precision_score(true, scores, average="macro", **told),
        "f1.bits": reference.f1_score(true, said, average="macro", **told),
    }.items():
        given_to = scores if metrics.get(name).kind == "scores" else predicted
        assert float(metrics.get(name).fn(y, given_to, weights, ROLES)) == pytest.approx(value), name

    numbers = answers("regression", seed)
    y, predicted = numbers["y_true"].to_numpy(), numbers["y_pred"].to_numpy()
    for name, theirs in (
        ("mae", reference.mean_absolute_error),
        ("mape", reference.mean_absolute_percentage_error),
    ):
        assert float(metrics.get(name).fn(y, predicted, weights, ROLES)) == pytest.approx(theirs(y, predicted, **told))


@pytest.mark.parametrize(
    ("task", "metric", "floor"),
    [
        ("icbhi.cycles4", "icbhi.Score", 0.5),
        ("icbhi.cycles2", "icbhi.Score", 0.5),
        ("sprsound.events2", "sprsound.Score", 0.25),
        ("sprsound.events7", "sprsound.Score", 0.25),
        ("sprsound.records3", "sprsound.Score", 0.25),
        ("sprsound.records5", "sprsound.Score", 0.25),
    ],
)
def test_all_normal_on_the_real_labels(real_data, task, metric, floor):
    loaded = load_task(task, real_data)
    for test, splits in loaded.card.tests.items():
        y = loaded.manifest.loc[loaded.manifest["split"].isin(splits), "label"].to_numpy()
        c = metrics.confusion(y, np.zeros_like(y), len(loaded.card.classes))
        assert float(metrics.get(metric).fn(c, Roles.of(loaded.card))) == floor, test
