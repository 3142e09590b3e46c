import numpy as np
import pytest

from bench.base.errors import BadInput
from bench.base.registry import task_card
from bench.probe import protocols
from bench.probe.fewshot import GROUPS_PER_CLASS, draw_groups, presence
from bench.scores import metrics
from bench.scores.metrics import Roles

CARD = task_card("icbhi.cycles2")


def cohort(patients=80, clips=10, seed=0):
    """Features (N, 12), labels and patients; half of the patients never have an abnormal clip, and what tells the
    label is spread over features that also tell the patient."""
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"p{i:03d}" for i in range(patients)], clips)
    ill = np.repeat(np.arange(patients) % 2 == 1, clips)
    labels = (ill & (rng.random(len(groups)) < 0.6)).astype(int)
    own = np.repeat(rng.normal(size=(patients, 12)), clips, axis=0)
    return rng.normal(size=(len(groups), 12)) + own + 0.4 * labels[:, None], labels, groups


def auroc(name, train, test, seed=0, labels=None):
    X, y, groups = train
    probe = protocols.probe(protocols.get(name), CARD, seed).fit(X, y if labels is None else labels, groups)
    scores = probe.predict_scores(test[0])
    return metrics.evaluate("auroc", test[1], scores.argmax(axis=1), scores, Roles(0, (1,)))


def test_a_draw_holds_every_class_and_only_so_many_groups():
    _, labels, groups = cohort()
    present = presence(labels, "multiclass", 2)
    draws = [draw_groups(present, groups, 10, seed) for seed in range(20)]
    for names in draws:
        assert len(set(names)) == 10
        abnormal = {groups[i] for i in np.flatnonzero(labels)}
        assert len(abnormal & set(names)) >= GROUPS_PER_CLASS
        assert 4 <= len(abnormal & set(names)) <= 6  # stratified: half are ill
    assert len({tuple(names) for names in draws}) == 20
    assert (draws[3] == draw_groups(present, groups, 10, 3)).all()
    assert set(draws[3]) <= set(draw_groups(present, groups, 50, 3))


def test_a_rare_class_is_drawn_from_two_groups():
    groups = np.repeat(np.arange(60).astype(str), 5)
    labels = np.zeros(300, int)
    labels[[0, 5]] = 1  # one clip each of two patients
    for seed in range(10):
        assert {"0", "1"} <= set(draw_groups(presence(labels, "multiclass", 2), groups, 10, seed))


def test_a_label_is_drawn_present_and_absent():
    groups = np.repeat(np.arange(30).astype(str), 2)
    masks = np.where(np.arange(60) < 50, 3, 0)
    present = presence(masks, "multilabel", 2)
    assert present.shape == (60, 4)
    names = draw_groups(present, groups, 6, 0)
    assert len(set(names) & {str(i) for i in range(25, 30)}) >= GROUPS_PER_CLASS


@pytest.mark.parametrize("shots, problem", [(81, "80 groups where 81"), (2, "no 2 groups hold")])
def test_what_cannot_be_drawn_is_refused(shots, problem):
    _, labels, groups = cohort()
    present = presence(labels, "multiclass", 2)
    if shots == 2:  # two classes of which no group holds both, each to be held twice
        labels = np.repeat(np.arange(80) % 2, 10)
        present = presence(labels, "multiclass", 2)
    with pytest.raises(BadInput, match=problem):
        draw_groups(present, groups, shots, 0)


def test_nothing_but_the_drawn_groups_counts():
    X, y, groups = cohort()
    probe = protocols.probe(protocols.get("fewshot-10"), CARD, 1).fit(X, y, groups)
    out = probe.folds_ < 0
    assert len(set(groups[~out])) == 10 and set(probe.folds_[~out]) == set(range(probe.probe.folds))
    other = X.copy()
    other[out] = 1e3
    again = protocols.probe(protocols.get("fewshot-10"), CARD, 1).fit(other, y, groups)
    assert (again.predict_scores(X[:20]) == probe.predict_scores(X[:20])).all()
    assert again.path_ == probe.path_ and len(probe.path_) == 46


def test_folds_are_no_more_than_groups_of_the_rarest_class():
    X, y, groups = cohort()
    y = np.where(np.isin(groups, ["p001", "p003"]), y, 0)
    probe = protocols.probe(protocols.get("fewshot-10"), CARD, 0).fit(X, y, groups)
    assert probe.probe.folds == 2 and set(probe.folds_) == {-1, 0, 1}


@pytest.mark.long
def test_more_patients_help_where_labels_can_be_learnt():
    train, test = cohort(seed=1), cohort(seed=2)
    means = [np.mean([auroc(name, train, test, seed) for seed in range(4)]) for name in ("fewshot-10", "fewshot-50")]
    assert 0.5 < means[0] < means[1] - 0.02
    assert means[1] < auroc("linear", train, test) + 0.05


@pytest.mark.long
def test_permuted_labels_give_chance():
    test, scores = cohort(seed=2), []
    for seed in range(16):
        train = cohort(seed=100 + seed)
        permuted = np.random.default_rng(seed).permutation(train[1])
        scores.append(auroc("fewshot-10", train, test, seed, permuted))
    assert abs(np.mean(scores) - 0.5) < 3 * np.std(scores, ddof=1) / np.sqrt(len(scores))
