"""How a tokenizer uses its codebook, and whether synthetic tokens go together as real ones do."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from timeloom.errors import InputError

MOST_CASES = 2000


def code_shares(tokens: ArrayLike, codebook_size: int) -> NDArray[np.float64]:
    """Relative frequency of each code at each level of the tokens (N, S, L), (L, codebook_size); rows sum to 1.

    Raises:
        InputError: not whole numbers of shape (N, S, L), or a code outside [0, codebook_size).
    """
    counts = _counts(check_tokens(tokens, codebook_size), codebook_size).sum(axis=0)
    return counts / counts.sum(axis=1, keepdims=True)


def token_entropy(tokens: ArrayLike, codebook_size: int) -> float:
    """Entropy of code use in nats, in [0, log codebook_size]; higher is better for a tokenizer.

    `-sum_k p_k log p_k` of the code shares of each level of the tokens (N, S, L), averaged over the levels.

    Raises:
        InputError: as `code_shares`.
    """
    return float(_entropies(code_shares(tokens, codebook_size)).mean())


def perplexity(tokens: ArrayLike, codebook_size: int) -> float:
    """Perplexity of code use, exp(entropy in nats), in [1, codebook_size]; higher is better.

    Computed on the code frequencies of each level of the tokens (N, S, L), then averaged over the levels.

    Raises:
        InputError: as `code_shares`.
    """
    return float(np.exp(_entropies(code_shares(tokens, codebook_size))).mean())


def usage(tokens: ArrayLike, codebook_size: int) -> float:
    """Share of the codebook's codes that occur at all, in (0, 1]; higher is better.

    Computed on each level of the tokens (N, S, L), then averaged over the levels.

    Raises:
        InputError: as `code_shares`.
    """
    return float((code_shares(tokens, codebook_size) > 0).mean(axis=1).mean())


def gini(tokens: ArrayLike, codebook_size: int) -> float:
    """Gini coefficient of code use, in [0, 1 - 1 / codebook_size]: 0 all codes equally, highest a single one.

    Lower is better for a tokenizer. `sum_ij |p_i - p_j| / (2 K)` over all pairs of the K codes' shares, of each level
    of the tokens (N, S, L), averaged over the levels.

    Raises:
        InputError: as `code_shares`.
    """
    ordered = np.sort(code_shares(tokens, codebook_size), axis=1)
    ranks = 2.0 * np.arange(1, codebook_size + 1) - codebook_size - 1.0
    return float((ordered @ ranks / codebook_size).mean())


def code_cosine(tokens: ArrayLike, codes: ArrayLike) -> float:
    """Mean |cosine| between the code vectors in use, in [0, 1]; lower is better: the codes point in more directions.

    Over all pairs of different codes (L, K, D) of a level that the tokens (N, S, L) choose at least once, averaged over
    the levels. Codes that nothing chooses are left out: dead ones often lie near zero or near each other, and say
    nothing of what the prior reads. A level with a single code in use has no pair and is left out; NaN if all are so.
    Independent directions give about sqrt(2 / (pi D)), not 0. What the penalty of Shin et al. 2023, "Exploration into
    translation-equivariant image quantization", acts on.

    Raises:
        InputError: as `code_shares`, or codes of another number of levels.
    """
    vectors = np.asarray(codes, dtype=np.float64)
    if vectors.ndim != 3 or not np.isfinite(vectors).all():
        raise InputError(f"codes have shape {vectors.shape}; allowed: finite (n_levels, codebook_size, dim)")
    shares = code_shares(tokens, vectors.shape[1])
    if len(shares) != len(vectors):
        raise InputError(f"codes have {len(vectors)} levels, the tokens {len(shares)}; allowed: the same")
    means = [_mean_cosine(of[used]) for of, used in zip(vectors, shares > 0, strict=True) if used.sum() > 1]
    return float(np.mean(means)) if means else float("nan")


def _mean_cosine(vectors: NDArray[np.float64]) -> float:
    """Mean |cosine| over the pairs of rows of vectors (K, D), K at least 2; a zero vector is at right angles to all."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    cosines = np.abs(unit @ unit.T)
    return float((cosines.sum() - np.trace(cosines)) / (len(unit) * (len(unit) - 1)))


def token_divergence(real_tokens: ArrayLike, synthetic_tokens: ArrayLike, codebook_size: int) -> float:
    """KL(real || synthetic) of the code distributions at a place, in nats; lower is better, 0 best.

    Codes of the real tokens (N, S, L) and the synthetic ones (M, S, L) are counted at each position and level, one
    half is added to each count (Krichevsky & Trofimov 1981), and the divergences of these shares are averaged over
    positions and levels. Two samples of one source score about (K - 1) / 2 (1 / N + 1 / M) where N and M are many
    times K, less where they are not: read it beside a floor of the same sizes. It sees no dependence between places.

    Raises:
        InputError: as `code_shares`, or sets of different positions or levels.
    """
    grids = [check_tokens(tokens, codebook_size) for tokens in (real_tokens, synthetic_tokens)]
    if grids[0].shape[1:] != grids[1].shape[1:]:
        raise InputError(
            f"synthetic tokens have shape {grids[1].shape}, real ones {grids[0].shape}; "
            "allowed: as many positions and levels"
        )
    real, synthetic = ((_counts(grid, codebook_size) + 0.5) / (len(grid) + 0.5 * codebook_size) for grid in grids)
    return float((real * np.log(real / synthetic)).sum(axis=2).mean())


def position_information(tokens: ArrayLike, codebook_size: int) -> NDArray[np.float64]:
    """Mutual information in nats between the codes of two positions (level 0), (S, S); symmetric.

    How much the tokens (N, S, L) at two positions say of each other: compare the matrix of synthetic tokens with that
    of real ones. Adjusted for chance, `(I - E) / (H - E) * H`: plain mutual information I of a few hundred cases and
    K^2 pairs of codes lies far above 0 even where positions are independent, and the usual corrections (Miller &
    Madow) hold only for N well above K^2. E is the exact expectation of I when one position's codes are shuffled among
    the cases, H the smaller of the two entropies (Vinh et al. 2010, section 4, adjusted-for-chance form, in nats).
    Independent positions give 0 on average (a little below at times), equal ones their entropy, also on the diagonal;
    0 where E leaves no room below H, as where every case has a code of its own or all have the same.

    Of more than 2000 cases 2000 are taken, evenly spaced.

    Raises:
        InputError: as `code_shares`.
    """
    return _information(_thinned(check_tokens(tokens, codebook_size))[:, :, 0], codebook_size)


def level_information(tokens: ArrayLike, codebook_size: int) -> NDArray[np.float64]:
    """Mutual information in nats between the codes of two levels of a cell, (L, L), averaged over the cells; symmetric.

    Adjusted for chance at each cell of the tokens (N, S, L), and thinned, as in `position_information`.

    Raises:
        InputError: as `code_shares`.
    """
    grid = _thinned(check_tokens(tokens, codebook_size))
    return np.mean([_information(grid[:, cell], codebook_size) for cell in range(grid.shape[1])], axis=0)


def check_tokens(tokens: ArrayLike, codebook_size: int) -> NDArray[np.int64]:
    """The tokens as int64 (n_cases, n_cells, n_levels).

    Raises:
        InputError: not whole numbers of that shape, or a code outside [0, codebook_size).
    """
    grid = np.asarray(tokens)
    if grid.ndim != 3 or 0 in grid.shape or grid.dtype.kind not in "iu":
        raise InputError(
            f"tokens are {grid.dtype} of shape {grid.shape}; allowed: whole numbers (n_cases, n_cells, n_levels)"
        )
    if grid.min() < 0 or grid.max() >= codebook_size:
        raise InputError(
            f"tokens lie in {int(grid.min())}..{int(grid.max())}; allowed: 0..{codebook_size - 1}, the codebook"
        )
    return grid.astype(np.int64, copy=False)


def _counts(grid: NDArray[np.int64], codebook_size: int) -> NDArray[np.int64]:
    """How often each code occurs at each position and level of the tokens (N, S, L), (S, L, codebook_size)."""
    places = [np.bincount(column, minlength=codebook_size) for column in grid.reshape(len(grid), -1).T]
    return np.stack(places).reshape(*grid.shape[1:], codebook_size)


def _entropies(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy in nats of each row of shares (..., K); 0 log 0 = 0."""
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return -(shares * logs).sum(axis=-1)


def _thinned(grid: NDArray[np.int64]) -> NDArray[np.int64]:
    if len(grid) <= MOST_CASES:
        return grid
    return grid[np.linspace(0, len(grid) - 1, MOST_CASES).astype(np.int64)]


def _information(columns: NDArray[np.int64], codebook_size: int) -> NDArray[np.float64]:
    """Mutual information (P, P) in nats, adjusted for chance, between columns (N, P) of codes."""
    n, n_columns = columns.shape
    counts = _counts(columns[:, :, None], codebook_size)[:, 0]
    entropies = _entropies(counts / n)
    # I = H_a + H_b - H_ab, with H_ab = log n - sum c log c / n over the joint counts c; and likewise its expectation.
    marginals = entropies[:, None] + entropies - np.log(n)
    plain = marginals + _joint_sums(columns, codebook_size) / n
    expected = marginals + _expected_joint_sums(counts, n) / n
    most = np.minimum(entropies[:, None], entropies)
    room = most - expected
    adjusted = np.zeros((n_columns, n_columns))
    np.divide((plain - expected) * most, room, out=adjusted, where=room > 1e-9)
    return adjusted


def _joint_sums(columns: NDArray[np.int64], codebook_size: int) -> NDArray[np.float64]:
    """Sum of c log c over the counts c of the pairs of codes in columns (N, P), for each two columns, (P, P)."""
    n, n_columns = columns.shape
    logs = np.arange(n + 1) * np.log(np.maximum(np.arange(n + 1), 1))
    sums = np.empty((n_columns, n_columns))
    for first in range(n_columns):
        pairs = np.sort(columns[:, first, None] * codebook_size + columns[:, first:], axis=0).T
        starts = np.ones(pairs.shape, dtype=bool)
        starts[:, 1:] = pairs[:, 1:] != pairs[:, :-1]
        place = np.flatnonzero(starts)
        lengths = np.diff(place, append=pairs.size)
        sums[first, first:] = np.bincount(place // n, weights=logs[lengths], minlength=n_columns - first)
        sums[first:, first] = sums[first, first:]
    return sums


def _expected_joint_sums(counts: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """Expectation of `_joint_sums` (P, P) when the cases of one column are shuffled; counts (P, K) of each column.

    Codes that occur a and b times meet in a hypergeometric number of cases, so the expectation depends on a and b
    alone, and one table over the counts that occur serves all columns.
    """
    sizes, place = np.unique(counts, return_inverse=True)
    place = place.reshape(counts.shape)
    rows = np.arange(len(counts))[:, None]
    multiplicity = np.zeros((len(counts), len(sizes)))
    np.add.at(multiplicity, (np.broadcast_to(rows, place.shape), place), 1.0)
    log_factorial = gammaln(np.arange(n + 1) + 1.0)
    table = np.zeros((len(sizes), len(sizes)))
    for index, a in enumerate(sizes):
        met = np.arange(1, a + 1)
        b = sizes[index:, None]
        # below and above these bounds the number is impossible
        possible = (met <= b) & (met >= a + b - n)
        together = np.where(possible, met, 0)
        rest = np.where(possible, n - a - b + met, 0)
        log_chance = (
            log_factorial[a]
            + log_factorial[b]
            + log_factorial[n - a]
            + log_factorial[n - b]
            - log_factorial[n]
            - log_factorial[together]
            - log_factorial[a - together]
            - log_factorial[np.maximum(b - together, 0)]
            - log_factorial[rest]
        )
        terms = np.where(possible, np.exp(log_chance) * met * np.log(np.maximum(met, 1)), 0.0)
        table[index, index:] = table[index:, index] = terms.sum(axis=1)
    sums = multiplicity @ table @ multiplicity.T
    return (sums + sums.T) / 2.0
