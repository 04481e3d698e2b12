"""Maps of features in the plane: PCA, t-SNE, UMAP and densMAP of real and synthetic series together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_POINTS = 300
FEWEST_POINTS = 8
WIDTH_FOR_NEIGHBOURS = 50
N_NEIGHBOURS = 15
UMAP_MISSING = "it needs umap-learn: pip install timeloom[umap]"
NOT_FINITE = "it found no finite positions for these features"

Map = NDArray[np.float64] | str


def draw_rows(n_rows: int, seed: int, most: int = MAX_POINTS) -> NDArray[np.int64]:
    """Which of `n_rows` rows are drawn, ascending: all of them, or `most` chosen by the seed."""
    if n_rows <= most:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, size=most, replace=False))


def _tsne(components: NDArray[np.float64], seed: int) -> Map:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(components) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init=_start(components), max_iter=500, random_state=seed, n_jobs=1)
    return tsne.fit_transform(components.astype(np.float32))


def _umap(components: NDArray[np.float64], seed: int, densmap: bool = False) -> Map:
    try:
        import umap
    except ImportError:
        return UMAP_MISSING
    from sklearn.neighbors import NearestNeighbors

    wanted = min(N_NEIGHBOURS, len(components) - 1)
    distances, rows = NearestNeighbors(n_neighbors=wanted).fit(components).kneighbors(components)
    # Exact neighbours, given ready made: umap's own search would be compiled first, which takes longer than all else.
    options: dict[str, Any] = {
        "n_neighbors": wanted,
        "precomputed_knn": (rows, distances.astype(np.float32), None),
        "force_approximation_algorithm": True,
        "init": _start(components),
        "n_epochs": 200,
        "random_state": seed,
        "n_jobs": 1,
    }
    return umap.UMAP(densmap=densmap, **options).fit_transform(components.astype(np.float32))


def _start(components: NDArray[np.float64]) -> NDArray[np.float32]:
    """First two components, small, as both libraries like their first positions."""
    first = components[:, :2]
    return (first / max(float(np.abs(first).max()), 1e-12)).astype(np.float32)


def _finite(positions: Map) -> Map:
    if isinstance(positions, str) or np.isfinite(positions).all():
        return positions if isinstance(positions, str) else np.asarray(positions, dtype=np.float64)
    return NOT_FINITE


METHODS: dict[str, Callable[[NDArray[np.float64], int], Map]] = {
    "PCA": lambda components, seed: components[:, :2],
    "t-SNE": _tsne,
    "UMAP": _umap,
    "densMAP": partial(_umap, densmap=True),
}


def plane_maps(features: NDArray, seed: int, methods: Collection[str] = tuple(METHODS)) -> dict[str, Map]:
    """Positions (N, 2) of features (N, D) by the name of the method, or the reason why there are none.

    PCA keeps straight distances, t-SNE (van der Maaten and Hinton 2008) and UMAP (McInnes 2018) keep neighbours,
    densMAP (Narayan 2021) also keeps how dense a place is. The last three start from at most 50 principal components,
    which hardly changes who is whose neighbour and takes less time. N must be at least 8 (for PCA 2) and D at least 2.
    """
    from sklearn.decomposition import PCA

    values = np.asarray(features, dtype=np.float64)
    # The libraries warn of their own defaults, of threads and of ties: nothing that a reader of the page can act on.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        width = min(WIDTH_FOR_NEIGHBOURS, *values.shape)
        components = PCA(width, svd_solver="full").fit_transform(values)
        maps = {name: METHODS[name](components, seed) for name in methods}
    return {name: _finite(positions) for name, positions in maps.items()}


def mixing(positions: NDArray, is_synthetic: NDArray[np.bool_], n_neighbours: int = 10) -> float:
    """How well two sets mix in the plane: share of neighbours from the other set over its expectation when mixed.

    0: apart; about 1: mixed. The mean over all points (N, 2) of both sets.
    """
    from sklearn.neighbors import NearestNeighbors

    wanted = min(n_neighbours, len(positions) - 1)
    neighbours = NearestNeighbors(n_neighbors=wanted).fit(positions).kneighbors(return_distance=False)
    other = (is_synthetic[neighbours] != is_synthetic[:, None]).mean()
    share = is_synthetic.mean()
    expected = 2 * share * (1 - share) * len(positions) / (len(positions) - 1)
    return float(other / expected) if expected > 0 else 0.0
