"""Checks, scaling and filling that every encoder does first."""

from __future__ import annotations

import numpy as np
import pytest

from timeloom.data.missing import fill_missing
from timeloom.encoders.inputs import SeriesScaler, check_series
from timeloom.errors import InputError

NAN = np.nan


def test_gaps_are_interpolated_and_ends_held() -> None:
    series = np.array([[[NAN, 1.0, NAN, NAN, 4.0, NAN]]], dtype=np.float32)
    filled, observed = fill_missing(series)
    np.testing.assert_array_equal(observed, ~np.isnan(series))
    np.testing.assert_allclose(filled, [[[1.0, 1.0, 2.0, 3.0, 4.0, 4.0]]])


def test_a_channel_without_a_value_becomes_zero_and_the_input_stays() -> None:
    series = np.full((1, 2, 3), NAN, dtype=np.float32)
    series[0, 1] = 5.0
    np.testing.assert_array_equal(fill_missing(series)[0], [[[0, 0, 0], [5, 5, 5]]])
    assert np.isnan(series[0, 0]).all()


def test_scaling_gives_mean_0_and_deviation_1_for_each_channel() -> None:
    series = np.random.default_rng(0).normal([[5.0], [-300.0]], [[0.1], [40.0]], (50, 2, 7))
    scaled = SeriesScaler.fit(series).transform(series)
    np.testing.assert_allclose(scaled.mean(axis=(0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=(0, 2)), 1, atol=1e-5)


def test_missing_values_take_no_part_in_the_statistics() -> None:
    series = np.array([[[1.0, NAN, 3.0]], [[NAN, 5.0, 7.0]]])
    scaler = SeriesScaler.fit(series).scaler
    np.testing.assert_allclose(scaler.mean, [4.0])
    np.testing.assert_allclose(scaler.std, [np.sqrt(5.0)])


@pytest.mark.parametrize("level", [0.0, 0.1, 1e6])
def test_a_constant_channel_is_centred_and_not_divided(level: float) -> None:
    scaler = SeriesScaler.fit(np.full((3, 1, 4), level))
    np.testing.assert_array_equal(scaler.scaler.std, [1.0])
    np.testing.assert_allclose(scaler.transform(np.full((1, 1, 4), level + 2.0)), 2.0, rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 4), (0, 1, 4), (2, 0, 4), (2, 1, 0)])
def test_a_wrong_shape_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"X_test has shape .*allowed: \(n_cases, n_channels, n_timepoints\)"):
        check_series(np.zeros(shape), "X_test")


def test_an_infinite_value_is_placed() -> None:
    series = np.zeros((4, 2, 3))
    series[3, 1, 2] = -np.inf
    with pytest.raises(InputError, match="case 3, channel 1, time 2"):
        check_series(series)


@pytest.mark.parametrize("shape", [(2, 2, 5), (2, 1, 6)])
def test_series_unlike_the_training_ones_are_refused(shape: tuple[int, ...]) -> None:
    scaler = SeriesScaler.fit(np.random.default_rng(0).normal(size=(4, 1, 5)))
    with pytest.raises(InputError, match="allowed: 1 channels of length 5"):
        scaler.transform(np.zeros(shape))


def test_a_channel_without_a_value_takes_what_it_is_given() -> None:
    X = np.array([[[1, 2, 3], [np.nan] * 3], [[np.nan, 2, 3], [7, 8, 9]]], dtype=np.float32)
    filled, _ = fill_missing(X, (2.0, 8.0))
    assert filled.tolist() == [[[1, 2, 3], [8, 8, 8]], [[2, 2, 3], [7, 8, 9]]]


@pytest.mark.parametrize("X", [[[[1.0, 2.0]], [[1.0]]], [[["one"]]], None])
def test_what_is_no_array_of_numbers_is_refused(X: object) -> None:
    with pytest.raises(InputError, match=r"X is no array of numbers|X has shape"):
        check_series(X)  # type: ignore[arg-type]
