"""Blocks of the leading axes: they invert what they say, are kept and dropped as they serve, and save products."""

import numpy as np
import pytest
import torch

from bench.probe.linear.design import Design, standardise
from bench.probe.linear.fold import sample_weights
from bench.probe.linear.solver import leading
from bench.probe.linear.solver.hessian import full_float32
from bench.probe.linear.solver.leading import LeadingBlocks
from bench.probe.linear.solver.newton import Problems
from bench.probe.linear.solver.path import fit_path, one_hot

pytestmark = pytest.mark.paths

SPENT, NOT_YET = torch.tensor([10]), torch.tensor([9])
PATH = [1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2, 1e3, 1e5]


def rows(n=200, r=60, classes=3):
    """Coordinates (n, r), the longest last, and curvatures (1, classes, n)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, r)) * np.arange(1, r + 1)
    return torch.from_numpy(x).float(), torch.from_numpy(rng.random((1, classes, n)))


def hessian(x, curvature):
    with_intercept = torch.cat([x, x.new_ones(len(x), 1)], 1).double()
    penalty = torch.diag(torch.cat([torch.ones(x.shape[1]), torch.zeros(1)])).double()
    return torch.stack([with_intercept.T @ (each[:, None] * with_intercept) + penalty for each in curvature])


def test_a_block_is_the_inverse_of_the_last_axes_and_the_intercept(monkeypatch):
    monkeypatch.setattr(leading, "_RIDGE", 1e-6)
    x, curvature = rows()
    blocks, whole = LeadingBlocks(40, 10), hessian(x, curvature[0])
    serving = blocks.ready([(0, 5)], SPENT, x, curvature)
    diagonal = whole.diagonal(dim1=1, dim2=2)[None]
    residual = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 3, 61)))
    found = blocks.solve(residual, diagonal, serving)
    block = whole[:, -41:, -41:]
    np.testing.assert_allclose(found[..., :-41], (residual / diagonal)[..., :-41])
    np.testing.assert_allclose(found[0, :, -41:], torch.linalg.solve(block, residual[0, :, -41:]), rtol=1e-3, atol=1e-7)


def test_blocks_are_made_once_they_are_worth_it_and_serve_neighbours_until_stale():
    x, curvature = rows()
    blocks = LeadingBlocks(40, 10)
    assert blocks.ready([(0, 5)], NOT_YET, x, curvature) == [None]
    assert blocks.ready([(0, 5)], SPENT, x, curvature) == [(0, 5)]
    assert blocks.ready([(0, 7)], NOT_YET, x, curvature) == [(0, 5)]
    assert blocks.ready([(0, 8)], NOT_YET, x, curvature) == [None]
    assert blocks.ready([(1, 5)], NOT_YET, x, curvature) == [None]
    blocks.drop_stale([(0, 5), None], torch.tensor([30, 300]))
    assert blocks.ready([(0, 5)], NOT_YET, x, curvature) == [(0, 5)]
    blocks.drop_stale([(0, 5)], torch.tensor([31]))
    assert blocks.ready([(0, 5)], NOT_YET, x, curvature) == [None]


def test_few_axes_are_no_block():
    x, curvature = rows()
    assert LeadingBlocks(31, 10).ready([(0, 5)], SPENT, x, curvature) == [None]


def test_the_oldest_block_makes_room_unless_it_serves(monkeypatch):
    x, curvature = rows()
    monkeypatch.setattr(leading, "_MAX_BYTES", 2 * 3 * 41**2 * 4)
    blocks, three = LeadingBlocks(40, 10), curvature.expand(3, -1, -1)
    assert blocks.ready([(0, 0), (1, 0), (2, 0)], SPENT.expand(3), x, three) == [(0, 0), (1, 0), None]
    assert blocks.ready([(2, 0)], SPENT, x, curvature) == [(2, 0)]
    assert blocks.ready([(0, 0)], NOT_YET, x, curvature) == [None]
    assert blocks.ready([(1, 0)], NOT_YET, x, curvature) == [(1, 0)]


def test_a_class_that_curves_nowhere_has_the_penalty_alone():
    x, curvature = rows()
    blocks = LeadingBlocks(40, 10)
    serving = blocks.ready([(0, 0)], SPENT, x, 0 * curvature)
    diagonal = torch.ones(1, 3, 61, dtype=torch.float64)
    solved = blocks.solve(2 * diagonal, diagonal, serving)
    np.testing.assert_allclose(solved, 2.0, rtol=2e-3)


def problems(kind, n=1500, d=400, k=4):
    """A design, and one-hot labels and weights of one labelling."""
    rng = np.random.default_rng(0)
    y, factors = rng.choice(k, n, p=[0.5, 0.29, 0.12, 0.09]), d // 2
    x = rng.normal(size=(n, d))
    if kind != "noise":
        means = (5.0 if kind == "separable" else 0.5) * rng.normal(size=(k, factors)) * (rng.random(factors) < 0.1)
        latent = (rng.normal(size=(n, factors)) + means[y]) * np.arange(1, factors + 1) ** -0.8
        x = latent @ rng.normal(size=(factors, d)) + 0.15 * x
    return Design.of(standardise(x.astype(np.float32))[0]), one_hot(y)[None], sample_weights(y, "balanced")[None]


@pytest.mark.parametrize("kind", ["noise", "separable", "overlapping"])
def test_candidates_are_within_their_tolerance(kind):
    found, tight = (fit_path(*problems(kind), PATH, gap).objective for gap in (1e-6, 1e-10))
    assert ((found - tight) / tight).max() <= 1e-6


def test_blocks_save_products(monkeypatch):
    path = PATH[:-2]  # at the last values rounding decides whether a problem changes over to factors
    fits = fit_path(*problems("overlapping"), path, 1e-6)
    monkeypatch.setattr(Problems, "leading", staticmethod(lambda design: LeadingBlocks(0, 0)))
    without = fit_path(*problems("overlapping"), path, 1e-6)
    assert not fits.stiff.any() and not without.stiff.any()  # none changed over to factors
    assert fits.products < 0.8 * without.products


def test_float32_products_are_float32_whatever_the_process_has_set():
    products = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        set_by_process = [each.fp32_precision for each in products]
        with full_float32(), full_float32():
            assert [each.fp32_precision for each in products] == ["ieee", "ieee"]
        assert [each.fp32_precision for each in products] == set_by_process
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
