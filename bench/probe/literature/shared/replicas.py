"""Small networks side by side: R replicas of one architecture as tensors (R, …), and the optimisers that train them.

Replicas never meet in an operation, so that each of them ends where it would have ended alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

CLIP_EPSILON = 1e-6  # as torch.nn.utils.clip_grad_norm_


class Replicas:
    """R replicas of a network.

    Parameters
    ----------
    parameters : sequence of torch.Tensor of shape (R, …)
        Tensors that are trained.
    buffers : sequence of torch.Tensor of shape (R, …)
        Tensors that are kept with them.
    """

    def __init__(self, parameters: Sequence[Tensor], buffers: Sequence[Tensor] = ()):
        self.parameters = [tensor.requires_grad_() for tensor in parameters]
        self.buffers = list(buffers)

    @property
    def n_replicas(self) -> int:
        """The number of replicas, R."""
        return len(self.parameters[0])

    def logits(self, x: Tensor, training: bool = False) -> Tensor:
        """Outputs (R, B, K) for rows (R, B, D), or for rows (B, D) that all replicas see."""
        raise NotImplementedError

    def replica(self, r: int) -> Replicas:
        """A copy of replica ``r`` as it is now, alone (R = 1)."""
        other = copy.copy(self)
        other.parameters = [tensor[r : r + 1].detach().clone() for tensor in self.parameters]
        other.buffers = [tensor[r : r + 1].clone() for tensor in self.buffers]
        return other


class LinearReplicas(Replicas):
    """Linear layers ``z = x W + b``, whose outputs are ``scale · z + shift``, in the unit of a target.

    Parameters
    ----------
    weight : torch.Tensor of shape (R, D, K)
        Weights W.
    bias : torch.Tensor of shape (R, 1, K)
        Biases b.
    norm : sequence of torch.Tensor of shape (R, 1, D)
        Scale and shift of a layer normalisation of the rows; empty where there is none.
    scale, shift : float
        Unit of the outputs.
    """

    def __init__(self, weight: Tensor, bias: Tensor, norm: Sequence[Tensor] = (), scale: float = 1, shift: float = 0):
        super().__init__([weight, bias, *norm])
        self.scale, self.shift = scale, shift

    def logits(self, x: Tensor, training: bool = False) -> Tensor:
        """Outputs (R, B, K) for rows (R, B, D), or for rows (B, D) that all replicas see."""
        weight, bias, *norm = self.parameters
        if norm:
            x = functional.layer_norm(x, x.shape[-1:]) * norm[0] + norm[1]
        # rows that all replicas see take one product with the weights of all
        z = x @ weight if x.dim() == 3 else torch.tensordot(x, weight, ([1], [1])).transpose(0, 1)
        return (z + bias) * self.scale + self.shift


def normal_layer(generators: Sequence[torch.Generator], n_in: int, n_out: int, spread: float = 0.01) -> list[Tensor]:
    """Weights (R, n_in, n_out) from N(0, spread²), biases (R, 1, n_out) of 0; one generator per replica."""
    weight = torch.stack([torch.randn(n_in, n_out, generator=g) for g in generators]) * spread
    return [weight, torch.zeros(len(generators), 1, n_out)]


def uniform_layer(generators: Sequence[torch.Generator], n_in: int, n_out: int) -> list[Tensor]:
    """Weights (R, n_in, n_out) and biases (R, 1, n_out) from U(±1/√n_in), the default of ``torch.nn.Linear``."""
    drawn = torch.stack([torch.rand(n_in + 1, n_out, generator=g) for g in generators])
    return list(((2 * drawn - 1) / math.sqrt(n_in)).split([n_in, 1], dim=1))


def clip_gradients(gradients: Sequence[Tensor], max_norm: float) -> list[Tensor]:
    """Scales gradients for each replica so that their norm over all parameters is at most ``max_norm``."""
    square = sum((gradient**2).flatten(1).sum(1) for gradient in gradients)
    factor = (max_norm / (square.sqrt() + CLIP_EPSILON)).clamp(max=1.0)
    return [gradient * _per_replica(factor, gradient) for gradient in gradients]


class Adam:
    """Adam with the defaults β 0.9 and 0.999, ε 1e-8, at learning rates that may differ between replicas.

    Parameters
    ----------
    parameters : sequence of torch.Tensor of shape (R, …)
        Tensors to train.
    decay : float
        ``decay`` · θ is added to the gradient (coupled L2, as in ``torch.optim.Adam``).

    References
    ----------
    Kingma & Ba, Adam: a method for stochastic optimization, ICLR 2015, arXiv:1412.6980, algorithm 1.
    """

    def __init__(self, parameters: Sequence[Tensor], decay: float = 0.0):
        self.parameters, self.decay, self.steps = parameters, decay, 0
        self.first = [torch.zeros_like(p) for p in parameters]
        self.second = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float | Tensor) -> None:
        """One update in place, at a learning rate for all or one per replica (R,)."""
        self.steps += 1
        for p, g, m, v in zip(self.parameters, gradients, self.first, self.second, strict=True):
            g = g + self.decay * p if self.decay else g
            m.lerp_(g, 0.1)
            v.mul_(0.999).addcmul_(g, g, value=0.001)
            spread = (v / (1 - 0.999**self.steps)).sqrt_().add_(1e-8)
            p.sub_(_per_replica(rate, p) / (1 - 0.9**self.steps) * m / spread)


class Momentum:
    """Stochastic gradient descent with momentum 0.9, without dampening or Nesterov's step, as ``torch.optim.SGD``.

    Parameters
    ----------
    parameters : sequence of torch.Tensor of shape (R, …)
        Tensors to train.
    """

    def __init__(self, parameters: Sequence[Tensor]):
        self.parameters = parameters
        self.velocity = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float | Tensor) -> None:
        """One update in place, at a learning rate for all or one per replica (R,)."""
        for p, g, v in zip(self.parameters, gradients, self.velocity, strict=True):
            v.mul_(0.9).add_(g)
            p.sub_(_per_replica(rate, p) * v)


def _per_replica(factor: float | Tensor, like: Tensor) -> float | Tensor:
    """One factor per replica (R,), in a shape that multiplies tensors (R, …)."""
    return factor.reshape(-1, *[1] * (like.dim() - 1)) if isinstance(factor, Tensor) else factor
