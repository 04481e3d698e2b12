"""The last part of stage 1: learn how the residual of a trained tokenizer looks, and decide how much of it to add."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timeloom.data import evenly_spaced
from timeloom.data.missing import fill_missing
from timeloom.encoders import Rocket
from timeloom.tokenizer.texture import mean_level, mixing_of
from timeloom.tokenizer.tokenizer import Tokenizer

AMOUNTS = (0.0, 0.25, 0.5, 0.625, 0.75, 0.875, 1.0)
DRAWS = 3
DOUBT = 10
MOST_CASES = 2000
MOST_VALUES = 20_000_000
LEAST_UNIT = 0.05
BATCH = 256


def fit(tokenizer: Tokenizer, scaled: Tensor, observed: Tensor | None, *, steps: int, seed: int) -> None:
    """Train the textures of all grids on the residuals of scaled series (N, C, T); at most 2000 of them are used.

    The networks learn *where* residuals are large, and how those of channels hang together; how large they are on
    average is measured by `measure`.
    """
    rows = some_rows(scaled)
    generator = torch.Generator().manual_seed(seed)
    channels, parts = tokenizer.spec.n_channels, tokenizer.front.parts
    seen = None if observed is None else observed[rows]
    residuals, features = _residuals(tokenizer, scaled[rows], seen), _features(tokenizer, scaled[rows])
    goals = tokenizer.residual_powers(residuals, seen)
    for grid, residual, hidden, (goal, counted) in zip(tokenizer.grids, residuals, features, goals, strict=True):
        texture = grid.texture.requires_grad_(True)
        texture.mixing.copy_(mixing_of(residual, channels, parts, len(texture.mixing)))
        texture.level.copy_(mean_level(goal, counted))
        optimizer = torch.optim.AdamW(texture.parameters(), lr=5e-3, weight_decay=1e-2)
        for _ in range(steps):
            drawn = torch.randint(len(goal), (min(32, len(goal)),), generator=generator)
            loss = texture.nll(hidden[drawn], goal[drawn], counted[drawn], texture.level)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        texture.requires_grad_(False)


def some_rows(scaled: Tensor) -> Tensor:
    """Places of the series (N, C, T) that residuals are learned from: what is kept of each may be 30 times as large."""
    return torch.from_numpy(evenly_spaced(len(scaled), max(2, min(MOST_CASES, MOST_VALUES // scaled[0].numel()))))


def measure(tokenizer: Tokenizer, scaled: Tensor, observed: Tensor | None) -> list[Tensor]:
    """Mean residual power (n_powers, 1) of each grid over scaled series (N, C, T) that the tokenizer never saw.

    On its own training series a tokenizer loses less than on others: their residuals are too small a measure.
    """
    residuals = _residuals(tokenizer, scaled, observed)
    return [mean_level(*of) for of in tokenizer.residual_powers(residuals, observed)]


def choose_amount(
    tokenizer: Tokenizer, levels: list[Tensor], series: Tensor, observed: Tensor | None = None, *, seed: int
) -> float:
    """The share of the texture, 0 to 1, with which reconstructions of unseen series (N, C, T) look most like them.

    A residual is not always noise: where series are smooth it is a shift or a blur, and noise in its place would be
    seen. What a handful of series says is drawn towards a half, as if `DOUBT` further ones had said that.
    """
    apply(tokenizer, levels, 1.0)
    found, n = min(AMOUNTS, key=reconstruction_distance(tokenizer, series, observed, seed=seed)), len(series)
    return (n * found + DOUBT * 0.5) / (n + DOUBT)


def reconstruction_distance(
    tokenizer: Tokenizer, series: Tensor, observed: Tensor | None = None, *, seed: int
) -> Callable[[float], float]:
    """How unlike unseen series (N, C, T) their reconstructions look with some amount of what these leave out.

    The Frechet distance of their ROCKET features as if these were independent, each in units of its own deviation: how
    loud the noise is shows in the shares of positive values, small numbers beside the maxima. Where values are not
    `observed` (N, C, T) and the series are filled, so are the reconstructions, which else would have more noise.
    """
    missing = None if observed is None else ~observed.numpy()
    tokens = tokenizer.encode(series)
    encoder = Rocket(seed=seed).fit(series.numpy())
    real = encoder.encode(series.numpy())

    def distance(amount: float) -> float:
        generator = torch.Generator().manual_seed(seed)
        draws = [tokenizer.decode(tokens, generator, amount).numpy() for _ in range(DRAWS if amount else 1)]
        if missing is not None:
            draws = [fill_missing(np.where(missing, np.nan, of), tokenizer.spec.mean)[0] for of in draws]
        return float(np.mean([_distance(real, encoder.encode(of)) for of in draws]))

    return distance


def _distance(real: NDArray, made: NDArray) -> float:
    """Mean Frechet distance of features (N, D), each by itself, in units of its deviation over the real series."""
    real, made = real.astype(np.float64), made.astype(np.float64)
    unit = real.std(axis=0)
    known = unit > LEAST_UNIT * np.median(unit)  # one that hardly varies would outweigh all others
    means, deviations = real.mean(axis=0) - made.mean(axis=0), unit - made.std(axis=0)
    return float(((means**2 + deviations**2)[known] / unit[known] ** 2).mean()) if known.any() else 0.0


def apply(tokenizer: Tokenizer, levels: list[Tensor], amount: float) -> None:
    """Set the mean residual powers and the amount that were found on unseen series."""
    for grid, level in zip(tokenizer.grids, levels, strict=True):
        grid.texture.level.copy_(level)
    tokenizer.texture_amount.fill_(amount)


@torch.no_grad()
def fit_marginals(tokenizer: Tokenizer, series: Tensor, observed: Tensor | None, *, seed: int) -> None:
    """Map the values of reconstructions with their texture to those of the series (N, C, T) themselves.

    The map is that of the tokenizer's amount of texture; values that were not `observed` (N, C, T) do not count.
    """
    generator = torch.Generator().manual_seed(seed)
    made = [tokenizer.textured(tokenizer.encode(part), generator) for part in series.split(BATCH)]
    tokenizer.marginals.fit(torch.cat(made), series, observed)


def _residuals(tokenizer: Tokenizer, scaled: Tensor, observed: Tensor | None) -> list[Tensor]:
    """Residual frames in each grid of all scaled series (N, C, T)."""
    seen = repeat(None) if observed is None else observed.split(BATCH)
    parts = [tokenizer.residual_frames(of, where) for of, where in zip(scaled.split(BATCH), seen, strict=False)]
    return [torch.cat(of) for of in zip(*parts, strict=True)]


def _features(tokenizer: Tokenizer, scaled: Tensor) -> list[Tensor]:
    """The decoder's hidden states in each grid of all scaled series (N, C, T)."""
    parts = [tokenizer.decoder_features(tokenizer.encode(tokenizer.unscale(of))) for of in scaled.split(BATCH)]
    return [torch.cat(of) for of in zip(*parts, strict=True)]
