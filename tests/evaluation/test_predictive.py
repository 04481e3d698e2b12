"""The linear forecaster: the textbook answer, what it sees, and its edges."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.predictive import PENALTIES, predictive_errors


def autoregressive(n: int, seed: int, noise: float = 1.0, n_timepoints: int = 30) -> NDArray[np.float64]:
    """Two channels: the first is AR(1) with coefficient 0.8, the second is the first one step later."""
    rng = np.random.default_rng(seed)
    series = np.zeros((n, 2, n_timepoints))
    series[:, :, 0] = rng.standard_normal((n, 2))
    for t in range(1, n_timepoints):
        series[:, 0, t] = 0.8 * series[:, 0, t - 1] + noise * rng.standard_normal(n)
        series[:, 1, t] = series[:, 0, t - 1]
    return series


def test_the_errors_are_those_of_ridge_regression_by_scikit_learn() -> None:
    from sklearn.linear_model import Ridge

    train, test = autoregressive(20, 0), autoregressive(5, 1)

    def windows(series: NDArray) -> tuple[NDArray, NDArray]:
        starts = range(30 - 4)
        inputs = [case[:, s : s + 4].ravel() for case in series for s in starts]
        return np.array(inputs), np.array([case[:, s + 4] for case in series for s in starts])

    def fitted(series: NDArray, penalty: float) -> Ridge:
        inputs, targets = windows(series)
        return Ridge(alpha=penalty * inputs.var(axis=0).mean() * len(inputs)).fit(inputs, targets)

    held_back = np.arange(20) % 5 == 0
    inputs, targets = windows(train[held_back])
    squared = [((fitted(train[~held_back], p).predict(inputs) - targets) ** 2).mean() for p in PENALTIES]
    best = fitted(train, PENALTIES[int(np.argmin(squared))])
    inputs, targets = windows(test)
    expected = np.abs(best.predict(inputs) - targets).reshape(5, -1).mean(axis=1)
    np.testing.assert_allclose(predictive_errors(train, test, window=4), expected, rtol=1e-8)


def test_the_error_of_the_best_forecast_is_that_of_the_noise() -> None:
    # channel 0 leaves mean |N(0, 1)| = sqrt(2 / pi), channel 1 is known
    errors = predictive_errors(autoregressive(400, 0), autoregressive(100, 1))
    assert errors.mean() == pytest.approx(np.sqrt(2 / np.pi) / 2, rel=0.05)


def test_a_straight_line_is_forecast_without_error_also_several_steps_ahead() -> None:
    rng = np.random.default_rng(0)
    lines = 1e3 + rng.normal(size=(50, 1, 1)) + rng.normal(size=(50, 1, 1)) * np.arange(12)
    assert predictive_errors(lines, lines[:7], window=2).max() < 1e-3
    assert predictive_errors(lines, lines[:7], window=2, horizon=3).max() < 1e-3


def test_errors_grow_with_the_steps_ahead() -> None:
    train, test = autoregressive(200, 0), autoregressive(50, 1)
    assert predictive_errors(train, test, horizon=4).mean() > 1.1 * predictive_errors(train, test).mean()


def test_training_on_what_behaves_otherwise_is_seen() -> None:
    real, test = autoregressive(100, 0), autoregressive(50, 1)
    reversed_in_time = real[:, :, ::-1]
    assert predictive_errors(reversed_in_time, test).mean() > 1.2 * predictive_errors(real, test).mean()


def test_units_carry_over_and_zero_points_do_not_matter() -> None:
    train, test = autoregressive(30, 0), autoregressive(10, 1)
    plain = predictive_errors(train, test)
    np.testing.assert_allclose(predictive_errors(10 * train + 500, 10 * test + 500), 10 * plain, rtol=1e-6)


def test_blocks_do_not_change_the_errors() -> None:
    # about 2 million values in the windows of a block of series: several blocks of float32 against one case alone
    train = autoregressive(900, 0, n_timepoints=80).astype(np.float32)
    errors = predictive_errors(train, train[-3:])
    np.testing.assert_allclose(predictive_errors(train, train)[-3:], errors, rtol=1e-10)


@pytest.mark.parametrize("n_train", [1, 2])
def test_one_or_two_training_series_are_enough(n_train: int) -> None:
    errors = predictive_errors(autoregressive(n_train, 0), autoregressive(1, 1))
    assert errors.shape == (1,)
    assert 0 < errors[0] < 5


def test_constant_series_teach_their_constant() -> None:
    np.testing.assert_allclose(predictive_errors(np.full((4, 1, 6), 2.0), np.full((3, 1, 6), 5.0)), 3.0)


def test_series_of_length_two_have_one_forecast() -> None:
    assert predictive_errors([[[0.0, 1.0]], [[1.0, 2.0]]] * 10, [[[2.0, 3.0]]]) == pytest.approx(0.0, abs=1e-3)


def test_what_does_not_fit_is_refused() -> None:
    series = autoregressive(4, 0)
    with pytest.raises(InputError, match="window 30 and horizon 1 with series of length 30"):
        predictive_errors(series, series, window=30)
    with pytest.raises(InputError, match="window 0"):
        predictive_errors(series, series, window=0)
    with pytest.raises(InputError, match="horizon 0"):
        predictive_errors(series, series, horizon=0)
    with pytest.raises(InputError, match="series of length 1;"):
        predictive_errors(series[..., :1], series[..., :1])
    with pytest.raises(InputError, match="synthetic series have 1 channels"):
        predictive_errors(series, series[:, :1])
