"""A path that ends early chooses what the whole path does, and decides alike."""

import numpy as np
import pytest
import torch

from bench.base.errors import BadInput
from bench.probe import LogisticPathCV
from bench.probe.linear import kernel
from bench.probe.linear.candidates import CandidateGrid
from bench.probe.linear.crossfit import crossfit
from bench.probe.linear.design import Design, Designs
from bench.probe.linear.kernel import Kernel
from bench.probe.linear.logistic import HALF_DECADES
from bench.probe.linear.multilabel import MultilabelPathCV
from bench.probe.linear.solver.dual import DualProblems
from bench.scores import metrics
from bench.scores.metrics import Roles
from bench.scores.schema import Selection, violations

pytestmark = [pytest.mark.paths, pytest.mark.long]


def corpus(signal, n=300, d=200, k=3, patients=40, seed=0):
    """Features of decaying strength, of which a fifth may tell classes; patients differ too."""
    rng = np.random.default_rng(seed)
    groups = np.arange(n) % patients
    y = np.r_[np.arange(k), rng.choice(k, n - k, p=np.array([6, 2, 1])[:k] / sum([6, 2, 1][:k]))]
    latent = rng.normal(size=(n, d)) + 0.5 * rng.normal(size=(patients, d))[groups]
    latent += signal * rng.normal(size=(k, d))[y] * (rng.random(d) < 0.2)
    return ((latent * np.arange(1, d + 1) ** -0.5) @ rng.normal(size=(d, d))).astype(np.float32), y, groups


def uar(y, proba):
    return metrics.evaluate("uar", y, proba.argmax(axis=1), proba, Roles())


def both(x, y, groups):
    """The probe by the metric's name, whose paths may end, checked to choose as by the same metric as a callable, whose
    paths do not."""
    ended, whole = (LogisticPathCV(metric=metric).fit(x, y, groups) for metric in ("uar", uar))
    assert whole.path_ends_ == []
    assert ended.best_params_ == whole.best_params_
    last = {end["class_weight"]: end["C"] for end in ended.path_ends_}
    grid = CandidateGrid(HALF_DECADES, (None, "balanced"), len(ended.classes_))
    positions = np.searchsorted(ended.classes_, y)
    found = crossfit(x, positions[None], ended.folds_, grid, Designs(), lambda _, scores: uar(y, scores), whole=True)
    solved = np.array([1 + HALF_DECADES.index(last.get(weight, HALF_DECADES[-1])) for weight in (None, "balanced")])
    refitted = found.refit(0, grid.shares(found.scores[0], solved))
    assert (ended.coef_ == refitted.coef).all() and (ended.intercept_ == refitted.intercept).all()
    for weight in (None, "balanced"):
        pairs = [each for each in zip(ended.path_, whole.path_, strict=True) if each[0]["class_weight"] == weight]
        solved = [each for each in pairs if each[0]["C"] <= last.get(weight, np.inf)]
        # to the optimality gap of candidates, which may move a row that lies between two classes
        assert all(abs(found["score"] - reference["score"]) < 0.01 for found, reference in solved)
        assert {found["score"] for found, _ in pairs[len(solved) :]} <= {solved[-1][0]["score"]}
    return ended


@pytest.mark.parametrize("form", [Design, Kernel])
@pytest.mark.parametrize(("signal", "k"), [(0.6, 3), (0.6, 2), (0.0, 3), (6.0, 3)])
def test_the_choice_is_that_of_the_whole_path(monkeypatch, form, signal, k):
    if form is Kernel:
        monkeypatch.setattr(kernel, "MIN_ROWS", 50)
    x, y, groups = corpus(signal, n=300 if form is Design else 180, k=k)
    made = []
    monkeypatch.setattr(form, "of", lambda *given, of=form.of: made.append(1) or of(*given))
    both(x, y, groups)
    assert len(made) == 18  # the whole rows and five folds, three times


def test_paths_end_where_features_overfit():
    probe = both(*corpus(0.6))
    assert not list(violations({"method": "", "chosen": {}, "path": [], "path_ends": probe.path_ends_}, Selection))
    assert probe.path_ends_
    assert all(probe.best_params_["C"] < end["C"] < 1e5 for end in probe.path_ends_)


def test_a_path_whose_best_is_at_the_weak_end_is_solved_to_its_end():
    """What tells classes is a ten-thousandth of what all features share, so that hardly any penalty is best."""
    rng = np.random.default_rng(0)
    y, groups = np.arange(300) % 3, np.arange(300) // 3 % 50
    detail = rng.normal(size=(300, 60)) + 3 * np.eye(60)[:3][y]
    x = rng.normal(size=(300, 1)) + 1e-4 * detail @ rng.normal(size=(60, 60))
    probe = both(x, y, groups)
    assert probe.best_params_["C"] > 1e3
    assert probe.best_params_["class_weight"] not in {end["class_weight"] for end in probe.path_ends_}


def test_a_fold_may_lack_a_class():
    x, y, groups = corpus(0.6)
    y[y == 2] = 0
    y[groups == 3] = 2  # the only patient with class 2
    both(x, y, groups)


def test_labels_that_occur_together_end_one_by_one():
    x, y, groups = corpus(0.4, n=200, d=300)
    y += 1  # no label, the first or the second, or both
    probe = MultilabelPathCV(("crackle", "wheeze")).fit(x, y, groups)
    grid = CandidateGrid(HALF_DECADES, (None, "balanced"), 2)

    def auroc(at, scores):
        return metrics.evaluate("auroc", labels[at[0]], scores.argmax(axis=1), scores, Roles())

    labels = np.stack([y & 1, y >> 1])
    whole = crossfit(x, labels, probe.folds_, grid, Designs(), auroc, whole=True)
    assert (whole.solved == len(HALF_DECADES)).all()
    for k, label in enumerate(probe.classes):
        best = grid.compare(whole.scores[k], grid.shares(whole.scores[k], whole.solved[k]), "auroc")[1]
        assert (best["C"], best["class_weight"]) == tuple(
            probe.best_params_[f"{label} {n}"] for n in ("C", "class_weight")
        )
    assert {end["label"] for end in probe.path_ends_} <= set(probe.classes) and probe.path_ends_


def test_what_a_kernel_does_not_solve_later_is_solved_in_principal_axes(monkeypatch):
    x, y, groups = corpus(0.6, n=180)
    usual = LogisticPathCV(metric="uar").fit(x, y, groups)
    monkeypatch.setattr(kernel, "MIN_ROWS", 50)
    solve, calls = DualProblems.solve, []

    def fails_later(self, *given):
        calls.append(1)
        if float(self.cost.max()) > 0.5:
            raise BadInput("linear probe", "no optimum", "lower the largest C")
        return solve(self, *given)

    monkeypatch.setattr(DualProblems, "solve", fails_later)
    found = LogisticPathCV(metric="uar").fit(x, y, groups)
    assert calls and found.best_params_ == usual.best_params_ and found.path_ends_ == usual.path_ends_


def test_another_metric_goes_on_from_the_same_first_block():
    x, y, groups = corpus(0.6)
    designs = Designs(max_bytes=10**9)
    first, other = (LogisticPathCV(metric=name, designs=designs).fit(x, y, groups) for name in ("uar", "macro_f1"))
    assert (designs.made, designs.solved) == (6, 1)
    for probe, name in ((first, "uar"), (other, "macro_f1")):
        alone = LogisticPathCV(metric=name).fit(x, y, groups)
        assert (probe.path_, probe.path_ends_) == (alone.path_, alone.path_ends_)
    few = Designs(max_bytes=1)  # which no first block fits into
    for name in ("uar", "macro_f1"):
        LogisticPathCV(metric=name, designs=few).fit(x, y, groups)
    assert few.solved == 2


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_device_is_that_of_the_designs(monkeypatch, device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    x, y, groups = corpus(0.6, n=180)
    for least_rows in (2000, 50):
        monkeypatch.setattr(kernel, "MIN_ROWS", least_rows)
        found, usual = (LogisticPathCV(designs=Designs(where)).fit(x, y, groups) for where in (device, "cpu"))
        assert found.best_params_ == usual.best_params_
        np.testing.assert_allclose(found.predict_proba(x), usual.predict_proba(x), atol=1e-4)
