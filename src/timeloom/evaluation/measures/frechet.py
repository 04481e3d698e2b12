"""Frechet distance between the Gaussians that fit two sets of features: FID, named after the encoder it rests on."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.evaluation.measures.bootstrap import case_weights
from timeloom.evaluation.measures.inputs import Floats, check_pair, column_means, float_blocks, projected

BOOTSTRAP_WIDTH = 128


def frechet_distance(real: ArrayLike, synthetic: ArrayLike) -> float:
    """Squared Frechet (2-Wasserstein) distance of two feature sets (N, D) seen as Gaussians; lower is better, 0 best.

    `|m_r - m_s|^2 + tr(S_r) + tr(S_s) - 2 tr((S_r S_s)^(1/2))` with means m and covariances S (ddof 1), in float64
    (Heusel et al. 2017, eq. 6). With centred factors `S = A^T A` the last trace is the nuclear norm of `A_r A_s^T`:
    no matrix square root, and nothing to regularise where a covariance is singular. It is biased upwards for small N:
    compare it only at equal N, and with its floor. It sees means and covariances alone: not the shape of the
    distribution, and not copies. Features are converted to float64 in blocks; memory grows with D^2, not with N.

    Raises:
        InputError: not (N, D) with N at least 2, not finite, or of different widths.
    """
    left, right = check_pair(real, synthetic)
    left_mean, right_mean = column_means(left), column_means(right)
    left_factor, right_factor = _covariance_factor(left, left_mean), _covariance_factor(right, right_mean)
    shift = left_mean - right_mean
    cross = np.linalg.svd(left_factor @ right_factor.T, compute_uv=False).sum()
    spread = (left_factor**2).sum() + (right_factor**2).sum() - 2.0 * cross
    return float(shift @ shift + max(spread, 0.0))


def frechet_replicates(real: ArrayLike, synthetic: ArrayLike, n_boot: int, seed: int) -> NDArray[np.float64]:
    """Frechet distances (n_boot,) of the real features to the synthetic ones drawn again with replacement.

    A redrawn set has fewer distinct rows, so these lie above the distance itself by its bias over again: use their
    spread, not their level (`bootstrap.centred_interval`). Rows are drawn whatever their class, so the chance of the
    class shares is in that spread, also where a generator was told the shares.

    Features wider than 128 are first projected on the 128 leading principal directions of both sets together, which
    hold the variance that makes the distance vary; each replicate then costs one weighted 128 x 128 moment sum over
    all rows and its eigenvalues.
    """
    left, right = check_pair(real, synthetic)
    left, right = _narrow(left, right)
    n = len(right)
    left_mean, centre = column_means(left), column_means(right)
    left_factor = _covariance_factor(left, left_mean)
    left_trace = (left_factor**2).sum()
    distances = np.empty(n_boot)
    for index, weights in enumerate(case_weights(n, n_boot, seed)):
        # Moments about the mean of the set itself: the redrawn mean lies close to it, and no digits are lost.
        mean, moment = _moments(right, centre, weights)
        covariance = (moment - n * np.outer(mean, mean)) / (n - 1)
        # tr((S_r S_s)^(1/2)): the square roots of the eigenvalues of A_r S_s A_r^T.
        eigenvalues = np.linalg.eigvalsh(left_factor @ covariance @ left_factor.T)
        cross = np.sqrt(np.maximum(eigenvalues, 0.0)).sum()
        shift = left_mean - centre - mean
        distances[index] = shift @ shift + left_trace + np.trace(covariance) - 2.0 * cross
    return distances


def _covariance_factor(features: Floats, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """A matrix A (at most min(N, D), D) with `A^T A` = covariance of the features (N, D), ddof 1."""
    n, width = features.shape
    if n <= width:
        return (features.astype(np.float64) - mean) / np.sqrt(n - 1)
    eigenvalues, directions = np.linalg.eigh(_moments(features, mean, np.ones(n))[1] / (n - 1))
    # Below this an eigenvalue is rounding, and its square root would be far larger than what it stands for.
    held = eigenvalues > width * np.finfo(np.float64).eps * eigenvalues[-1]
    return np.sqrt(eigenvalues[held])[:, None] * directions[:, held].T


def _moments(
    features: Floats, centre: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (D,) over rows and sum (D, D) of squares and products, both about the centre, of weighted features."""
    total, moment = np.zeros(len(centre)), np.zeros((len(centre), len(centre)))
    for place, rows in float_blocks(features):
        # A third of the rows is not drawn; and a product of a matrix with itself takes half the work of another.
        used = np.flatnonzero(weights[place])
        rooted = (rows[used] - centre) * np.sqrt(weights[place][used, None])
        total += np.sqrt(weights[place][used]) @ rooted
        moment += rooted.T @ rooted
    return total / weights.sum(), moment


def _narrow(left: Floats, right: Floats) -> tuple[Floats, Floats]:
    if left.shape[1] <= BOOTSTRAP_WIDTH:
        return left, right
    centre = (len(left) * column_means(left) + len(right) * column_means(right)) / (len(left) + len(right))
    moment = sum(_moments(rows, centre, np.ones(len(rows)))[1] for rows in (left, right))
    directions = np.linalg.eigh(moment)[1][:, -BOOTSTRAP_WIDTH:]
    return projected(left, directions), projected(right, directions)
