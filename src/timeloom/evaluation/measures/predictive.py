"""Does a forecaster that learned from one set of series forecast another?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.inputs import BLOCK_VALUES, Floats, check_series_pair, float_blocks

LONGEST_WINDOW = 32
# shares of the mean variance of an input value; the one that forecasts the held-back series best is taken
PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
HELD_BACK = 5
# more windows no longer change the coefficients, and wide windows of many series would take minutes
MOST_WINDOWS = 200_000


def predictive_errors(
    train_series: ArrayLike, test_series: ArrayLike, *, window: int | None = None, horizon: int = 1
) -> NDArray[np.float64]:
    """Mean absolute error (N_test,) per test series of forecasts by a linear model of the past; lower is better.

    Ridge regression in closed form, fitted on series (N_train, C, T): the last `window` values of all channels
    (min(T // 2, 32) if nothing is said) forecast the next `horizon` values of all channels. The error of a series
    (N_test, C, T) is the mean over channels, steps ahead and places in the series, in the units of the series: scale
    them alike first. Trained on synthetic and tested on real series it stands beside the same trained on real ones
    (Esteban et al. 2017, TSTR). It is deterministic, and sees only what is linear in the past.

    The penalty is chosen by the squared error on every fifth training series, then all are fitted. At most 200 000
    windows are fitted, of series taken evenly from the training set.

    Raises:
        InputError: series that are not (N, C, T) and finite, of different channels or lengths, or a window and a
            horizon that do not fit into them.
    """
    train, test = check_series_pair(train_series, test_series)
    length = train.shape[2]
    past = max(1, min(length // 2, LONGEST_WINDOW)) if window is None else window
    if past < 1 or horizon < 1 or past + horizon > length:
        raise InputError(
            f"window {past} and horizon {horizon} with series of length {length}; "
            "allowed: each at least 1, together no longer than the series"
        )
    most = max(1, MOST_WINDOWS // (length - past - horizon + 1))
    if len(train) > most:
        train = train[np.linspace(0, len(train) - 1, most).astype(np.int64)]
    centre = train.mean(axis=(0, 2), dtype=np.float64)[:, None]
    forecaster = _fit(train, centre, past, horizon)
    errors = np.empty(len(test))
    for place, inputs, targets in _windows(test, centre, past, horizon):
        gaps = np.abs(inputs @ forecaster.weights + forecaster.intercept - targets)
        errors[place] = gaps.reshape(place.stop - place.start, -1).mean(axis=1)
    return errors


@dataclass(frozen=True)
class _Forecaster:
    """A linear forecast `inputs @ weights + intercept`: weights (V, O) and intercept (O,)."""

    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]


@dataclass(frozen=True)
class _Moments:
    """Sums over windows: enough to fit a ridge regression and to tell its squared error.

    Attributes:
        count: how many windows.
        total: (V + O,), sums of the V input and O target values.
        products: (V + O, V + O), sums of their products.
    """

    count: int
    total: NDArray[np.float64]
    products: NDArray[np.float64]

    @classmethod
    def of(cls, series: Floats, centre: NDArray[np.float64], past: int, horizon: int) -> _Moments:
        size = series.shape[1] * (past + horizon)
        count, total, products = 0, np.zeros(size), np.zeros((size, size))
        for _, inputs, targets in _windows(series, centre, past, horizon):
            both = np.concatenate([inputs, targets], axis=1)
            count += len(both)
            total += both.sum(axis=0)
            products += both.T @ both
        return cls(count, total, products)

    def __add__(self, other: _Moments) -> _Moments:
        return _Moments(self.count + other.count, self.total + other.total, self.products + other.products)

    def ridge(self, n_inputs: int, penalties: Sequence[float]) -> list[_Forecaster]:
        """The fitted forecast at each penalty."""
        mean = self.total / self.count
        covariance = self.products / self.count - np.outer(mean, mean)
        values, directions = np.linalg.eigh(covariance[:n_inputs, :n_inputs])
        values = np.maximum(values, 0.0)
        along = directions.T @ covariance[:n_inputs, n_inputs:]
        found = []
        for penalty in penalties:
            stiffness = values + penalty * values.mean()
            # Inputs that never vary say nothing, and get no weight.
            shrunk = np.divide(along, stiffness[:, None], out=np.zeros_like(along), where=stiffness[:, None] > 0)
            weights = directions @ shrunk
            found.append(_Forecaster(weights, mean[n_inputs:] - mean[:n_inputs] @ weights))
        return found

    def squared_error(self, forecaster: _Forecaster) -> float:
        """Sum over these windows and the targets of the squared error of a forecast."""
        n_targets = forecaster.weights.shape[1]
        residual = np.concatenate([forecaster.weights, -np.eye(n_targets)])
        quadratic = np.sum(residual * (self.products @ residual))
        linear = 2.0 * (self.total @ residual) @ forecaster.intercept
        return float(quadratic + linear + self.count * forecaster.intercept @ forecaster.intercept)


def _fit(train: Floats, centre: NDArray[np.float64], past: int, horizon: int) -> _Forecaster:
    n_inputs = train.shape[1] * past
    held_back = np.arange(len(train)) % HELD_BACK == 0
    judged = _Moments.of(train[held_back], centre, past, horizon)
    if held_back.all():
        # A single series cannot be divided; it judges its own fit.
        fitted = everything = judged
    else:
        fitted = _Moments.of(train[~held_back], centre, past, horizon)
        everything = fitted + judged
    errors = [judged.squared_error(forecaster) for forecaster in fitted.ridge(n_inputs, PENALTIES)]
    return everything.ridge(n_inputs, [PENALTIES[int(np.argmin(errors))]])[0]


def _windows(
    series: Floats, centre: NDArray[np.float64], past: int, horizon: int
) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.float64]]]:
    """Blocks of series: their place, the inputs (n, C * past) and the targets (n, C * horizon) of all their windows."""
    n_channels, width = series.shape[1], past + horizon
    values = n_channels * width * (series.shape[2] - width + 1)
    for place, block in float_blocks(series, max(1, BLOCK_VALUES // values)):
        cut = sliding_window_view(block - centre, width, axis=2).swapaxes(1, 2)
        n_windows = cut.shape[0] * cut.shape[1]
        yield place, cut[..., :past].reshape(n_windows, -1), cut[..., past:].reshape(n_windows, -1)
