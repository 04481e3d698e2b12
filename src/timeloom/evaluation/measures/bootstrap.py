"""How sure a number is, from drawing the cases it was computed on again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.errors import InputError


def bootstrap_interval(
    statistic: Callable[..., float],
    *arrays: ArrayLike,
    n_boot: int = 200,
    seed: int = 0,
    low: float = -np.inf,
    high: float = np.inf,
) -> tuple[float, float]:
    """95 % interval of `statistic(*arrays)` when the cases (first axis) are drawn again with replacement.

    Several arrays hold the same cases and are drawn together. See `centred_interval` for its construction.

    Raises:
        InputError: no array, no case, or arrays of different numbers of cases.
    """
    cases = [np.asarray(array) for array in arrays]
    sizes = [len(array) for array in cases]
    if not sizes or min(sizes) == 0 or len(set(sizes)) > 1:
        raise InputError(f"the arrays hold {sizes} cases; allowed: one or more arrays, equally many cases, at least 1")
    rows = np.arange(sizes[0])
    replicates = redrawn(lambda drawn: statistic(*(array[drawn] for array in cases)), rows, seed, n_boot)
    return centred_interval(statistic(*cases), replicates, low=low, high=high)


def redrawn(
    summary: Callable[[NDArray[Any]], float], cases: NDArray[Any], seed: int, n_boot: int
) -> NDArray[np.float64]:
    """Bootstrap replicates (n_boot,) of a summary of cases (N, ...), drawn again with replacement."""
    rng = np.random.default_rng(seed)
    return np.array([summary(cases[rng.integers(0, len(cases), size=len(cases))]) for _ in range(n_boot)])


def case_weights(n: int, n_boot: int, seed: int) -> NDArray[np.float64]:
    """How often each of n cases is drawn in each of n_boot sets of n cases drawn with replacement, (n_boot, n).

    A statistic that is a mean over cases is redrawn by these weights, without touching the cases again.
    """
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=n_boot).astype(np.float64)


def centred_interval(
    value: float, replicates: NDArray[np.float64], *, low: float = -np.inf, high: float = np.inf
) -> tuple[float, float]:
    """95 % interval about `value` from bootstrap replicates (n_boot,) of it, cut at the bounds of the metric.

    The 2.5 and 97.5 % quantiles of the replicates, moved so that the replicates' mean falls on the value. A redrawn
    set repeats cases; a metric that is biased at finite n (the Frechet distance: upwards) has that bias a second time
    in each replicate, and plain percentiles would lie wholly above the value. The interval is one for the metric *at
    this n*: its own bias is still in it, as it is in the floor beside it. It always contains the value.
    """
    quantiles = np.quantile(replicates, [0.025, 0.975]) - replicates.mean() + value
    return float(np.clip(min(quantiles[0], value), low, high)), float(np.clip(max(quantiles[1], value), low, high))
