"""The ridge classifier behind `augmentation_rocket`: known answers, an independent solution, edges, errors."""

from __future__ import annotations

import numpy as np
import pytest

from timeloom.errors import InputError
from timeloom.evaluation.measures.augmentation import PENALTIES, ridge_predictions


def clouds(n: int, seed: int, apart: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    return rng.standard_normal((n, 5)) + apart * np.eye(3, 5)[labels], np.array(["a", "b", "c"])[labels]


def test_clouds_that_lie_apart_are_told_apart() -> None:
    (X, y), (X_test, y_test) = clouds(90, 0, apart=8.0), clouds(60, 1, apart=8.0)
    assert np.mean(ridge_predictions(X, y, X_test) == y_test) == 1.0


def test_two_classes_by_the_normal_equations() -> None:
    X, labels = clouds(60, 0)
    y = labels == "a"
    X_test, _ = clouds(40, 1)
    mean, std = X.mean(axis=0), X.std(axis=0)
    Z, Z_test = (X - mean) / std, (X_test - mean) / std
    target = np.where(y, 1.0, -1.0)

    def leave_one_out(penalty: float) -> float:
        # a fit without row i, for every i, by hand
        total = 0.0
        for i in range(len(Z)):
            kept = np.arange(len(Z)) != i
            weights, centre = solve(Z[kept], target[kept], penalty)
            total += (target[i] - (Z[i] @ weights + centre)) ** 2
        return total

    def solve(A: np.ndarray, b: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
        shift, level = A.mean(axis=0), b.mean()
        centred = A - shift
        weights = np.linalg.solve(centred.T @ centred + penalty * np.eye(5), centred.T @ (b - level))
        return weights, level - shift @ weights

    weights, centre = solve(Z, target, min(PENALTIES, key=leave_one_out))
    np.testing.assert_array_equal(ridge_predictions(X, y, X_test), Z_test @ weights + centre > 0)


def test_units_do_not_matter_and_constant_features_do_no_harm() -> None:
    (X, y), (X_test, _) = clouds(60, 0), clouds(40, 1)
    scale = np.array([1.0, 1e3, 1e-3, 5.0, 1.0])
    first = ridge_predictions(X, y, X_test)
    np.testing.assert_array_equal(ridge_predictions(X * scale + 7, y, X_test * scale + 7), first)
    flat = [np.column_stack([part, np.ones(len(part))]) for part in (X, X_test)]
    np.testing.assert_array_equal(ridge_predictions(flat[0], y, flat[1]), first)


def test_what_does_not_fit_is_refused() -> None:
    X, y = clouds(12, 0)
    with pytest.raises(InputError, match="single class, a"):
        ridge_predictions(X, np.full(12, "a"), X)
    with pytest.raises(InputError, match=r"labels have shape \(11,\); allowed: \(12,\)"):
        ridge_predictions(X, y[:11], X)
    with pytest.raises(InputError, match="not finite"):
        ridge_predictions(X, y, np.full((3, 5), np.nan))
