"""catch22 (Lubba et al. 2019): 22 hand-made characteristics of a series, with its mean and deviation 24."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.data.scaling import Scaler
from timeloom.encoders.inputs import SeriesScaler, check_fitted
from timeloom.encoders.storage import Arrays, StoredEncoder
from timeloom.errors import InputError
from timeloom.progress import Progress, silent

# deviation, relative to the mean where that is above 1, at or below which a feature is constant to float32 rounding
CONSTANT = 1e-5
# one odd series (a constant one, say) may be 10 000 deviations off in one feature, and would be all that is seen
MOST_DEVIATIONS = 20.0
REPORT_EVERY = 100
MIN_LENGTH = 3


class Catch22(StoredEncoder):
    """Canonical time-series characteristics of each channel, standardised by those of the training series.

    Series are scaled per channel by training statistics, missing values interpolated linearly. The 22 features look
    at a channel's shape, each series scaled by its own mean and deviation; with `catch24` these two are features as
    well. Nothing is random.

    Source: Lubba et al., "catch22: canonical time-series characteristics", DMKD 2019; computed by the authors'
    package `pycatch22`.

    Args:
        catch24: add mean and standard deviation.
    """

    kind = "catch22"

    def __init__(self, catch24: bool = True) -> None:
        self.catch24 = catch24

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, *, progress: Progress = silent) -> Self:
        """Take the scale of the series (N, C, T) and of their features; labels are not used. Returns itself.

        Raises:
            InputError: `pycatch22` is not installed, or series are shorter than 3.
        """
        scaler = SeriesScaler.fit(X)
        if scaler.n_timepoints < MIN_LENGTH:
            raise InputError(
                f"X has series of length {scaler.n_timepoints}; allowed: at least {MIN_LENGTH} for catch22"
            )
        self._feature_scaler = _steady(Scaler.fit(self._raw_features(scaler.transform(X), progress)))
        self._scaler = scaler
        self._learned()
        return self

    def encode(self, X: ArrayLike, batch_size: int = 256) -> NDArray[np.float32]:
        """Features (N, C * 24) of series (N, C, T), channel after channel, within 20 training deviations.

        A feature that is undefined for a series gets its mean, 0.

        `batch_size` is there for the protocol only: series are taken one by one.

        Raises:
            InputError: `pycatch22` is not installed, or the series do not look like those in training.
        """
        check_fitted(self)
        return self._standardise(self._raw_features(self._scaler.transform(X), silent))

    def _standardise(self, raw: NDArray[np.float64]) -> NDArray[np.float32]:
        standardised = np.nan_to_num(self._feature_scaler.transform(raw)[:, :, 0], nan=0.0)
        return np.clip(standardised, -MOST_DEVIATIONS, MOST_DEVIATIONS)

    def _raw_features(self, scaled: NDArray[np.float32], progress: Progress) -> NDArray[np.float64]:
        """Features (N, C * 24, 1) as published, NaN where one is not finite."""
        catch22_all = _import_pycatch22().catch22_all
        features = []
        for done, case in enumerate(scaled.astype(np.float64), start=1):
            features.append([catch22_all(channel.tolist(), catch24=self.catch24)["values"] for channel in case])
            if done % REPORT_EVERY == 0 or done == len(scaled):
                progress("compute catch22", done, len(scaled))
        values = np.array(features, dtype=np.float64).reshape(len(scaled), -1, 1)
        return np.where(np.isfinite(values), values, np.nan)

    def _state(self) -> tuple[dict[str, Any], Arrays]:
        return {"scaler": self._scaler.to_dict(), "feature_scaler": self._feature_scaler.to_dict()}, {}

    def _restore(self, values: dict[str, Any], arrays: Arrays) -> None:
        self._scaler = SeriesScaler.from_dict(values["scaler"])
        self._feature_scaler = Scaler.from_dict(values["feature_scaler"])


def _steady(scaler: Scaler) -> Scaler:
    """The same, but what varies by rounding alone counts as constant.

    The mean of series that are each scaled to mean 0 is 1e-9 or so: as a unit it would blow any real difference up.
    """
    steady = scaler.std > CONSTANT * np.maximum(np.abs(scaler.mean), 1.0)
    return Scaler(scaler.mean, np.where(steady, scaler.std, 1.0))


def _import_pycatch22() -> Any:
    try:
        return import_module("pycatch22")
    except ImportError:
        raise InputError("catch22 needs the package pycatch22; allowed: pip install timeloom[catch22]") from None
