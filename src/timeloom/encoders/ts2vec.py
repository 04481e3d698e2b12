"""TS2Vec (Yue et al. 2022): representations of time points and series, learned without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from timeloom.data.scaling import Scaler
from timeloom.encoders.inputs import Level, check_count, check_fitted, check_series
from timeloom.encoders.optimisation import (
    Budget,
    Device,
    chosen_device,
    default_steps,
    initial_weights,
    lent_to,
    reading_device,
)
from timeloom.encoders.resuming import Checkpoint
from timeloom.encoders.storage import Arrays, StoredEncoder, arrays_of, filled
from timeloom.encoders.ts2vec_network import TS2VecNetwork
from timeloom.encoders.ts2vec_reading import Mask, Reading, read
from timeloom.encoders.ts2vec_training import train, training_series
from timeloom.errors import InputError
from timeloom.progress import Progress, silent


class TS2Vec(StoredEncoder):
    """Dilated convolutions over masked series, trained to tell time points and series apart in two random crops.

    Series are scaled per channel by training statistics, or taken as they are. Missing values are masked, not filled:
    a time point with a missing channel is hidden from the network, which infers its representation from the others.
    Series of unequal length are padded with NaN at the end. The same seed, data and machine give the same bytes, and
    the global random state is left alone. `steps=0` gives the untrained network: the control to print beside a
    trained one.

    Source: Yue et al., "TS2Vec: towards universal representation of time series", AAAI 2022.

    Args:
        output_dims: width D of the representations.
        hidden_dims: width of all blocks but the last.
        depth: number of blocks before the last; block i has dilation 2^i.
        batch_size: series a step (8 as published); no more than there are.
        lr: learning rate of AdamW.
        steps: optimisation steps; None takes 200 for up to 100 000 training values, else 600.
        seed: of the initial weights, the crops, the masks and the order of the series.
        standardise: scale series by training statistics; False for series that the user has scaled already.
        device: where to compute, "auto", "cpu" or "cuda"; "auto" takes a GPU where there is one.
    """

    kind = "ts2vec"

    def __init__(
        self,
        output_dims: int = 320,
        hidden_dims: int = 64,
        depth: int = 10,
        batch_size: int = 8,
        lr: float = 1e-3,
        steps: int | None = None,
        seed: int = 0,
        standardise: bool = True,
        device: Device = "auto",
    ) -> None:
        self.output_dims = output_dims
        self.hidden_dims = hidden_dims
        self.depth = depth
        self.batch_size = batch_size
        self.lr = lr
        self.steps = steps
        self.seed = seed
        self.standardise = standardise
        self.device = device

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        progress: Progress = silent,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Train on series (N, C, T), NaN where missing; labels are not used. Returns itself.

        Args:
            X: series.
            y: ignored.
            progress: told the step and the loss.
            checkpoint: file that keeps the state of training, and that a training which was cut short goes on from.

        Raises:
            InputError: fewer than two series with values, or a single time point: there is nothing to contrast; a
                channel without any value, which would hide every time point; an impossible setting, or a checkpoint of
                other settings or series.
        """
        self._check_settings()
        series, device = check_series(X), chosen_device(self.device)
        for channel in np.flatnonzero(np.isnan(series).all(axis=(0, 2))):
            raise InputError(f"channel {channel} of X has no value in any series; allowed: without this channel")
        steps = default_steps(series.size) if self.steps is None else self.steps
        budget, n_channels = Budget(steps, self.batch_size, self.lr), series.shape[1]
        scaler = Scaler.fit(series) if self.standardise else Scaler(np.zeros(n_channels), np.ones(n_channels))
        prepared = torch.from_numpy(training_series(scaler.transform(series)))
        self._network = train(
            self._new_network(n_channels),
            prepared,
            budget,
            seed=self.seed,
            device=device,
            progress=progress,
            checkpoint=Checkpoint.of(checkpoint, self, series),
        )
        self._scaler = scaler
        self._learned()
        return self

    def _check_settings(self) -> None:
        for name, least in {"output_dims": 1, "hidden_dims": 1, "depth": 0}.items():
            check_count(name, getattr(self, name), least)

    def _new_network(self, n_channels: int) -> TS2VecNetwork:
        with initial_weights(self.seed):
            return TS2VecNetwork(n_channels, self.output_dims, self.hidden_dims, self.depth)

    def encode(
        self,
        X: ArrayLike,
        batch_size: int = 256,
        *,
        level: Level = "series",
        encoding_window: int | Literal["multiscale"] | None = None,
        mask: Mask | None = None,
        causal: bool = False,
        sliding_length: int | None = None,
        sliding_padding: int = 0,
    ) -> NDArray[np.float32]:
        """Representations of series (N, C, T) of any length: (N, D), or (N, T, D) by time point.

        Args:
            X: series, NaN where missing.
            batch_size: most series at once; long series go in smaller batches.
            level: "series" takes the maximum over the time points of a series, "timestamp" keeps each of them.
            encoding_window: at level "timestamp", the maximum over a centred window of so many time points;
                "multiscale" puts those over windows of 3, 5, 9, 17, ... side by side, (N, T, D * number of scales).
            mask: time points to hide: "binomial" (half of them), "continuous" (5 stretches of a tenth), "all_false"
                (all), "mask_last" (the last, so that its representation is a forecast of its context), "all_true"
                (none, as None). With a sliding window, those of each window.
            causal: slide windows that end with their stretch, so that no stretch is seen by those before it; with a
                `sliding_length` of 1 a time point depends on the past alone.
            sliding_length: represent stretches of so many time points, each from a window of its own.
            sliding_padding: time points that a window has before its stretch and, unless causal, after it.

        Raises:
            InputError: another number of channels than in training, or settings that are unknown or exclude each
                other.
        """
        check_fitted(self)
        reading = Reading(level, encoding_window, mask, causal, sliding_length, sliding_padding)
        series = torch.from_numpy(self._scaler.transform(check_series(X))).transpose(1, 2)
        with torch.inference_mode(), lent_to(reading_device(self.device), self._network) as network:
            return torch.cat(list(read(network, series, reading, batch_size, self.seed))).numpy()

    def _state(self) -> tuple[dict[str, Any], Arrays]:
        return {"scaler": self._scaler.to_dict()}, arrays_of(self._network)

    def _restore(self, values: dict[str, Any], arrays: Arrays) -> None:
        self._scaler = Scaler.from_dict(values["scaler"])
        self._network = filled(self._new_network(len(self._scaler.mean)), arrays)
