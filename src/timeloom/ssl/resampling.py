"""Read series at fractional time points."""

from __future__ import annotations

import torch
from torch import Tensor


def read_at(x: Tensor, place: Tensor) -> Tensor:
    """Series (B, C, T), T at least 2, read at time points `place` (B, L) in [0, T - 1] by straight lines, (B, C, L)."""
    place = place.clamp(0, x.shape[-1] - 1)
    before = place.floor().clamp(max=x.shape[-1] - 2).long()
    index = before[:, None].expand(-1, x.shape[1], -1)
    return torch.lerp(x.gather(2, index), x.gather(2, index + 1), (place - before)[:, None])
