"""How well a channel's future can be read from features of a window of its past: one linear map for all channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from timeloom.errors import InputError
from timeloom.evaluation.tasks.forecasting import Errors, TimeSplit, future
from timeloom.progress import Progress, silent

Embed = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Windows (n, 1, lookback) -> features (n, ...)."""

# ridge penalties, as shares of the mean square of the inputs
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)
MOST_TRAIN, MOST_VALID = 300_000, 20_000
ENDS_AT_ONCE = 128


class Head(NamedTuple):
    """A linear map of a window's inputs, features and a constant, to what follows it.

    Attributes:
        weights: (D + 1, horizon).
        penalty: the share that made it.
    """

    weights: NDArray[np.float32]
    penalty: float


def window_errors(
    embed: Embed,
    values: NDArray,
    split: TimeSplit,
    horizons: Sequence[int],
    *,
    lookback: int,
    progress: Progress = silent,
) -> dict[int, Errors]:
    """Errors on the test stretch, by horizon, of the heads that the validation stretch chose.

    The targets are those of `RidgeForecaster.errors`, so that rows are comparable; windows may begin before the stretch
    of their targets. A window is forecast in units of its own deviation, from its own mean on. Chang et al. 2023,
    section 5.1 (there by gradient descent, and chosen on the test stretch); here in closed form.

    Args:
        embed: features of windows.
        values: (T, C), scaled by their training stretch.
        split: the stretches.
        horizons: steps ahead.
        lookback: length of a window.
        progress: told how many windows are read, and when heads are chosen and judged.

    Raises:
        InputError: a stretch that is too short for the window or a horizon.
    """
    heads = fit_heads(embed, values, split, horizons, lookback=lookback, progress=progress)
    chosen = {}
    for horizon, found in _losses(embed, values, split.valid, heads, lookback, MOST_VALID).items():
        best = int(np.argmin([errors.mse**0.5 + errors.mae for errors in found]))
        chosen[horizon] = [heads[horizon][best]]
    progress("choose linear head", len(chosen), len(chosen))
    judged = _losses(embed, values, split.test, chosen, lookback, None)
    progress("forecast", len(judged), len(judged))
    return {horizon: found[0] for horizon, found in judged.items()}


def fit_heads(
    embed: Embed,
    values: NDArray,
    split: TimeSplit,
    horizons: Sequence[int],
    *,
    lookback: int,
    penalties: Sequence[float] = PENALTIES,
    progress: Progress = silent,
) -> dict[int, list[Head]]:
    """Ridge regression on the training stretch: for each horizon a head a penalty.

    The least sum of squared errors in the units of `values`: windows of a large deviation weigh more than flat ones.

    Raises:
        InputError: as `window_errors`.
    """
    check_lookback(lookback, split, horizons)
    train = values[split.train]
    step = stride(len(train) * train.shape[1], MOST_TRAIN)
    heads: dict[int, list[Head]] = {}
    squares = products = None
    start = lookback - 1
    done, total = 0, len(range(start, len(train) - min(horizons), step)) * train.shape[1]
    # the windows that have 720 values after them are the first of those that have 336, and so on
    for horizon in sorted(horizons, reverse=True):
        ends = np.arange(start, len(train) - horizon, step)
        for inputs, targets in _cases(embed, train, ends, lookback, horizon):
            # in float32 the rounding of these sums is larger than the smallest penalty
            exact = inputs.astype(np.float64)
            square, product = exact.T @ exact, exact.T @ targets
            squares = square if squares is None else squares + square
            products = product if products is None else products[:, :horizon] + product
            done += len(inputs)
            progress("fit linear head", min(done, total), total)
        start = int(ends[-1]) + step if len(ends) else start
        assert squares is not None
        assert products is not None
        products = products[:, :horizon]
        heads[horizon] = [Head(_solved(squares, products, penalty), penalty) for penalty in penalties]
    return heads


def check_lookback(lookback: int, split: TimeSplit, horizons: Sequence[int]) -> None:
    """Refuse windows that leave nothing of the training stretch to forecast.

    Raises:
        InputError: they do.
    """
    n = split.train.stop
    if not 1 <= lookback < n - max(horizons):
        allowed = f"1 to {n - max(horizons) - 1}, as {n} points are for training"
        raise InputError(f"lookback is {lookback}; allowed: {allowed}")


def _solved(squares: NDArray[np.float64], products: NDArray[np.float64], penalty: float) -> NDArray[np.float32]:
    ridge = penalty * np.trace(squares) / len(squares) + np.finfo(np.float64).tiny
    return cho_solve(cho_factor(squares + ridge * np.eye(len(squares))), products).astype(np.float32)


def _losses(
    embed: Embed, values: NDArray, part: slice, heads: dict[int, list[Head]], lookback: int, most: int | None
) -> dict[int, list[Errors]]:
    """Errors of all heads over a stretch; features are computed once for all of them."""
    first = max(part.start, lookback - 1)
    longest = part.stop - part.start - 2
    if max(heads) > longest:
        raise InputError(f"horizon is {max(heads)}; allowed: 1 to {longest}, as a part has {longest + 2} points")
    known = values[: part.stop]
    step = 1 if most is None else stride((part.stop - first) * values.shape[1], most)
    sums = {horizon: np.zeros((len(found), 2)) for horizon, found in heads.items()}
    counts = dict.fromkeys(heads, 0)
    start = first
    for horizon in sorted(heads, reverse=True):
        ends = np.arange(start, part.stop - horizon, step)
        for inputs, targets in _cases(embed, known, ends, lookback, horizon):
            for shorter in (of for of in heads if of <= horizon):
                wanted = targets[:, :shorter]
                counts[shorter] += wanted.size
                for place, head in enumerate(heads[shorter]):
                    off = (inputs @ head.weights - wanted).astype(np.float64)
                    sums[shorter][place] += np.square(off).sum(), np.abs(off).sum()
        start = int(ends[-1]) + step if len(ends) else start
    return {horizon: [Errors(*(of / counts[horizon])) for of in sums[horizon]] for horizon in heads}


def _cases(
    embed: Embed, values: NDArray, ends: NDArray[np.int64], lookback: int, horizon: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Inputs (n, D + 1) of each channel's windows that end there, and what follows less the window's mean.

    Inputs are features and a one, both times the window's deviation.
    """
    windows = np.lib.stride_tricks.sliding_window_view(values, lookback, axis=0)
    ahead = future(values, horizon)
    for some in np.array_split(ends, -(-len(ends) // ENDS_AT_ONCE)) if len(ends) else ():
        past = windows[some - lookback + 1].reshape(-1, 1, lookback).astype(np.float32)
        mean, deviation = past.mean(axis=2), past.std(axis=2)
        features = embed(past).reshape(len(past), -1)
        inputs = np.concatenate([features * deviation, deviation], axis=1)
        yield inputs, ahead[some].transpose(0, 2, 1).reshape(len(past), horizon).astype(np.float32) - mean


def stride(n: int, most: int) -> int:
    """Every how many-th of n is taken, so that there are at most `most`."""
    return max(1, -(-n // most))
