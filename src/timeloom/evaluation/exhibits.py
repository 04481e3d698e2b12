"""What the pictures of a report are drawn from: arrays, gathered once, so that drawing needs no model and no file."""

from __future__ import annotations

from dataclasses import dataclass, field

from numpy.typing import NDArray

from timeloom.data.channels import channel_title


@dataclass(frozen=True)
class Embedding:
    """Features of both sets under one encoder.

    Attributes:
        encoder: its name, for the caption.
        test: (N, D), of real test series; rows may be fewer than the test split's.
        synthetic: (M, D).
        test_rows: (N,) which test series they are.
        synthetic_rows: (M,) which synthetic series they are.
    """

    encoder: str
    test: NDArray
    synthetic: NDArray
    test_rows: NDArray
    synthetic_rows: NDArray


@dataclass(frozen=True)
class Neighbours:
    """The training series next to each synthetic one.

    Attributes:
        row: (M,) row of the nearest training series.
        distance: (M,) Euclidean distance to it, on series scaled per channel by training statistics.
        threshold: at or below it a synthetic series counts as a near copy.
    """

    row: NDArray
    distance: NDArray
    threshold: float


@dataclass(frozen=True)
class ClassMatrix:
    """Confusion of a classifier on the real test series, by the set it was trained on.

    Attributes:
        classes: (n_classes,) labels.
        matrices: by name of the training set ("real", "synthetic"): (n_classes, n_classes) shares, rows (true classes)
            sum to 1.
    """

    classes: NDArray
    matrices: dict[str, NDArray]


@dataclass(frozen=True)
class TokenUse:
    """What a tokenizer and its prior do.

    Attributes:
        test_shares: (levels, K) relative frequency of each code on real test series.
        synthetic_shares: the same on the synthetic series.
        step_entropy: (rounds,) mean entropy in nats of the prior's prediction in each decoding round, or None.
        step_confidence: (rounds,) mean probability of the tokens that a round commits, or None.
    """

    test_shares: NDArray
    synthetic_shares: NDArray
    step_entropy: NDArray | None = None
    step_confidence: NDArray | None = None


@dataclass(frozen=True)
class Exhibits:
    """Everything that is drawn. Series are (n, C, T) in the units of the data; labels (n,) or None.

    Attributes:
        X_train: real training series.
        y_train: their labels.
        X_test: real test series.
        y_test: their labels.
        X_synthetic: synthetic series.
        y_synthetic: their labels.
        neighbours: for the gallery of near copies.
        embedding: for PCA, t-SNE, UMAP and densMAP; None where no encoder was used.
        class_matrix: None without labels.
        tokens: None without a tokenizer.
        channels: names of the channels, or None.
        notes: what a picture must say, by its name (for instance why it is missing).
    """

    X_train: NDArray
    y_train: NDArray | None
    X_test: NDArray
    y_test: NDArray | None
    X_synthetic: NDArray
    y_synthetic: NDArray | None
    neighbours: Neighbours
    embedding: Embedding | None = None
    class_matrix: ClassMatrix | None = None
    tokens: TokenUse | None = None
    channels: tuple[str, ...] | None = None
    notes: dict[str, str] = field(default_factory=dict)

    def channel_title(self, channel: int) -> str:
        """What a picture calls a channel."""
        return channel_title(self.channels, channel, self.X_test.shape[1])
