"""What all published probes promise: their interface, their validation rows, the same bits again."""

import numpy as np
import pytest

from bench.base.errors import BadInput
from bench.base.registry import task_card
from bench.probe import protocols
from bench.probe.literature.opera import OperaProbe
from bench.probe.literature.protocols import PROTOCOLS
from bench.probe.literature.shared.probe import fit_together
from bench.reports.agreement.verify import chosen_is_best

CARDS = {"multiclass": task_card("icbhi.cycles4"), "multilabel": task_card("icbhi.bits")}
CARDS["regression"] = task_card("nosemic.rate")
SMALL = {"hear": {"hidden": 8, "epochs": 30}, "dinov2": {"epochs": 2, "epoch_steps": 20}}
SMALL |= {name: {"epochs": 6} for name in ("opera", "evar", "evar-m2d")}
FORMS = [(p.name, kind) for p in PROTOCOLS for kind in CARDS]
PUBLISHED = {"opera": {"multiclass", "regression"}, "dinov2": {"multiclass"}}


def data(kind="multiclass", n=240, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 10))
    y = 12 + 2 * X[:, 0] if kind == "regression" else (X[:, 0] > 0) + 2 * (X[:, 1] > 0.2)
    return X, y, np.repeat(np.arange(n // 6), 6).astype(str)


def probe(name, kind="multiclass", seed=0, ticks=None):
    made = protocols.probe(protocols.get(name), CARDS[kind], seed, (lambda n: None) if ticks is None else ticks.append)
    return made.set_params(**SMALL.get(name.partition("/")[2], {}))


@pytest.mark.long
@pytest.mark.parametrize(("name", "kind"), FORMS)
def test_every_form_that_was_published_keeps_the_interface_and_the_others_are_refused(name, kind):
    X, y, groups = data(kind)
    if kind not in PUBLISHED.get(name.partition("/")[2], {"multiclass", "multilabel"}):
        with pytest.raises(BadInput, match=f"this one is {kind}"):
            probe(name, kind).fit(X, y, groups)
        return
    ticks = []
    fitted = probe(name, kind, ticks=ticks).fit(X, y, groups)
    scores = fitted.predict_scores(X)
    assert scores.shape == (len(X), {"multiclass": 4, "multilabel": 2, "regression": 1}[kind])
    assert ticks == [1] * protocols.FOLDS
    if kind == "multiclass":
        np.testing.assert_allclose(np.exp(scores).sum(1), 1, atol=1e-6)
    assert chosen_is_best({"path": fitted.path_, "chosen": fitted.best_params_})
    again = probe(name, kind).fit(X, y, groups)
    assert (again.predict_scores(X) == scores).all() and again.path_ == fitted.path_
    assert again.predict_scores(X[:7]) - scores[:7] == pytest.approx(0, abs=1e-5)
    assert set(fitted.folds_) == {-1, 0} and not set(groups[fitted.folds_ == 0]) & set(groups[fitted.folds_ < 0])


@pytest.mark.parametrize("name", ["literature/opera", "literature/evar", "literature/xares"])
def test_seeds_in_one_pass_are_what_each_is_alone(name):
    X, y, groups = data()
    together = fit_together([probe(name, seed=seed) for seed in range(5)], X, y, groups)
    alone = [probe(name, seed=seed).fit(X, y, groups) for seed in range(5)]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.predict_scores(X), other.predict_scores(X), atol=1e-5)
        assert one.best_params_ == other.best_params_
    assert (together[0].predict_scores(X) != together[1].predict_scores(X)).any()


def test_the_tasks_own_validation_rows_are_taken_and_told():
    X, y, groups = data()
    own = np.arange(len(X)) % 5 == 0
    fitted = probe("literature/opera").fit(X, y, groups, own)
    assert fitted.best_params_["validation"] == "the task's own: 48 of 240 rows" and not hasattr(fitted, "folds_")
    moved = X.copy()
    moved[own] += 1.0  # what is validated on chooses, and trains nothing
    other = probe("literature/opera").set_params(epochs=1).fit(moved, y, groups, own)
    same = probe("literature/opera").set_params(epochs=1).fit(X, y, groups, own)
    assert (other.predict_scores(X) == same.predict_scores(X)).all()
    without = probe("literature/opera").fit(X, y, groups, np.zeros(len(X), bool))
    assert without.best_params_["validation"].startswith("drawn by group, one in 5")


def test_validation_rows_of_one_class_are_refused():
    X, y, groups = data()
    with pytest.raises(BadInput, match="auroc is undefined"):
        probe("literature/opera").fit(X, y, groups, np.isin(np.arange(240), np.flatnonzero(y == 1)[:3]))


def test_operas_own_settings_go_with_its_tasks():
    named = protocols.get("literature/opera")
    assert named.seeds == (0, 1, 2, 3, 4) and protocols.get("literature/evar").seeds == (42, 43, 44)
    made = {id: protocols.probe(named, task_card(id), 0) for id in ("opera.T1", "opera.T7", "opera.T10", "opera.T12")}
    assert [(p.batch, p.epochs, p.keep) for p in made.values()] == [(64, 64, 1), (32, 64, 1), (32, 50, 5), (64, 32, 3)]
    lung = protocols.probe(named, task_card("mmlung.vowel_fvc@literature/opera"), 0)
    assert (lung.keep, lung.patience, lung.delta, lung.validation_folds) == (3, 5, 0.001, 9)
    assert OperaProbe(**made["opera.T1"].get_params()).batch == 64


def test_patience_is_counted_in_looks():
    X, y, groups = data("regression")
    noise = np.random.default_rng(1).normal(size=len(y))
    fitted = (
        probe("literature/opera", "regression").set_params(epochs=64, patience=2, delta=100.0).fit(X, noise, groups)
    )
    assert [candidate["epoch"] for candidate in fitted.path_] == [1, 2, 3]  # the first improves on nothing
