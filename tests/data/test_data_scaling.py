"""Scaling per channel."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from timeloom.data import Scaler
from timeloom.data.scaling import shared_scale
from timeloom.errors import InputError

SERIES = arrays(
    np.float32,
    st.tuples(st.integers(2, 5), st.integers(1, 3), st.integers(8, 12)),
    elements=st.floats(-(2.0**20), 2.0**20, width=32) | st.just(float("nan")),
)


def test_known_mean_and_deviation_without_the_missing_values() -> None:
    X = np.array([[[1, 2, np.nan, 3], [5, 5, 5, 5]], [[4, np.nan, np.nan, 0], [5, 5, np.nan, 5]]], dtype=np.float32)
    scaler = Scaler.fit(X)
    np.testing.assert_allclose(scaler.mean, [2.0, 5.0])
    np.testing.assert_allclose(scaler.std, [np.sqrt(2.0), 1.0])
    scaled = scaler.transform(X)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled[0, 0], [-(0.5**0.5), 0, np.nan, 0.5**0.5], rtol=1e-6)
    np.testing.assert_array_equal(scaled[0, 1], np.zeros(4))


@pytest.mark.parametrize("value", [0.1, -3e30, 1e-40, 0.0])
def test_a_constant_channel_scales_to_exact_zeros_and_back(value: float) -> None:
    X = np.full((7, 1, 13), value, dtype=np.float32)
    scaler = Scaler.fit(X)
    assert scaler.std.tolist() == [1.0]
    np.testing.assert_array_equal(scaler.transform(X), np.zeros_like(X))
    np.testing.assert_array_equal(scaler.inverse(scaler.transform(X)), X)


def test_a_channel_without_values_is_left_alone() -> None:
    X = np.stack([np.arange(8.0), np.full(8, np.nan)])[None].repeat(2, axis=0)
    scaler = Scaler.fit(X)
    assert (scaler.mean[1], scaler.std[1]) == (0.0, 1.0)


@settings(deadline=None, max_examples=60)
@given(X=SERIES)
def test_inverse_undoes_transform(X: np.ndarray) -> None:
    scaler = Scaler.fit(X)
    back = scaler.inverse(scaler.transform(X))
    assert back.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(back), np.isnan(X))
    spread = np.abs(np.nan_to_num(X)).max()
    np.testing.assert_allclose(back, X, rtol=2e-6, atol=1e-6 * spread + 1e-30)


@settings(deadline=None, max_examples=30)
@given(X=SERIES)
def test_scaled_channels_have_mean_0_and_deviation_1_or_are_constant(X: np.ndarray) -> None:
    scaled = Scaler.fit(X).transform(X).astype(np.float64)
    for channel in range(X.shape[1]):
        values = scaled[:, channel][~np.isnan(scaled[:, channel])]
        if values.size and np.unique(X[:, channel][~np.isnan(X[:, channel])]).size > 1:
            assert abs(values.mean()) < 1e-5
            assert abs(values.std() - 1) < 1e-5
        else:
            assert not values.any()


@settings(deadline=None, max_examples=30)
@given(X=SERIES)
def test_json_round_trip_is_exact(X: np.ndarray) -> None:
    scaler = Scaler.fit(X)
    again = Scaler.from_dict(json.loads(json.dumps(scaler.to_dict())))
    np.testing.assert_array_equal(again.mean, scaler.mean)
    np.testing.assert_array_equal(again.std, scaler.std)


def test_statistics_are_float64() -> None:
    # In float32 the sum of 2^20 ones on top of 1e8 loses them.
    X = np.full((2, 1, 1 << 19), 1e8, dtype=np.float32)
    X[1] += 8
    assert Scaler.fit(X).mean[0] == 1e8 + 4
    assert Scaler.fit(X).std[0] == pytest.approx(4.0, rel=1e-12)


@pytest.mark.parametrize("method", ["transform", "inverse"])
@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 8)])
def test_other_shapes_are_refused(method: str, shape: tuple[int, ...]) -> None:
    scaler = Scaler.fit(np.random.default_rng(0).normal(size=(2, 2, 8)))
    with pytest.raises(InputError, match="fitted on 2 channels"):
        getattr(scaler, method)(np.zeros(shape))


def test_fit_and_from_dict_refuse_what_they_cannot_use() -> None:
    with pytest.raises(InputError, match=r"shape \(2, 8\)"):
        Scaler.fit(np.zeros((2, 8)))
    with pytest.raises(InputError, match="lacks std"):
        Scaler.from_dict({"mean": [0.0]})
    for std in ([0.0], [1.0, 1.0], [float("nan")]):
        with pytest.raises(InputError, match="damaged"):
            Scaler.from_dict({"mean": [0.0], "std": std})


def shared(X: np.ndarray) -> tuple:
    return shared_scale(X, Scaler.fit(X).std)


def standardised(n: int, seed: int = 0) -> np.ndarray:
    """Noise (n, 3, 40): each series of the first channel with mean 2 and deviation 3, of the second with mean 0."""
    X = np.random.default_rng(seed).normal(5, 2, (n, 3, 40))
    X[:, :2] -= X[:, :2].mean(axis=2, keepdims=True)
    X[:, 0] = 2 + 3 * X[:, 0] / X[:, 0].std(axis=1, keepdims=True)
    return X.astype(np.float32)


def test_what_all_series_share_is_found_and_nothing_else() -> None:
    mean, std = shared(standardised(20))
    assert mean[:2] == pytest.approx((2, 0), abs=1e-5)
    assert std[0] == pytest.approx(3, rel=1e-5)
    assert (mean[2], std[1], std[2]) == (None, None, None)
    assert shared(np.full((9, 1, 12), 4, dtype=np.float32)) == ((4.0,), (None,))


def test_one_series_that_differs_few_series_or_a_gap_say_nothing() -> None:
    X, nothing = standardised(20), (None, None, None)
    X[7, 0] += 0.1
    assert shared(X)[0][0] is None
    assert shared(standardised(4)) == (nothing, nothing)
    X = standardised(20)
    X[3, 2, 5] = np.nan
    assert shared(X) == (nothing, nothing)


def test_deviations_that_differ_are_not_shared_however_far_levels_lie_apart() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(0, 2000, (40, 1, 1)) + rng.uniform(1, 13, (40, 1, 1)) * rng.normal(size=(40, 1, 64))
    assert shared(X.astype(np.float32)) == ((None,), (None,))
