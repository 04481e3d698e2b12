"""Maximum mean discrepancy of two sets of features, with a polynomial kernel (KID) and with a Gaussian one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.evaluation.measures.bootstrap import case_weights
from timeloom.evaluation.measures.inputs import (
    Floats,
    check_features,
    check_pair,
    column_means,
    float_blocks,
    squared_distances,
)

TILE = 2048
BANDWIDTH_ROWS = 2000

Kernel = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]


def kernel_distance(real: ArrayLike, synthetic: ArrayLike) -> float:
    """Kernel distance (KID) of real features (N, D) and synthetic ones (M, D); lower is better, about 0 best.

    The squared maximum mean discrepancy with the kernel `k(x, y) = (x . y / D + 1)^3`:
    `mean_{i != j} k(r_i, r_j) + mean_{i != j} k(s_i, s_j) - 2 mean_{i, j} k(r_i, s_j)` (Binkowski et al. 2018,
    section 4). Features are first scaled by the real ones' mean and deviation, or columns of large values alone would
    decide. It is unbiased at any N and M, so it may fall a little below 0, and sets of different sizes may be compared.

    It sees the first three moments of the features and no more, and no copies. The published number is a mean over
    random subsets of 1000; here all pairs are taken, at a cost that grows with `(N + M)^2 D`, in bounded memory.

    Raises:
        InputError: not (N, D) with N at least 2, not finite, or of different widths.
    """
    return Discrepancy.polynomial(real).value(synthetic)


def kernel_distance_replicates(real: ArrayLike, synthetic: ArrayLike, n_boot: int, seed: int) -> NDArray[np.float64]:
    """Kernel distances (n_boot,) of the real features to the synthetic ones drawn again with replacement.

    Pairs of a case with its own repetition are left out as those with itself are, so the replicates lie about the
    value. Every kernel value is computed once, for all replicates.

    Raises:
        InputError: as `kernel_distance`.
    """
    return Discrepancy.polynomial(real).replicates(synthetic, n_boot, seed)


def mmd(real: ArrayLike, synthetic: ArrayLike) -> float:
    """Squared maximum mean discrepancy of features (N, D) and (M, D), in [-2, 2]; lower is better, about 0 best.

    `mean_{i != j} k(r_i, r_j) + mean_{i != j} k(s_i, s_j) - 2 mean_{i, j} k(r_i, s_j)` (Gretton et al. 2012, eq. 3),
    unbiased, so a little below 0 at times. `k(x, y)` is the mean of `exp(-|x - y|^2 / (2 h^2))` at h of 0.5, 1 and 2
    times the median distance between *real* features, so that a bad generator cannot widen its own measure (of 2000
    evenly spaced real rows where there are more).

    With this kernel it is 0 only for equal distributions, but what is much finer than half that median (a fine
    structure within a class, copies) hardly moves it. Features are taken as they are: columns of large values weigh
    more. All pairs are taken, at a cost that grows with `(N + M)^2 D`, in bounded memory.

    Raises:
        InputError: not (N, D) with N at least 2, not finite, or of different widths.
    """
    return Discrepancy.gaussian(real).value(synthetic)


def mmd_replicates(real: ArrayLike, synthetic: ArrayLike, n_boot: int, seed: int) -> NDArray[np.float64]:
    """Values (n_boot,) of `mmd` of the real features to the synthetic ones drawn again with replacement.

    Built as `kernel_distance_replicates`.

    Raises:
        InputError: as `mmd`.
    """
    return Discrepancy.gaussian(real).replicates(synthetic, n_boot, seed)


class Discrepancy:
    """Squared discrepancy of one real set (N, D) to any number of others; what is among real rows is summed once."""

    def __init__(self, kernel: Kernel, real: Floats) -> None:
        self._kernel, self._real = kernel, real

    @classmethod
    def polynomial(cls, real: ArrayLike) -> Self:
        """With the kernel of `kernel_distance`."""
        rows = check_features(real, "real")
        return cls(_polynomial(rows), rows)

    @classmethod
    def gaussian(cls, real: ArrayLike) -> Self:
        """With the kernel of `mmd`."""
        rows = check_features(real, "real")
        return cls(_gaussian(rows), rows)

    def value(self, synthetic: ArrayLike) -> float:
        """The discrepancy to synthetic features (M, D)."""
        rows = check_pair(self._real, synthetic)[1]
        return float(self._weighted(rows, np.ones((1, len(rows))))[0])

    def replicates(self, synthetic: ArrayLike, n_boot: int, seed: int) -> NDArray[np.float64]:
        """Discrepancies (n_boot,) to synthetic features drawn again with replacement."""
        rows = check_pair(self._real, synthetic)[1]
        return self._weighted(rows, _redrawn(len(rows), n_boot, seed))

    def _weighted(self, synthetic: Floats, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Discrepancies (R,) for the counts (R, M) at which each synthetic row is taken."""
        n = weights.sum(axis=1)
        # Of the n^2 weighted pairs those of one row with itself or its own repetitions do not count.
        within = _pair_sums(self._kernel, synthetic, weights) / (n**2 - (weights**2).sum(axis=1))
        across = np.zeros(len(weights))
        for place, rows in float_blocks(synthetic, TILE):
            to_real = sum(self._kernel(rows, others).sum(axis=1) for _, others in float_blocks(self._real, TILE))
            across += weights[:, place] @ to_real
        return self._within_real + within - 2.0 * across / (n * len(self._real))

    @cached_property
    def _within_real(self) -> float:
        n = len(self._real)
        return float(_pair_sums(self._kernel, self._real, np.ones((1, n)))[0] / (n * (n - 1)))


def _polynomial(real: Floats) -> Kernel:
    mean = column_means(real)
    variance = sum(((rows - mean) ** 2).sum(axis=0) for _, rows in float_blocks(real)) / len(real)
    # A column whose spread is only the rounding of its mean is constant, and is not divided.
    held = variance > (1e-12 * np.abs(mean)) ** 2
    scale = np.sqrt(np.where(held, variance, 1.0))

    def kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        base = ((x - mean) / scale) @ ((y - mean) / scale).T / len(mean) + 1.0
        return base * base * base

    return kernel


def _gaussian(real: Floats) -> Kernel:
    mean = column_means(real)
    rows = np.unique(np.linspace(0, len(real) - 1, BANDWIDTH_ROWS).astype(np.int64))
    sample = np.asarray(real[rows], dtype=np.float64) - mean
    squares = squared_distances(sample, sample)[np.triu_indices(len(sample), k=1)]
    # Where most real rows are equal the median would be 0, and the kernel no kernel.
    positive = squares if np.median(squares) > 0 else squares[squares > 0]
    squared_median = float(np.median(np.sqrt(positive)) ** 2) if len(positive) else 1.0

    def kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        wide = np.exp(squared_distances(x - mean, y - mean) / (-8.0 * squared_median))
        middle = _fourth_power(wide)
        return (wide + middle + _fourth_power(middle)) / 3.0

    return kernel


def _fourth_power(values: NDArray[np.float64]) -> NDArray[np.float64]:
    squares = values * values
    return squares * squares


def _redrawn(n: int, n_boot: int, seed: int) -> NDArray[np.float64]:
    """Weights of redrawn sets; one that holds a single case over and over, and so no pair, is the set itself."""
    weights = case_weights(n, n_boot, seed)
    weights[weights.max(axis=1) == n] = 1.0
    return weights


def _pair_sums(kernel: Kernel, features: Floats, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums (R,) of `w_i w_j k(x_i, x_j)` over all ordered pairs of different rows, for weights (R, N)."""
    sums = np.zeros(len(weights))
    for place, rows in float_blocks(features, TILE):
        for other, others in float_blocks(features[place.start :], TILE):
            values = kernel(rows, others)
            if other.start == 0:
                np.fill_diagonal(values, 0.0)
            there = slice(place.start + other.start, place.start + other.stop)
            found = ((weights[:, place] @ values) * weights[:, there]).sum(axis=1)
            sums += found if other.start == 0 else 2.0 * found
    return sums
