"""Iterative normalisation: whiten features without an eigendecomposition (Huang et al. 2019)."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

MOST_CHANNELS, NEWTON_STEPS = 64, 5
EPS, MOMENTUM = 1e-5, 0.1


def group_size(channels: int, batch: int) -> int:
    """Channels that are whitened together: the largest divisor of `channels` up to 64 and up to half of the batch.

    The covariance of B series has rank B - 1 at most: a group of B or more channels cannot be whitened, and one of
    nearly B amplifies noise. At B below 4 a group is one channel, which leaves plain standardisation.
    """
    most = max(1, min(MOST_CHANNELS, batch // 2, channels))
    return next(size for size in range(most, 0, -1) if channels % size == 0)


def whitening_matrix(covariance: Tensor) -> Tensor:
    """Approximate inverse square roots (G, g, g) of positive definite matrices (G, g, g), by 5 Newton steps.

    P <- 1.5 P - 0.5 P^3 S / tr S from P = I, then P / sqrt(tr S) (algorithm 1). Directions of small variance are
    whitened in part only, in groups of 64 all of them: variances there come out at 0.5 to 1.
    """
    trace = covariance.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None, None]
    scaled = covariance / trace
    root = torch.eye(covariance.shape[1], dtype=covariance.dtype, device=covariance.device).expand_as(covariance)
    for _ in range(NEWTON_STEPS):
        root = 1.5 * root - 0.5 * root @ root @ root @ scaled
    return root / trace.sqrt()


class IterNorm(nn.Module):
    """Whiten features (B, P) in groups of at most 64 channels; in eval mode with running means of the statistics.

    The running whitening matrix is kept for groups of 64. A batch too small for them whitens smaller groups that
    divide them (`group_size`): its matrix is block diagonal, so batches of all sizes share one running matrix.
    Statistics are those of this process's part of the batch.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.group = group_size(channels, 2 * MOST_CHANNELS)
        whitener = torch.eye(self.group).repeat(channels // self.group, 1, 1)
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_whitener", whitener)
        self.running_mean: Tensor
        self.running_whitener: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Whiten features (B, P); in training mode, B at least 2, the running statistics move."""
        if not self.training:
            return _apply(self.running_whitener, x - self.running_mean)
        mean = x.mean(dim=0)
        centred = x - mean
        size = group_size(self.group, len(x))
        groups = rearrange(centred, "b (n g) -> n g b", g=size)
        covariance = groups @ groups.mT / len(x)
        whitener = whitening_matrix(covariance + EPS * torch.eye(size, dtype=x.dtype, device=x.device))
        self._remember(mean.detach(), whitener.detach())
        return _apply(whitener, centred)

    @torch.no_grad()
    def _remember(self, mean: Tensor, whitener: Tensor) -> None:
        size = whitener.shape[1]
        parts = self.group // size
        self.running_mean.lerp_(mean, MOMENTUM)
        self.running_whitener.mul_(1 - MOMENTUM)
        blocks = self.running_whitener.view(-1, parts, size, parts, size).diagonal(dim1=1, dim2=3)
        blocks.add_(rearrange(whitener, "(n k) i j -> n i j k", k=parts), alpha=MOMENTUM)


def _apply(whitener: Tensor, centred: Tensor) -> Tensor:
    groups = rearrange(centred, "b (n g) -> n g b", g=whitener.shape[1])
    return rearrange(whitener @ groups, "n g b -> b (n g)")
