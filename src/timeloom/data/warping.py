"""Small random distortions of time: more of a small data set without copies of it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

WAVES = 3


def time_warp(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Series (B, C, T), each read along a smoothly distorted time axis of its own; its ends are held.

    Time point t in [-1, 1] is read at t + strength * sum_k a_k / k sin(k pi t / 2 + phase_k), k = 1..3, a_k normal and
    the phase uniform, by linear interpolation. A strength of 0.05 moves time points by a few percent of the length.
    Label-preserving warps: Iwana & Uchida 2021, "An empirical survey of data augmentation for time series
    classification", section 3.2.
    """
    batch, _, length = x.shape
    time = torch.linspace(-1, 1, length, device=x.device).expand(batch, length)
    shift = torch.zeros_like(time)
    for k in range(1, WAVES + 1):
        amplitude = torch.randn(batch, 1, generator=generator, device=x.device) / k
        phase = torch.rand(batch, 1, generator=generator, device=x.device) * (2 * math.pi)
        shift = shift + amplitude * torch.sin(k * math.pi / 2 * time + phase)
    place = (time + strength * shift).clamp(-1, 1)
    grid = torch.stack([place, torch.zeros_like(place)], dim=-1)[:, None]
    return F.grid_sample(x[:, :, None], grid, align_corners=True, padding_mode="border")[:, :, 0]
