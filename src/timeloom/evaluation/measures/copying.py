"""Does a generator copy? Distances to the nearest training series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.encoders.inputs import SeriesScaler
from timeloom.errors import InputError
from timeloom.evaluation.measures.inputs import Floats, float_blocks

CLOSE_QUANTILE = 0.05
TILE = 1024


class NearestTraining(NamedTuple):
    """The training series nearest to each candidate.

    Attributes:
        row: (N,), place of the nearest series in the training set; any one of equals.
        distance: (N,), Euclidean distance to it, in scaled units.
        threshold: the distance at or below which a candidate counts as a copy.
    """

    row: NDArray[np.int64]
    distance: NDArray[np.float64]
    threshold: float


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

    Those whose distance to the nearest training series is at or below the threshold of `nearest_training`, which
    also takes series that are scaled and flat already, (N, V) and (M, V).

    Raises:
        InputError: fewer than 2 training series, or candidates of other channels or length.
    """
    nearest = nearest_training(train, candidates)
    return nearest.distance <= nearest.threshold


def nearest_training(train: ArrayLike, candidates: ArrayLike) -> NearestTraining:
    """The training series (M, C, T) nearest to each candidate (N, C, T), how far it is, and how near is too near.

    Series are scaled per channel by training statistics, missing values interpolated; distances are Euclidean over
    all channels and times. Rows (M, V) and (N, V) count as scaled and flat already and are taken as they are.

    The threshold is the 5 % quantile of the distances from each training series to the nearest *other* one (linear
    between order statistics). Where more than 5 % of the training series have a duplicate that quantile is 0, and only
    exact copies count (to float32 rounding). Two training series have one distance, which is then the threshold.

    Raises:
        InputError: fewer than 2 training series, or candidates of other channels or length.
    """
    return nearest_training_of_each(train, {"candidates": candidates})["candidates"]


def nearest_training_of_each(train: ArrayLike, candidates: Mapping[str, ArrayLike]) -> dict[str, NearestTraining]:
    """`nearest_training` of several sets of candidates by name; their one threshold is found once.

    Raises:
        InputError: as `nearest_training`.
    """
    if np.ndim(train) == 2:
        reference = check_rows(train, "train")
        rows = {name: check_rows(part, name) for name, part in candidates.items()}
        for part in rows.values():
            check_widths(part, reference)
    else:
        scaler = SeriesScaler.fit(train)
        reference, rows = _flat(scaler, train), {name: _flat(scaler, part) for name, part in candidates.items()}
    if len(reference) < 2:
        raise InputError(f"train holds {len(reference)} series; allowed: at least 2, to know how far apart they lie")
    threshold = too_near(reference)
    nearest = {name: nearest_rows(part, reference) for name, part in rows.items()}
    return {name: NearestTraining(row[:, 0], distance[:, 0], threshold) for name, (row, distance) in nearest.items()}


def too_near(reference: Floats) -> float:
    """The threshold of `nearest_training` for at least two training series that are scaled and flat, (M, V)."""
    threshold = np.quantile(nearest_distances(reference, reference, leave_self_out=True), CLOSE_QUANTILE)
    # A copy that was stored and read again may be off by a rounding, and must not escape by that.
    return float(threshold + 1e-5 * np.sqrt(reference.shape[1]))


def nearest_distances(candidates: Floats, reference: Floats, *, leave_self_out: bool = False) -> NDArray[np.float64]:
    """Euclidean distance (N,) from each candidate (N, V) to the nearest row of the reference (M, V).

    With `leave_self_out` row i of the candidates is row i of the reference and may not be its own neighbour (a
    duplicate of it may).
    """
    return nearest_rows(candidates, reference, leave_self_out=leave_self_out)[1][:, 0]


def nearest_rows(
    candidates: Floats, reference: Floats, k: int = 1, *, leave_self_out: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k rows of the reference (M, V) nearest to each candidate (N, V), nearest first, and their distances, (N, k).

    Distances are Euclidean, in float64, computed in tiles of a million, so that neither all distances nor float64
    copies of float32 rows are ever in memory. `leave_self_out` as in `nearest_distances`.
    """
    places = np.zeros((len(candidates), k), dtype=np.int64)
    distances = np.empty((len(candidates), k))
    for block, rows in float_blocks(candidates, TILE):
        best = np.full((len(rows), k), np.inf)
        for tile, others in float_blocks(reference, TILE):
            # The square of the difference, less the candidate's own square, which decides nothing.
            within = rows @ others.T
            within *= -2.0
            within += (others**2).sum(axis=1)
            if leave_self_out:
                own = np.arange(max(block.start, tile.start), min(block.stop, tile.stop))
                within[own - block.start, own - tile.start] = np.inf
            _keep_nearest(places[block], best, within, tile.start)
        # The expansion of the square loses digits near 0: the distances themselves are taken from the differences.
        for column in range(k):
            gaps = rows - reference[places[block, column]]
            distances[block, column] = np.sqrt((gaps**2).sum(axis=1))
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(places, order, axis=1), np.take_along_axis(distances, order, axis=1)


def check_rows(rows: ArrayLike, name: str, at_least: int = 1) -> Floats:
    """Scaled and flat series as an array (N, V), float32 or float64, all finite.

    Raises:
        InputError: another number of dimensions, fewer than `at_least` rows, no column, or a value that is not finite.
    """
    found = np.asarray(rows)
    if found.ndim != 2 or len(found) < at_least or found.shape[1] < 1:
        raise InputError(f"{name} has shape {found.shape}; allowed: (N, V) with N at least {at_least}, V at least 1")
    found = found if found.dtype in (np.float32, np.float64) else found.astype(np.float64)
    for place, block in float_blocks(found):
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise InputError(
                f"{name} is not finite in row {place.start + int(np.argmin(finite))}; allowed: finite numbers"
            )
    return found


def check_widths(candidates: Floats, reference: Floats) -> None:
    """Check that candidates (N, V) and reference (M, V) have one width.

    Raises:
        InputError: they differ.
    """
    if candidates.shape[1] != reference.shape[1]:
        raise InputError(
            f"candidates are {candidates.shape[1]} values wide, the reference {reference.shape[1]}; "
            "allowed: equal widths"
        )


def _keep_nearest(
    places: NDArray[np.int64], best: NDArray[np.float64], within: NDArray[np.float64], start: int
) -> None:
    """Merge a tile's (n, m) distances, of reference rows from `start` on, into the k best so far, in place."""
    k = best.shape[1]
    everyone = np.arange(len(within))
    for _ in range(min(k, within.shape[1])):
        closest = within.argmin(axis=1)
        found = within[everyone, closest]
        within[everyone, closest] = np.inf
        worst = best.argmax(axis=1)
        better = found < best[everyone, worst]
        best[everyone[better], worst[better]] = found[better]
        places[everyone[better], worst[better]] = start + closest[better]


def _flat(scaler: SeriesScaler, X: ArrayLike) -> NDArray[np.float32]:
    series = scaler.transform(X)
    return series.reshape(len(series), -1)
