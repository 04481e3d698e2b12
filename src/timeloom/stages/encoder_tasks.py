"""One encoder, one set of series: fit, encode, and judge how well classes and planted faults can be read."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timeloom.data import Dataset, Scaler, evenly_spaced
from timeloom.data.missing import fill_missing
from timeloom.encoders import TimeDRL
from timeloom.errors import InputError
from timeloom.evaluation.tasks.anomaly import (
    FAULTS,
    MIN_LENGTH,
    Planted,
    detection,
    hidden_distance,
    moving_z,
    nearest_distance,
    plant,
    rebuilt_distance,
)
from timeloom.evaluation.tasks.classification import CLASSIFIERS, classify
from timeloom.progress import Progress, silent
from timeloom.stages.encode import encode_series
from timeloom.stages.train_encoder import EncoderConfig, fit

Figures = dict[str, float]
MOST_NORMAL, MOST_WINDOWS = 2000, 400
HIDDEN_PADDING = 50


def check_labelled(data: Dataset) -> None:
    """Refuse data that nothing can be classified in.

    Raises:
        InputError: no labels or no test split.
    """
    if data.y_train is None or data.X_test is None or data.y_test is None:
        raise InputError(f"{data.name}: has no labels; allowed for classification: labelled data")


def classification(data: Dataset, config: EncoderConfig, *, progress: Progress = silent) -> Figures:
    """Accuracy and macro F1 of each classifier on the test split, learned from the features of the training split.

    Raises:
        InputError: no labels or no test split, or an encoder that cannot learn from the data.
    """
    check_labelled(data)
    encoder = fit(config, data, progress=progress)
    return _classification_figures(data, lambda X: encode_series(encoder, X, progress=progress), config.seed, progress)


def classification_baselines(data: Dataset, seed: int, *, progress: Progress = silent) -> dict[str, Figures]:
    """The same of the values as they are, scaled by channel, without any encoder.

    Raises:
        InputError: no labels or no test split.
    """
    check_labelled(data)
    scaler = Scaler.fit(data.X_train)

    def values(X: NDArray[np.float32]) -> NDArray[np.float32]:
        return fill_missing(scaler.transform(X))[0].reshape(len(X), -1)

    return {"raw values": _classification_figures(data, values, seed, progress)}


def anomaly(data: Dataset, config: EncoderConfig, *, progress: Progress = silent) -> dict[str, Figures]:
    """How well planted faults are found by features of windows, in all and by kind of fault.

    Returns:
        By name of the score: "nearest", the distance to the nearest training features; "hidden", the change of a time
        point's features when it is hidden, of an encoder that can hide time points; and "rebuilt", how far a time point
        is from what is rebuilt of the features, of one that can rebuild series.
    """
    normal, labels, planted = fault_windows(data, config.seed)
    encoder = fit(config, Dataset(data.name, normal, labels, None, None), progress=progress)
    train, found = (encode_series(encoder, X, progress=progress) for X in (normal, planted.X))
    scores = {"nearest": nearest_distance(train, found)}
    if "mask" in inspect.signature(encoder.encode).parameters:
        options: dict[str, Any] = {
            "level": "timestamp",
            "causal": True,
            "sliding_length": 1,
            "sliding_padding": min(HIDDEN_PADDING, data.length - 1),
        }
        seen, hidden = (encoder.encode(planted.X, mask=mask, **options) for mask in (None, "mask_last"))  # type: ignore[call-arg]
        # of a value without a past nothing can be said: both scores begin at the same time point
        first = _past(data)
        scores["hidden"] = hidden_distance(seen[:, first:], hidden[:, first:])
    if isinstance(encoder, TimeDRL):
        deviation = Scaler.fit(normal).std
        scores["rebuilt"] = rebuilt_distance(planted.X, encoder.reconstruct(planted.X), deviation)
    return {name: _anomaly_figures(of, planted) for name, of in scores.items()}


def anomaly_baselines(data: Dataset, seed: int) -> dict[str, Figures]:
    """The same of a moving z-score, and of the distance to the nearest training window as it is."""
    normal, _, planted = fault_windows(data, seed)
    deviation = Scaler.fit(normal).std
    scores = {
        "moving z": moving_z(planted.X, deviation, _past(data)),
        "raw windows": nearest_distance(normal.reshape(len(normal), -1), planted.X.reshape(len(planted.X), -1)),
    }
    return {name: _anomaly_figures(of, planted) for name, of in scores.items()}


def _past(data: Dataset) -> int:
    """Time points that a score of single values looks back on."""
    return max(2, data.length // 8)


def fault_windows(data: Dataset, seed: int) -> tuple[NDArray[np.float32], NDArray | None, Planted]:
    """Normal windows of the training split with their labels, and those of the test split, half of them with a fault.

    Of overlapping windows every one that does not overlap with the last is taken for testing. There are at most 2000
    and 400, spread evenly.

    Raises:
        InputError: as `check_windows`.
    """
    data = data.with_test_split()
    check_windows(data)
    assert data.X_test is not None
    rows = evenly_spaced(len(data.X_train), MOST_NORMAL)
    mean = Scaler.fit(data.X_train).mean.tolist()
    normal = fill_missing(data.X_train[rows], mean)[0]
    tested = _apart(data)
    windows = fill_missing(tested[evenly_spaced(len(tested), MOST_WINDOWS)], mean)[0]
    labels = None if data.y_train is None else data.y_train[rows]
    return normal, labels, plant(windows, Scaler.fit(normal).std, seed=seed)


def check_windows(data: Dataset) -> None:
    """Refuse windows that no faults can be planted in, by their number and length alone.

    Raises:
        InputError: too few windows to test, or too short ones.
    """
    n, least = len(_apart(data.with_test_split())), 2 * len(FAULTS)
    if n < least:
        # of one long series a fifth is held out
        needed = f"take about {5 * least * data.length} time points" if data.ordered else "take more series"
        raise InputError(
            f"{data.name}: has {n} windows to test that do not overlap; allowed: at least {least}, half of them for "
            f"faults; {needed}"
        )
    if data.length < MIN_LENGTH:
        raise InputError(f"{data.name}: windows have length {data.length}; allowed: at least {MIN_LENGTH}")


def _apart(data: Dataset) -> NDArray[np.float32]:
    """Test windows that do not overlap."""
    assert data.X_test is not None
    return data.X_test[:: data.length if data.ordered else 1]


def _classification_figures(
    data: Dataset, features: Callable[[NDArray[np.float32]], NDArray[np.float32]], seed: int, progress: Progress
) -> Figures:
    """Accuracy and macro F1 of each classifier on the test split, learned from the features of the training split."""
    assert data.y_train is not None
    assert data.X_test is not None
    assert data.y_test is not None
    train, test = features(data.X_train), features(data.X_test)
    figures: Figures = {}
    for name in CLASSIFIERS:
        found = classify(train, data.y_train, test, data.y_test, classifier=name, seed=seed)
        figures |= {name: found.accuracy, f"{name} F1": found.macro_f1}
        progress("classify", len(figures) // 2, len(CLASSIFIERS))
    return figures


def _anomaly_figures(scores: NDArray[np.float64], planted: Planted) -> Figures:
    found = detection(scores, planted.kind)
    kinds = {name.replace("_", " "): area for name, area in found.by_kind.items()}
    windows = {"windows": float(len(scores))}
    return {**windows, "AUC": found.auc, "AUC low": found.ci95[0], "AUC high": found.ci95[1], **kinds}
