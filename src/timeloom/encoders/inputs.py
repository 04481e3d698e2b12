"""What every encoder does to raw series first: check them, scale them by training statistics, fill what is missing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.errors import InputError


def check_series(X: ArrayLike, name: str = "X") -> NDArray[np.float32]:
    """Series as a float32 array (n_cases, n_channels, n_timepoints); NaN marks a missing value.

    Raises:
        InputError: not three-dimensional, empty in any dimension, or infinite somewhere.
    """
    series = np.asarray(X, dtype=np.float32)
    if series.ndim != 3 or 0 in series.shape:
        raise InputError(
            f"{name} has shape {series.shape}; allowed: (n_cases, n_channels, n_timepoints), each at least 1"
        )
    infinite = np.isinf(series)
    if infinite.any():
        case, channel, step = (int(i) for i in np.argwhere(infinite)[0])
        raise InputError(
            f"{name} is infinite at case {case}, channel {channel}, time {step}; allowed: finite values, NaN if missing"
        )
    return series


def fill_missing(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """Series (N, C, T) whose NaN are interpolated linearly along time, the ends held constant.

    A channel of a case without a single value becomes 0, which after scaling is the training mean. The input is
    returned as it is where nothing is missing.
    """
    missing = np.isnan(X)
    if not missing.any():
        return X
    filled = X.copy()
    steps = np.arange(X.shape[2])
    for case, channel in np.argwhere(missing.any(axis=2)):
        gap = missing[case, channel]
        row = filled[case, channel]
        row[gap] = 0.0 if gap.all() else np.interp(steps[gap], steps[~gap], row[~gap])
    return filled


@dataclass(frozen=True)
class SeriesScaler:
    """Mean and standard deviation of each channel over the training cases and times.

    Attributes:
        mean: (C,), in the units of the data; 0 for a channel without a value.
        std: (C,), in the units of the data; 1 for a constant channel, so that scaling never divides by zero.
        n_timepoints: the length of the training series.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    n_timepoints: int

    @classmethod
    def fit(cls, X: ArrayLike) -> SeriesScaler:
        """Statistics of the training series (N, C, T); missing values take no part."""
        series = check_series(X).astype(np.float64)
        seen = ~np.isnan(series)
        counts = np.maximum(seen.sum(axis=(0, 2)), 1)
        mean = np.where(seen, series, 0.0).sum(axis=(0, 2)) / counts
        deviations = np.where(seen, series - mean[:, None], 0.0)
        std = np.sqrt((deviations**2).sum(axis=(0, 2)) / counts)
        # Rounding leaves a constant channel a standard deviation of the order of its value times the float precision.
        constant = std <= 1e-6 * np.abs(mean)
        return cls(mean=mean, std=np.where(constant | (std == 0), 1.0, std), n_timepoints=series.shape[2])

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Series (N, C, T), scaled to training mean 0 and deviation 1 per channel, missing values interpolated.

        Raises:
            InputError: another number of channels or another length than the training series.
        """
        series = check_series(X)
        expected = (len(self.mean), self.n_timepoints)
        if series.shape[1:] != expected:
            raise InputError(
                f"X has {series.shape[1]} channels of length {series.shape[2]}; "
                f"allowed: {expected[0]} channels of length {expected[1]}, as in the training series"
            )
        scaled = (series.astype(np.float64) - self.mean[:, None]) / self.std[:, None]
        return fill_missing(scaled.astype(np.float32))
