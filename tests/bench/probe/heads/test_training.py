"""What holds of every probe with a trained head."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from bench.base.errors import BadInput
from bench.probe.goal import Goal
from bench.probe.heads import training
from bench.probe.heads.attentive import AttentiveProbe
from bench.probe.heads.cgp import CgpStyleProbe
from bench.probe.heads.layer_mix import LayerMixProbe
from bench.probe.heads.mlp import MlpProbe
from bench.probe.heads.protobin import ProtobinStyleProbe
from bench.scores.label_kinds import bits

TWO = Goal(("a", "b"))
SMALL = {
    MlpProbe: {"widths": (16,), "rates": (1e-2,), "epochs": 6},
    AttentiveProbe: {"queries": (1, 2), "rates": (1e-2,), "epochs": 6},
    LayerMixProbe: {"rates": (3e-2,), "epochs": 6},
    ProtobinStyleProbe: {"prototypes": (32, 64), "rates": (3e-2,), "epochs": 6},
    CgpStyleProbe: {"prototypes": (8, 16), "rates": (1e-1,), "epochs": 6},
}
every = pytest.mark.parametrize("kind", SMALL)


def made(kind, goal=TWO, **settings):
    return kind(goal, **(SMALL[kind] | settings))


def corpus(kind, n=120, strength=1.5, seed=0):
    """(features, labels, groups) with the label in one channel of every token or layer."""
    shape = {MlpProbe: (24,), CgpStyleProbe: (2, 2, 6)}.get(kind, (4, 6))
    rng = np.random.default_rng(seed)
    y = np.concatenate([[0, 1], rng.integers(0, 2, n - 2)])
    x = rng.standard_normal((n, 4, 6))
    x[:, :, 0] += strength * (2 * y - 1)[:, None]
    return x.reshape(n, *shape).astype(np.float32), y, np.arange(n) // 4


@every
def test_candidates_are_chosen_by_group_and_all_recorded(kind):
    x, y, groups = corpus(kind)
    calls = []
    probe = made(kind, progress=lambda done, total: calls.append((done, total))).fit(x, y, groups)
    assert all(len(set(probe.folds_[groups == group])) == 1 for group in set(groups))
    shapes = next((len(values) for name, values in SMALL[kind].items() if name in ("queries", "prototypes")), 1)
    assert len(probe.path_) == shapes * 2 * 6
    best = max(probe.path_, key=lambda c: c["score"])
    assert {name: probe.best_params_[name] for name in best if name != "score"} == {
        name: value for name, value in best.items() if name != "score"
    }
    assert best["score"] > 0.9 and calls[-1][0] == calls[-1][1]
    held, labels, _ = corpus(kind, seed=1)
    assert TWO.value(labels, probe.predict_scores(held)) > 0.9
    np.testing.assert_allclose(np.exp(probe.predict_scores(held)).sum(1), 1)


@pytest.mark.long
@every
def test_the_same_bits_whatever_the_threads(kind, monkeypatch):
    x, y, groups = corpus(kind)
    monkeypatch.setattr(training, "MAX_STACK_CELLS", 0)  # a stack for every fold
    first = made(kind).fit(x, y, groups)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0}, raising=False)
    torch.manual_seed(5)  # the global state plays no part
    again = made(kind).fit(x, y, groups)
    assert first.path_ == again.path_ and first.best_params_ == again.best_params_
    assert (first.predict_scores(x) == again.predict_scores(x)).all()
    assert (made(kind, seed=1).fit(x, y, groups).predict_scores(x) != first.predict_scores(x)).any()


@every
def test_what_is_held_out_moves_nothing(kind):
    """The curve of a fold is that of its training rows: other labels in it change no prediction."""
    x, y, groups = corpus(kind)
    probe = made(kind)
    probe.folds_ = TWO.folds(y, groups, 5, 0)[0]
    head, out = probe.heads()[0][1], probe.folds_ == 2
    changed = np.where(out, 1 - y, y)
    curves = []
    for labels in (y, changed):
        data = training.TrainingRows(torch.from_numpy(x), torch.from_numpy(TWO.targets(labels)).float(), "multiclass")
        curves.append(probe.held_out_outputs(data, head, [training.Candidate(1e-2, "balanced")], [2], 16)[0])
    np.testing.assert_array_equal(*curves)


@pytest.mark.long
@every
def test_no_signal_scores_chance(kind):
    scores = []
    for seed in range(10):
        x, y, groups = corpus(kind, strength=0.0, seed=seed)
        probe = made(kind, epochs=2).fit(x[:60], y[:60], groups[:60])
        scores.append(roc_auc_score(y[60:], probe.predict_scores(x[60:])[:, 1]))
    assert abs(np.mean(scores) - 0.5) < 3 * np.std(scores, ddof=1) / np.sqrt(10)


@every
def test_labels_each_for_itself(kind):
    x, _, groups = corpus(kind, strength=0.0)
    y = np.random.default_rng(1).integers(0, 4, 120)
    x.reshape(120, -1, 6)[:, :, :2] += 3 * bits(y, 2)[:, None]
    goal = Goal(("crackle", "wheeze"), "auroc.bits", "multilabel")
    probe = made(kind, goal).fit(x, y, groups)
    odds = probe.predict_scores(x)
    assert odds.shape == (120, 2) and roc_auc_score(bits(y, 2), odds) > 0.9
    with pytest.raises(BadInput, match="wheeze: no training clip"):
        made(kind, goal).fit(x, y & 1, groups)


@every
def test_targets_in_their_own_unit(kind):
    x, _, groups = corpus(kind, strength=0.0)
    tokens = x.reshape(120, -1, 6)
    y = 500 + 80 * (tokens[:, :, 0] - tokens[:, :, 1]).mean(1)  # a difference, which normalising a token leaves alone
    probe = made(kind, Goal(("millilitres",), "mae", "regression"), rates=(3e-2,), epochs=15).fit(x, y, groups)
    assert {c["class_weight"] for c in probe.path_} == {None}
    error = np.abs(probe.predict_scores(x)[:, 0] - y).mean()
    assert error < 0.7 * np.abs(y - y.mean()).mean() and -max(c["score"] for c in probe.path_) >= 0.5 * error


@every
def test_ties_go_to_the_fewest_epochs(kind):
    x, y, groups = corpus(kind, strength=30.0)
    probe = made(kind).fit(x, y, groups)
    tied = [c for c in probe.path_ if c["score"] == max(c["score"] for c in probe.path_)]
    shape = [name for name in tied[0] if name in ("width", "queries", "prototypes")]
    first = [c for c in tied if all(c[name] == tied[0][name] for name in shape)]  # of the head that is named first
    assert len(tied) > 1 and probe.best_params_["epochs"] == min(c["epochs"] for c in first)
    assert all(probe.best_params_[name] == tied[0][name] for name in shape)


@every
def test_what_cannot_be_used_is_refused(kind):
    x, y, groups = corpus(kind)
    with pytest.raises(BadInput, match="expected a matrix"):
        made(kind).fit(x[..., None], y, groups)
    with pytest.raises(BadInput, match="NaN"):
        made(kind).fit(np.where(np.arange(120).reshape(-1, *[1] * (x.ndim - 1)) == 3, np.nan, x), y, groups)
    with pytest.raises(BadInput, match="one group"):
        made(kind).fit(x, y, np.zeros(120))
