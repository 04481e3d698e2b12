"""Scaling to zero mean and unit variance for each channel, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from timeloom.errors import InputError

# fewer series may agree by chance
LEAST_SERIES = 5
# of the channel's deviation, or of the usual own one: no series' mean or deviation lies further from the others'
TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class Scaler:
    """Mean and standard deviation of each channel, in float64, over all series and time points that are not NaN.

    Attributes:
        mean: (C,), in the units of the data.
        std: (C,), in the units of the data, above 0. A constant channel has 1, so that it scales to zeros.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def fit(cls, X: np.ndarray) -> Scaler:
        """Mean and standard deviation (divisor: count) of each channel of `X` (n, C, T); NaN takes no part.

        A channel without any value gets mean 0 and standard deviation 1.

        Raises:
            InputError: If `X` is not three-dimensional.
        """
        if X.ndim != 3:
            raise InputError(f"series have shape {X.shape}; (series, channels, time points) is needed")
        mean, std = np.zeros(X.shape[1]), np.ones(X.shape[1])
        for channel in range(X.shape[1]):
            values = X[:, channel].astype(np.float64).ravel()
            values = values[~np.isnan(values)]
            if values.size == 0:
                continue
            if values.min() == values.max():
                # The value itself, not its average: rounding would leave a residue, and its std is not quite 0.
                mean[channel] = values[0]
            else:
                mean[channel], std[channel] = values.mean(), values.std()
        return cls(mean, std)

    def transform(self, X: np.ndarray) -> np.ndarray:
        """`(X - mean) / std` as float32 (n, C, T); NaN stays NaN.

        Raises:
            InputError: If `X` has another number of channels than the scaler was fitted on.
        """
        self._check(X)
        return ((X.astype(np.float64) - self.mean[:, None]) / self.std[:, None]).astype(np.float32)

    def inverse(self, X: np.ndarray) -> np.ndarray:
        """`X * std + mean` as float32 (n, C, T): undoes `transform`.

        Raises:
            InputError: If `X` has another number of channels than the scaler was fitted on.
        """
        self._check(X)
        return (X.astype(np.float64) * self.std[:, None] + self.mean[:, None]).astype(np.float32)

    def to_dict(self) -> dict[str, list[float]]:
        """Plain lists for JSON; `from_dict` gives the same bits back."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Scaler:
        """The scaler that `to_dict` wrote.

        Raises:
            InputError: If a key is missing, or mean and std do not fit together.
        """
        missing = [key for key in ("mean", "std") if key not in state]
        if missing:
            raise InputError(f"scaler lacks {', '.join(missing)}; it needs mean and std")
        mean, std = (np.asarray(state[key], dtype=np.float64) for key in ("mean", "std"))
        if mean.ndim != 1 or mean.shape != std.shape or not bool(np.all(std > 0)):
            raise InputError("scaler is damaged: mean and std must be lists of one length, every std above 0")
        return cls(mean, std)

    def _check(self, X: np.ndarray) -> None:
        if X.ndim != 3 or X.shape[1] != len(self.mean):
            raise InputError(
                f"series have shape {X.shape}; the scaler was fitted on {len(self.mean)} channels"
                f" and needs (series, {len(self.mean)}, time points)"
            )


Shared = tuple[float | None, ...]


def shared_scale(X: np.ndarray, unit: np.ndarray) -> tuple[Shared, Shared]:
    """Mean and deviation (C of each) that every series of `X` (n, C, T) has in a channel; None where they differ.

    Many archives hold series that were standardised one by one. Of fewer than five series, and where values are
    missing, nothing is said; nor of the deviation of channels that are constant in every series. `unit` (C,) is the
    deviation of each channel over all series, as `Scaler` has it.
    """
    nothing: Shared = (None,) * X.shape[1]
    if len(X) < LEAST_SERIES or np.isnan(X).any():
        return nothing, nothing
    mean, std = X.mean(axis=2, dtype=np.float64), X.std(axis=2, dtype=np.float64)
    # a series' deviation is measured by the others', which the spread of their levels may dwarf
    own = np.minimum(unit, np.median(std, axis=0))
    return _shared(mean, unit), tuple(value or None for value in _shared(std, own))


def _shared(values: np.ndarray, unit: np.ndarray) -> Shared:
    """The median (C) of values (n, C), where all lie within the tolerance of it."""
    middle = np.median(values, axis=0)
    alike = np.abs(values - middle).max(axis=0) <= TOLERANCE * unit
    return tuple(float(value) if good else None for value, good in zip(middle, alike, strict=True))
