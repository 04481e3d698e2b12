"""Frechet distance between the Gaussians that fit two sets of features: FID, named after the encoder it rests on."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.evaluation.measures.inputs import check_pair

BOOTSTRAP_WIDTH = 128


def frechet_distance(real: ArrayLike, synthetic: ArrayLike) -> float:
    """Squared Frechet (2-Wasserstein) distance of two feature sets (N, D) seen as Gaussians; lower is better, 0 best.

    `|m_r - m_s|^2 + tr(S_r) + tr(S_s) - 2 tr((S_r S_s)^(1/2))` with means m and covariances S (ddof 1), in float64
    (Heusel et al. 2017, eq. 6). With centred factors `S = A^T A` the last trace is the nuclear norm of `A_r A_s^T`:
    no matrix square root, and nothing to regularise where a covariance is singular. It is biased upwards for small N:
    compare it only at equal N, and with its floor.

    Raises:
        InputError: not (N, D) with N at least 2, not finite, or of different widths.
    """
    left, right = check_pair(real, synthetic)
    shift = left.mean(axis=0) - right.mean(axis=0)
    left_factor, right_factor = _covariance_factor(left), _covariance_factor(right)
    cross = np.linalg.svd(left_factor @ right_factor.T, compute_uv=False).sum()
    spread = (left_factor**2).sum() + (right_factor**2).sum() - 2.0 * cross
    return float(shift @ shift + max(spread, 0.0))


def frechet_replicates(real: ArrayLike, synthetic: ArrayLike, n_boot: int, seed: int) -> NDArray[np.float64]:
    """Frechet distances (n_boot,) of the real features to the synthetic ones drawn again with replacement.

    A redrawn set has fewer distinct rows, so these lie above the distance itself by its bias over again: use their
    spread, not their level (`bootstrap.centred_interval`). Rows are drawn whatever their class, so the chance of the
    class shares is in that spread, also where a generator was told the shares.

    Features wider than 128 are first projected on the 128 leading principal directions of both sets together, which
    hold the variance that makes the distance vary; each replicate then costs one weighted 128 x 128 moment sum and
    its eigenvalues.
    """
    left, right = check_pair(real, synthetic)
    left, right = _narrow(left, right)
    n = len(right)
    left_factor = _covariance_factor(left)
    left_mean, left_trace = left.mean(axis=0), (left_factor**2).sum()
    centre = right.mean(axis=0)
    centred = right - centre
    rng = np.random.default_rng(seed)
    distances = np.empty(n_boot)
    for index in range(n_boot):
        weights = rng.multinomial(n, np.full(n, 1.0 / n)).astype(np.float64)
        mean = weights @ centred / n
        moment = (centred * weights[:, None]).T @ centred
        covariance = (moment - n * np.outer(mean, mean)) / (n - 1)
        # tr((S_r S_s)^(1/2)): the square roots of the eigenvalues of A_r S_s A_r^T.
        eigenvalues = np.linalg.eigvalsh(left_factor @ covariance @ left_factor.T)
        cross = np.sqrt(np.maximum(eigenvalues, 0.0)).sum()
        shift = left_mean - centre - mean
        distances[index] = shift @ shift + left_trace + np.trace(covariance) - 2.0 * cross
    return distances


def _covariance_factor(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """A matrix A (min(N, D), D) with `A^T A` = covariance of the features (N, D), ddof 1."""
    factor = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    return np.asarray(np.linalg.qr(factor, mode="r")) if factor.shape[0] > factor.shape[1] else factor


def _narrow(left: NDArray[np.float64], right: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if left.shape[1] <= BOOTSTRAP_WIDTH:
        return left, right
    both = np.concatenate([left, right])
    centred = both - both.mean(axis=0)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, -BOOTSTRAP_WIDTH:]
    return left @ directions, right @ directions
