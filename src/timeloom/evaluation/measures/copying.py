"""Does a generator copy? Distances to the nearest training series."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.encoders.inputs import SeriesScaler
from timeloom.errors import InputError

CLOSE_QUANTILE = 0.05
BLOCK_VALUES = 4_000_000


def copy_share(train: ArrayLike, candidates: ArrayLike) -> float:
    """Share of the candidate series that lie suspiciously close to a training series, in [0, 1]; lower is better.

    The mean of `is_copy`. New series from the same source score about 0.05: compare with the share of the held-out
    real series, and with 1, the share of copies.

    Raises:
        InputError: fewer than 2 training series, or candidates of other channels or length.
    """
    return float(is_copy(train, candidates).mean())


def is_copy(train: ArrayLike, candidates: ArrayLike) -> NDArray[np.bool_]:
    """Which candidate series (N, C, T) lie suspiciously close to a training series (M, C, T), (N,).

    Those whose distance to the nearest training series is at or below the 5 % quantile of the distances from each
    training series to the nearest *other* one (linear between order statistics). Series are scaled per channel by
    training statistics, missing values interpolated; the distance is Euclidean over all channels and times. Where
    more than 5 % of the training series have a duplicate that quantile is 0, and only exact copies count (to float32
    rounding). Two training series have one distance, which is then the threshold.

    Raises:
        InputError: fewer than 2 training series, or candidates of other channels or length.
    """
    scaler = SeriesScaler.fit(train)
    reference = _flat(scaler, train)
    if len(reference) < 2:
        raise InputError(f"train holds {len(reference)} series; allowed: at least 2, to know how far apart they lie")
    threshold = np.quantile(nearest_distances(reference, reference, leave_self_out=True), CLOSE_QUANTILE)
    # A copy that was stored and read again may be off by a rounding, and must not escape by that.
    rounding = 1e-5 * np.sqrt(reference.shape[1])
    return nearest_distances(_flat(scaler, candidates), reference) <= threshold + rounding


def nearest_distances(
    candidates: NDArray[np.float64], reference: NDArray[np.float64], *, leave_self_out: bool = False
) -> NDArray[np.float64]:
    """Euclidean distance (N,) from each candidate (N, V) to the nearest row of the reference (M, V).

    With `leave_self_out` row i of the candidates is row i of the reference and may not be its own neighbour (a
    duplicate of it may). Computed in blocks, so that no more than a few million distances are in memory.
    """
    squares = (reference**2).sum(axis=1)
    nearest = np.empty(len(candidates))
    block = max(1, BLOCK_VALUES // len(reference))
    for start in range(0, len(candidates), block):
        rows = candidates[start : start + block]
        within = squares - 2.0 * (rows @ reference.T)
        if leave_self_out:
            within[np.arange(len(rows)), start + np.arange(len(rows))] = np.inf
        closest = within.argmin(axis=1)
        # The expansion of the square loses digits near 0: the distance itself is taken from the difference.
        nearest[start : start + block] = np.sqrt(((rows - reference[closest]) ** 2).sum(axis=1))
    return nearest


def _flat(scaler: SeriesScaler, X: ArrayLike) -> NDArray[np.float64]:
    series = scaler.transform(X)
    return series.reshape(len(series), -1).astype(np.float64)
