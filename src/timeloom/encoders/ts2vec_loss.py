"""The contrast that trains TS2Vec, over series and over time, at every scale of time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

SIMILARITIES_AT_ONCE = 2**24


def hierarchical_contrast(z_a: Tensor, z_b: Tensor, alpha: float = 0.5, temporal_unit: int = 0) -> Tensor:
    """Mean over scales of the instance and the temporal contrast of two views; a scalar, lower is better.

    At each scale `alpha * instance + (1 - alpha) * temporal`; a max-pool of 2 leads to the next, down to one time
    point. Each contrast is the cross-entropy of finding a vector's counterpart in the other view by dot products,
    among all other vectors of the same time point (instance) or of the same series (temporal) in both views. A scale
    with one series has no instance part, one with one time point no temporal part.

    Source: Yue et al., "TS2Vec: towards universal representation of time series", AAAI 2022, equations 1-3 and
    algorithm 1.

    Args:
        z_a: representations (B, T, D) of the first view.
        z_b: (B, T, D), those of the same series and time points in the second.
        alpha: weight of the instance part, in [0, 1].
        temporal_unit: number of finest scales without a temporal part.
    """
    total, scale = z_a.new_zeros(()), 0
    while True:
        n_cases, n_timepoints = z_a.shape[:2]
        if n_cases > 1 and alpha > 0:
            total = total + alpha * _contrast(z_a.transpose(0, 1), z_b.transpose(0, 1))
        if n_timepoints > 1 and alpha < 1 and scale >= temporal_unit:
            total = total + (1 - alpha) * _contrast(z_a, z_b)
        scale += 1
        if n_timepoints == 1:
            return total / scale
        z_a, z_b = _halve(z_a), _halve(z_b)


def _contrast(z_a: Tensor, z_b: Tensor) -> Tensor:
    """Mean cross-entropy of finding `z_b[g, m]` from `z_a[g, m]`, and back, among the group's others; (G, M, D)."""
    others = OthersLogSumExp.apply(torch.cat([z_a, z_b], dim=1))
    return others.mean() - (z_a * z_b).sum(dim=2).mean()


def _halve(z: Tensor) -> Tensor:
    return functional.max_pool1d(z.transpose(1, 2), 2).transpose(1, 2)


class OthersLogSumExp(torch.autograd.Function):
    """Log of the sum of the exponentials of each vector's dot products with its group's others, (G, M, D) to (G, M).

    Similarities are made again in the backward pass, a few groups at a time: no (G, M, M) array is ever kept, which
    for series of length 3000 would take gigabytes, and their symmetry saves one of the two products of a gradient.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        """Values (G, M)."""
        values = torch.cat([_similarities(part).logsumexp(dim=2) for part in z.split(_groups_at_once(z))])
        ctx.save_for_backward(z, values)
        return values

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """The gradient with regard to z: `(W + W^T) z`, W the softmax over the others times the incoming gradient."""
        z, values = ctx.saved_tensors
        size = _groups_at_once(z)
        parts = []
        for part, value, grad in zip(z.split(size), values.split(size), grads[0].split(size), strict=True):
            weights = _similarities(part).sub_(value.unsqueeze(2)).exp_().mul_(grad.unsqueeze(2))
            parts.append((weights + weights.transpose(1, 2)) @ part)
        return torch.cat(parts)


def _groups_at_once(z: Tensor) -> int:
    return max(1, SIMILARITIES_AT_ONCE // z.shape[1] ** 2)


def _similarities(z: Tensor) -> Tensor:
    """Dot products (G, M, M) within groups of vectors (G, M, D), minus infinity of each with itself."""
    similarities = z @ z.transpose(1, 2)
    similarities.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    return similarities
