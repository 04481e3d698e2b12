"""Random convolutional features against a loop written from the paper."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from timeloom.encoders import Rocket
from timeloom.encoders.rocket import draw_kernels
from timeloom.errors import InputError


def loop_features(X: NDArray, rocket: Rocket) -> NDArray:
    """Ppv and maximum of every kernel by plain sums over taps."""
    scaled = rocket._scaler.transform(X)
    n_timepoints = X.shape[2]
    features = np.zeros((len(X), 2 * rocket.n_kernels))
    for group in rocket._groups:
        for column, weights, bias in zip(group.columns, group.weights.numpy(), group.biases.numpy(), strict=True):
            length = weights.shape[1]
            n_out = n_timepoints + 2 * group.padding - (length - 1) * group.dilation
            response = np.full((len(X), n_out), bias, dtype=np.float64)
            for start in range(n_out):
                for tap in range(length):
                    place = start - group.padding + tap * group.dilation
                    if 0 <= place < n_timepoints:
                        response[:, start] += scaled[:, :, place] @ weights[:, tap]
            features[:, column] = (response > 0).mean(axis=1)
            features[:, rocket.n_kernels + column] = response.max(axis=1)
    return features


@pytest.mark.parametrize(("n_channels", "n_timepoints"), [(1, 24), (3, 8), (1, 5), (2, 2)])
def test_equals_the_plain_loop(sines: Callable, n_channels: int, n_timepoints: int) -> None:
    X, _ = sines(5, seed=0, n_channels=n_channels, n_timepoints=n_timepoints)
    rocket = Rocket(n_kernels=30, seed=3).fit(X)
    np.testing.assert_allclose(rocket.encode(X), loop_features(X, rocket), rtol=1e-4, atol=1e-4)


def test_kernels_are_drawn_as_published() -> None:
    groups = draw_kernels(2000, n_channels=6, n_timepoints=100, seed=0)
    weights = [(group, kernel) for group in groups for kernel in group.weights.numpy()]
    lengths = np.array([kernel.shape[1] for _, kernel in weights])
    assert set(lengths) == {7, 9, 11}
    assert np.abs(np.bincount(lengths)[[7, 9, 11]] / 2000 - 1 / 3).max() < 0.05
    for _, kernel in weights:
        np.testing.assert_allclose(kernel.sum(axis=1), 0, atol=1e-5)
        assert 1 <= (np.abs(kernel).sum(axis=1) > 0).sum() <= 6
    padded = [group.padding > 0 for group, _ in weights]
    assert abs(np.mean(padded) - 0.5) < 0.05
    assert all((kernel.shape[1] - 1) * group.dilation <= 99 for group, kernel in weights)
    assert all(
        2 * group.padding == (kernel.shape[1] - 1) * group.dilation for group, kernel in weights if group.padding
    )
    biases = np.concatenate([group.biases.numpy() for group in groups])
    assert np.abs(biases).max() <= 1
    assert abs(biases.std() - 1 / np.sqrt(3)) < 0.03
    columns = np.concatenate([group.columns for group in groups])
    assert sorted(columns) == list(range(2000))


def test_the_seed_decides_and_the_batch_does_not(sines: Callable) -> None:
    X, _ = sines(9, seed=0)
    rocket = Rocket(n_kernels=40).fit(X)
    features = rocket.encode(X)
    assert features.shape == (9, 80)
    assert features.dtype == np.float32
    np.testing.assert_allclose(rocket.encode(X, batch_size=2), features, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(Rocket(n_kernels=40).fit(X).encode(X), features)
    assert not np.allclose(Rocket(n_kernels=40, seed=1).fit(X).encode(X), features)


def test_level_and_amplitude_are_seen(sines: Callable) -> None:
    X, _ = sines(9, seed=0)
    rocket = Rocket(n_kernels=40).fit(X)
    assert not np.allclose(rocket.encode(2 * X), rocket.encode(X), atol=0.1)


def test_missing_values_are_filled_and_single_points_refused(sines: Callable) -> None:
    X, _ = sines(9, seed=0)
    X[:, :, 3] = np.nan
    assert np.isfinite(Rocket(n_kernels=10).fit(X).encode(X)).all()
    with pytest.raises(InputError, match="length 1; allowed: at least 2"):
        Rocket().fit(np.zeros((3, 1, 1)))
