"""Marginals: what values a channel takes, whatever noise around a reconstruction would make of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

KNOTS = 257


class Marginals(nn.Module):
    """A monotone map of each channel's values, which gives made series the distribution of values of real ones.

    Piecewise linear between the quantiles of both; what lies beyond the outermost is cut off, so no value leaves the
    range of the real ones (no negative count, no share above 1). The identity until it is fitted.

    Args:
        n_channels: C.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.register_buffer("made", torch.zeros(n_channels, KNOTS))
        self.register_buffer("real", torch.zeros(n_channels, KNOTS))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))
        self.made: Tensor
        self.real: Tensor
        self.fitted: Tensor

    def fit(self, made: Tensor, real: Tensor) -> None:
        """Learn the quantiles of made (N, C, T) and real series (M, C, T)."""
        for knots, series in ((self.made, made), (self.real, real)):
            values = series.transpose(0, 1).flatten(1).sort(dim=1).values
            place = torch.linspace(0, values.shape[1] - 1, KNOTS, dtype=torch.double).round().long()
            knots.copy_(values[:, place.to(values.device)])
        self.fitted.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        """Map series (B, C, T)."""
        if not self.fitted:
            return x
        values = x.transpose(0, 1).flatten(1).contiguous()
        right = torch.searchsorted(self.made, values).clamp(1, KNOTS - 1)
        low, high, start, end = (of.gather(1, place) for of in (self.made, self.real) for place in (right - 1, right))
        share = ((values - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
        return torch.lerp(start, end, share).view(x.shape[1], x.shape[0], -1).transpose(0, 1)
