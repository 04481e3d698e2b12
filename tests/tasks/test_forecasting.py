"""Forecasts from features: the published splits, ridge regression against its closed form, and no look ahead."""

from __future__ import annotations

import numpy as np
import pytest

from timeloom.errors import InputError
from timeloom.evaluation.tasks.forecasting import Errors, TimeSplit, fit_ridge, future, persistence_errors, time_split

SPLIT = TimeSplit(slice(0, 60), slice(60, 80), slice(80, 100))


def drawn(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((100, 5)), rng.standard_normal((100, 2))


@pytest.mark.parametrize(
    ("name", "n", "ends"),
    [
        ("ETTh1", 17420, (8640, 11520, 14400)),
        ("ETTh2", 17420, (8640, 11520, 14400)),
        ("ETTm1", 69680, (34560, 46080, 57600)),
        ("weather", 52696, (36887, 42157, 52696)),
        ("any other", 100, (60, 80, 100)),
    ],
)
def test_the_splits_are_the_published_ones_and_follow_each_other(name: str, n: int, ends: tuple[int, ...]) -> None:
    split = time_split(name, n)
    assert tuple(part.stop for part in split) == ends
    assert (split.train.start, split.valid.start, split.test.start) == (0, *ends[:2])


def test_a_cut_ett_set_is_refused() -> None:
    with pytest.raises(InputError, match="ETTm1: 17420 time points; allowed: at least 57600"):
        time_split("ETTm1", 17420)


def test_the_future_begins_one_step_ahead() -> None:
    values = np.arange(12.0).reshape(6, 2)
    ahead = future(values, 3)
    assert ahead.shape == (3, 3, 2)
    assert np.array_equal(ahead[0], values[1:4])
    assert np.array_equal(ahead[-1], values[3:6])
    for horizon in (0, 5):
        with pytest.raises(InputError, match=f"horizon is {horizon}; allowed: 1 to 4"):
            future(values, horizon)


@pytest.mark.parametrize(("horizon", "drop"), [(1, 0), (4, 7)])
def test_ridge_is_the_closed_form_with_a_free_intercept(horizon: int, drop: int) -> None:
    """Solved here with an extra column of ones that is not penalised."""
    features, values = drawn()
    rows = range(drop, 60 - horizon)
    X = np.array([[*features[t], 1.0] for t in rows])
    Y = np.array([values[t + 1 : t + 1 + horizon].ravel() for t in rows])
    penalty = 3.0 * np.diag([1, 1, 1, 1, 1, 0])
    solution = np.linalg.solve(X.T @ X + penalty, X.T @ Y)
    found = fit_ridge(features, values, SPLIT, horizon, drop=drop, alphas=[3.0])
    np.testing.assert_allclose(found.weights, solution[:-1], atol=1e-10)
    np.testing.assert_allclose(found.intercept, solution[-1], atol=1e-10)
    predicted = found.predict(features[80:82])
    assert predicted.shape == (2, horizon, 2)
    np.testing.assert_allclose(predicted[0].ravel(), np.append(features[80], 1) @ solution, atol=1e-10)


def test_errors_are_means_over_forecasts_steps_and_channels() -> None:
    features, values = drawn()
    found = fit_ridge(features, values, SPLIT, 3, alphas=[1.0])
    differences = [
        found.predict(features[t : t + 1])[0, step] - values[t + 1 + step] for t in range(80, 97) for step in range(3)
    ]
    errors = found.errors(features[SPLIT.test], values[SPLIT.test])
    assert errors.mse == pytest.approx(np.mean(np.square(differences)))
    assert errors.mae == pytest.approx(np.mean(np.abs(differences)))


def test_the_penalty_is_the_best_of_the_validation_stretch() -> None:
    features, values = drawn()
    alphas = (0.01, 1.0, 100.0, 10_000.0)
    found = fit_ridge(features, values, SPLIT, 2, alphas=alphas)
    losses = {}
    for alpha in alphas:
        errors = fit_ridge(features, values, SPLIT, 2, alphas=[alpha]).errors(features[60:80], values[60:80])
        losses[alpha] = errors.mse**0.5 + errors.mae
    assert found.alpha == min(losses, key=losses.__getitem__)


def test_a_linear_law_is_found() -> None:
    rng = np.random.default_rng(3)
    features = rng.standard_normal((300, 2))
    values = np.zeros((300, 1))
    values[1:, 0] = 0.9 * features[:-1, 0] - 0.4 * features[:-1, 1] + 0.5 + 0.01 * rng.standard_normal(299)
    split = TimeSplit(slice(0, 180), slice(180, 240), slice(240, 300))
    found = fit_ridge(features, values, split, 1, alphas=[1e-6, 1e-3])
    np.testing.assert_allclose(found.weights[:, 0], [0.9, -0.4], atol=0.01)
    assert found.errors(features[split.test], values[split.test]).mae < 0.02


@pytest.mark.parametrize(("kept", "alphas"), [(80, (0.1, 10.0, 1000.0)), (60, (10.0,))])
def test_what_comes_after_does_not_reach_the_forecaster(kept: int, alphas: tuple[float, ...]) -> None:
    """Neither the test stretch (80 on), nor the validation stretch (60 on) where there is no penalty to choose."""
    mine, other = drawn(), drawn(seed=9)
    changed = [np.concatenate([left[:kept], right[kept:]]) for left, right in zip(mine, other, strict=True)]
    first, second = (fit_ridge(*of, SPLIT, 4, alphas=alphas) for of in (mine, changed))
    assert np.array_equal(first.weights, second.weights)
    assert np.array_equal(first.intercept, second.intercept)
    assert first.alpha == second.alpha


def test_persistence_repeats_the_last_value() -> None:
    values = np.arange(20.0)[:, None]
    assert persistence_errors(values, slice(10, 20), 3) == Errors(mse=pytest.approx(14 / 3), mae=pytest.approx(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros((99, 5))}, r"features have shape \(99, 5\), values \(100, 2\)"),
        ({"values": np.full((100, 2), np.nan)}, "values are not finite at time 0"),
        ({"horizon": 25}, "horizon is 25; allowed: 1 to 18, as a part has 20 points"),
        ({"drop": 58}, "drop is 58; allowed: less, the training stretch has 60 time points"),
    ],
)
def test_what_cannot_be_forecast_is_refused(change: dict, message: str) -> None:
    features, values = drawn()
    given = {"features": features, "values": values, "split": SPLIT, "horizon": 2, **change}
    with pytest.raises(InputError, match=message):
        fit_ridge(**given)
