"""Augmented versions of series: what an SSL loss holds to be the same series.

A view is a function of series (B, C, T), T at least 8, free of NaN, and a generator on their device, to series of the
same shape. Each series is changed in a way of its own; its channels share what happens to time and frequency.
Sources: Iwana & Uchida 2021, "An empirical survey of data augmentation for time series classification"; warp, slice
and gauss are those of NC-VQVAE.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from timeloom.ssl import views_frequency
from timeloom.ssl.resampling import read_at

View = Callable[[Tensor, torch.Generator], Tensor]

WINDOW, SLOWEST, FASTEST = 0.4, 0.9, 2.0
AMPLITUDE, NOISE, TREND, CURVE = 0.2, 0.05, 0.3, 0.2
SEGMENTS, KNOTS = 4, 4
SHORTEST_CROP = 0.6


def warp(x: Tensor, generator: torch.Generator) -> Tensor:
    """`window_warp`, then each channel times 1 + N(0, 0.2^2)."""
    return window_warp(x, generator) * (1 + AMPLITUDE * _normal(x, (len(x), x.shape[1], 1), generator))


def window_warp(x: Tensor, generator: torch.Generator) -> Tensor:
    """A window of 0.4 T anywhere in the series lasts U(0.9, 2) times as long; the whole is resampled to T.

    The first and the last value stay where they are.
    """
    last = x.shape[-1] - 1
    window = WINDOW * last
    start = (last - window) * _uniform(x, (len(x), 1), generator)
    scale = SLOWEST + (FASTEST - SLOWEST) * _uniform(x, (len(x), 1), generator)
    time = torch.linspace(0, 1, last + 1, dtype=x.dtype, device=x.device) * (last + (scale - 1) * window)
    inside = start + (time - start) / scale
    after = time - (scale - 1) * window
    place = torch.where(time < start, time, torch.where(time < start + scale * window, inside, after))
    return read_at(x, place)


def slice_shuffle(x: Tensor, generator: torch.Generator) -> Tensor:
    """Cut at 3 random time points and put the 4 pieces in random order: all values are kept."""
    batch, channels, length = x.shape
    cuts = _uniform(x, (batch, length - 1), generator).argsort(dim=1)[:, : SEGMENTS - 1] + 1
    time = torch.arange(length, device=x.device)
    piece = (time[None, :, None] >= cuts[:, None]).sum(dim=2)
    rank = _uniform(x, (batch, SEGMENTS), generator).argsort(dim=1)
    order = (rank.gather(1, piece) * length + time).argsort(dim=1)
    return x.gather(2, order[:, None].expand(-1, channels, -1))


def gauss(x: Tensor, generator: torch.Generator) -> Tensor:
    """Plus N(0, 0.05^2) at every time point."""
    return x + NOISE * _normal(x, tuple(x.shape), generator)


def crop(x: Tensor, generator: torch.Generator) -> Tensor:
    """A stretch of U(0.6, 1) of the series, anywhere, resampled to T."""
    last = x.shape[-1] - 1
    span = last * (SHORTEST_CROP + (1 - SHORTEST_CROP) * _uniform(x, (len(x), 1), generator))
    start = (last - span) * _uniform(x, (len(x), 1), generator)
    return read_at(x, start + span * torch.linspace(0, 1, last + 1, dtype=x.dtype, device=x.device))


def flip(x: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the series, drawn at random, run backwards in time."""
    return torch.where(_uniform(x, (len(x), 1, 1), generator) < 0.5, x.flip(-1), x)


def slope(x: Tensor, generator: torch.Generator) -> Tensor:
    """Plus a straight line from -a to a, a ~ N(0, 0.3^2) for each channel."""
    line = torch.linspace(-1, 1, x.shape[-1], dtype=x.dtype, device=x.device)
    return x + TREND * _normal(x, (len(x), x.shape[1], 1), generator) * line


def magnitude(x: Tensor, generator: torch.Generator) -> Tensor:
    """Times a smooth curve for each channel: a cubic spline through 4 knots of 1 + N(0, 0.2^2)."""
    knots = 1 + CURVE * _normal(x, (len(x), x.shape[1], KNOTS), generator)
    basis = torch.from_numpy(_spline_basis(x.shape[-1])).to(dtype=x.dtype, device=x.device)
    return x * (knots @ basis)


VIEWS: dict[str, View] = {
    "warp": warp,
    "slice": slice_shuffle,
    "gauss": gauss,
    "crop": crop,
    "flip": flip,
    "slope": slope,
    "magnitude": magnitude,
    "mask": views_frequency.mask,
    "block": views_frequency.block,
    "band": views_frequency.band,
    "phase": views_frequency.phase,
}


def make_views(names: Sequence[str]) -> View:
    """One view that applies the named ones in order."""
    chosen = [VIEWS[name] for name in names]

    def view(x: Tensor, generator: torch.Generator) -> Tensor:
        for step in chosen:
            x = step(x, generator)
        return x

    return view


@lru_cache(maxsize=8)
def _spline_basis(length: int) -> np.ndarray:
    """Natural cubic splines (4, length) that are 1 at one of 4 evenly spaced knots and 0 at the others."""
    spline = CubicSpline(np.linspace(0, 1, KNOTS), np.eye(KNOTS), bc_type="natural")
    return np.ascontiguousarray(spline(np.linspace(0, 1, length)).T)


def _uniform(x: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=x.device, dtype=x.dtype)


def _normal(x: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=x.device, dtype=x.dtype)
