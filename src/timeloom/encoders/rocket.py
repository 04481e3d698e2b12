"""ROCKET (Dempster et al. 2020): features of many random convolutions, without any training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from timeloom.encoders.inputs import SeriesScaler, check_count, check_fitted
from timeloom.encoders.storage import Arrays, StoredEncoder
from timeloom.errors import InputError
from timeloom.progress import Progress, silent

LENGTHS = (7, 9, 11)


@dataclass(frozen=True)
class KernelGroup:
    """Kernels of one length, dilation and padding, which one convolution applies together.

    Attributes:
        columns: (k,), the place of each kernel among all of them.
        weights: (k, C, length), zero on the channels that a kernel does not see.
        biases: (k,).
        dilation: steps between the taps of a kernel.
        padding: zeros on either side of a series.
    """

    columns: NDArray[np.int64]
    weights: Tensor
    biases: Tensor
    dilation: int
    padding: int


class Rocket(StoredEncoder):
    """Random convolutional kernels; the features are each kernel's share of positive values (ppv) and its maximum.

    Kernel length is drawn from {7, 9, 11} (no longer than the series), weights from N(0, 1) and centred, bias from
    U(-1, 1), dilation floor(2^U(0, log2((T - 1) / (length - 1)))), padding on or off with equal chance, and for
    several channels a random subset, of size floor(2^U(0, log2(min(C, length) + 1))). Series are scaled per channel
    by training statistics only, not each by its own as published: level and amplitude are part of what a generator
    must get right. Missing values are then interpolated linearly.

    Source: Dempster, Petitjean & Webb, "ROCKET: exceptionally fast and accurate time series classification using
    random convolutional kernels", DMKD 2020, section 3.

    Args:
        n_kernels: number of kernels; there are twice as many features.
        seed: of all kernels.
    """

    kind = "rocket"

    def __init__(self, n_kernels: int = 500, seed: int = 0) -> None:
        self.n_kernels = n_kernels
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, *, progress: Progress = silent) -> Self:
        """Draw the kernels for series (N, C, T) and take their scale; labels are not used. Returns itself.

        Raises:
            InputError: series shorter than 2, or no kernel.
        """
        self._check_settings()
        scaler = SeriesScaler.fit(X)
        n_timepoints = scaler.n_timepoints
        if n_timepoints < 2:
            raise InputError(f"X has series of length {n_timepoints}; allowed: at least 2 for convolutions along time")
        self._groups = draw_kernels(self.n_kernels, len(scaler.scaler.mean), n_timepoints, self.seed)
        progress("draw ROCKET kernels", 1, 1)
        self._scaler = scaler
        self._learned()
        return self

    def _check_settings(self) -> None:
        check_count("n_kernels", self.n_kernels, 1)

    def encode(self, X: ArrayLike, batch_size: int = 256) -> NDArray[np.float32]:
        """Features (N, 2 * n_kernels) of series (N, C, T): ppv in [0, 1] first, then the maxima."""
        check_fitted(self)
        series = torch.from_numpy(self._scaler.transform(X))
        features = np.empty((len(series), 2 * self.n_kernels), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(series), batch_size):
                batch = series[start : start + batch_size]
                for group in self._groups:
                    response = functional.conv1d(
                        batch, group.weights, group.biases, dilation=group.dilation, padding=group.padding
                    )
                    rows = slice(start, start + len(batch))
                    features[rows, group.columns] = (response > 0).float().mean(dim=2).numpy()
                    features[rows, self.n_kernels + group.columns] = response.amax(dim=2).numpy()
        return features

    def _state(self) -> tuple[dict[str, Any], Arrays]:
        groups = [{"dilation": group.dilation, "padding": group.padding} for group in self._groups]
        arrays: Arrays = {}
        for index, group in enumerate(self._groups):
            arrays[f"{index}.columns"] = group.columns
            arrays[f"{index}.weights"] = group.weights.numpy()
            arrays[f"{index}.biases"] = group.biases.numpy()
        return {"scaler": self._scaler.to_dict(), "groups": groups}, arrays

    def _restore(self, values: dict[str, Any], arrays: Arrays) -> None:
        self._scaler = SeriesScaler.from_dict(values["scaler"])
        self._groups = [
            KernelGroup(
                columns=arrays[f"{index}.columns"],
                weights=torch.from_numpy(arrays[f"{index}.weights"]),
                biases=torch.from_numpy(arrays[f"{index}.biases"]),
                dilation=group["dilation"],
                padding=group["padding"],
            )
            for index, group in enumerate(values["groups"])
        ]


def draw_kernels(n_kernels: int, n_channels: int, n_timepoints: int, seed: int) -> list[KernelGroup]:
    """Random kernels for series (C, T), gathered into groups that share length, dilation and padding."""
    rng = np.random.default_rng(seed)
    lengths = [length for length in LENGTHS if length <= n_timepoints] or [n_timepoints]
    gathered: dict[tuple[int, int, int], list[tuple[int, NDArray, float]]] = {}
    for column in range(n_kernels):
        length = int(rng.choice(lengths))
        dilation = int(2 ** rng.uniform(0, np.log2((n_timepoints - 1) / (length - 1))))
        padding = (length - 1) * dilation // 2 if rng.random() < 0.5 else 0
        kernel = (column, _draw_weights(rng, n_channels, length), rng.uniform(-1, 1))
        gathered.setdefault((length, dilation, padding), []).append(kernel)
    return list(_groups(gathered))


def _draw_weights(rng: np.random.Generator, n_channels: int, length: int) -> NDArray[np.float64]:
    """Weights (C, length) of one kernel, centred over its channels one by one, zero on the channels it does not see."""
    n_seen = int(2 ** rng.uniform(0, np.log2(min(n_channels, length) + 1)))
    seen = rng.choice(n_channels, size=n_seen, replace=False)
    drawn = rng.standard_normal((n_seen, length))
    weights = np.zeros((n_channels, length))
    weights[seen] = drawn - drawn.mean(axis=1, keepdims=True)
    return weights


def _groups(gathered: dict[tuple[int, int, int], list[tuple[int, NDArray, float]]]) -> Iterator[KernelGroup]:
    for (_, dilation, padding), kernels in sorted(gathered.items(), key=lambda item: item[0]):
        columns, weights, biases = zip(*kernels, strict=True)
        yield KernelGroup(
            columns=np.array(columns),
            weights=torch.tensor(np.stack(weights), dtype=torch.float32),
            biases=torch.tensor(biases, dtype=torch.float32),
            dilation=dilation,
            padding=padding,
        )
