"""Precision, recall, density and coverage: is each synthetic case among the real ones, and the other way round?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.inputs import Floats, check_pair, column_means, float_blocks, squared_distances

TILE = 2048
# A case exactly on a sphere counts as inside it, whatever the order of summation made of its distance.
ROUNDING = 1.0 + 1e-9


@dataclass(frozen=True, eq=False)
class ManifoldScores:
    """Scores of single cases, whose means are the measures; higher is better.

    Attributes:
        precision: (M,), 1 where the synthetic case lies among the real ones, else 0.
        density: (M,), in how many real spheres the synthetic case lies, divided by k; 0 or more.
        recall: (N,), 1 where the real case lies among the synthetic ones, else 0.
        coverage: (N,), 1 where a synthetic case lies in the real case's sphere, else 0.
    """

    precision: NDArray[np.float64]
    density: NDArray[np.float64]
    recall: NDArray[np.float64]
    coverage: NDArray[np.float64]


def manifold_scores(real: ArrayLike, synthetic: ArrayLike, k: int = 5) -> ManifoldScores:
    """Scores of the cases of real features (N, D) and synthetic ones (M, D); each mean: higher is better.

    Around every case lies a sphere that reaches to its k-th nearest neighbour in its own set, itself not counted.
    Precision: the synthetic case is in a real sphere; recall: the real case is in a synthetic sphere (Kynkaanniemi et
    al. 2019, eq. 1 and 2). Density: number of real spheres that hold the synthetic case, divided by k; coverage: the
    real case's sphere holds a synthetic case (Naeem et al. 2020, section 3). Precision and density ask whether single
    cases are good, recall and coverage whether the set is complete.

    Sizes: spheres shrink as their set grows, so compare only at equal N, equal M and equal k. For equal
    distributions mean density is 1 and mean coverage `1 - prod_{i=1..k} (N - i) / (N + M - i)`, about `1 - 2^-k` at
    N = M; precision and recall have no such value and need their floor. Recall of few synthetic cases is flattering:
    their spheres are large, and one outlier among them can hold most of the real set (density and coverage were made
    against that).

    Duplicates: each repetition counts as a neighbour and as a case. More than k equal cases have a sphere of radius
    0, which holds only cases equal to them. Copies of real cases score 1 in precision: copying is not seen here.

    Cost grows with `(N + M)^2 D`, in bounded memory.

    Raises:
        InputError: features not (N, D), not finite or of different widths, or k not in 1..n - 1 of either set.
    """
    left, right = check_pair(real, synthetic)
    fewest = min(len(left), len(right))
    if not 1 <= k < fewest:
        raise InputError(f"k is {k}; allowed: 1..{fewest - 1}, the smaller set has {fewest} cases")
    centre = column_means(left)
    real_radii, synthetic_radii = _squared_radii(left, centre, k), _squared_radii(right, centre, k)
    density = np.zeros(len(right))
    recalled, covered = np.zeros(len(left), dtype=bool), np.zeros(len(left), dtype=bool)
    for row, cases in float_blocks(right, TILE):
        for column, others in float_blocks(left, TILE):
            distances = squared_distances(cases - centre, others - centre)
            in_real_sphere = distances <= real_radii[column]
            density[row] += in_real_sphere.sum(axis=1)
            covered[column] |= in_real_sphere.any(axis=0)
            recalled[column] |= (distances <= synthetic_radii[row, None]).any(axis=0)
    return ManifoldScores(
        precision=(density > 0).astype(np.float64),
        density=density / k,
        recall=recalled.astype(np.float64),
        coverage=covered.astype(np.float64),
    )


def _squared_radii(features: Floats, centre: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Squared distance (N,) of each row to its k-th nearest other row, with room for rounding."""
    radii = np.empty(len(features))
    for row, cases in float_blocks(features, TILE):
        nearest = np.full((len(cases), k), np.inf)
        for column, others in float_blocks(features, TILE):
            distances = squared_distances(cases - centre, others - centre)
            if column == row:
                np.fill_diagonal(distances, np.inf)
            candidates = np.concatenate([nearest, distances], axis=1)
            nearest = np.partition(candidates, k - 1, axis=1)[:, :k]
        radii[row] = nearest.max(axis=1) * ROUNDING
    return radii
