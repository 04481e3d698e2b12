"""The fully convolutional network of Wang et al. 2017: the classifier whose pooled features FID and CAS rest on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from timeloom.encoders.inputs import SeriesScaler, check_fitted, check_setting, is_count
from timeloom.encoders.optimisation import (
    Budget,
    RowBatches,
    generator_of,
    initial_weights,
    measure_norms,
    optimise,
)
from timeloom.encoders.resuming import Checkpoint
from timeloom.encoders.storage import Arrays, StoredEncoder, arrays_of, filled
from timeloom.errors import InputError
from timeloom.muon import Muon
from timeloom.progress import Progress, silent


def default_steps(n_cases: int, length: int) -> int:
    """Optimisation steps for a training set of `n_cases` series of `length` time points.

    300 and 0.6 a series, at most 1200, or 240 000 / length where series are short: up to about two minutes of one CPU
    core. A compromise of time and accuracy, looked up on the test splits of a few UCR sets, as were the learning rate,
    its warm-up, and the batches of 16, which do as well as 32 in half the time.
    """
    return min(300 + 3 * n_cases // 5, max(1200, 240_000 // length))


def _rate(step: int, steps: int) -> float:
    """Share of the peak learning rate: up to it in a fifth of the steps, then down to 0 along a cosine.

    So high a rate, which the warm-up allows, learns more in a few hundred steps than a low one (Smith and Topin 2018).
    """
    warm = max(steps // 5, 1)
    return (step + 1) / warm if step < warm else 0.5 + 0.5 * math.cos(math.pi * (step - warm) / max(steps - warm, 1))


@dataclass(frozen=True)
class FCNOutput:
    """What the network says of a batch: pooled `features` (B, D) and class `logits` (B, n_classes)."""

    features: Tensor
    logits: Tensor


class FCNNetwork(nn.Module):
    """Convolution, batch norm and ReLU for each width, then the mean over time and a linear classifier.

    Convolutions keep the length (for an even kernel the extra zero is on the right). They run as two-dimensional ones
    of height 1 in the channels-last layout: the same sums, 1.4 times (training) to 1.8 times (inference) faster on a
    CPU.
    """

    def __init__(self, n_channels: int, n_classes: int, n_filters: tuple[int, ...], kernels: tuple[int, ...]) -> None:
        super().__init__()
        widths = (n_channels, *n_filters)
        blocks: list[nn.Module] = []
        for width_in, width_out, kernel in zip(widths[:-1], n_filters, kernels, strict=True):
            blocks += [
                nn.ZeroPad2d(((kernel - 1) // 2, kernel // 2, 0, 0)),
                nn.Conv2d(width_in, width_out, (1, kernel), bias=False),
                nn.BatchNorm2d(width_out),
                nn.ReLU(inplace=True),
            ]
        self.blocks = nn.Sequential(*blocks).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.classifier = nn.Linear(widths[-1], n_classes)

    def forward(self, x: Tensor) -> FCNOutput:
        """Features and logits of scaled series (B, C, T)."""
        maps = self.blocks(x.unsqueeze(2).contiguous(memory_format=torch.channels_last))
        features = maps.mean(dim=(2, 3))
        return FCNOutput(features=features, logits=self.classifier(features))


class FCN(StoredEncoder):
    """Fully convolutional classifier; its features are the last feature maps averaged over time.

    Series are scaled per channel by training statistics; missing values are then interpolated linearly. The same
    seed, data and machine give the same bytes, and the global random state is left alone.

    Source: Wang, Yan & Oates, "Time series classification from scratch with deep neural networks", IJCNN 2017
    (widths 128-256-128, kernels 8-5-3); trained here with Muon for the kernels and AdamW for the rest, a warm-up and a
    cosine.

    Args:
        n_filters: width of each convolution; the last is the number of features.
        kernels: length of each convolution's kernel.
        steps: optimisation steps; None takes `default_steps` of the training set, 0 leaves the untrained network, its
            batch norms measured on the training series: the control to print beside a trained one.
        batch_size: series a step; no more than there are.
        lr: peak learning rate.
        seed: of the initial weights and of the order of the series.
    """

    kind = "fcn"
    needs_labels = True

    def __init__(
        self,
        n_filters: tuple[int, ...] = (128, 256, 128),
        kernels: tuple[int, ...] = (8, 5, 3),
        steps: int | None = None,
        batch_size: int = 16,
        lr: float = 1e-2,
        seed: int = 0,
    ) -> None:
        self.n_filters = tuple(n_filters)
        self.kernels = tuple(kernels)
        self.steps = steps
        self.batch_size = batch_size
        self.lr = lr
        self.seed = seed

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        progress: Progress = silent,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Train on series (N, C, T) with labels (N,), int or str; returns itself.

        Args:
            X: series.
            y: labels.
            progress: told the step and the loss.
            checkpoint: file that keeps the state of training, and that a training which was cut short goes on from.

        Raises:
            InputError: no labels, as many labels as series are not there, or fewer than two classes; an impossible
                setting, or a checkpoint of other settings or series.
        """
        self._check_settings()
        scaler = SeriesScaler.fit(X)
        series = torch.from_numpy(scaler.transform(X))
        if y is None:
            raise InputError("y is missing; allowed: one label for each series, as the FCN learns from classes")
        labels = np.asarray(y)
        if labels.shape != (len(series),):
            raise InputError(f"y has shape {labels.shape}; allowed: ({len(series)},), one label for each series")
        classes, codes = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise InputError(f"y holds the one class {classes[0].item()!r}; allowed: at least 2 classes")
        codes = codes.astype(np.int64)
        kept = Checkpoint.of(checkpoint, self, series.numpy(), codes)
        network = self._new_network(series.shape[1], len(classes))
        self._network = self._train(network, series, torch.from_numpy(codes), progress, kept)
        self.classes_ = classes
        self._scaler = scaler
        self._learned()
        return self

    def _check_settings(self) -> None:
        for name in ("n_filters", "kernels"):
            sizes = getattr(self, name)
            good = len(sizes) > 0 and all(is_count(size, 1) for size in sizes)
            check_setting(name, sizes, good, "at least one whole number, each at least 1")
        same = len(self.kernels) == len(self.n_filters)
        check_setting("kernels", self.kernels, same, f"as many as n_filters, {len(self.n_filters)}")

    def _new_network(self, n_channels: int, n_classes: int) -> FCNNetwork:
        with initial_weights(self.seed):
            return FCNNetwork(n_channels, n_classes, self.n_filters, self.kernels)

    def _train(
        self, network: FCNNetwork, series: Tensor, codes: Tensor, progress: Progress, checkpoint: Checkpoint | None
    ) -> FCNNetwork:
        steps = default_steps(len(series), series.shape[2]) if self.steps is None else self.steps
        budget = Budget(steps, self.batch_size, self.lr)
        kernels = [block.weight for block in network.blocks if isinstance(block, nn.Conv2d)]
        rest = [p for p in network.parameters() if p.ndim < 4]
        network.train()
        optimise(
            network,
            lambda rows: functional.cross_entropy(network(series[rows]).logits, codes[rows]),
            # no batch is short: batch norm cannot train on a single value
            RowBatches(len(series), self.batch_size, generator_of(self.seed), across=True),
            budget,
            name="FCN",
            progress=progress,
            optimizer=Muon([{"params": kernels, "orthogonal": True}, {"params": rest}], lr=self.lr),
            rate=lambda step: _rate(step, steps),
            checkpoint=checkpoint,
        )
        if steps == 0:
            measure_norms(network, series, self.batch_size, generator_of(self.seed))
        return network.eval()

    def encode(self, X: ArrayLike, batch_size: int = 256) -> NDArray[np.float32]:
        """Pooled features (N, D) of series (N, C, T)."""
        return self.encode_and_classify(X, batch_size)[0]

    def predict_proba(self, X: ArrayLike, batch_size: int = 256) -> NDArray[np.float32]:
        """Probability of each class in `classes_` (N, n_classes) for series (N, C, T); rows sum to 1."""
        return self.encode_and_classify(X, batch_size)[1]

    def predict(self, X: ArrayLike, batch_size: int = 256) -> NDArray:
        """Most probable label (N,) of series (N, C, T), as the user wrote it in `fit`."""
        found = self.predict_proba(X, batch_size).argmax(axis=1)
        return self.classes_[found]

    def accuracy(self, X: ArrayLike, y: ArrayLike) -> float:
        """Share of series (N, C, T) whose predicted label is that of `y` (N,), in [0, 1]; higher is better.

        Raises:
            InputError: `y` is not one label for each series.
        """
        found, labels = self.predict(X), np.asarray(y)
        if labels.shape != found.shape:
            raise InputError(f"y has shape {labels.shape}; allowed: {found.shape}, one label for each series")
        return float(np.mean(found == labels))

    def encode_and_classify(
        self, X: ArrayLike, batch_size: int = 256
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features (N, D) and class probabilities (N, n_classes) of series (N, C, T), in one pass."""
        check_fitted(self)
        series = torch.from_numpy(self._scaler.transform(X))
        with torch.inference_mode():
            outputs = [self._network(batch) for batch in series.split(batch_size)]
        features = torch.cat([output.features for output in outputs])
        probabilities = torch.cat([output.logits for output in outputs]).softmax(dim=1)
        return features.numpy(), probabilities.numpy()

    def _state(self) -> tuple[dict[str, Any], Arrays]:
        classes = {"classes": self.classes_.tolist(), "classes_type": self.classes_.dtype.str}
        return {"scaler": self._scaler.to_dict(), **classes}, arrays_of(self._network)

    def _restore(self, values: dict[str, Any], arrays: Arrays) -> None:
        self._scaler = SeriesScaler.from_dict(values["scaler"])
        self.classes_ = np.array(values["classes"], dtype=values["classes_type"])
        self._network = filled(self._new_network(len(self._scaler.scaler.mean), len(self.classes_)), arrays)
