"""Sliced Wasserstein distance: how far must mass move, seen along many random directions?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.bootstrap import case_weights
from timeloom.evaluation.measures.inputs import BLOCK_VALUES, Floats, check_pair, projected


def sliced_wasserstein(real: ArrayLike, synthetic: ArrayLike, n_projections: int = 128, seed: int = 0) -> float:
    """Sliced 1-Wasserstein distance of rows (N, D) and (M, D), in their units; lower is better, 0 best.

    `mean_theta integral |F_theta(u) - G_theta(u)| du` over `n_projections` directions theta, uniform on the unit
    sphere, with F and G the distribution functions of the projected rows (Rabin et al. 2011; Bonneel et al. 2015);
    exact along each direction for any N and M. Rows are features, or whole series flattened and scaled.

    A shift by v gives about `|v| sqrt(2 / (pi D))`: compare only at equal D. It is biased upwards for small N and M:
    compare at equal sizes, and with its floor. A difference in one of many directions is spread thin, and copies are
    not seen.

    Raises:
        InputError: rows not (N, D) with N at least 2, not finite or of different widths, or `n_projections` below 1.
    """
    left, right = check_pair(real, synthetic)
    return float(_distances(left, right, np.ones((1, len(right))), n_projections, seed)[0])


def sliced_wasserstein_replicates(
    real: ArrayLike, synthetic: ArrayLike, n_boot: int, seed: int, n_projections: int = 128, projection_seed: int = 0
) -> NDArray[np.float64]:
    """Sliced distances (n_boot,) of the real rows to the synthetic ones drawn again with replacement by `seed`.

    The directions are those of `sliced_wasserstein(..., seed=projection_seed)`. Use the spread of the replicates, not
    their level (`bootstrap.centred_interval`): a redrawn set has fewer distinct rows.

    Raises:
        InputError: as `sliced_wasserstein`.
    """
    left, right = check_pair(real, synthetic)
    return _distances(left, right, case_weights(len(right), n_boot, seed), n_projections, projection_seed)


def _distances(
    real: Floats, synthetic: Floats, weights: NDArray[np.float64], n_projections: int, seed: int
) -> NDArray[np.float64]:
    """Distances (R,) for the counts (R, M) at which each synthetic row is taken."""
    if n_projections < 1:
        raise InputError(f"n_projections is {n_projections}; allowed: at least 1")
    directions = np.random.default_rng(seed).standard_normal((real.shape[1], n_projections))
    directions /= np.linalg.norm(directions, axis=0)
    shares = weights / weights.sum(axis=1, keepdims=True)
    total = np.zeros(len(weights))
    for left, right in zip(projected(real, directions).T, projected(synthetic, directions).T, strict=True):
        total += _line_distances(left, right, shares)
    return total / n_projections


def _line_distances(
    left: NDArray[np.float64], right: NDArray[np.float64], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """1-Wasserstein distances (R,) of values (N,), equal shares, and values (M,) of shares (R, M)."""
    n = len(left)
    values = np.concatenate([left, right])
    order = np.argsort(values, kind="stable")
    gaps = np.diff(values[order])
    below = np.cumsum(np.where(order < n, 1.0 / n, 0.0))[:-1]
    from_right = np.flatnonzero(order >= n)
    distances = np.empty(len(shares))
    step = max(1, BLOCK_VALUES // len(values))
    for start in range(0, len(shares), step):
        steps = np.zeros((len(shares[start : start + step]), len(values)))
        steps[:, from_right] = shares[start : start + step, order[from_right] - n]
        distances[start : start + step] = np.abs(np.cumsum(steps, axis=1)[:, :-1] - below) @ gaps
    return distances
