"""Ways to read representations out of a trained TS2Vec: masks, windows that slide, and windows to pool over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from timeloom.encoders.inputs import Level, check_count, check_level, check_setting, is_count
from timeloom.encoders.ts2vec_network import TS2VecNetwork

Mask = Literal["binomial", "continuous", "all_true", "all_false", "mask_last"]

MULTISCALE = "multiscale"
N_GAPS, GAP_SHARE = 5, 0.1
TIMEPOINTS_AT_ONCE = 2**15


@dataclass(frozen=True)
class Reading:
    """What to read from the network, as `TS2Vec.encode` explains it.

    Raises:
        InputError: an unknown word, a size that is too small, or settings that exclude each other.
    """

    level: Level
    encoding_window: int | Literal["multiscale"] | None
    mask: Mask | None
    causal: bool
    sliding_length: int | None
    sliding_padding: int

    def __post_init__(self) -> None:
        check_level(self.level)
        known = self.mask is None or self.mask in get_args(Mask)
        check_setting("mask", self.mask, known, f"None or one of {', '.join(get_args(Mask))}")
        window = self.encoding_window
        fits = window in (None, MULTISCALE) or is_count(window, 1)
        check_setting("encoding_window", window, fits, f"None, {MULTISCALE!r} or a whole number of at least 1")
        pools_once = window is None or self.level == "timestamp"
        check_setting("encoding_window", window, pools_once, "None at level 'series', which pools over all time")
        length, padding = self.sliding_length, self.sliding_padding
        if length is not None:
            check_setting("sliding_length", length, is_count(length, 1), "None or a whole number of at least 1")
        check_setting("causal", self.causal, not (self.causal and length is None), "False without a sliding_length")
        check_count("sliding_padding", padding, 0)
        check_setting("sliding_padding", padding, not (padding and length is None), "0 without a sliding_length")


def read(network: TS2VecNetwork, series: Tensor, reading: Reading, batch_size: int, seed: int) -> Iterator[Tensor]:
    """Representations of scaled series (N, T, C), batch after batch: (b, D) or, by time point, (b, T, D).

    They are computed on the network's device and come back to the CPU.
    """
    device = next(network.parameters()).device
    rows = max(1, min(batch_size, TIMEPOINTS_AT_ONCE // series.shape[1]))
    represent = _represent_whole if reading.sliding_length is None else _represent_sliding
    for batch in series.split(rows):
        by_time = represent(network, batch.to(device), reading, seed).cpu()
        yield by_time if reading.level == "timestamp" else _pool_over_series(by_time, batch)


def _represent_whole(
    network: TS2VecNetwork, series: Tensor, reading: Reading, seed: int, wanted: slice = slice(None)
) -> Tensor:
    """Representations of the wanted time points of series (B, T, C), pooled over windows where the reading asks so."""
    keep = time_mask(reading.mask or "all_true", series.shape[1], seed).to(series.device)
    if reading.encoding_window is None:
        return network(series, keep, wanted)
    return pool_over_windows(network(series, keep), reading.encoding_window)[:, wanted]


def _represent_sliding(network: TS2VecNetwork, series: Tensor, reading: Reading, seed: int) -> Tensor:
    """Representations (B, T, D) of series (B, T, C), each stretch of `sliding_length` from a window of its own.

    A window has `sliding_padding` time points before its stretch and, unless causal, as many after it; what lies
    outside the series is missing.
    """
    n_cases, n_timepoints = series.shape[:2]
    stretch, before = int(reading.sliding_length or n_timepoints), int(reading.sliding_padding)
    after = 0 if reading.causal else before
    width = before + stretch + after
    padded = functional.pad(series, (0, 0, before, -n_timepoints % stretch + after), value=torch.nan)
    windows = padded.unfold(1, width, stretch).transpose(2, 3)
    parts = []
    for group in windows.split(max(1, TIMEPOINTS_AT_ONCE // (n_cases * width)), dim=1):
        represented = _represent_whole(network, group.flatten(0, 1), reading, seed, slice(before, before + stretch))
        parts.append(represented.unflatten(0, group.shape[:2]))
    return torch.cat(parts, dim=1).flatten(1, 2)[:, :n_timepoints]


def _pool_over_series(by_time: Tensor, series: Tensor) -> Tensor:
    """Maximum (B, D) over time, from the first to the last observed time point of each series (B, T, C).

    Missing time points at either end only make series equally long, and take no part; where nothing is observed,
    all do.
    """
    observed = (~series.isnan().all(dim=2)).int()
    begun, not_ended = observed.cummax(dim=1).values, observed.flip(1).cummax(dim=1).values.flip(1)
    inside = (begun & not_ended).bool()
    inside |= ~inside.any(dim=1, keepdim=True)
    return by_time.masked_fill(~inside.unsqueeze(2), -torch.inf).amax(dim=1)


def pool_over_windows(by_time: Tensor, window: int | Literal["multiscale"] | None) -> Tensor:
    """Maxima of (B, T, D) over centred windows of time, cut off at the ends: (B, T, D), several scales side by side.

    An even window reaches one time point further back than ahead. The scales of "multiscale" are 3, 5, 9, 17, ...,
    2^(p + 1) + 1 while 2^p + 1 is below T; at least one.
    """
    if window is None:
        return by_time
    if window != MULTISCALE:
        return _window_maxima(by_time, int(window))
    n_scales = max(1, (by_time.shape[1] - 2).bit_length())
    return torch.cat([_window_maxima(by_time, 2 ** (p + 1) + 1) for p in range(n_scales)], dim=2)


def _window_maxima(by_time: Tensor, window: int) -> Tensor:
    maxima = functional.max_pool1d(by_time.transpose(1, 2), window, stride=1, padding=window // 2)
    return maxima.transpose(1, 2)[:, : by_time.shape[1]]


def time_mask(name: Mask, n_timepoints: int, seed: int) -> Tensor:
    """Boolean (T,), False where a time point is hidden from the network.

    "binomial" hides each with chance 1/2, "continuous" 5 stretches of a tenth of the time points, "mask_last" the
    last one. One mask serves all series: what is read of a series must not depend on its neighbours.
    """
    keep = np.full(n_timepoints, name != "all_false")
    rng = np.random.default_rng(seed)
    if name == "binomial":
        keep = rng.random(n_timepoints) < 0.5
    elif name == "continuous":
        gap = max(int(GAP_SHARE * n_timepoints), 1)
        for start in rng.integers(0, n_timepoints - gap + 1, max(min(N_GAPS, n_timepoints // 2), 1)):
            keep[start : start + gap] = False
    elif name == "mask_last":
        keep[-1] = False
    return torch.from_numpy(keep)
