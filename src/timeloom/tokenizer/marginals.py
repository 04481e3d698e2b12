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

    def fit(self, made: Tensor, real: Tensor, observed: Tensor | None = None) -> None:
        """Learn the quantiles of made (N, C, T) and real series (M, C, T).

        Where some values of N = M series are not `observed`, neither series' values count there, unless a channel has
        no others.
        """
        for knots, series in ((self.made, made), (self.real, real)):
            for channel, values in enumerate(series.unbind(dim=1)):
                seen = None if observed is None else observed[:, channel]
                known = (values if seen is None or not seen.any() else values[seen]).flatten().sort().values
                place = torch.linspace(0, len(known) - 1, KNOTS, dtype=torch.double).round().long()
                knots[channel] = known[place.to(known.device)]
        self.fitted.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        """Map series (B, C, T)."""
        if not self.fitted:
            return x
        values = x.transpose(0, 1).flatten(1).contiguous()
        right = torch.searchsorted(self.made, values).clamp(1, KNOTS - 1)
        low, high, start, end = (of.gather(1, place) for of in (self.made, self.real) for place in (right - 1, right))
        gap = high - low
        share = torch.where(gap > 0, (values - low) / gap, (values > low).float()).clamp(0, 1)
        return torch.lerp(start, end, share).view(x.shape[1], x.shape[0], -1).transpose(0, 1)
