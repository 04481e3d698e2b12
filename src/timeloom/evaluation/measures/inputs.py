"""Checks that the metrics share."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.errors import InputError


def check_features(features: ArrayLike, name: str) -> NDArray[np.float64]:
    """Features as a float64 array (N, D) with at least two rows, all finite.

    Raises:
        InputError: another number of dimensions, fewer than 2 rows, no column, or a value that is not finite.
    """
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[0] < 2 or rows.shape[1] < 1:
        raise InputError(f"{name} features have shape {rows.shape}; allowed: (N, D) with N at least 2 and D at least 1")
    if not np.isfinite(rows).all():
        row = int(np.argwhere(~np.isfinite(rows))[0, 0])
        raise InputError(f"{name} features are not finite in row {row}; allowed: finite numbers")
    return rows


def check_pair(real: ArrayLike, synthetic: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Real and synthetic features, checked, of equal width.

    Raises:
        InputError: either is not (N, D) and finite, or the widths differ.
    """
    left, right = check_features(real, "real"), check_features(synthetic, "synthetic")
    if left.shape[1] != right.shape[1]:
        raise InputError(
            f"synthetic features are {right.shape[1]} wide, real ones {left.shape[1]}; allowed: equal widths"
        )
    return left, right
