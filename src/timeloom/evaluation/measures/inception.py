"""Inception score: are single series sure of their class while the set covers all classes?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from timeloom.errors import InputError


def inception_score(probabilities: ArrayLike) -> float:
    """Inception score of class probabilities (N, K), in [1, K]; higher is better.

    `exp(mean_n KL(p(y | x_n) || mean_n p(y | x_n)))` over all N at once, no splits (Salimans et al. 2016). It sees
    neither real data nor copies: read it beside that of the real test split.

    Raises:
        InputError: not (N, K), or rows that are not probabilities.
    """
    given = np.asarray(probabilities, dtype=np.float64)
    if given.ndim != 2 or 0 in given.shape:
        raise InputError(f"probabilities have shape {given.shape}; allowed: (N, K), each at least 1")
    off = ~((given >= 0).all(axis=1) & np.isclose(given.sum(axis=1), 1.0, atol=1e-4))
    if off.any():
        row = int(np.argmax(off))
        raise InputError(f"probabilities of row {row} sum to {given[row].sum():.6g}; allowed: none below 0, sum 1")
    given = given / given.sum(axis=1, keepdims=True)
    marginal = np.broadcast_to(given.mean(axis=0), given.shape)
    # 0 log 0 = 0; a class that a row gives any probability has a positive marginal.
    positive = given > 0
    terms = given[positive] * (np.log(given[positive]) - np.log(marginal[positive]))
    return float(np.exp(max(terms.sum() / len(given), 0.0)))
