"""Forecasts by a linear head on windows: the closed form, comparable targets, no look ahead, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from timeloom.errors import InputError
from timeloom.evaluation.tasks import window_forecasting
from timeloom.evaluation.tasks.forecasting import TimeSplit, future
from timeloom.evaluation.tasks.window_forecasting import fit_heads, window_errors

SPLIT = TimeSplit(slice(0, 60), slice(60, 80), slice(80, 100))
LOOKBACK = 8


def drawn(seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((100, 2)).cumsum(axis=0)


def ends_and_range(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Two features of a window."""
    return np.stack([windows[:, 0, -1], np.ptp(windows[:, 0], axis=1)], axis=1)


def case(values: NDArray, end: int, channel: int, horizon: int) -> tuple[NDArray, NDArray, float]:
    """Inputs, targets and mean of one window, written out."""
    past = values[end - LOOKBACK + 1 : end + 1, channel]
    inputs = np.array([past[-1], past.max() - past.min(), 1.0]) * past.std()
    return inputs, values[end + 1 : end + 1 + horizon, channel], past.mean()


@pytest.mark.parametrize("horizons", [(3,), (1, 3, 5)])
def test_heads_are_ridge_regressions_over_all_windows_of_all_channels(horizons: tuple[int, ...]) -> None:
    values = drawn()
    heads = fit_heads(ends_and_range, values, SPLIT, horizons, lookback=LOOKBACK, penalties=(1e-3, 1e-1))
    assert list(heads) == sorted(horizons, reverse=True)
    for horizon, found in heads.items():
        cases = [case(values, end, channel, horizon) for end in range(7, 60 - horizon) for channel in (0, 1)]
        Z = np.array([inputs for inputs, _, _ in cases])
        Y = np.array([ahead - mean for _, ahead, mean in cases])
        for head, penalty in zip(found, (1e-3, 1e-1), strict=True):
            square = Z.T @ Z
            expected = np.linalg.solve(square + penalty * np.trace(square) / 3 * np.eye(3), Z.T @ Y)
            np.testing.assert_allclose(head.weights, expected, rtol=2e-3, atol=1e-4)
            assert head.penalty == penalty


@pytest.mark.parametrize("horizon", [1, 4])
def test_errors_are_over_the_same_targets_as_those_of_other_forecasters(horizon: int) -> None:
    values = drawn()
    errors = window_errors(ends_and_range, values, SPLIT, [horizon], lookback=LOOKBACK)[horizon]
    heads = fit_heads(ends_and_range, values, SPLIT, [horizon], lookback=LOOKBACK)[horizon]
    losses = []
    for head in heads:
        off = {}
        for name, part in (("valid", SPLIT.valid), ("test", SPLIT.test)):
            ends = range(part.start, part.start + len(future(values[part], horizon)))
            cases = [case(values, end, channel, horizon) for end in ends for channel in (0, 1)]
            off[name] = np.array([mean + inputs @ head.weights - ahead for inputs, ahead, mean in cases])
        valid = np.sqrt(np.square(off["valid"]).mean()) + np.abs(off["valid"]).mean()
        losses.append((valid, np.square(off["test"]).mean(), np.abs(off["test"]).mean()))
    assert errors == pytest.approx(min(losses)[1:], rel=1e-3)


def test_several_horizons_at_once_are_as_each_alone_and_the_size_of_blocks_does_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = drawn()
    together = window_errors(ends_and_range, values, SPLIT, [2, 6, 3], lookback=LOOKBACK)
    monkeypatch.setattr(window_forecasting, "ENDS_AT_ONCE", 7)
    for horizon in (2, 3, 6):
        alone = window_errors(ends_and_range, values, SPLIT, [horizon], lookback=LOOKBACK)[horizon]
        assert alone == pytest.approx(together[horizon], rel=1e-3)


def test_windows_are_thinned_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def embed(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(len(windows))
        return ends_and_range(windows)

    fit_heads(embed, drawn(), SPLIT, [1, 4], lookback=LOOKBACK)
    assert sum(seen) == 2 * len(range(7, 59))
    seen.clear()
    monkeypatch.setattr(window_forecasting, "MOST_TRAIN", 40)  # every third of 120 values
    fit_heads(embed, drawn(), SPLIT, [1, 4], lookback=LOOKBACK)
    assert sum(seen) == 2 * len(range(7, 59, 3))


def test_a_scaled_copy_of_a_channel_is_forecast_as_well() -> None:
    """Each window is forecast in its own units, so that a linear law in them is found exactly."""
    time = np.arange(100)
    values = np.stack([np.sin(0.4 * time), 100 + 20 * np.sin(0.4 * time)], axis=1)

    def own_units(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        return (windows - windows.mean(axis=2, keepdims=True)) / windows.std(axis=2, keepdims=True)

    errors = window_errors(own_units, values, SPLIT, [5], lookback=16)[5]
    assert errors.mae < 0.01 * 20


def test_what_comes_after_the_training_stretch_does_not_reach_the_heads() -> None:
    mine, other = drawn(), drawn(seed=9)
    changed = np.concatenate([mine[:60], other[60:]])
    first, second = (fit_heads(ends_and_range, of, SPLIT, [4], lookback=LOOKBACK)[4] for of in (mine, changed))
    for left, right in zip(first, second, strict=True):
        assert np.array_equal(left.weights, right.weights)


def test_features_that_are_nearly_the_same_do_not_break_the_solution() -> None:
    """In float32 the sums of their products are indefinite by more than the smallest penalty."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((LOOKBACK, 600)).astype(np.float32)

    def embed(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        return 1 + windows[:, 0] @ mixing

    errors = window_errors(embed, drawn(), SPLIT, [2], lookback=LOOKBACK)[2]
    assert np.isfinite(errors).all()


def test_a_flat_series_is_forecast_by_its_value() -> None:
    errors = window_errors(ends_and_range, np.full((100, 1), 3.0), SPLIT, [2], lookback=LOOKBACK)[2]
    assert errors == (0.0, 0.0)


@pytest.mark.parametrize(
    ("lookback", "horizon", "message"),
    [
        (57, 4, "lookback is 57; allowed: 1 to 55, as 60 points are for training"),
        (0, 4, "lookback is 0"),
        (8, 19, "horizon is 19; allowed: 1 to 18, as a part has 20 points"),
        (8, 0, "horizon is 0; allowed"),
    ],
)
def test_what_does_not_fit_is_refused(lookback: int, horizon: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        window_errors(ends_and_range, drawn(), SPLIT, [horizon], lookback=lookback)
