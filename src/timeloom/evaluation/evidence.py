"""What metrics are computed from: the same kind of array for each set of series, gathered by a protocol."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import NDArray


@dataclass(frozen=True)
class Absent:
    """Stands where something cannot be had, and says why."""

    reason: str


@dataclass(frozen=True)
class RealData:
    """The real series (N, C, T) of both splits and, where there are any, their labels (N,)."""

    X_train: NDArray
    y_train: NDArray | None
    X_test: NDArray
    y_test: NDArray | None


@dataclass(frozen=True)
class TokenViews:
    """What a tokenizer makes of the real series.

    Attributes:
        reconstruction: the test series (N, C, T), tokenized and decoded again, in the units of the data.
        test_tokens: (N, S, L) whole numbers: a code for each case, cell and level.
        train_tokens: the same of the training series.
        codebook_size: the number of codes.
    """

    reconstruction: NDArray
    test_tokens: NDArray
    train_tokens: NDArray
    codebook_size: int


@dataclass(frozen=True)
class Views:
    """One kind of array (series, features, probabilities, ...) for each set of series that is compared.

    Attributes:
        test: of the real test split.
        train: of the real training split; its distance to `test` is the floor.
        synthetic: of the synthetic series.
        memoriser: of training series drawn again with replacement, as many as synthetic ones.
        reconstruction: of the tokenizer's reconstruction of the test split.
    """

    test: NDArray
    train: NDArray
    synthetic: NDArray
    memoriser: NDArray
    reconstruction: NDArray | Absent


@dataclass(frozen=True)
class Correctness:
    """Which real test series (N,) a classifier gets right, by the set it was trained on; several seeds are averaged."""

    train: NDArray
    synthetic: NDArray | Absent
    memoriser: NDArray | Absent


@dataclass(frozen=True)
class Evidence:
    """Everything that the metrics of a report rest on; entries of a tuple are seeds.

    Attributes:
        series: (N, C, T), in the units of the data.
        fcn_features: (N, 128) of the FCN trained on the real training split.
        fcn_probabilities: (N, n_classes) of the same FCN.
        rocket_features: (N, 1000).
        correctness: of FCNs trained on each set.
        tokens: of the tokenizer.
        seed: of all bootstrap draws.
    """

    series: Views
    fcn_features: tuple[Views, ...] | Absent
    fcn_probabilities: tuple[Views, ...] | Absent
    rocket_features: Views
    correctness: Correctness | Absent
    tokens: TokenViews | Absent
    seed: int
