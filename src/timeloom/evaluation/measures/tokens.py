"""How much of its codebook a tokenizer uses."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.errors import InputError


def perplexity(tokens: ArrayLike, codebook_size: int) -> float:
    """Perplexity of code use, exp(entropy in nats), in [1, codebook_size]; higher is better.

    Computed on the code frequencies of each level of the tokens (N, S, L), then averaged over the levels.

    Raises:
        InputError: not whole numbers of shape (N, S, L), or a code outside [0, codebook_size).
    """
    shares = _code_shares(tokens, codebook_size)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return float(np.exp(-(shares * logs).sum(axis=1)).mean())


def usage(tokens: ArrayLike, codebook_size: int) -> float:
    """Share of the codebook's codes that occur at all, in (0, 1]; higher is better.

    Computed on each level of the tokens (N, S, L), then averaged over the levels.

    Raises:
        InputError: not whole numbers of shape (N, S, L), or a code outside [0, codebook_size).
    """
    return float((_code_shares(tokens, codebook_size) > 0).mean(axis=1).mean())


def _code_shares(tokens: ArrayLike, codebook_size: int) -> NDArray[np.float64]:
    """Relative frequency of each code at each level, (L, codebook_size), rows sum to 1."""
    grid = np.asarray(tokens)
    if grid.ndim != 3 or 0 in grid.shape or grid.dtype.kind not in "iu":
        raise InputError(
            f"tokens are {grid.dtype} of shape {grid.shape}; allowed: whole numbers (n_cases, n_cells, n_levels)"
        )
    if grid.min() < 0 or grid.max() >= codebook_size:
        raise InputError(
            f"tokens lie in {int(grid.min())}..{int(grid.max())}; allowed: 0..{codebook_size - 1}, the codebook"
        )
    counts = [np.bincount(grid[..., level].ravel(), minlength=codebook_size) for level in range(grid.shape[2])]
    return np.stack(counts) / (grid.shape[0] * grid.shape[1])
