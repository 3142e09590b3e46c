"""Small networks between features and a contrastive loss."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that uses its running statistics for a batch of one clip, which has no variance."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (B, D)."""
        if self.training and len(x) == 1:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)


def build_projector(width: int, out: int, norm: Callable[[int], nn.Module] | None) -> nn.Sequential:
    """Build a network (B, width) → (B, out): linear, ``norm`` where it is given, ReLU, linear."""
    middle = [norm(width)] if norm else []
    return nn.Sequential(nn.Linear(width, width), *middle, nn.ReLU(), nn.Linear(width, out))
