"""Intervals: coverage on clustered data, agreement with SciPy, invariances, and honest behaviour at few patients."""

import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats as reference

from bench.base.errors import BadInput
from bench.scores import intervals
from bench.scores.metrics import Roles

CLASSES = ("normal", "crackle", "wheeze", "both")
ROLES = Roles(0, (1, 2, 3))
BINARY, BINARY_ROLES = ("normal", "abnormal"), Roles(0, (1,))


def predictions(n=300, groups=40, k=4, seed=0, skill=0.4):
    rng = np.random.default_rng(seed)
    y = rng.choice(k, n, p=np.array([5, 2, 2, 1, 1, 1, 1][:k]) / sum([5, 2, 2, 1, 1, 1, 1][:k]))
    s = rng.dirichlet(np.ones(k), n) + skill * np.eye(k)[y]
    s /= s.sum(1, keepdims=True)
    frame = {
        "clip_id": [f"c{i:05d}" for i in range(n)],
        "group": [f"p{g:03d}" for g in rng.integers(0, groups, n)],
        "domain": rng.choice(["AKGC417L", "Meditron"], n),
        "split": "test",
        "y_true": y,
        "y_pred": s.argmax(1),
    }
    return pd.DataFrame(frame | {f"s_{j}": s[:, j] for j in range(k)})


def test_score_table_has_every_metric_and_recall():
    table = intervals.score_table(predictions(), ["icbhi.Score", "auroc"], CLASSES, ROLES, resamples=200)
    assert list(table) == ["icbhi.Score", "auroc", *(f"recall.{name}" for name in CLASSES)]
    for score in table.values():
        assert 0 <= score.low <= score.value <= score.high <= 1
    assert table["icbhi.Score"].n == 300
    assert table["recall.both"].n == (predictions()["y_true"] == 3).sum()
    effective = intervals.effective_groups(predictions()["group"].value_counts().to_numpy())
    told = f"patient bootstrap, 200 draws, expanded percentile for {effective:.1f} effective patients"
    assert table["icbhi.Score"].method == told


def test_expanded_percentile_is_that_of_hesterberg():
    """n = 10: t interval's tails are those of a normal interval at 0.86 % (Hesterberg 2015, table 'expanded')."""
    drawn = np.linspace(0, 1, 100_001)
    low, high, method = intervals.expanded_interval(drawn, 10, "patient")
    assert low == pytest.approx(reference.norm.cdf(-np.sqrt(10 / 9) * reference.t.ppf(0.975, 9)), abs=1e-4)
    assert low == pytest.approx(1 - high, abs=1e-9)
    assert low < 0.025
    assert method.endswith("; interval optimistic: 10 patients")


def test_effective_groups_are_fewer_where_sizes_differ():
    assert intervals.effective_groups(np.full(12, 7)) == 12
    assert intervals.effective_groups(np.array([7, 7, 0])) == 2
    assert intervals.effective_groups(np.array([300, 1, 1])) == pytest.approx(1.013, abs=1e-3)


def test_an_interval_is_wider_where_few_patients_hold_most_clips():
    drawn = np.random.default_rng(0).normal(0.6, 0.05, 4000)
    alike, uneven = (intervals.expanded_interval(drawn, 40, "patient", effective) for effective in (40, 8.5))
    assert uneven[0] < alike[0] < alike[1] < uneven[1]
    assert alike == intervals.expanded_interval(drawn, 40, "patient")
    assert uneven[2] == "patient bootstrap, 4000 draws, expanded percentile for 8.5 effective patients"
    assert intervals.expanded_interval(drawn, 40, "patient", 1.0001)[:2] == (drawn.min(), drawn.max())


def test_equal_patients_count_as_many_as_they_are():
    frame = predictions(n=120).assign(group=np.repeat([f"p{i:02d}" for i in range(12)], 10))
    score = intervals.score_table(frame, ["accuracy"], CLASSES, ROLES, 100, recalls=False)["accuracy"]
    assert score.method == "patient bootstrap, 100 draws, expanded percentile; interval optimistic: 12 patients"


def test_does_not_depend_on_the_order_of_clips():
    frame = predictions()
    shuffled = frame.sample(frac=1, random_state=3)
    for unit in ("patient", "clip"):
        tables = [intervals.score_table(f, ["uar", "auroc"], CLASSES, ROLES, 100, unit=unit) for f in (frame, shuffled)]
        assert tables[0] == tables[1]


def test_same_seed_same_interval_other_seed_other_interval():
    first, again, other = (
        intervals.score_table(predictions(), ["uar"], CLASSES, ROLES, 100, seed=seed)["uar"] for seed in (0, 0, 1)
    )
    assert first == again
    assert first.low != other.low


def test_independent_clips_agree_with_scipy():
    frame = predictions(n=400, k=2)
    ours = intervals.score_table(frame, ["accuracy"], BINARY, BINARY_ROLES, 16000, unit="clip")["accuracy"]
    right = (frame["y_true"] == frame["y_pred"]).to_numpy(float)
    theirs = reference.bootstrap(
        (right,), np.mean, n_resamples=16000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    # two draws of a percentile differ by 0.0007 (standard deviation), and by steps of a clip: 0.0025
    assert ours.low == pytest.approx(theirs.low, abs=0.006)
    assert ours.high == pytest.approx(theirs.high, abs=0.006)
    assert ours.method.startswith("clip bootstrap")


def test_weights_equal_repetition_for_both_kinds_of_metric():
    frame = predictions(n=60, groups=8)
    counts, codes = intervals.bootstrap_weights(frame["group"], 3, seed=4)
    table = intervals.ScoredClips.of(frame, CLASSES, "patient", "multiclass")
    for name in ("icbhi.Score", "auroc"):
        drawn = table.sample(intervals.metric_library.get(name), ROLES, counts)
        for draw, weights in zip(drawn, counts[:, codes].astype(int)):
            rows = frame.loc[frame.index.repeat(weights)].assign(clip_id=lambda f: np.arange(len(f)).astype(str))
            repeated = intervals.score_table(rows, [name], CLASSES, ROLES, 1, recalls=False)[name].value
            assert draw == pytest.approx(repeated)


@pytest.mark.long
def test_coverage_on_clustered_data_is_roughly_nominal():
    """Patients differ in how often their clips are right; clips alone would claim far too much."""
    rng, truth, patients, per_patient, trials = np.random.default_rng(0), 0.7, 20, 15, 300
    covered = {"patient": 0, "clip": 0}
    clip_id = [f"{i:04d}" for i in range(patients * per_patient)]
    for _ in range(trials):
        skill = rng.beta(7, 3, patients)
        right = rng.random((patients, per_patient)) < skill[:, None]
        frame = pd.DataFrame({"clip_id": clip_id, "group": np.repeat(np.arange(patients), per_patient), "y_true": 0})
        frame["y_pred"] = (~right).ravel().astype(int)
        for unit in covered:
            score = intervals.score_table(frame, ["accuracy"], BINARY, BINARY_ROLES, 400, unit=unit, recalls=False)
            covered[unit] += score["accuracy"].low <= truth <= score["accuracy"].high
    # 0.945 and 0.797 in 1500 trials: 300 leave these bounds by chance in 6 of 100,000 cases
    assert 0.88 <= covered["patient"] / trials <= 0.99
    assert covered["clip"] / trials < 0.89


def test_one_patient_has_a_value_and_no_interval():
    frame = predictions(n=30).assign(group="p1")
    score = intervals.score_table(frame, ["uar"], CLASSES, ROLES, 50)["uar"]
    assert np.isfinite(score.value)
    assert np.isnan([score.low, score.high]).all()
    assert score.method == "no interval: 1 patient"


def test_recall_of_a_class_held_by_one_patient_has_no_interval():
    frame = predictions(n=80, groups=12)
    frame.loc[frame["y_true"] == 3, "group"] = "p000"
    score = intervals.score_table(frame, [], CLASSES, ROLES, 50)["recall.both"]
    assert score.groups == 1
    assert np.isnan(score.low)


def test_undefined_draws_and_absent_classes_are_told():
    frame = predictions(n=80, groups=12).query("y_true != 3")
    rare = frame.assign(group=np.where(frame["y_true"] == 1, "p1", frame["group"]))
    rare = rare[(rare["y_true"] != 2)]
    table = intervals.score_table(rare, ["icbhi.Se"], CLASSES, ROLES, 300)
    assert "undefined in" in table["icbhi.Se"].method
    assert np.isnan(table["recall.both"].value)
    assert "no clips" in table["recall.both"].method


def test_domain_table_scores_each_domain_apart():
    frame = predictions()
    frame.loc[:9, "domain"] = None
    table = intervals.domain_table(frame, ["accuracy"], CLASSES, ROLES, 100)
    assert list(table) == ["AKGC417L", "Meditron", "unknown"]
    assert sum(scores["accuracy"].n for scores in table.values()) == len(frame)
    one = frame[frame["domain"] == "Meditron"]
    assert table["Meditron"]["accuracy"].value == pytest.approx((one["y_true"] == one["y_pred"]).mean())


def test_paired_difference_sees_a_better_model_and_joins_on_clip_id():
    good, poor = predictions(skill=0.6), predictions(skill=0.1)
    result = intervals.paired_difference(good, poor.iloc[::-1], "auroc", CLASSES, ROLES, 400)
    assert result.low > 0
    assert result.p < 0.01
    mirrored = intervals.paired_difference(poor, good, "auroc", CLASSES, ROLES, 400)
    assert (mirrored.value, mirrored.p) == (-result.value, result.p)
    assert mirrored.low == pytest.approx(-result.high)


def test_p_value_and_interval_agree():
    """p < 0.05 exactly when the interval leaves 0 out, up to the discreteness of the draws."""
    rng = np.random.default_rng(0)
    for shift in np.linspace(0, 1.2, 25):
        drawn = rng.normal(shift, 0.25, 4000)
        low, high, _ = intervals.expanded_interval(drawn, 8, "patient")
        p = intervals.p_value(drawn, 8)
        if abs(p - 0.05) > 0.01:
            assert (p < 0.05) == (low > 0 or high < 0)


def test_paired_difference_of_equal_models_is_nothing():
    result = intervals.paired_difference(predictions(), predictions(), "uar", CLASSES, ROLES, 100)
    assert (result.value, result.low, result.high, result.p) == (0, 0, 0, 1)


@pytest.mark.long
def test_p_value_is_uniform_under_no_difference():
    rng, small, trials = np.random.default_rng(1), 0, 200
    for _ in range(trials):
        y = rng.integers(0, 2, 120)
        frame = pd.DataFrame({"clip_id": np.arange(120).astype(str), "group": np.repeat(np.arange(24), 5), "y_true": y})
        a, b = (frame.assign(y_pred=np.where(rng.random(120) < 0.7, y, 1 - y)) for _ in range(2))
        small += intervals.paired_difference(a, b, "accuracy", BINARY, BINARY_ROLES, 200).p < 0.05
    assert small / trials < 0.10  # 0.033 in 1500 trials: 20 of 200 by chance in 1 of 100,000 cases


def test_seeds_share_their_draws_and_are_averaged_before_the_interval():
    runs = [
        [predictions(skill=skill).assign(y_pred=lambda f, s=s: noisy(f, s)) for s in range(3)] for skill in (0.8, 0)
    ]
    told = intervals.mean_difference(*runs, "uar", CLASSES, ROLES, 300)
    each = [intervals.paired_difference(a, b, "uar", CLASSES, ROLES, 300) for a, b in zip(*runs)]
    assert told.value == pytest.approx(np.mean([d.value for d in each]))
    assert min(d.low for d in each) <= told.low <= told.value <= told.high <= max(d.high for d in each)
    assert intervals.mean_difference(runs[0][:1], runs[1][:1], "uar", CLASSES, ROLES, 300) == each[0]
    one = intervals.mean_score(runs[0][:1], "uar", CLASSES, ROLES, 300)
    assert one == intervals.score_table(runs[0][0], ["uar"], CLASSES, ROLES, 300)["uar"]
    mean = intervals.mean_score(runs[0], "uar", CLASSES, ROLES, 300)
    values = [intervals.score_table(f, ["uar"], CLASSES, ROLES, 10)["uar"].value for f in runs[0]]
    assert mean.value == pytest.approx(np.mean(values)) and mean.groups == one.groups
    with pytest.raises(BadInput, match="differ in their y_true"):
        intervals.mean_difference(runs[0], [*runs[1][:2], predictions(seed=5)], "uar", CLASSES, ROLES, 10)


def noisy(frame, seed):
    """Predictions of which a tenth are another class, drawn by the seed."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(frame)) < 0.1, rng.integers(0, 4, len(frame)), frame["y_pred"])


def test_paired_difference_refuses_different_tests():
    frame = predictions()
    for other, noun in (
        (frame.iloc[1:], "clip ids"),
        (frame.assign(y_true=0), "y_true"),
        (frame.assign(group=frame["clip_id"]), "groups"),
    ):
        with pytest.raises(BadInput, match=noun):
            intervals.paired_difference(frame, other, "uar", CLASSES, ROLES, 10)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"y_true": 7}, "outside"),
        ({"y_pred": -1}, "outside"),
        ({"group": None}, "without a group"),
        ({"s_0": np.nan}, "not finite"),
        ({"clip_id": "c1"}, "more than once"),
    ],
)
def test_bad_tables_are_refused(change, problem):
    with pytest.raises(BadInput, match=problem):
        intervals.score_table(predictions().assign(**change), ["uar"], CLASSES, ROLES, 10)


def test_missing_scores_are_named():
    frame = predictions().drop(columns="s_2")
    assert "uar" in intervals.score_table(frame, ["uar"], CLASSES, ROLES, 10)
    with pytest.raises(BadInput, match="s_0"):
        intervals.score_table(frame, ["auroc"], CLASSES, ROLES, 10)


@pytest.mark.slow
def test_two_thousand_draws_are_cheap():
    frame = predictions(n=2756, groups=49)
    start = time.perf_counter()
    intervals.score_table(frame, ["icbhi.Score", "icbhi.Score2", "uar", "macro_f1"], CLASSES, ROLES)
    assert time.perf_counter() - start < 2  # about 0.1 s on an idle core
