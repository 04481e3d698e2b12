"""What every encoder does to raw series first: check them, scale them by training statistics, fill what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.data.missing import fill_missing
from timeloom.data.scaling import Scaler
from timeloom.errors import InputError

Level = Literal["series", "timestamp"]


def check_setting(name: str, value: object, good: bool, allowed: str) -> None:
    """Refuse the value of a setting unless it is `good`.

    Raises:
        InputError: it is not; the message says what is `allowed`.
    """
    if not good:
        raise InputError(f"{name} is {value!r}; allowed: {allowed}")


def check_count(name: str, value: object, least: int) -> None:
    """Refuse what is no whole number, or below `least`.

    Raises:
        InputError: it is so.
    """
    check_setting(name, value, is_count(value, least), f"a whole number of at least {least}")


def is_count(value: object, least: int) -> bool:
    """Whether this is a whole number of at least `least`."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= least)


def check_level(level: object) -> None:
    """Refuse what is no `Level`.

    Raises:
        InputError: it is none.
    """
    check_setting("level", level, level in get_args(Level), f"one of {', '.join(get_args(Level))}")


def check_series(X: ArrayLike, name: str = "X") -> NDArray[np.float32]:
    """Series as a float32 array (n_cases, n_channels, n_timepoints); NaN marks a missing value.

    Raises:
        InputError: not numbers, not three-dimensional, empty in any dimension, or infinite somewhere.
    """
    try:
        series = np.asarray(X, dtype=np.float32)
    except (TypeError, ValueError):
        raise InputError(
            f"{name} is no array of numbers; allowed: (n_cases, n_channels, n_timepoints), NaN where series are shorter"
        ) from None
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


def is_fitted(encoder: object) -> bool:
    """Whether an encoder has learned something: `fit` leaves the settings it learned with in `_settings`."""
    return hasattr(encoder, "_settings")


def check_fitted(encoder: object) -> None:
    """Refuse an encoder that has learned nothing yet, or whose settings are no longer those it learned with.

    Raises:
        InputError: `fit` was never called on it, or a setting has changed since.
    """
    kind = type(encoder).__name__
    if not is_fitted(encoder):
        raise InputError(f"{kind} is not fitted; allowed: encode and save after fit")
    for name, before in vars(encoder)["_settings"].items():
        if (now := getattr(encoder, name)) != before:
            raise InputError(f"{kind} was fitted with {name} = {before!r}, which is {now!r} now; allowed: fit again")


@dataclass(frozen=True)
class SeriesScaler:
    """Scales series by the training series' statistics and fills what is missing.

    Attributes:
        scaler: mean and deviation of each channel over the training series.
        n_timepoints: the length of the training series.
    """

    scaler: Scaler
    n_timepoints: int

    @classmethod
    def fit(cls, X: ArrayLike) -> SeriesScaler:
        """Statistics of the training series (N, C, T); missing values take no part."""
        series = check_series(X)
        return cls(Scaler.fit(series), series.shape[2])

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Series (N, C, T) as `scale` gives them, missing values interpolated."""
        return fill_missing(self.scale(X))[0]

    def scale(self, X: ArrayLike) -> NDArray[np.float32]:
        """Series (N, C, T), scaled to training mean 0 and deviation 1 per channel; NaN stays NaN.

        Raises:
            InputError: another number of channels or another length than the training series.
        """
        series = check_series(X)
        expected = (len(self.scaler.mean), self.n_timepoints)
        if series.shape[1:] != expected:
            raise InputError(
                f"X has {series.shape[1]} channels of length {series.shape[2]}; "
                f"allowed: {expected[0]} channels of length {expected[1]}, as in the training series"
            )
        return self.scaler.transform(series)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` gives the same bits back."""
        return {**self.scaler.to_dict(), "n_timepoints": self.n_timepoints}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> SeriesScaler:
        """The scaler that `to_dict` wrote.

        Raises:
            InputError: mean and std are missing or do not fit together.
        """
        return cls(Scaler.from_dict(state), state["n_timepoints"])
