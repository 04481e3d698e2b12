"""The small networks between pooled latents and an SSL loss."""

from __future__ import annotations

from torch import nn

from timeloom.ssl.iternorm import IterNorm


def projector(features: int, width: int, *, whiten: bool = False) -> nn.Sequential:
    """Pooled latents (B, features) to projections (B, width): two times Linear, BatchNorm, ReLU, then Linear.

    The shape of Barlow Twins and VICReg, whose own width is 8192; `whiten` ends it in IterNorm, as VIbCReg has it.
    In training a batch needs at least 2 series.
    """
    layers: list[nn.Module] = [*_layer(features, width), *_layer(width, width), nn.Linear(width, width)]
    return nn.Sequential(*layers, *([IterNorm(width)] if whiten else []))


def predictor(width: int) -> nn.Sequential:
    """Projections (B, width) to predictions (B, width): Linear, BatchNorm, ReLU, Linear (BYOL, section 3.2)."""
    return nn.Sequential(*_layer(width, width), nn.Linear(width, width))


def _layer(features: int, width: int) -> tuple[nn.Module, ...]:
    return nn.Linear(features, width), nn.BatchNorm1d(width), nn.ReLU()
