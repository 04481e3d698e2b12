"""What metrics are computed from: the same kind of array for each set of series."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Absent:
    """Stands where something cannot be had, and says why."""

    reason: str


@dataclass(frozen=True)
class RealData:
    """The real series (N, C, T) of both splits and, where there are any, their labels (N,) and names of channels."""

    X_train: NDArray
    y_train: NDArray | None
    X_test: NDArray
    y_test: NDArray | None
    channels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Views:
    """One kind of array (series, features, probabilities, tokens, ...) for each set of series that is compared.

    The floor and the memoriser are made of training rows when they are asked for, so that they cost no memory.

    Attributes:
        test: of the real test split.
        train: of the real training split.
        synthetic: of the synthetic series.
        memoriser_rows: training rows drawn with replacement, as many as there are synthetic series.
        floor_rows: training rows drawn without replacement, as many as there are synthetic series or as there are.
    """

    test: NDArray
    train: NDArray
    synthetic: NDArray
    memoriser_rows: NDArray
    floor_rows: NDArray

    @classmethod
    def draw(cls, test: NDArray, train: NDArray, synthetic: NDArray, seed: int) -> Self:
        """Views whose floor and memoriser are drawn by a seed."""
        rng = np.random.default_rng(seed)
        memoriser = rng.integers(0, len(train), size=len(synthetic))
        floor = np.arange(len(train))
        if len(synthetic) < len(train):
            floor = np.sort(rng.choice(len(train), size=len(synthetic), replace=False))
        return cls(test, train, synthetic, memoriser, floor)

    def of(self, test: NDArray, train: NDArray, synthetic: NDArray) -> Self:
        """Other arrays of the same cases."""
        return replace(self, test=test, train=train, synthetic=synthetic)

    @property
    def memoriser(self) -> NDArray:
        """Training series drawn again with replacement: what copying would score."""
        return self.train[self.memoriser_rows]

    @property
    def floor(self) -> NDArray:
        """Training series, no more than there are synthetic ones: what real series score."""
        return self.train if len(self.floor_rows) == len(self.train) else self.train[self.floor_rows]


@dataclass(frozen=True)
class TokenViews:
    """What a tokenizer and its prior make of the series.

    Attributes:
        reconstruction: the test series (N, C, T), tokenized and decoded again, in the units of the data.
        test: tokens (N, S, L) of the test series: a code for each case, cell and level.
        train: of the training series.
        synthetic: of the synthetic series.
        codebook_size: the number of codes.
        features: pooled codes (N, D) of test, train and synthetic series.
        likelihood: the prior's mean masked log-likelihood (N,) in nats a token, of test and training series.
        step_entropy: (rounds,) mean entropy in nats of the prior's prediction in each decoding round.
        step_confidence: (rounds,) mean probability of the tokens that a round commits.
    """

    reconstruction: NDArray
    test: NDArray
    train: NDArray
    synthetic: NDArray
    codebook_size: int
    features: tuple[NDArray, NDArray, NDArray] | None = None
    likelihood: tuple[NDArray, NDArray] | None = None
    step_entropy: NDArray | None = None
    step_confidence: NDArray | None = None


@dataclass(frozen=True)
class Predictions:
    """What classifiers say of the real test series (N,), by the set that each was trained on.

    Attributes:
        truth: labels of the test series.
        train: predicted by the one trained on the real training split.
        synthetic: on the synthetic series.
        memoriser: on training series drawn again.
    """

    truth: NDArray
    train: NDArray
    synthetic: NDArray | Absent
    memoriser: NDArray | Absent
