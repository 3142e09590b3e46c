"""The Hessian of the logistic loss: its product with a change of the logits, and the direction that it does not see.

P problems, each of M linear functions of the rows (M = 1 for two classes, else one per class), are solved together.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

ProblemKey = tuple[int, int]  # (labelling, position of C on the path): by it factors are kept for later steps

MAX_FACTOR_BYTES = 400_000_000  # memory that kept factors may take; the oldest are dropped beyond it
INTERCEPT_RIDGE = 1e-12  # share of an intercept's curvature that is added to it: no penalty keeps it from 0

_lock = threading.Lock()
_rounded: list[str] = []  # precisions that were set before the first of the calls now inside ``full_float32``
_inside = 0


@contextmanager
def full_float32() -> Iterator[None]:
    """Inside, float32 products round to float32, and not to TF32 or bfloat16 as a process may have set for its models.

    The setting is the process's: it comes back when the last of the threads inside leaves.
    """
    global _inside
    products = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    with _lock:
        if not _inside:
            _rounded[:] = [each.fp32_precision for each in products]
            for each in products:
                each.fp32_precision = "ieee"
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                for each, before in zip(products, _rounded, strict=True):
                    each.fp32_precision = before


def curvature_product(change: torch.Tensor, probabilities: torch.Tensor, cost: torch.Tensor) -> torch.Tensor:
    """Change of the loss's gradient in the logits that a change of the logits brings.

    Parameters
    ----------
    change : torch.Tensor of shape (P, M, N)
        Change of the logits.
    probabilities : torch.Tensor of shape (P, M, N)
        Class probabilities at which the curvature is taken.
    cost : torch.Tensor that broadcasts to (P, M, N)
        C times the sample weight.

    Returns
    -------
    torch.Tensor of shape (P, M, N)
        cost · (diag(p) − p pᵀ) · change for every row; for M = 1 the curvature of the logistic function.
    """
    weighted = probabilities * change
    return (weighted - probabilities * weighted.sum(1, keepdim=True)) * cost


def centred_over_classes(step: torch.Tensor) -> torch.Tensor:
    """Removes from a step what it adds to all classes alike.

    The loss does not see that part, so a diagonal preconditioner, which does, would make the system as ill-conditioned
    as C is large (ten times the products).

    Parameters
    ----------
    step : torch.Tensor of shape (P, M, r + 1)
        Change of coordinates and intercepts.

    Returns
    -------
    torch.Tensor of shape (P, M, r + 1)
        The step minus its mean over classes; the step itself where M = 1.
    """
    return step - step.mean(1, keepdim=True) if step.shape[1] > 1 else step


def with_exact_shared_part(step: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Replaces what a step in a kernel's coordinates adds to all classes alike by the Newton step's own.

    The loss does not see that part and the penalty's curvature is 1, so it is that of the gradient. Iterations leave it
    alone (see ``centred_over_classes``): what float32 rounds into α, which grows with C where rows cancel each other,
    would stay there, and the gap would not show it.

    Parameters
    ----------
    step : torch.Tensor of shape (P, M, r + 1)
        Change of coordinates and intercepts.
    gradient : torch.Tensor of shape (P, M, r + 1)
        Gradient of the objective in coordinates (times the metric's inverse) and intercepts.

    Returns
    -------
    torch.Tensor of shape (P, M, r + 1)
        The step with its mean over classes replaced; the step itself where M = 1.
    """
    if step.shape[1] == 1:
        return step
    shared = -gradient.mean(1, keepdim=True)
    shared[..., -1] = 0  # neither loss nor penalty sees what intercepts share
    return centred_over_classes(step) + shared
