"""One encoder, one long series: fit on the training stretch, and judge how well the future can be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from timeloom.config import Frozen
from timeloom.data import Dataset, LongSeries, Scaler
from timeloom.data.long import calendar
from timeloom.encoders.timedrl import scale_each
from timeloom.errors import InputError
from timeloom.evaluation.tasks.forecasting import (
    HORIZONS,
    HORIZONS_BY_MINUTE,
    Errors,
    TimeSplit,
    fit_ridge,
    is_by_minute,
    persistence_errors,
    time_split,
)
from timeloom.evaluation.tasks.window_forecasting import check_lookback, stride, window_errors
from timeloom.progress import Progress, silent
from timeloom.stages.encoder_tasks import Figures
from timeloom.stages.train_encoder import EncoderConfig, fit

# a training stretch shorter than this is cut into pieces, as contrasting encoders need several series
LEAST_WHOLE, N_PIECES = 6000, 8
ENCODED_AT_ONCE = 2000
MOST_LEARNED = 10_000
LOOKBACK = 512


class ForecastConfig(Frozen):
    """How the task of forecasting is set.

    Attributes:
        horizons: steps ahead; None takes the published ones of the data set.
        univariate: only the last column, alone.
        calendar: give the encoder hour, weekday and so on beside the values, where the file has times.
        padding: time points before one that the features of causal encoders may see.
        lookback: length of the windows that a linear head reads; None is 512, or a third of the training stretch where
            that is shorter.
    """

    horizons: tuple[int, ...] | None = None
    univariate: bool = False
    calendar: bool = True
    padding: int = Field(default=200, ge=1)
    lookback: int | None = Field(default=None, ge=2)


def check_forecast(series: LongSeries, encoder: str | None, settings: ForecastConfig) -> None:
    """Refuse what could not be forecast, before any work; no encoder stands for the baselines.

    Raises:
        InputError: an encoder that does not forecast, or a series too short for the horizons or the windows.
    """
    if encoder is not None and encoder not in FORECASTERS:
        raise InputError(f"encoder = {encoder!r} does not forecast; allowed: {', '.join(FORECASTERS)}")
    horizons = horizons_of(series, settings)
    if encoder is None or FORECASTERS[encoder] is patch_head:
        split = time_split(series.name, len(series.values))
        check_lookback(_lookback(split, settings), split, horizons)


def forecasting(
    series: LongSeries, config: EncoderConfig, settings: ForecastConfig, *, progress: Progress = silent
) -> Figures:
    """Errors on the test stretch at every horizon, and their means; values are scaled by the training stretch.

    Raises:
        InputError: as `check_forecast`.
    """
    check_forecast(series, config.encoder, settings)
    errors = FORECASTERS[config.encoder](series, config, settings, progress)
    return _forecast_figures(errors)


def forecast_baselines(
    series: LongSeries, settings: ForecastConfig, *, progress: Progress = silent
) -> dict[str, Figures]:
    """The same errors of the forecast that the last value stays, and of a linear head on windows as they are.

    Raises:
        InputError: as `check_forecast`.
    """
    check_forecast(series, None, settings)
    values, split = scaled_values(series, settings.univariate)
    horizons = horizons_of(series, settings)
    lookback = _lookback(split, settings)
    errors = {
        "persistence": {horizon: persistence_errors(values, split.test, horizon) for horizon in horizons},
        "raw windows": window_errors(scale_each, values, split, horizons, lookback=lookback, progress=progress),
    }
    return {name: _forecast_figures(of) for name, of in errors.items()}


def scaled_values(series: LongSeries, univariate: bool) -> tuple[NDArray[np.float64], TimeSplit]:
    """Values (T, C) of the stretches that the protocol uses, scaled by the training stretch; and the stretches."""
    split = time_split(series.name, len(series.values))
    values = series.values[: split.test.stop, -1:] if univariate else series.values[: split.test.stop]
    return _scaled(values, split), split


def causal_ridge(
    series: LongSeries, config: EncoderConfig, settings: ForecastConfig, progress: Progress
) -> dict[int, Errors]:
    """TS2Vec's way: features of each time point from the past alone, then ridge regression for each horizon.

    The encoder learns from the training stretch only. Yue et al. 2022, section 4.3.
    """
    horizons = horizons_of(series, settings)
    values, split = scaled_values(series, settings.univariate)
    inputs = values
    if settings.calendar and series.timestamps is not None:
        times = _scaled(calendar(series.timestamps[: split.test.stop]), split)
        inputs = np.concatenate([values, times], axis=1)
    cases = _pieces(inputs[split.train])
    encoder = fit(config, Dataset(series.name, cases, None, None, None), progress=progress)
    features = causal_features(encoder, inputs, settings.padding, progress=progress)
    errors: dict[int, Errors] = {}
    for horizon in horizons:
        forecaster = fit_ridge(features, values, split, horizon, drop=min(settings.padding, split.train.stop // 2))
        errors[horizon] = forecaster.errors(features[split.test], values[split.test])
        progress("ridge regression", len(errors), len(horizons))
    return errors


def causal_features(
    encoder: Any, values: NDArray, padding: int, *, at_once: int = ENCODED_AT_ONCE, progress: Progress = silent
) -> NDArray[np.float32]:
    """Features (T, D) of each time point of values (T, C) from itself and the `padding` time points before it.

    `at_once` time points are encoded between two reports of progress; the features do not depend on it.
    """
    X = values.T[None].astype(np.float32)
    options = {"level": "timestamp", "causal": True, "sliding_length": 1, "sliding_padding": padding}
    found = []
    for start in range(0, len(values), at_once):
        before = min(padding, start)
        stop = min(start + at_once, len(values))
        found.append(encoder.encode(X[:, :, start - before : stop], **options)[0, before:])
        progress("encode", stop, len(values))
    return np.concatenate(found)


def patch_head(
    series: LongSeries, config: EncoderConfig, settings: ForecastConfig, progress: Progress
) -> dict[int, Errors]:
    """TimeDRL's way: a linear head on the embeddings of all patches of a channel's last `lookback` values.

    The encoder learns from the training stretch only. Chang et al. 2023, section 5.1.
    """
    horizons = horizons_of(series, settings)
    values, split = scaled_values(series, settings.univariate)
    lookback = _lookback(split, settings)
    cases = _windows(values[split.train], lookback)
    encoder = fit(config, Dataset(series.name, cases, None, None, None), progress=progress)
    options: dict[str, Any] = {"level": "timestamp"}
    return window_errors(
        lambda windows: encoder.encode(windows, **options),
        values,
        split,
        horizons,
        lookback=lookback,
        progress=progress,
    )


# how each kind of encoder forecasts
Forecaster = Callable[[LongSeries, EncoderConfig, ForecastConfig, Progress], dict[int, Errors]]
FORECASTERS: dict[str, Forecaster] = {"ts2vec": causal_ridge, "timedrl": patch_head}


def horizons_of(series: LongSeries, settings: ForecastConfig) -> tuple[int, ...]:
    """The steps ahead that are forecast.

    Raises:
        InputError: one of them is not below the length of the shortest stretch.
    """
    horizons = settings.horizons or (HORIZONS_BY_MINUTE if is_by_minute(series.name) else HORIZONS)
    shortest = min(part.stop - part.start for part in time_split(series.name, len(series.values)))
    wrong = [horizon for horizon in horizons if not 1 <= horizon <= shortest - 2]
    if wrong:
        default = "" if settings.horizons else f" ({', '.join(map(str, horizons))} unless --horizon is given)"
        raise InputError(
            f"{series.name}: horizon is {wrong[0]}{default}; allowed: 1 to {shortest - 2}, as the shortest stretch has "
            f"{shortest} time points"
        )
    return horizons


def _lookback(split: TimeSplit, settings: ForecastConfig) -> int:
    return settings.lookback or min(LOOKBACK, split.train.stop // 3)


def _scaled(values: NDArray, split: TimeSplit) -> NDArray[np.float64]:
    scaler = Scaler.fit(values[split.train].T[None])
    return scaler.transform(values.T[None])[0].T.astype(np.float64)


def _pieces(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The training stretch (T, C) as cases (n, C, T / n); a few time points at the end may be left over."""
    n = 1 if len(values) >= LEAST_WHOLE else N_PIECES
    length = len(values) // n
    return values[: n * length].reshape(n, length, -1).transpose(0, 2, 1).astype(np.float32)


def _windows(values: NDArray[np.float64], length: int) -> NDArray[np.float32]:
    """Windows (n, 1, length) of each channel of the training stretch (T, C), spread evenly."""
    found = np.lib.stride_tricks.sliding_window_view(values, length, axis=0)
    step = stride(found.shape[0] * found.shape[1], MOST_LEARNED)
    return found[::step].reshape(-1, 1, length).astype(np.float32)


def _forecast_figures(errors: dict[int, Errors]) -> Figures:
    figures: Figures = {}
    for horizon, found in errors.items():
        figures |= {f"{horizon} MSE": found.mse, f"{horizon} MAE": found.mae}
    if len(errors) > 1:
        figures["mean MSE"] = float(np.mean([found.mse for found in errors.values()]))
        figures["mean MAE"] = float(np.mean([found.mae for found in errors.values()]))
    return figures
