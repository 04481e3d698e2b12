"""What codes stand for: which follow each other, which classes choose them, and whether new series choose others."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.tokens import check_tokens, code_shares

SHUFFLES = 20


def neighbour_counts(tokens: ArrayLike, codebook_size: int) -> NDArray[np.int64]:
    """How often code b comes right after code a, at each level of the tokens (N, S, L): (L, a, b).

    Over all pairs of neighbouring cells of one grid, the earlier one first: N (S - 1) pairs a level, none if S is 1.

    Raises:
        InputError: as `code_shares`.
    """
    grid = check_tokens(tokens, codebook_size)
    pairs = grid[:, :-1] * codebook_size + grid[:, 1:]
    counts = [np.bincount(level.ravel(), minlength=codebook_size**2) for level in np.moveaxis(pairs, 2, 0)]
    return np.stack(counts).reshape(-1, codebook_size, codebook_size)


def pointwise_information(counts: ArrayLike) -> NDArray[np.float64]:
    """Pointwise mutual information in nats of the pairs that were counted (..., A, B), of the same shape.

    `log p(a, b) / (p(a) p(b))`, p(a) and p(b) the margins of the counts (Church & Hanks 1990): 0 where a and b meet as
    often as by chance, above where more often; -inf where both occur and never meet, NaN where one does not occur.
    Where less than some five meetings are to be expected, it is mostly chance.

    Raises:
        InputError: counts that are negative, or not a table.
    """
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim < 2 or not np.isfinite(table).all() or (table < 0).any():
        raise InputError(f"counts have shape {table.shape}; allowed: finite, 0 or more, (..., n_first, n_second)")
    expected = table.sum(axis=-1, keepdims=True) * table.sum(axis=-2, keepdims=True)
    ratio = np.full(table.shape, np.nan)
    np.divide(table * table.sum(axis=(-2, -1), keepdims=True), expected, out=ratio, where=expected > 0)
    return np.log(ratio, out=np.where(ratio == 0, -np.inf, ratio), where=ratio > 0)


def class_shares(tokens: ArrayLike, labels: ArrayLike, codebook_size: int) -> tuple[NDArray, NDArray[np.float64]]:
    """The classes (G,), sorted, and how often each of them uses each code at each level, (G, L, codebook_size).

    A class's shares sum to 1 at each level of the tokens (N, S, L): they do not depend on how large it is.

    Raises:
        InputError: as `code_shares`, or labels that are not one a case.
    """
    grid, names = check_tokens(tokens, codebook_size), np.asarray(labels)
    if names.shape != (len(grid),):
        raise InputError(f"labels have shape {names.shape}; allowed: ({len(grid)},), one label for each case")
    classes = np.unique(names)
    return classes, np.stack([code_shares(grid[names == name], codebook_size) for name in classes])


def total_variation(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Total-variation distance of distributions (..., K), in [0, 1]; lower is better, 0 best.

    `sum_k |p_k - q_k| / 2`: the share of one that has to move to make it the other.

    Raises:
        InputError: other shapes, or what does not sum to 1.
    """
    p, q = (np.asarray(shares, dtype=np.float64) for shares in (first, second))
    if p.shape != q.shape or p.ndim == 0:
        raise InputError(f"shares have shapes {p.shape} and {q.shape}; allowed: the same, (..., codebook_size)")
    for shares in (p, q):
        if not np.allclose(shares.sum(axis=-1), 1) or (shares < 0).any():
            raise InputError(
                f"shares are at least {shares.min():g} and sum to {shares.sum(axis=-1).ravel()[0]:g}; "
                "allowed: 0 or more, and a sum of 1"
            )
    return np.abs(p - q).sum(axis=-1) / 2


def chance_variation(first: ArrayLike, second: ArrayLike, codebook_size: int, *, seed: int) -> NDArray[np.float64]:
    """What `total_variation` finds between two sets of cases of one source, by level (L,): its floor.

    The mean over 20 shuffles of the cases between two sets of tokens (N, S, L) and (M, S, L) of the sizes given.

    Raises:
        InputError: as `code_shares`, or sets of different positions or levels.
    """
    grids = [check_tokens(tokens, codebook_size) for tokens in (first, second)]
    if grids[0].shape[1:] != grids[1].shape[1:]:
        raise InputError(f"tokens have shapes {grids[0].shape} and {grids[1].shape}; allowed: as many cells and levels")
    together, n, rng = np.concatenate(grids), len(grids[0]), np.random.default_rng(seed)
    found = np.zeros(together.shape[2])
    for _ in range(SHUFFLES):
        order = rng.permutation(len(together))
        found += total_variation(*(code_shares(together[rows], codebook_size) for rows in (order[:n], order[n:])))
    return found / SHUFFLES
