"""What the measures share: checks of their arrays, passes over them in blocks, distances between rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.errors import InputError

# float64 values of one working array: 32 MB
BLOCK_VALUES = 4_000_000

Floats = NDArray[np.floating[Any]]


def check_features(features: ArrayLike, name: str) -> Floats:
    """Features as an array (N, D) with at least two rows, all finite.

    float32 and float64 features are passed on without a copy, others become float64: a measure converts them block by
    block (`float_blocks`), so that wide float32 features of many series are never held twice.

    Raises:
        InputError: another number of dimensions, fewer than 2 rows, no column, or a value that is not finite.
    """
    rows = _floats(features)
    if rows.ndim != 2 or rows.shape[0] < 2 or rows.shape[1] < 1:
        raise InputError(f"{name} features have shape {rows.shape}; allowed: (N, D) with N at least 2 and D at least 1")
    _check_finite(rows, f"{name} features are not finite in row")
    return rows


def check_pair(real: ArrayLike, synthetic: ArrayLike) -> tuple[Floats, Floats]:
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


def check_series_pair(real: ArrayLike, synthetic: ArrayLike) -> tuple[Floats, Floats]:
    """Real (N, C, T) and synthetic (M, C, T) series, all finite, of equal channels and length.

    Raises:
        InputError: another number of dimensions, an empty one, a value that is not finite, or unequal C or T.
    """
    left, right = _floats(real), _floats(synthetic)
    for name, series in (("real", left), ("synthetic", right)):
        if series.ndim != 3 or 0 in series.shape:
            raise InputError(
                f"{name} series have shape {series.shape}; "
                "allowed: (n_cases, n_channels, n_timepoints), each at least 1"
            )
        _check_finite(series, f"{name} series are not finite in case")
    if left.shape[1:] != right.shape[1:]:
        raise InputError(
            f"synthetic series have {right.shape[1]} channels of length {right.shape[2]}; "
            f"allowed: {left.shape[1]} channels of length {left.shape[2]}, as in the real ones"
        )
    return left, right


def float_blocks(cases: Floats, size: int | None = None) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """The cases (first axis) in order, as float64 blocks of `size` cases, each with its place.

    Without a size, as many cases as make `BLOCK_VALUES` values.
    """
    step = size or max(1, BLOCK_VALUES // max(1, cases[0].size))
    for start in range(0, len(cases), step):
        place = slice(start, min(start + step, len(cases)))
        yield place, np.asarray(cases[place], dtype=np.float64)


def column_means(features: Floats) -> NDArray[np.float64]:
    """Mean (D,) of each column of the features (N, D), in float64."""
    total = np.zeros(features.shape[1])
    for _, rows in float_blocks(features):
        total += rows.sum(axis=0)
    return total / len(features)


def projected(features: Floats, directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Features (N, D) seen along directions (D, P), as (N, P) in float64."""
    return np.concatenate([rows @ directions for _, rows in float_blocks(features)])


def squared_distances(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared Euclidean distances (n, m) of rows (n, D) from rows (m, D), exactly 0 between equal rows.

    By the expanded square, which loses digits near 0: what is below the rounding of the squares counts as 0. Centre
    the rows first, so that the squares are no larger than they need be.
    """
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)
    distances = left @ right.T
    distances *= -2.0
    distances += squares
    squares *= 1e-12
    distances[distances < squares] = 0.0
    return distances


def _floats(values: ArrayLike) -> Floats:
    array = np.asarray(values)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _check_finite(cases: Floats, complaint: str) -> None:
    step = max(1, BLOCK_VALUES // max(1, cases[0].size))
    for start in range(0, len(cases), step):
        finite = np.isfinite(cases[start : start + step])
        if not finite.all():
            row = start + int(np.argwhere(~finite)[0, 0])
            raise InputError(f"{complaint} {row}; allowed: finite numbers")
