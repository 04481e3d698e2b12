"""How TS2Vec learns: two overlapping crops of the same series must find each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from timeloom.encoders.optimisation import Budget, RowBatches, dropout, generator_of, optimise
from timeloom.encoders.resuming import Checkpoint
from timeloom.encoders.ts2vec_loss import hierarchical_contrast
from timeloom.encoders.ts2vec_network import TS2VecNetwork
from timeloom.errors import InputError
from timeloom.progress import Progress

MAX_TRAIN_LENGTH = 3000
KEEP_TIMEPOINT = 0.5
DROPOUT = 0.1


@dataclass(frozen=True)
class Crops:
    """Two overlapping windows of time, [start, right) and [left, stop), moved by a shift of each series' own.

    Attributes:
        start, left, right, stop: `start <= left < right <= stop`; the overlap is [left, right).
        shifts: (B,), such that every moved window lies within its series.
    """

    start: int
    left: int
    right: int
    stop: int
    shifts: Tensor

    @classmethod
    def draw(cls, n_cases: int, n_timepoints: int, generator: torch.Generator) -> Crops:
        """Windows for a batch: an overlap of at least 2 time points, and a start and stop on either side of it."""

        def between(low: int, high: int, size: tuple[int, ...] = ()) -> Tensor:
            return torch.randint(low, high + 1, size, generator=generator)

        overlap = int(between(2, n_timepoints))
        left = int(between(0, n_timepoints - overlap))
        right = left + overlap
        start, stop = int(between(0, left)), int(between(right, n_timepoints))
        return cls(start, left, right, stop, between(-start, n_timepoints - stop, (n_cases,)))

    def cut(self, series: Tensor) -> tuple[Tensor, Tensor]:
        """The two crops (B, right - start, C) and (B, stop - left, C) of series (B, T, C)."""
        return _windows(series, self.start, self.right, self.shifts), _windows(
            series, self.left, self.stop, self.shifts
        )


def _windows(series: Tensor, start: int, stop: int, shifts: Tensor) -> Tensor:
    columns = shifts.unsqueeze(1) + torch.arange(start, stop)
    return series[torch.arange(len(series)).unsqueeze(1), columns]


def training_series(scaled: NDArray[np.float32]) -> NDArray[np.float32]:
    """What TS2Vec trains on, (n, T', C), of scaled series (N, C, T) with NaN where missing.

    Series at least twice as long as `MAX_TRAIN_LENGTH` are cut into pieces of at least that length (the last one is
    filled up with NaN); a series that starts or ends with missing time points is moved to the middle, where crops
    find it; series without any value are left out.

    Raises:
        InputError: fewer than two series are left, or they have one time point only.
    """
    n_channels, n_timepoints = scaled.shape[1:]
    n_pieces = max(1, n_timepoints // MAX_TRAIN_LENGTH)
    length = -(-n_timepoints // n_pieces)
    padded = np.pad(scaled, ((0, 0), (0, 0), (0, n_pieces * length - n_timepoints)), constant_values=np.nan)
    series = padded.transpose(0, 2, 1).reshape(-1, length, n_channels)
    observed = np.any(~np.isnan(series), axis=2)
    filled = observed.any(axis=1)
    series, observed = series[filled], observed[filled]
    if len(series) < 2:
        raise InputError(
            f"X has {len(series)} series with values; allowed: at least 2, as TS2Vec contrasts series with each other"
        )
    if length < 2:
        raise InputError(f"X has series of length {length}; allowed: at least 2, as TS2Vec contrasts time points")
    before, after = observed.argmax(axis=1), observed[:, ::-1].argmax(axis=1)
    columns = (np.arange(length) + (before - (before + after) // 2)[:, None]) % length
    return np.take_along_axis(series, columns[:, :, None], axis=1)


def train(
    network: TS2VecNetwork,
    series: Tensor,
    budget: Budget,
    *,
    seed: int,
    device: torch.device,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
) -> TS2VecNetwork:
    """Train `network` on series (n, T, C); it ends with the average of its weights before and after every step."""
    generator = generator_of(seed)
    network.to(device)
    average = AveragedModel(network).requires_grad_(False)
    average.update_parameters(network)
    optimise(
        nn.ModuleList([network, average]),
        lambda rows: _loss(network, _shorten(series[rows], generator), generator),
        RowBatches(len(series), budget.batch_size, generator),
        budget,
        name="TS2Vec",
        progress=progress,
        after_step=lambda step: average.update_parameters(network),
        checkpoint=checkpoint,
    )
    network.load_state_dict(average.module.state_dict())
    return network.to("cpu").eval().requires_grad_(False)


def _shorten(series: Tensor, generator: torch.Generator) -> Tensor:
    """A random stretch of at most `MAX_TRAIN_LENGTH` time points, the same for all series (B, T, C)."""
    spare = series.shape[1] - MAX_TRAIN_LENGTH
    start = int(torch.randint(max(spare, 0) + 1, (), generator=generator))
    return series[:, start : start + MAX_TRAIN_LENGTH]


def _loss(network: TS2VecNetwork, series: Tensor, generator: torch.Generator) -> Tensor:
    crops = Crops.draw(len(series), series.shape[1], generator)
    overlap = crops.right - crops.left
    first, second = crops.cut(series)
    return hierarchical_contrast(
        _noisy(network, first, slice(first.shape[1] - overlap, None), generator),
        _noisy(network, second, slice(overlap), generator),
    )


def _noisy(network: TS2VecNetwork, crop: Tensor, wanted: slice, generator: torch.Generator) -> Tensor:
    """Representations of the wanted time points of a crop (B, T, C), half of which is masked at random; dropout."""
    device = next(network.parameters()).device
    keep = torch.rand(crop.shape[:2], generator=generator) < KEEP_TIMEPOINT
    return dropout(network(crop.to(device), keep.to(device), wanted), DROPOUT, generator)
