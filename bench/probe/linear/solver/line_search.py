"""The objective along a Newton step, and how far along it to go."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

ROUNDING = 1e-13  # of an objective: what float64 sums over rows may lose
_ARMIJO, _SHORTEST_STEP = 1e-4, 1e-6  # share of the expected fall that is enough; step length that is always taken
_PARABOLIC, _FINE = 0.1, 1e-9  # share of a step's expected fall that it may miss; of the objective, below which it may
_LEVEL, _MAX_TRIALS = 0.1, 12  # of the slope at the start of a step; most points tried along it


def objective(
    target: torch.Tensor, cost: torch.Tensor, logits: torch.Tensor, w: torch.Tensor, metric_w: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """``C · Σ_i weight_i · loss_i + ½⟨w, metric·w⟩`` of every problem.

    Parameters
    ----------
    target, logits : torch.Tensor of shape (P, M, N)
        One-hot labels and linear functions of the rows; M = 1 for two classes, else one per class.
    cost : torch.Tensor of shape (P, N)
        C times the sample weight.
    w, metric_w : torch.Tensor of shape (P, M, r)
        Coordinates, and the metric applied to them.

    Returns
    -------
    tuple of torch.Tensor of shapes (P,) and (P, N)
        Objectives, and every row's logarithm of the softmax's (or logistic's) denominator.
    """
    multinomial = logits.shape[1] > 1
    log_total = logits.logsumexp(1) if multinomial else torch.nn.functional.softplus(logits[:, 0], threshold=50)
    loss = log_total - (target * logits).sum(1)
    return (cost * loss).sum(1) + 0.5 * (w * metric_w).sum((1, 2)), log_total


@dataclass(frozen=True)
class Line:
    """The line from a point along a step, for P problems.

    Attributes
    ----------
    target : torch.Tensor of shape (P, M, N)
        One-hot labels.
    cost : torch.Tensor of shape (P, N)
        C times the sample weight.
    w, dw, metric_w, metric_dw : torch.Tensor of shape (P, M, r)
        Coordinates of the point, those of the step, and the metric applied to each.
    logits, dlogits : torch.Tensor of shape (P, M, N)
        Logits at the point, and their change along the step.
    """

    target: torch.Tensor
    cost: torch.Tensor
    w: torch.Tensor
    dw: torch.Tensor
    metric_w: torch.Tensor
    metric_dw: torch.Tensor
    logits: torch.Tensor
    dlogits: torch.Tensor

    def __getitem__(self, chosen: torch.Tensor) -> Line:
        """The lines of the problems at these positions."""
        return Line(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def at(self, t: torch.Tensor | float) -> tuple[torch.Tensor, torch.Tensor]:
        """Objectives (P,) and log denominators (P, N) at step lengths ``t`` (P, 1, 1)."""
        w, metric_w = self.w + t * self.dw, self.metric_w + t * self.metric_dw
        return objective(self.target, self.cost, self.logits + t * self.dlogits, w, metric_w)

    def search(self, value: torch.Tensor, decrease: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Finds a step length at which each objective has fallen enough.

        It is 1 where the objective falls about as a parabola would, else near the lowest point along the step; from
        there it is halved until the objective falls enough (Armijo's condition).

        Parameters
        ----------
        value : torch.Tensor of shape (P,)
            Objectives at the start of the line.
        decrease : torch.Tensor of shape (P,)
            Fall of the quadratic model at step length 1.

        Returns
        -------
        tuple of torch.Tensor of shapes (P,), (P,) and (P, N)
            Step lengths, and objectives and log denominators there.
        """
        t = torch.ones_like(value)
        reached, log_total = self.at(1.0)
        fall = value - reached
        not_parabolic = ~((fall - decrease).abs() <= _PARABOLIC * decrease) & (decrease > _FINE * value)
        while True:
            allowed = value * (1 + ROUNDING) - 2 * _ARMIJO * t * decrease
            again = torch.nonzero(not_parabolic | ~((reached <= allowed) | (t < _SHORTEST_STEP)))[:, 0]
            if not len(again):
                return t, reached, log_total
            part = self[again]
            if not_parabolic.any():
                t[again] = part.lowest(2 * decrease[again])
                not_parabolic[:] = False
            else:
                t[again] /= 2
            reached[again], log_total[again] = part.at(t[again, None, None])

    def lowest(self, initial_fall: torch.Tensor) -> torch.Tensor:
        """Step lengths (P,) at which the objective, convex along the line, is level.

        Level is a slope of at most ``_LEVEL`` of the slope −``initial_fall`` (P,) at 0. Newton's method between what is
        known to be too short and too long.
        """
        logits, dlogits, cost = self.logits, self.dlogits, self.cost
        multinomial, square = logits.shape[1] > 1, (self.dw * self.metric_dw).sum((1, 2))
        linear = (self.w * self.metric_dw).sum((1, 2)) - (cost[:, None] * self.target * dlogits).sum((1, 2))
        t, short = torch.ones_like(initial_fall), torch.zeros_like(initial_fall)
        long = torch.full_like(initial_fall, torch.inf)
        for _ in range(_MAX_TRIALS):
            logits_at_t = logits + t[:, None, None] * dlogits
            probabilities = logits_at_t.softmax(1) if multinomial else logits_at_t.sigmoid()
            mean = (probabilities * dlogits).sum(1)
            variance = (probabilities * dlogits.square()).sum(1) - mean.square()
            slope = (cost * mean).sum(1) + linear + t * square
            curvature = (cost * variance).sum(1) + square
            if (slope.abs() <= _LEVEL * initial_fall).all():
                break
            short, long = torch.where(slope < 0, t, short), torch.where(slope < 0, long, t)
            newton = t - slope / curvature
            middle = torch.where(long.isinf(), 2 * t, (short + long) / 2)
            t = torch.where((newton > short) & (newton < long) & (newton < 4 * t), newton, middle)
        return t
