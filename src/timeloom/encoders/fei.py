"""FEI (Fu and Hu 2024): infer how the embedding of a series changes when some of its frequencies are masked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from timeloom.encoders.fei_loss import fei
from timeloom.encoders.fei_network import FEIInference, FEINetwork, draw_masks, mask_frequencies
from timeloom.encoders.inputs import SeriesScaler, check_count, check_fitted, check_setting
from timeloom.encoders.optimisation import (
    Budget,
    Device,
    RowBatches,
    chosen_device,
    default_steps,
    generator_of,
    initial_weights,
    lent_to,
    measure_norms,
    optimise,
    reading_device,
)
from timeloom.encoders.resuming import Checkpoint
from timeloom.encoders.storage import Arrays, StoredEncoder, arrays_of, filled
from timeloom.errors import InputError
from timeloom.progress import Progress, silent


class FEI(StoredEncoder):
    """Residual convolutions, trained without labels or negatives by inference in the space of embeddings.

    From the embedding of a series and a prompt that stands for a random mask over its frequencies, that of the masked
    series is inferred, as a slow copy of the encoder sees it; from both embeddings, the prompt. Series are scaled per
    channel by training statistics, missing values interpolated linearly. The same seed and data give the same bytes
    on the same CPU, and the global random state is left alone. `steps=0` gives the untrained network, its batch norms
    measured on the training series: the control to print beside a trained one.

    Source: Fu and Hu, "Frequency-masked embedding inference: a non-contrastive approach for time series
    representation learning", AAAI 2025 (arXiv 2412.20790): the masks and their shares, both inferences and where
    their gradients stop, and the slow copy, whose momentum rises to 1. The encoder is a smaller one, and there is one
    training a data set, not one on a large set for all.

    Args:
        widths: of the first convolution and of each residual unit, which halves the time; the last is the number of
            features D.
        max_masked: the largest share of the frequencies that is masked, in (0, 1).
        momentum: share that the slow copy keeps of itself in the first step, in [0, 1].
        batch_size: series a step, at least 2 for batch norm; no more than there are.
        lr: learning rate of AdamW.
        steps: optimisation steps; None takes 200 for up to 100 000 training values, else 600.
        seed: of the initial weights, the masks and the order of the series.
        device: where to compute, "auto", "cpu" or "cuda"; "auto" takes a GPU where there is one.
    """

    kind = "fei"

    def __init__(
        self,
        widths: tuple[int, ...] = (32, 64, 128, 256),
        max_masked: float = 0.7,
        momentum: float = 0.995,
        batch_size: int = 32,
        lr: float = 1e-3,
        steps: int | None = None,
        seed: int = 0,
        device: Device = "auto",
    ) -> None:
        self.widths = tuple(widths)
        self.max_masked = max_masked
        self.momentum = momentum
        self.batch_size = batch_size
        self.lr = lr
        self.steps = steps
        self.seed = seed
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
            InputError: fewer than two series, series of a single time point, an impossible setting, or a checkpoint of
                other settings or series.
        """
        self._check_settings()
        scaler = SeriesScaler.fit(X)
        series = torch.from_numpy(scaler.transform(X))
        if len(series) < 2:
            raise InputError(f"X has {len(series)} series; allowed: at least 2, as FEI scales by those of a batch")
        if scaler.n_timepoints < 2:
            raise InputError(
                f"X has series of length {scaler.n_timepoints}; allowed: at least 2, as FEI masks frequencies"
            )
        steps = default_steps(series.numel()) if self.steps is None else self.steps
        budget = Budget(steps, self.batch_size, self.lr)
        kept = Checkpoint.of(checkpoint, self, series.numpy())
        self._network = self._train(self._new_network(series.shape[1]), series, budget, progress, kept)
        self._scaler = scaler
        self._learned()
        return self

    def _check_settings(self) -> None:
        good = len(self.widths) > 0 and all(w >= 1 for w in self.widths)
        check_setting("widths", self.widths, good, "at least one width, each at least 1")
        check_setting("max_masked", self.max_masked, 0 < self.max_masked < 1, "above 0 and below 1")
        check_setting("momentum", self.momentum, 0 <= self.momentum <= 1, "from 0 to 1")
        check_count("batch_size", self.batch_size, 2)

    def _new_network(self, n_channels: int) -> FEINetwork:
        with initial_weights(self.seed):
            return FEINetwork(n_channels, self.widths)

    def _train(
        self, network: FEINetwork, series: Tensor, budget: Budget, progress: Progress, checkpoint: Checkpoint | None
    ) -> FEINetwork:
        device, generator = chosen_device(self.device), generator_of(self.seed)
        n_bins = series.shape[2] // 2 + 1
        with initial_weights(self.seed + 1):
            inference = FEIInference(network, self.widths[-1], n_bins).to(device).train()

        def loss_of(rows: Tensor) -> Tensor:
            keep = draw_masks(len(rows), n_bins, self.max_masked, generator)
            terms = inferences(inference, series[rows].to(device), keep.to(device))
            return terms["embedding"] + terms["mask"]

        def follow(step: int) -> None:
            inference.follow(self.momentum + (1 - self.momentum) * step / budget.steps)

        optimise(
            inference,
            loss_of,
            RowBatches(len(series), budget.batch_size, generator),
            budget,
            name="FEI",
            progress=progress,
            after_step=follow,
            checkpoint=checkpoint,
        )
        if budget.steps == 0:
            measure_norms(network.to("cpu"), series, budget.batch_size, generator)
        return network.to("cpu").eval().requires_grad_(False)

    def encode(self, X: ArrayLike, batch_size: int = 256) -> NDArray[np.float32]:
        """Embeddings (N, D) of series (N, C, T).

        Raises:
            InputError: series of other channels or length than in training.
        """
        check_fitted(self)
        series, device = torch.from_numpy(self._scaler.transform(X)), reading_device(self.device)
        with torch.inference_mode(), lent_to(device, self._network) as network:
            return torch.cat([network(part.to(device)).cpu() for part in series.split(batch_size)]).numpy()

    def _state(self) -> tuple[dict[str, Any], Arrays]:
        return {"scaler": self._scaler.to_dict()}, arrays_of(self._network)

    def _restore(self, values: dict[str, Any], arrays: Arrays) -> None:
        self._scaler = SeriesScaler.from_dict(values["scaler"])
        self._network = filled(self._new_network(len(self._scaler.scaler.mean)), arrays)


def inferences(inference: FEIInference, series: Tensor, keep: Tensor) -> dict[str, Tensor]:
    """The loss terms of scaled series (B, C, T) whose frequencies are masked where `keep` (B, T // 2 + 1) is False.

    The prompt learns from the mask alone, the encoder from the embedding alone.
    """
    prompt, fast = inference.prompt(keep), inference.fast(series)
    with torch.no_grad():
        target = inference.slow(mask_frequencies(series, keep))
    inferred = inference.infer_embedding(fast + prompt.detach())
    inferred_prompt = inference.infer_mask(target - fast.detach())
    return fei(inferred, target, inferred_prompt, prompt)
