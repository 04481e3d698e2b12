"""Missing values: fill them in for a network, and remember which they were."""

from __future__ import annotations

import numpy as np


def fill_missing(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill NaN by straight lines between a channel's observed values (its nearest one at the ends, 0 if it has none).

    Args:
        X: (n, C, T), NaN where missing.

    Returns:
        The filled copy and the boolean array of observed values, both (n, C, T).
    """
    observed = ~np.isnan(X)
    if observed.all():
        return X, observed
    filled, time = np.where(observed, X, 0).astype(X.dtype), np.arange(X.shape[-1])
    for i, c in np.argwhere(~observed.all(axis=-1)):
        seen = observed[i, c]
        if seen.any():
            filled[i, c, ~seen] = np.interp(time[~seen], time[seen], X[i, c, seen])
    return filled, observed
