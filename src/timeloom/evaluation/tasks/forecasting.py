"""How well the future of one long series can be read from the features of its past, by ridge regression."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.errors import InputError

ALPHAS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
HORIZONS, HORIZONS_BY_MINUTE = (24, 48, 168, 336, 720), (24, 48, 96, 288, 672)
MONTH_HOURS = 30 * 24
# shares of the training and the test stretch
SHARES, SHARES_WEATHER = (0.6, 0.2), (0.7, 0.2)
BLOCK_VALUES = 4_000_000


class TimeSplit(NamedTuple):
    """Stretches of one long series: `train`, then `valid`, then `test`."""

    train: slice
    valid: slice
    test: slice


class Errors(NamedTuple):
    """Errors over all forecasts, steps and channels, in the units of the values; lower is better.

    Attributes:
        mse: mean squared error.
        mae: mean absolute error.
    """

    mse: float
    mae: float


def is_by_minute(name: str) -> bool:
    """Whether the public protocol takes the horizons of 15-minute data: the sets ETTm."""
    return re.match(r"ETTm\d", name) is not None


def time_split(name: str, n: int) -> TimeSplit:
    """The public protocol's stretches of a series of `n` time points.

    Sets ETTh and ETTm: 12, 4 and 4 months of 30 days, of 24 and 96 points a day, and the rest is not used (Zhou et al.
    2021, section 5). Set weather: 70, 10 and 20 % (Wu et al. 2021, section 4). All others: 60, 20 and 20 %.

    Raises:
        InputError: a series of that name is shorter than the 20 months.
    """
    if re.match(r"ETT[hm]\d", name):
        month = MONTH_HOURS * (4 if is_by_minute(name) else 1)
        ends = [12 * month, 16 * month, 20 * month]
        if n < ends[-1]:
            raise InputError(f"{name}: {n} time points; allowed: at least {ends[-1]}, as its protocol's splits need")
    else:
        train, test = SHARES_WEATHER if name == "weather" else SHARES
        ends = [int(train * n), n - int(test * n), n]
    return TimeSplit(slice(0, ends[0]), slice(ends[0], ends[1]), slice(ends[1], ends[2]))


def future(values: NDArray, horizon: int) -> NDArray:
    """What follows each time point of values (T, C): a view (T - horizon, horizon, C), row t holding t + 1 and on.

    Raises:
        InputError: no step ahead, or fewer than two time points have so many after them.
    """
    if not 1 <= horizon <= len(values) - 2:
        raise InputError(f"horizon is {horizon}; allowed: 1 to {len(values) - 2}, as a part has {len(values)} points")
    return np.lib.stride_tricks.sliding_window_view(values[1:], horizon, axis=0).transpose(0, 2, 1)


@dataclass(frozen=True)
class RidgeForecaster:
    """A linear map from the features of a time point to the values that follow it.

    Attributes:
        weights: (D, horizon * C).
        intercept: (horizon * C,).
        horizon: steps ahead.
        alpha: the penalty that the validation stretch chose.
    """

    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    horizon: int
    alpha: float

    def predict(self, features: NDArray) -> NDArray[np.float64]:
        """Values (N, horizon, C) that follow time points of features (N, D)."""
        flat = features.astype(np.float64) @ self.weights + self.intercept
        return flat.reshape(len(features), self.horizon, -1)

    def errors(self, features: NDArray, values: NDArray) -> Errors:
        """Errors over all time points of a stretch, features (T, D) and values (T, C), that `horizon` others follow."""
        wanted = future(values, self.horizon)
        return _errors(wanted, (self.predict(features[rows]) for rows in _blocks(wanted)))


def fit_ridge(
    features: ArrayLike,
    values: ArrayLike,
    split: TimeSplit,
    horizon: int,
    *,
    drop: int = 0,
    alphas: Sequence[float] = ALPHAS,
) -> RidgeForecaster:
    """Ridge regression of the next `horizon` values on the features of a time point.

    It is fitted on the training stretch; the penalty is chosen on the validation stretch by the least root mean
    squared error plus mean absolute error. No target reaches over the end of a stretch. Yue et al. 2022, appendix C.3
    and the authors' code.

    Args:
        features: (T, D), each row known from the past alone.
        values: (T, C), scaled by their training stretch.
        split: the stretches; the test stretch is not looked at.
        horizon: steps ahead.
        drop: first time points that are not learned from, as too little lies before them.
        alphas: penalties to choose from.

    Raises:
        InputError: arrays that do not fit each other or are not finite, or a stretch shorter than the horizon.
    """
    z, x = _checked(features, values)
    inputs, targets = z[split.train], x[split.train]
    ahead = future(targets, horizon)[drop:]
    if len(ahead) < 2:
        raise InputError(f"drop is {drop}; allowed: less, the training stretch has {len(targets)} time points")
    inputs = inputs[drop : drop + len(ahead)]
    centre = inputs.mean(axis=0)
    centred = inputs - centre
    n, width = len(ahead), horizon * x.shape[1]
    products = np.concatenate(
        [centred.T @ targets[drop + step : drop + step + n] for step in range(1, horizon + 1)], axis=1
    )
    means = ahead.mean(axis=0).reshape(width)
    lengths, axes = np.linalg.eigh(centred.T @ centred)
    rotated = axes.T @ products

    def solved(alpha: float) -> RidgeForecaster:
        weights = axes @ (rotated / (np.maximum(lengths, 0.0) + alpha)[:, None])
        return RidgeForecaster(weights, means - centre @ weights, horizon, alpha)

    def loss(alpha: float) -> float:
        found = solved(alpha).errors(z[split.valid], x[split.valid])
        return found.mse**0.5 + found.mae

    return solved(min(alphas, key=loss))


def persistence_errors(values: ArrayLike, part: slice, horizon: int) -> Errors:
    """Errors of the forecast that nothing changes, over a stretch of values (T, C): the floor of any forecaster."""
    known = np.asarray(values, dtype=np.float64)[part]
    wanted = future(known, horizon)
    return _errors(wanted, (np.broadcast_to(known[rows, None], wanted[rows].shape) for rows in _blocks(wanted)))


def _checked(features: ArrayLike, values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    z, x = np.asarray(features, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if z.ndim != 2 or x.ndim != 2 or len(z) != len(x):
        raise InputError(
            f"features have shape {z.shape}, values {x.shape}; allowed: (T, D) and (T, C), equally many rows"
        )
    for name, array in (("features", z), ("values", x)):
        if not np.isfinite(array).all():
            raise InputError(f"{name} are not finite at time {int(np.argwhere(~np.isfinite(array))[0, 0])}")
    return z, x


def _blocks(wanted: NDArray) -> Iterator[slice]:
    step = max(1, BLOCK_VALUES // max(1, wanted[0].size))
    return (slice(start, min(start + step, len(wanted))) for start in range(0, len(wanted), step))


def _errors(wanted: NDArray, blocks: Iterator[NDArray]) -> Errors:
    squares, absolutes, seen = 0.0, 0.0, 0
    for block in blocks:
        difference = block - wanted[seen : seen + len(block)]
        squares += float(np.square(difference).sum())
        absolutes += float(np.abs(difference).sum())
        seen += len(block)
    return Errors(squares / wanted.size, absolutes / wanted.size)
