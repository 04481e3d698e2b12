"""How well planted faults are found: faults of known kind and place, scores of windows, and the area under the ROC."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.data.scaling import Scaler
from timeloom.errors import InputError
from timeloom.evaluation.measures.copying import nearest_distances
from timeloom.evaluation.measures.inputs import check_pair
from timeloom.evaluation.measures.privacy import auc_interval, membership_auc

Values = NDArray[np.float64]
MIN_LENGTH = 16
SPIKE = 3.0
# deviations below this share of the training deviation count as this share: nothing is divided by a flat line
LEAST_DEVIATION = 0.05
# a fault that changes less than this share of the training deviation on average is planted elsewhere, so often at most
LEAST_CHANGE, TRIES = 0.05, 20


@dataclass(frozen=True)
class Planted:
    """Windows, some of them spoiled.

    Attributes:
        X: float32 (N, C, T).
        kind: str (N,), the fault in each window; "" where there is none.
        channel: int (N,), where the fault is, -1 where there is none.
        start, stop: int (N,), its time points [start, stop).
    """

    X: NDArray[np.float32]
    kind: NDArray[np.str_]
    channel: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]


class Detection(NamedTuple):
    """How well scores rank spoiled windows above clean ones; higher is better.

    Attributes:
        auc: chance that a spoiled window is scored above a clean one, in [0, 1]; 0.5 is guessing.
        ci95: its 95 % interval when both sets of windows are drawn again.
        by_kind: the same chance for the windows with each kind of fault.
    """

    auc: float
    ci95: tuple[float, float]
    by_kind: dict[str, float]


def spike(x: Values, size: float, rng: np.random.Generator) -> Values:
    """One value, the middle one, 3 deviations off."""
    spoiled = x.copy()
    spoiled[len(x) // 2] += rng.choice([-1, 1]) * SPIKE * size
    return spoiled


def level_shift(x: Values, size: float, rng: np.random.Generator) -> Values:
    """All values one deviation higher, or lower."""
    return x + rng.choice([-1, 1]) * size


def frequency_change(x: Values, size: float, rng: np.random.Generator) -> Values:
    """The stretch run through forwards, backwards and forwards again, three times as fast: no jump at either end."""
    last = len(x) - 1
    place = np.linspace(0, 3 * last, len(x))
    return np.interp(np.abs((place + last) % (2 * last) - last), np.arange(len(x)), x)


def noise_burst(x: Values, size: float, rng: np.random.Generator) -> Values:
    """Gaussian noise of one deviation on top."""
    return x + size * rng.standard_normal(len(x))


def flat_line(x: Values, size: float, rng: np.random.Generator) -> Values:
    """The first value throughout, as of a sensor that has stuck."""
    return np.full(len(x), x[0])


FAULTS: dict[str, Callable[[Values, float, np.random.Generator], Values]] = {
    function.__name__: function for function in (spike, level_shift, frequency_change, noise_burst, flat_line)
}


def plant(X: ArrayLike, deviation: ArrayLike, *, seed: int, share: float = 0.5, strength: float = 1.0) -> Planted:
    """Spoil a share of windows (N, C, T), each by one fault in one channel; the kinds are equally frequent.

    A fault fills a quarter to half of its window and lies wholly in it; a spike is one time point. A place where it
    would change next to nothing, as a flat line that is flat already, is drawn again.

    Args:
        X: windows, finite.
        deviation: (C,), standard deviation of each channel of the training series, the unit of the faults.
        seed: of which window gets which fault, where.
        share: of the windows that are spoiled.
        strength: factor on the size of spikes, shifts and noise.

    Raises:
        InputError: not (N, C, T) with T at least 16, not finite, or too few windows for one of each kind and one clean.
    """
    windows = np.array(X, dtype=np.float32)
    if windows.ndim != 3 or windows.shape[2] < MIN_LENGTH:
        raise InputError(f"windows have shape {windows.shape}; allowed: (N, C, T) with T at least {MIN_LENGTH}")
    if not np.isfinite(windows).all():
        raise InputError(
            f"window {int(np.argwhere(~np.isfinite(windows))[0, 0])} is not finite; allowed: finite values"
        )
    n, n_channels, length = windows.shape
    n_spoiled = round(share * n)
    if not len(FAULTS) <= n_spoiled < n:
        raise InputError(
            f"share {share} of {n} windows are {n_spoiled} to spoil; allowed: at least {len(FAULTS)}, fewer than all"
        )
    rng, unit = np.random.default_rng(seed), np.asarray(deviation, dtype=np.float64)
    kind, channel = np.full(n, "", dtype=f"<U{max(map(len, FAULTS))}"), np.full(n, -1)
    start, stop = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    for place, row in enumerate(rng.permutation(n)[:n_spoiled]):
        name = list(FAULTS)[place % len(FAULTS)]
        for _ in range(TRIES):
            c = int(rng.integers(n_channels))
            width = 1 if name == "spike" else int(rng.integers(length // 4, length // 2 + 1))
            first = int(rng.integers(0, length - width + 1))
            stretch = windows[row, c, first : first + width].astype(np.float64)
            spoiled = FAULTS[name](stretch, strength * float(unit[c]), rng)
            if np.abs(spoiled - stretch).mean() >= LEAST_CHANGE * unit[c]:
                break
        windows[row, c, first : first + width] = spoiled
        kind[row], channel[row], start[row], stop[row] = name, c, first, first + width
    return Planted(windows, kind, channel, start, stop)


def nearest_distance(train: ArrayLike, features: ArrayLike) -> NDArray[np.float64]:
    """Distance (N,) of features (N, D) to the nearest of the training features (M, D); higher is odder.

    Euclidean, each feature in units of its deviation over the training features; one that is constant there in its
    own unit.

    Raises:
        InputError: not (N, D) with N at least 2, not finite, or of unequal widths.
    """
    rows, others = (part.astype(np.float64) for part in check_pair(train, features))
    scaler = Scaler.fit(rows[:, :, None])
    known, asked = (scaler.transform(part[:, :, None])[:, :, 0] for part in (rows, others))
    return nearest_distances(asked.astype(np.float64), known.astype(np.float64))


def hidden_distance(seen: NDArray, hidden: NDArray) -> NDArray[np.float64]:
    """How much the representations of time points (N, T, D) change when the point itself is hidden; (N,).

    The largest mean absolute difference of a window: a value that its past foretells changes nothing, one that it
    does not, much. Yue et al. 2022, section 4.4.
    """
    return np.abs(seen.astype(np.float64) - hidden).mean(axis=2).max(axis=1)


def rebuilt_distance(X: NDArray, rebuilt: NDArray, deviation: ArrayLike) -> NDArray[np.float64]:
    """Largest distance (N,) of a value of windows (N, C, T) from what was rebuilt of it.

    In training deviations (C,): the largest over the time points of the mean over the channels.
    """
    unit = np.asarray(deviation, dtype=np.float64)[:, None]
    return (np.abs(X.astype(np.float64) - rebuilt) / unit).mean(axis=1).max(axis=1)


def moving_z(X: ArrayLike, deviation: ArrayLike, width: int) -> NDArray[np.float64]:
    """Largest distance (N,) of a value from the mean of the `width` values before it, in their deviations.

    Over all time points with so many before them and all channels of windows (N, C, T): the baseline that needs no
    model. A deviation below a twentieth of the channel's training deviation (C,) counts as that.

    Raises:
        InputError: a width below 2 or not below T.
    """
    windows = np.asarray(X, dtype=np.float64)
    if not 2 <= width < windows.shape[2]:
        raise InputError(f"width is {width}; allowed: 2 to {windows.shape[2] - 1}, below the length of the windows")
    before = np.lib.stride_tricks.sliding_window_view(windows, width, axis=2)[:, :, :-1]
    least = LEAST_DEVIATION * np.asarray(deviation, dtype=np.float64)[:, None]
    z = np.abs(windows[:, :, width:] - before.mean(axis=3)) / np.maximum(before.std(axis=3), least)
    return z.max(axis=(1, 2))


def detection(scores: ArrayLike, kind: ArrayLike, *, seed: int = 0, n_boot: int = 200) -> Detection:
    """How well scores (N,) tell windows with a fault, named by `kind` (N,), from those without (""); ties count half.

    Raises:
        InputError: lengths that differ, no spoiled or no clean window, or a score that is not finite.
    """
    found, names = np.asarray(scores, dtype=np.float64), np.asarray(kind)
    if found.shape != names.shape or found.ndim != 1:
        raise InputError(f"scores have shape {found.shape}, kinds {names.shape}; allowed: (N,) and (N,)")
    clean, spoiled = found[names == ""], found[names != ""]
    if not clean.size or not spoiled.size:
        raise InputError(f"{spoiled.size} windows have a fault and {clean.size} none; allowed: at least 1 of each")
    by_kind = {str(name): membership_auc(found[names == name], clean) for name in np.unique(names[names != ""])}
    ci95 = auc_interval(spoiled, clean, n_boot, seed)
    return Detection(membership_auc(spoiled, clean), ci95, by_kind)
