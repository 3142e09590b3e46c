import numpy as np
import pytest
import torch

from bench.base.errors import BadInput
from bench.probe import LogisticPathCV
from bench.probe.linear import crossfit, kernel
from bench.probe.linear.design import Design, standardise, suited
from bench.probe.linear.fold import sample_weights
from bench.probe.linear.kernel import Kernel
from bench.probe.linear.solver import dual as dual_solver
from bench.probe.linear.solver import leading
from bench.probe.linear.solver.dual import DualProblems
from bench.probe.linear.solver.dual_factors import DualFactors
from bench.probe.linear.solver.path import fit_path, one_hot

pytestmark = pytest.mark.paths

PATH = [10 ** (k / 2) for k in range(-12, 11)]
TOLERANCE = 1e-8


def wide(n=120, d=200, classes=4, seed=0, repeated=0):
    """Standardised features (N, D), some rows of which may be there twice under other labels, and labels."""
    rng = np.random.default_rng(seed)
    y = np.r_[
        np.arange(classes), rng.choice(classes, n - classes, p=np.arange(classes, 0, -1) / sum(range(classes + 1)))
    ]
    x = (rng.normal(size=(n, d)) + 0.7 * rng.normal(size=(classes, d))[y]) * np.arange(1, d + 1) ** -0.7
    x = x @ rng.normal(size=(d, d)) + 0.1 * rng.normal(size=(n, d))
    x[: repeated // 2] = x[repeated // 2 : repeated]
    return standardise(x)[0], y


def problem(z, y, c=1.0):
    """The one problem on a kernel of all rows, at random coordinates, with p and the gradient there."""
    design = Kernel.of(z)
    target = torch.from_numpy(one_hot(y)[None]).double()
    problems = DualProblems(design, target, torch.full((1, len(z)), c, dtype=torch.float64))
    rng = torch.Generator().manual_seed(0)
    w, b = (torch.randn(1, target.shape[1], size, generator=rng).double() for size in (design.width, 1))
    w, b = w - w.mean(1, keepdim=True), b[..., 0]
    w[..., : len(z)] /= 50
    logits, metric_w = problems.image(w, b)
    p = logits.softmax(1) if target.shape[1] > 1 else logits.sigmoid()
    residual = (p - target) * problems.cost[:, None]
    return (
        problems,
        w,
        b,
        logits,
        metric_w,
        p,
        torch.cat([problems.loss_gradient(residual) + w, residual.sum(2)[..., None]], 2),
    )


def test_coordinates_are_worth_the_logits_and_the_penalty_of_their_features():
    z, y = wide()
    problems, w, b, logits, metric_w, *_ = problem(z, y)
    coef = problems.design.coefficients(w)[0].numpy()
    np.testing.assert_allclose(logits[0].numpy(), coef @ z.T + b[0].numpy()[:, None], rtol=1e-9, atol=1e-9)
    assert float((w * metric_w).sum()) == pytest.approx((coef**2).sum(), rel=1e-9)


def test_gradient_is_that_of_the_features():
    z, y = wide()
    problems, w, _, _, _, p, gradient = problem(z, y)
    coef = problems.design.coefficients(w)[0].numpy()
    expected = coef + (p[0].numpy() - one_hot(y)) @ z
    np.testing.assert_allclose(
        problems.design.coefficients(gradient[..., :-1])[0].numpy(), expected, rtol=1e-8, atol=1e-8
    )


def newton(z, y, c, coef, b):
    """The exact Newton step (M, D + 1) of the features, by the whole Hessian."""
    rows = np.c_[z, np.ones(len(z))]
    logits = coef @ z.T + b[:, None]
    m = len(coef)
    p = np.exp(logits - np.logaddexp.reduce(logits, axis=0)) if m > 1 else 1 / (1 + np.exp(-logits))
    penalty = np.diag(np.r_[np.ones(z.shape[1]), 0.0])
    blocks = [
        [c * (rows.T * (p[k] * ((k == j) - p[j]))) @ rows + (k == j) * penalty for j in range(m)] for k in range(m)
    ]
    gradient = np.c_[coef, np.zeros(m)] + c * (p - one_hot(y)) @ rows
    return -np.linalg.lstsq(np.block(blocks), gradient.ravel(), rcond=1e-13)[0].reshape(m, -1)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("how", ["diagonal", "leading", "factored"])
@pytest.mark.parametrize("c", [1e-3, 1.0, 1e3])
def test_steps_are_newtons(monkeypatch, classes, how, c):
    monkeypatch.setattr(leading, "_LEAST_AXES", 1)
    z, y = wide(classes=classes)
    problems, w, b, _, _, p, gradient = problem(z, y, c)
    if how == "factored":
        step, _ = DualFactors(problems.design).solve(problems.cost, p, gradient, [(0, 0)])
    else:
        limit, spent = torch.full((1,), 10_000), torch.full((1,), 10_000 if how == "leading" else 0)
        iterated = problems.iterated(p, problems.leading(problems.design), [(0, 0)], spent)
        assert iterated.serving == [(0, 0) if how == "leading" else None]
        step, _ = iterated.solve(gradient, torch.full((1,), 1e30, dtype=torch.float64), limit)
    coef = problems.design.coefficients(w)[0].numpy()
    exact = newton(z, y, c, coef, b[0].numpy())
    found = np.c_[problems.design.coefficients(step[..., :-1])[0].numpy(), step[0, :, -1].numpy()]
    # how far from the least of the quadratic model, as a share of the way there
    here, there = quadratic(z, y, c, coef, b[0].numpy(), found), quadratic(z, y, c, coef, b[0].numpy(), exact)
    assert here == pytest.approx(there, rel=1e-3 if how == "factored" else 0.5)


def quadratic(z, y, c, coef, b, step):
    """The quadratic model's fall by a step."""
    logits, along = coef @ z.T + b[:, None], step[:, :-1] @ z.T + step[:, -1:]
    if len(coef) > 1:
        p = np.exp(logits - np.logaddexp.reduce(logits, axis=0))
        curve = (p * along**2).sum() - ((p * along).sum(0) ** 2).sum()
    else:
        p = 1 / (1 + np.exp(-logits))
        curve = (p * (1 - p) * along**2).sum()
    slope = (coef * step[:, :-1]).sum() + c * ((p - one_hot(y)) * along).sum()
    return slope + 0.5 * (c * curve + (step[:, :-1] ** 2).sum())


def both(z, y, path=PATH, weights=None):
    """The fits on a kernel, checked to be the optima that principal axes have, and those in principal axes.

    Either is above the optimum by less than a share of the penalty: of the objective, a small C would leave W
    undetermined. Objectives are computed anew from the coefficients, since rounding of logits from α, whose size is C,
    is no part of what coefficients are worth.
    """
    weights = np.ones((1, len(y))) if weights is None else weights
    of_rows, design = Kernel.of(z), Design.of(z)
    dual, primal = (fit_path(each, one_hot(y)[None], weights, path, TOLERANCE) for each in (of_rows, design))
    found, expected = (f.coefficients(d) for f, d in ((dual, of_rows), (primal, design)))
    for i, c in enumerate(path):
        ours, _, _ = objective(z, y, c * weights[0], found[0][i].numpy(), found[1][i].numpy())
        theirs, penalty, rounding = objective(z, y, c * weights[0], expected[0][i].numpy(), expected[1][i].numpy())
        assert abs(ours - theirs) <= DualProblems.TRUSTED * TOLERANCE * penalty + 2 * rounding, (i, c, ours, theirs)
    return dual, primal, found, expected


def objective(z, y, cost, coef, intercept):
    """(objective, its penalty, the most that float64 may be off in it): sums of D and N terms lose at most as many
    units in the last place, logits of what their terms would sum to without cancelling, weighted by their slopes."""
    logits, target = coef @ z.T + intercept[:, None], one_hot(y)
    many = len(logits) > 1
    total = np.logaddexp.reduce(logits, axis=0) if many else np.logaddexp(0, logits[0])
    penalty = 0.5 * (coef**2).sum()
    slopes = np.abs(np.exp(logits - total) - target)
    terms = np.abs(coef) @ np.abs(z).T + np.abs(intercept)[:, None]
    units = sum(z.shape) + 10  # and a few for exponentials and logarithms
    size = (cost * (total + np.abs(target * logits).sum(0) + (slopes * terms).sum(0))).sum() + penalty
    return (cost * (total - (target * logits).sum(0))).sum() + penalty, penalty, units * np.finfo(float).eps * size


@pytest.mark.long
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("repeated", [0, 20])
def test_path_has_the_optima_of_the_principal_axes(classes, class_weight, repeated):
    z, y = wide(n=160, d=240, classes=classes, repeated=repeated)
    both(z, y, weights=sample_weights(y, class_weight)[None])


@pytest.mark.long
def test_one_fit_from_nothing_has_the_optimum():
    z, y = wide(n=200, d=300, classes=4, repeated=20)
    for c in (1e-6, 1.0, 1e5):
        both(z, y, [c])


def test_rows_without_weight_do_not_count():
    z, y = wide(n=160, d=240)
    both(z, y, PATH[::4], np.r_[np.ones(120), np.zeros(40)][None])


@pytest.mark.long
def test_classes_share_nothing():
    """Rows that are there twice under other labels have large α that cancel; float32 leaves some of them to all classes
    alike, which no class probability and no iteration sees."""
    z, y = wide(n=160, d=240, classes=4, repeated=20)
    dual, _, (coef, _), _ = both(z, y)
    # what float64 rounds off the combination of the rows
    alpha = dual.w[..., : len(z)].abs().amax((1, 2)).numpy()
    rounding = len(z) * np.finfo(float).eps * alpha * np.abs(z).sum(0).max()
    assert (coef.mean(1).abs().amax(1).numpy() <= rounding).all()


def test_a_step_that_is_no_descent_is_no_optimum(monkeypatch):
    """Products in float32 may give one where rows nearly separate; factors go on from there."""

    class Rising:
        def solve(self, gradient, value, limit):
            return 1e-6 * gradient, torch.ones_like(limit)

    monkeypatch.setattr(DualProblems, "iterated", lambda *_: Rising())
    z, y = wide(n=100, d=150)
    assert both(z, y, [1e-2, 1.0, 1e2])[0].stiff.all()


def test_rows_that_do_not_curve_are_left_out_of_a_step():
    """And what their own step gains is what the quadratic model says."""
    z, y = wide(n=300, d=400)
    problems, w, _, _, _, p, _ = problem(z, y, 1e-2)
    flat = torch.arange(300) % 2 == 0
    p[..., flat] = torch.tensor([1 - 3e-12, 1e-12, 1e-12, 1e-12], dtype=p.dtype)[:, None]
    residual = (p - problems.target) * problems.cost[:, None]
    gradient = torch.cat([problems.loss_gradient(residual) + w, residual.sum(2)[..., None]], 2)
    step = problems.iterated(p, problems.leading(problems.design), [(0, 0)], torch.zeros(1, dtype=torch.long))
    assert step.flat is not None and len(step.flat) >= 150
    _, gain = step.without_flat_rows(gradient)
    alpha = torch.zeros_like(w[..., :300])
    alpha[..., step.flat] = -gradient[..., step.flat]
    logits = (alpha @ problems.design.rest)[0]
    kept, moved = p[0][:, step.rows], logits[:, step.rows]
    curve = (kept * moved**2).sum() - ((kept * moved).sum(0) ** 2).sum()
    slope = (gradient[0, :, :300] * logits).sum() + 0.5 * (alpha[0] * logits).sum()
    assert float(gain) == pytest.approx(-float(slope + 0.5 * 1e-2 * curve), rel=1e-3)


def test_what_takes_too_many_products_takes_factors(monkeypatch):
    monkeypatch.setattr(dual_solver, "PATIENCE", 20)
    assert both(*wide(n=200, d=300, classes=5))[0].stiff.any()


def test_a_gradient_that_is_nil_is_certified():
    """The gap of what is returned, from the gradient alone: 1/2 g'g bounds it, since the Hessian is at least 1."""
    z, y = wide(n=300, d=400, classes=4)
    for c in (1.0, 1e3, 1e5):
        design = Kernel.of(z)
        fits = fit_path(design, one_hot(y)[None], np.ones((1, 300)), [c], 1e-8)
        coef, intercept = (each[0].numpy() for each in fits.coefficients(design))
        logits = coef @ z.T + intercept[:, None]
        residual = c * (np.exp(logits - np.logaddexp.reduce(logits, axis=0)) - one_hot(y))
        gradient = residual @ z + coef
        assert 0.5 * (gradient**2).sum() < 1e-4 * 0.5 * (coef**2).sum()
        assert np.abs(residual.sum(1)).max() < 1e-4 * np.abs(residual).sum() + 1e-9


def test_what_a_kernel_does_not_solve_is_solved_in_principal_axes(monkeypatch):
    z, y = wide()

    def fails(*_):
        raise BadInput("linear probe", "no optimum", "lower the largest C")

    monkeypatch.setattr(DualProblems, "solve", fails)
    problem = one_hot(y)[None], np.ones((1, len(y))), [1.0], 1e-8
    for found, usual in zip(*(crossfit.coefficients(kind.of(z), *problem) for kind in (Kernel, Design)), strict=True):
        np.testing.assert_array_equal(found, usual)


def test_labellings_do_not_see_each_other():
    z, y = wide()
    targets = np.stack([one_hot(y), one_hot(np.roll(y, 7))])
    together = fit_path(Kernel.of(z), targets, np.ones((2, len(y))), PATH[::4])
    alone = [fit_path(Kernel.of(z), targets[[i]], np.ones((1, len(y))), PATH[::4]).objective for i in (0, 1)]
    np.testing.assert_allclose(together.objective, np.concatenate(alone), rtol=1e-7)


def test_rows_of_low_rank():
    """Fewer directions than axes that are looked for."""
    rng = np.random.default_rng(0)
    z = standardise(rng.normal(size=(100, 6)) @ rng.normal(size=(6, 150)))[0]
    both(z, rng.integers(0, 3, 100))


@pytest.mark.long
def test_probe_takes_the_kernel_where_rows_are_fewer_than_features(monkeypatch):
    z, y = wide(n=240, d=300, classes=3)
    groups = np.arange(len(y)) // 4
    usual = LogisticPathCV(Cs=PATH[::3]).fit(z, y, groups)
    monkeypatch.setattr(kernel, "MIN_ROWS", 100)
    assert suited(z) is Kernel and suited(z[:, :50]) is suited(z[:90]) is Design
    made = []
    monkeypatch.setattr(Kernel, "of", lambda *given, of=Kernel.of: made.append(1) or of(*given))
    found = LogisticPathCV(Cs=PATH[::3]).fit(z, y, groups)
    assert len(made) == 6
    assert found.best_params_ == usual.best_params_
    np.testing.assert_allclose(found.coef_, usual.coef_, atol=1e-4 * np.abs(usual.coef_).max())
    np.testing.assert_allclose(found.predict_proba(z), usual.predict_proba(z), atol=1e-3)
