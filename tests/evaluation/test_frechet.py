"""Frechet distance against closed forms and a matrix square root."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.bootstrap import centred_interval
from timeloom.evaluation.measures.frechet import frechet_distance, frechet_replicates


def correlated(n: int, width: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, width)) @ rng.standard_normal((width, width)) + rng.standard_normal(width)


def by_matrix_root(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    shift = a.mean(axis=0) - b.mean(axis=0)
    return float(shift @ shift + np.trace(covariances[0] + covariances[1] - 2 * np.real(root)))


@pytest.mark.parametrize(("n_real", "n_synthetic"), [(200, 300), (200, 40), (40, 40)])
def test_equals_the_matrix_square_root(n_real: int, n_synthetic: int) -> None:
    a, b = correlated(n_real, 16, 0), correlated(n_synthetic, 16, 1)
    assert frechet_distance(a, b) == pytest.approx(by_matrix_root(a, b), rel=1e-8)


@settings(deadline=None, max_examples=25)
@given(n=st.integers(2, 40), width=st.integers(1, 20), seed=st.integers(0, 1000))
def test_laws(n: int, width: int, seed: int) -> None:
    a, b = correlated(n, width, seed), correlated(n + 3, width, seed + 1)
    scale = np.trace(np.atleast_2d(np.cov(a, rowvar=False)))
    assert frechet_distance(a, a) <= 1e-8 * scale
    shift = np.linspace(-2, 3, width)
    assert frechet_distance(a, a + shift) == pytest.approx(shift @ shift, rel=1e-6, abs=1e-8 * scale)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6, abs=1e-8 * scale)
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))[0]
    turned = frechet_distance(a @ rotation, b @ rotation)
    assert turned == pytest.approx(frechet_distance(a, b), rel=1e-6, abs=1e-8 * scale)
    assert frechet_distance(3 * a, 3 * b) == pytest.approx(9 * frechet_distance(a, b), rel=1e-6, abs=1e-7 * scale)


def test_one_dimension_has_a_closed_form() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 2, (50, 1)), rng.normal(4, 0.5, (70, 1))
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_fewer_rows_than_columns_is_no_special_case() -> None:
    a, b = correlated(5, 30, 0), correlated(8, 30, 1)
    widened = np.concatenate([a, np.zeros((5, 40))], axis=1), np.concatenate([b, np.zeros((8, 40))], axis=1)
    assert frechet_distance(*widened) == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_float32_features_are_computed_in_float64() -> None:
    a = (1000 + correlated(300, 8, 0)).astype(np.float32)
    b = (1000 + correlated(300, 8, 1)).astype(np.float32)
    expected = by_matrix_root(a.astype(np.float64), b.astype(np.float64))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("width", [6, 140])
def test_a_replicate_is_the_distance_of_a_redrawn_set(width: int) -> None:
    a, b = correlated(60, width, 0), correlated(50, width, 1)
    rows = np.repeat(np.arange(50), np.random.default_rng(5).multinomial(50, np.full(50, 1 / 50)))
    replicate = frechet_replicates(a, b, n_boot=1, seed=5)[0]
    # 110 rows span fewer than 128 directions, so the projection of wide features loses nothing here.
    assert replicate == pytest.approx(frechet_distance(a, b[rows]), rel=1e-6)


def test_the_interval_contains_the_distance_although_redrawing_biases_it() -> None:
    a, b = correlated(100, 20, 0), correlated(100, 20, 0)[::-1] + 0.01
    value = frechet_distance(a, b)
    replicates = frechet_replicates(a, b, n_boot=50, seed=0)
    assert replicates.min() > value
    low, high = centred_interval(value, replicates, low=0.0)
    assert 0 <= low <= value <= high
    np.testing.assert_array_equal(replicates, frechet_replicates(a, b, n_boot=50, seed=0))


def test_the_interval_covers_the_spread_of_new_samples() -> None:
    rng = np.random.default_rng(0)
    real = rng.standard_normal((500, 4))
    values = [frechet_distance(real, 0.5 + rng.standard_normal((200, 4))) for _ in range(40)]
    sample = 0.5 + rng.standard_normal((200, 4))
    low, high = centred_interval(frechet_distance(real, sample), frechet_replicates(real, sample, 200, 0))
    assert high - low == pytest.approx(4 * np.std(values), rel=0.4)


@pytest.mark.parametrize(
    ("real", "synthetic", "message"),
    [
        (np.zeros((1, 3)), np.zeros((4, 3)), "real features have shape"),
        (np.zeros((4, 3)), np.zeros((4, 2)), "synthetic features are 2 wide, real ones 3"),
        (np.zeros((4, 3)), np.full((4, 3), np.nan), "synthetic features are not finite in row 0"),
        (np.zeros(4), np.zeros((4, 1)), "real features have shape"),
    ],
)
def test_bad_features_are_refused(real: NDArray, synthetic: NDArray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        frechet_distance(real, synthetic)


@pytest.mark.parametrize(
    ("n_real", "n_synthetic", "width"), [(3000, 500, 24), (90, 400, 64), (64, 65, 64), (9000, 50, 500)]
)
def test_blocks_of_float32_features_give_the_matrix_square_root(n_real: int, n_synthetic: int, width: int) -> None:
    a, b = correlated(n_real, width, 0).astype(np.float32), correlated(n_synthetic, width, 1).astype(np.float32)
    expected = by_matrix_root(a.astype(np.float64), b.astype(np.float64))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_collinear_and_constant_features_lose_no_digits() -> None:
    a, b = correlated(400, 10, 0), correlated(300, 10, 1)
    mixing = np.random.default_rng(2).standard_normal((10, 60))
    orthogonal = np.linalg.qr(mixing.T)[0].T
    padding = np.full((400, 1), 0.1), np.full((300, 1), 0.1)
    wide = np.concatenate([a @ orthogonal, padding[0]], axis=1), np.concatenate([b @ orthogonal, padding[1]], axis=1)
    assert frechet_distance(*wide) == pytest.approx(frechet_distance(a, b), rel=1e-9)
    full = correlated(300, 61, 3)
    root = scipy.linalg.sqrtm(np.cov(full, rowvar=False))
    middle = np.linalg.eigvalsh(root.real @ np.cov(wide[0], rowvar=False) @ root.real)
    shift = wide[0].mean(axis=0) - full.mean(axis=0)
    traces = np.trace(np.cov(wide[0], rowvar=False)) + np.trace(np.cov(full, rowvar=False))
    expected = shift @ shift + traces - 2 * np.sqrt(np.maximum(middle, 0)[-10:]).sum()
    assert frechet_distance(wide[0], full) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(np.zeros((9, 3)), np.ones((8, 3))) == 3
