"""TimeDRL (Chang et al. 2023): patches and whole series embedded side by side, learned without augmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from timeloom.data.missing import fill_missing
from timeloom.encoders.inputs import Level, SeriesScaler, check_count, check_fitted, check_level, check_setting
from timeloom.encoders.optimisation import (
    Budget,
    Device,
    RowBatches,
    chosen_device,
    dropout,
    generator_of,
    initial_weights,
    lent_to,
    optimise,
    reading_device,
)
from timeloom.encoders.resuming import Checkpoint
from timeloom.encoders.storage import Arrays, StoredEncoder, arrays_of, filled
from timeloom.encoders.timedrl_loss import timedrl
from timeloom.encoders.timedrl_network import Embeddings, Patches, TimeDRLHeads, TimeDRLNetwork
from timeloom.progress import Progress, silent

# added to the variance of a series, whose unit is that of the training series: a constant one becomes 0
EPSILON = 1e-5


class TimeDRL(StoredEncoder):
    """Transformer over patches, trained to rebuild them and to recognise a series under another dropout.

    Each channel of each series is scaled by its own mean and deviation: level and amplitude are not seen. Missing
    values take no part in these nor in the loss, and are interpolated for the network; patches without any value are
    not attended to, so that series of unequal length can be padded with NaN. The same seed and data give the same
    bytes on the same CPU, and the global random state is left alone. `steps=0` gives the untrained network: the
    control to print beside a trained one.

    Source: Chang et al., "TimeDRL: disentangled representation learning for multivariate time-series", ICDE 2024
    (arXiv 2312.04142). The two tasks, the token before the embedding and the two modes of channels are the paper's;
    sizes, budget, pre-norm blocks, one linear embedding and what stands for a whole series (`segments`; the paper
    takes the first token for most sets) are chosen here. Its published figures are those of the best epoch on the
    test split.

    Args:
        dims: width D of the embeddings.
        layers: attention blocks.
        heads: attention heads; `dims` is a multiple of it.
        patch_length: time points of a patch.
        patch_stride: time points from the start of a patch to that of the next, at most `patch_length`.
        channel_independent: embed each channel alone, by the same network, and set the embeddings side by side; else a
            patch holds all channels.
        segments: stretches of a series whose patches' embeddings are averaged and set side by side as the embedding of
            the whole, no more than there are patches; 0 takes that of the first token. In cross-validation on six small
            training splits 4 did better than the first token on four, and as many as there are patches did as well.
        dropout: share of activations dropped in training, in [0, 1): what makes the two views.
        contrastive_weight: weight of the instance-contrastive term beside the timestamp-predictive one.
        batch_size: series a step; no more than there are.
        lr: learning rate of AdamW.
        steps: optimisation steps; 600 were better than 200 in cross-validation on two small training splits.
        seed: of the initial weights, the dropout and the order of the series.
        device: where to compute, "auto", "cpu" or "cuda"; "auto" takes a GPU where there is one.
    """

    kind = "timedrl"

    def __init__(
        self,
        dims: int = 64,
        layers: int = 2,
        heads: int = 4,
        patch_length: int = 16,
        patch_stride: int = 8,
        channel_independent: bool = False,
        segments: int = 4,
        dropout: float = 0.1,
        contrastive_weight: float = 0.1,
        batch_size: int = 32,
        lr: float = 1e-3,
        steps: int = 600,
        seed: int = 0,
        device: Device = "auto",
    ) -> None:
        self.dims = dims
        self.layers = layers
        self.heads = heads
        self.patch_length = patch_length
        self.patch_stride = patch_stride
        self.channel_independent = channel_independent
        self.segments = segments
        self.dropout = dropout
        self.contrastive_weight = contrastive_weight
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
            InputError: an impossible setting, or a checkpoint of other settings or series.
        """
        self._check_settings()
        scaler = SeriesScaler.fit(X)
        series, observed = self._prepare(scaler, X)
        budget = Budget(self.steps, self.batch_size, self.lr)
        kept = Checkpoint.of(checkpoint, self, series.numpy(), observed.numpy())
        self._network = self._train(self._new_network(scaler), series, observed, budget, progress, kept)
        self._scaler = scaler
        self._learned()
        return self

    def _check_settings(self) -> None:
        for name in ("dims", "layers", "heads", "patch_length", "patch_stride"):
            check_count(name, getattr(self, name), 1)
        check_count("segments", self.segments, 0)
        check_setting("heads", self.heads, self.dims % self.heads == 0, f"a divisor of dims = {self.dims}")
        no_gap = self.patch_stride <= self.patch_length
        check_setting("patch_stride", self.patch_stride, no_gap, f"at most patch_length = {self.patch_length}")
        check_setting("dropout", self.dropout, 0 <= self.dropout < 1, "at least 0 and below 1")
        check_setting("contrastive_weight", self.contrastive_weight, self.contrastive_weight >= 0, "at least 0")

    def _prepare(self, scaler: SeriesScaler, X: ArrayLike) -> tuple[Tensor, Tensor]:
        """Series (N, C, T'), each channel of each scaled by itself and filled, and what was observed of them.

        T' is the length at which patches end with the series; what lies behind T counts as missing.
        """
        scaled = scale_each(scaler.scale(X))
        beyond = self._n_patches(scaler) * self.patch_stride + self.patch_length - self.patch_stride - scaled.shape[2]
        padded = np.pad(scaled, ((0, 0), (0, 0), (0, beyond)), constant_values=np.nan)
        series, observed = fill_missing(padded)
        return torch.from_numpy(series), torch.from_numpy(observed)

    def _n_patches(self, scaler: SeriesScaler) -> int:
        return 1 + max(0, -(-(scaler.n_timepoints - self.patch_length) // self.patch_stride))

    def _width(self, scaler: SeriesScaler) -> int:
        return self.patch_length * (1 if self.channel_independent else len(scaler.scaler.mean))

    def _cut(self, series: Tensor, observed: Tensor, device: torch.device) -> Patches:
        sizes = (self.patch_length, self.patch_stride, self.channel_independent)
        return Patches.cut(series.to(device), observed.to(device), *sizes)

    def _new_network(self, scaler: SeriesScaler) -> TimeDRLNetwork:
        with initial_weights(self.seed):
            return TimeDRLNetwork(self._width(scaler), self._n_patches(scaler), self.dims, self.layers, self.heads)

    def _train(
        self,
        network: TimeDRLNetwork,
        series: Tensor,
        observed: Tensor,
        budget: Budget,
        progress: Progress,
        checkpoint: Checkpoint | None,
    ) -> TimeDRLNetwork:
        device, generator = chosen_device(self.device), generator_of(self.seed)
        with initial_weights(self.seed + 1):
            heads = TimeDRLHeads(network.embed.in_features, self.dims).to(device)
        network.to(device)

        def loss_of(rows: Tensor) -> Tensor:
            patches = self._cut(series[rows], observed[rows], device)
            views = [network(patches, lambda x: dropout(x, self.dropout, generator)) for _ in range(2)]
            z_a, z_b = (view.instance for view in views)
            recon_a, recon_b = (heads.rebuild(view.timestamp) for view in views)
            # both views in one batch: batch norm so has two values even where there is one series only
            c_a, c_b = heads.predict(torch.cat([z_a, z_b])).chunk(2)
            terms = timedrl(patches.values, patches.observed, (recon_a, recon_b), (z_a, z_b), (c_a, c_b))
            return terms["predictive"] + self.contrastive_weight * terms["contrastive"]

        modules, batches = nn.ModuleList([network, heads]), RowBatches(len(series), budget.batch_size, generator)
        optimise(modules, loss_of, batches, budget, name="TimeDRL", progress=progress, checkpoint=checkpoint)
        self._rebuild = heads.rebuild.to("cpu").requires_grad_(False)
        return network.to("cpu").eval().requires_grad_(False)

    def reconstruct(self, X: ArrayLike, batch_size: int = 256) -> NDArray[np.float32]:
        """Series (N, C, T), in their own unit, as their patches' embeddings tell them; overlapping patches averaged.

        What the network has not learned it rebuilds badly: the distance to X is a score of anomaly (Chang et al. 2023,
        equation 5, is its loss). Missing values are rebuilt, too.

        Args:
            X: series, NaN where missing.
            batch_size: series at once.

        Raises:
            InputError: series of other channels or length than in training.
        """
        check_fitted(self)
        series, observed = self._prepare(self._scaler, X)
        device, found = reading_device(self.device), []
        with torch.inference_mode(), lent_to(device, self._network) as network, lent_to(device, self._rebuild) as head:
            for part, seen in zip(series.split(batch_size), observed.split(batch_size), strict=True):
                rebuilt = head(network(self._cut(part, seen, device)).timestamp)
                found.append(self._joined(rebuilt, part.shape).cpu())
        scaled = self._scaler.scale(X)
        mean, deviation = own_scale(scaled)
        whole = torch.cat(found).numpy()[:, :, : scaled.shape[2]]
        return self._scaler.scaler.inverse((whole * deviation + mean).astype(np.float32))

    def _joined(self, patches: Tensor, shape: torch.Size) -> Tensor:
        """Series (n, C, T') of patches (B, P, W): the inverse of `_cut`, each time point the mean of its patches."""
        n_cases, n_channels, n_timepoints = shape
        parts = patches.unflatten(2, (-1, self.patch_length)).unflatten(0, (n_cases, -1))
        # (n, 1, P, C, L) or, with independent channels, (n, C, P, 1, L)
        parts = parts.transpose(2, 3).reshape(n_cases, n_channels, -1, self.patch_length)
        total = parts.new_zeros(shape)
        count = parts.new_zeros(n_timepoints)
        for place in range(parts.shape[2]):
            stretch = slice(place * self.patch_stride, place * self.patch_stride + self.patch_length)
            total[:, :, stretch] += parts[:, :, place]
            count[stretch] += 1
        return total / count

    def encode(self, X: ArrayLike, batch_size: int = 256, *, level: Level = "series") -> NDArray[np.float32]:
        """Embeddings of series (N, C, T): one for each, (N, S D), or one for each patch, (N, P, D).

        S is the number of segments, or 1 for the first token. With independent channels there are C times as many
        numbers, channel after channel. Patch i begins at time i * `patch_stride`; P is the fewest that reach the end of
        a series.

        Args:
            X: series, NaN where missing.
            batch_size: series at once.
            level: "series" takes what `segments` says, "timestamp" the embeddings of the patches.

        Raises:
            InputError: series of other channels or length than in training, or an unknown level.
        """
        check_fitted(self)
        check_level(level)
        series, observed = self._prepare(self._scaler, X)
        device, found = reading_device(self.device), []
        with torch.inference_mode(), lent_to(device, self._network) as network:
            for part, seen in zip(series.split(batch_size), observed.split(batch_size), strict=True):
                patches = self._cut(part, seen, device)
                embeddings = network(patches)
                chosen = self._whole(embeddings, patches) if level == "series" else embeddings.timestamp
                found.append(self._side_by_side(chosen, len(part)).cpu())
        return torch.cat(found).numpy()

    def _whole(self, embeddings: Embeddings, patches: Patches) -> Tensor:
        """What stands for each series (B, S D): means over the observed patches of each segment, 0 where none is."""
        if self.segments == 0:
            return embeddings.instance
        n_segments = min(self.segments, embeddings.timestamp.shape[1])
        seen = patches.observed.any(dim=2, keepdim=True).float()
        parts = zip(*(of.tensor_split(n_segments, dim=1) for of in (embeddings.timestamp, seen)), strict=True)
        return torch.cat([(of * w).sum(dim=1) / w.sum(dim=1).clamp(min=1) for of, w in parts], dim=1)

    def _side_by_side(self, embeddings: Tensor, n_cases: int) -> Tensor:
        """Embeddings (n * C, ..., D) of single channels as (n, ..., C * D); those of all channels as they are."""
        return embeddings.unflatten(0, (n_cases, -1)).movedim(1, -2).flatten(-2)

    def _state(self) -> tuple[dict[str, Any], Arrays]:
        return {"scaler": self._scaler.to_dict()}, arrays_of(nn.ModuleDict(self._parts()))

    def _parts(self) -> dict[str, nn.Module]:
        return {"network": self._network, "rebuild": self._rebuild}

    def _restore(self, values: dict[str, Any], arrays: Arrays) -> None:
        self._scaler = SeriesScaler.from_dict(values["scaler"])
        self._network = self._new_network(self._scaler)
        self._rebuild = TimeDRLHeads(self._width(self._scaler), self.dims).rebuild
        filled(nn.ModuleDict(self._parts()), arrays)


def scale_each(series: NDArray[np.float32]) -> NDArray[np.float32]:
    """Series (N, C, T), every channel of every series with its own mean 0 and deviation 1; NaN stays NaN.

    One without a value stays without, a constant one becomes 0.
    """
    mean, deviation = own_scale(series)
    return ((series - mean) / deviation).astype(np.float32)


def own_scale(series: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation (N, C, 1) of each channel of each series (N, C, T) over its observed values; 0 and near 0."""
    observed = ~np.isnan(series)
    count = np.maximum(observed.sum(axis=2, keepdims=True), 1)
    values = np.where(observed, series, 0).astype(np.float64)
    mean = values.sum(axis=2, keepdims=True) / count
    variance = (np.where(observed, values - mean, 0) ** 2).sum(axis=2, keepdims=True) / count
    return mean, np.sqrt(variance + EPSILON)
