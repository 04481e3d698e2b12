"""Missing values: fill them in for a network, and remember which they were."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def fill_missing(X: np.ndarray, empty: Sequence[float] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Fill NaN by straight lines between a channel's observed values, and by its nearest one at the ends.

    Args:
        X: (n, C, T), NaN where missing.
        empty: (C,), what a channel without any observed value is filled with; 0 unless given, right for scaled series.

    Returns:
        The filled copy and the boolean array of observed values, both (n, C, T).
    """
    observed = ~np.isnan(X)
    if observed.all():
        return X, observed
    fill = np.zeros(X.shape[1]) if empty is None else np.asarray(empty)
    filled, time = np.where(observed, X, fill[:, None]).astype(X.dtype), np.arange(X.shape[-1])
    for i, c in np.argwhere(~observed.all(axis=-1)):
        seen = observed[i, c]
        if seen.any():
            filled[i, c, ~seen] = np.interp(time[~seen], time[seen], X[i, c, seen])
    return filled, observed
