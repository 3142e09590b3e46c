"""The leading axes of every class's Hessian, inverted: what a diagonal preconditioner misses most.

Once rows are weighted by how much they curve an objective, principal axes are orthogonal no longer. The longest of
them are the steepest by far and the least alike in scale, so that a dense block of these few, at a small part of what
the whole class block would cost, takes the place of most products of a Newton step. What is kept is the inverse of
the block's correlation matrix, which hardly changes with C and from one Newton step to the next; the scale comes from
the diagonal at hand.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bench.probe.linear.solver.hessian import ProblemKey

_LEAST_AXES = 32  # that are worth a block
_PATIENCE = 3  # times the products after which a block is made: as many in one step make one stale
_NEIGHBOUR = 2  # positions of C over which a block may serve
_RIDGE = 1e-3  # added to correlation matrices: well above the rounding of their float32 sums, well below 1
_MAX_BYTES = 64_000_000  # memory that kept blocks may take


class LeadingBlocks:
    """Blocks of the longest axes and the intercept, one per class, which are kept for later steps.

    Parameters
    ----------
    size : int
        Number of axes in a block, the last coordinates before the intercept.
    worth : int
        Products spent on a problem without a block, after which one is made.
    """

    def __init__(self, size: int, worth: int):
        self._size, self._worth = size, worth
        self._kept: dict[ProblemKey, torch.Tensor] = {}

    def ready(
        self, keys: Sequence[ProblemKey], spent: torch.Tensor, axes: torch.Tensor, curvature: torch.Tensor
    ) -> list[ProblemKey | None]:
        """Which block serves each problem; one is made where none is near enough and products have been spent.

        Parameters
        ----------
        keys : sequence of ProblemKey, P of them
            The problems.
        spent : torch.Tensor of shape (P,), int
            Products spent on each so far.
        axes : torch.Tensor of shape (n, r), float32
            Coordinates of the rows that curve the objectives, the leading axes last.
        curvature : torch.Tensor of shape (P, M, n)
            Curvature of the rows.

        Returns
        -------
        list of ProblemKey or None, P of them
            By which ``solve`` finds the block, None where the diagonal has to do.
        """
        serving: list[ProblemKey | None] = []
        nbytes = curvature.shape[1] * (self._size + 1) ** 2 * axes.itemsize
        for key, products, of_rows in zip(keys, spent.tolist(), curvature, strict=True):
            near, worth = self._nearest(key), products >= self._worth and self._size >= _LEAST_AXES
            if near is None and worth and self._has_room(nbytes, serving):
                self._kept[key] = _inverse(axes[:, -self._size :], of_rows.to(axes.dtype))
                near = key
            serving.append(near)
        return serving

    def drop_stale(self, serving: Sequence[ProblemKey | None], products: torch.Tensor) -> None:
        """Drops the blocks, as ``ready`` named them, that served steps of so many products (P,)."""
        for key, spent in zip(serving, products.tolist(), strict=True):
            if key is not None and spent > _PATIENCE * self._worth:
                self._kept.pop(key, None)

    def solve(
        self, residual: torch.Tensor, diagonal: torch.Tensor, serving: Sequence[ProblemKey | None]
    ) -> torch.Tensor:
        """The preconditioner's solution (P, M, r + 1) for residuals, from the Hessian's diagonal (P, M, r + 1)."""
        solved = residual / diagonal
        for key in set(serving) - {None}:
            inverse, at = self._kept[key], [i for i, each in enumerate(serving) if each == key]
            scale = diagonal[at, :, -inverse.shape[-1] :].sqrt()
            scaled = residual[at, :, -inverse.shape[-1] :] / scale
            of_block = (scaled.transpose(0, 1).to(inverse.dtype) @ inverse).transpose(0, 1)
            solved[at, :, -inverse.shape[-1] :] = of_block.to(solved.dtype) / scale
        return solved

    def _nearest(self, key: ProblemKey) -> ProblemKey | None:
        """The block made nearest to a problem, if near enough."""
        labelling, position = key
        near = [known for known in self._kept if known[0] == labelling and abs(known[1] - position) <= _NEIGHBOUR]
        return min(near, key=lambda known: abs(known[1] - position)) if near else None

    def _has_room(self, nbytes: int, serving: Sequence[ProblemKey | None]) -> bool:
        """Whether another block may be kept, the oldest dropped for it but those that are ``serving``."""
        held = sum(each.nbytes for each in self._kept.values())
        for known in [each for each in self._kept if each not in serving]:
            if held + nbytes <= _MAX_BYTES:
                break
            held -= self._kept.pop(known).nbytes
        return held + nbytes <= _MAX_BYTES


def _inverse(axes: torch.Tensor, curvature: torch.Tensor) -> torch.Tensor:
    """Inverse correlation matrices (M, q + 1, q + 1) of the classes' blocks, of axes (n, q) and curvature (M, n)."""
    rows, inverses = torch.cat([axes, axes.new_ones(len(axes), 1)], 1), []
    for of_class in curvature:
        weighted = rows * of_class.sqrt()[:, None]
        block = (weighted.T @ weighted).double()
        block.diagonal()[:-1].add_(1)  # the penalty, which intercepts do not have
        root = block.diagonal().clamp(min=torch.finfo(axes.dtype).tiny).sqrt()
        block /= root
        block /= root[:, None]
        block.diagonal().fill_(1 + _RIDGE)
        inverses.append(torch.cholesky_inverse(torch.linalg.cholesky(block)))
    return torch.stack(inverses).to(axes.dtype)
