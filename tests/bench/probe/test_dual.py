import numpy as np
import pytest
import torch

from bench.probe import LogisticPathCV, _crossfit, _dual, _kernel
from bench.probe._crossfit import sample_weights
from bench.probe._design import Design, standardise
from bench.probe._dual import DualFactors, DualProblems
from bench.probe._kernel import Kernel
from bench.probe._path import fit_path, one_hot

PATH = [10 ** (k / 2) for k in range(-12, 11)]


def wide(n=120, d=200, classes=4, seed=0, repeated=0):
    """Standardised features (N, D), some rows of which may be there twice, and labels."""
    rng = np.random.default_rng(seed)
    y = np.r_[
        np.arange(classes), rng.choice(classes, n - classes, p=np.arange(classes, 0, -1) / sum(range(classes + 1)))
    ]
    x = (rng.normal(size=(n, d)) + 0.7 * rng.normal(size=(classes, d))[y]) * np.arange(1, d + 1) ** -0.7
    x = x @ rng.normal(size=(d, d)) + 0.1 * rng.normal(size=(n, d))
    x[: repeated // 2], y[: repeated // 2] = x[repeated // 2 : repeated], y[repeated // 2 : repeated]
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
        torch.cat([problems.spread(residual) + w, residual.sum(2)[..., None]], 2),
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
@pytest.mark.parametrize("how", ["iterated", "factored"])
@pytest.mark.parametrize("c", [1e-3, 1.0, 1e3])
def test_steps_are_newtons(classes, how, c):
    z, y = wide(classes=classes)
    problems, w, b, _, _, p, gradient = problem(z, y, c)
    if how == "iterated":
        limit = torch.full((1,), 10_000)
        step, _ = problems.iterated(p).solve(gradient, torch.full((1,), 1e30, dtype=torch.float64), limit)
    else:
        step, _ = DualFactors(problems.design).solve(problems, p, gradient, [(0, 0)])
    coef = problems.design.coefficients(w)[0].numpy()
    exact = newton(z, y, c, coef, b[0].numpy())
    found = np.c_[problems.design.coefficients(step[..., :-1])[0].numpy(), step[0, :, -1].numpy()]
    # how far from the least of the quadratic model, as a share of the way there
    here, there = quadratic(z, y, c, coef, b[0].numpy(), found), quadratic(z, y, c, coef, b[0].numpy(), exact)
    assert here == pytest.approx(there, rel=0.15)


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


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("repeated", [0, 20])
def test_path_has_the_optima_of_the_principal_axes(classes, class_weight, repeated):
    z, y = wide(n=160, d=240, classes=classes, repeated=repeated)
    weights = sample_weights(y, class_weight)[None]
    dual, primal = (fit_path(kind.of(z), one_hot(y)[None], weights, PATH, 1e-7) for kind in (Kernel, Design))
    np.testing.assert_allclose(dual.objective, primal.objective, rtol=1e-6)


def test_what_takes_too_many_products_takes_factors(monkeypatch):
    monkeypatch.setattr(_dual, "_PATIENCE", 20)
    z, y = wide(n=200, d=300, classes=5)
    targets, weights = one_hot(y)[None], np.ones((1, len(y)))
    dual = fit_path(Kernel.of(z), targets, weights, PATH, 1e-7)
    assert dual.stiff.any()
    np.testing.assert_allclose(
        dual.objective, fit_path(Design.of(z), targets, weights, PATH, 1e-7).objective, rtol=1e-6
    )


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
    y = rng.integers(0, 3, 100)
    dual, primal = (fit_path(kind.of(z), one_hot(y)[None], np.ones((1, 100)), PATH, 1e-7) for kind in (Kernel, Design))
    np.testing.assert_allclose(dual.objective, primal.objective, rtol=1e-6)


def test_probe_takes_the_kernel_where_rows_are_fewer_than_features(monkeypatch):
    z, y = wide(n=240, d=300, classes=3)
    groups = np.arange(len(y)) // 4
    usual = LogisticPathCV(Cs=PATH[::3]).fit(z, y, groups)
    monkeypatch.setattr(_kernel, "ROWS", 100)
    assert _crossfit.suited(z) is Kernel and _crossfit.suited(z[:, :50]) is _crossfit.suited(z[:90]) is Design
    found = LogisticPathCV(Cs=PATH[::3]).fit(z, y, groups)
    assert found.best_params_ == usual.best_params_
    np.testing.assert_allclose(found.coef_, usual.coef_, atol=1e-4 * np.abs(usual.coef_).max())
    np.testing.assert_allclose(found.predict_proba(z), usual.predict_proba(z), atol=1e-3)
