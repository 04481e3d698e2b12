"""Probe a trained tokenizer: how much of the classes can be read from its codes?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from timeloom.data import Dataset, stratified_holdout
from timeloom.data.channels import check_channels
from timeloom.errors import InputError
from timeloom.progress import Progress, silent
from timeloom.stages import encode
from timeloom.tokenizer.tokenizer import Tokenizer

LEFT_OUT = 0.2
NEIGHBOURS = 5


class Accuracy(NamedTuple):
    """Share of test series that are classified rightly, over the seeds; higher is better.

    Attributes:
        mean: in [0, 1].
        std: standard deviation; 0 for one seed.
    """

    mean: float
    std: float


def _svm(n_cases: int, seed: int) -> Any:
    from sklearn.svm import LinearSVC

    return LinearSVC(dual=False, max_iter=10_000, random_state=seed)


def _knn(n_cases: int, seed: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(min(NEIGHBOURS, n_cases))


def _logistic(n_cases: int, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=10_000)


PROBES: dict[str, Callable[[int, int], Any]] = {"svm": _svm, "knn": _knn, "logistic": _logistic}


def run(tokenizer: Tokenizer, data: Dataset, *, n_seeds: int = 3, progress: Progress = silent) -> dict[str, Accuracy]:
    """Accuracy of simple classifiers on the pooled codes, and of the most frequent class (`chance`).

    Linear support vector machine, 5 nearest neighbours and logistic regression, as scikit-learn sets them, learn from
    the standardised codes of the training split and are judged on the test split. The tokenizer is only read.
    Each seed leaves out another fifth of the training series of each class, which shows how far the accuracy hangs on
    them.

    Raises:
        InputError: no labels, fewer than two classes, no test split, or series that the tokenizer cannot take.
    """
    if data.y_train is None:
        raise InputError(f"{data.name}: has no labels; a probe needs them")
    if data.X_test is None or data.y_test is None:
        raise InputError(f"{data.name}: has no test split with labels; a probe needs one")
    if len(np.unique(data.y_train)) < 2:
        raise InputError(f"{data.name}: all training series have one label; a probe needs at least 2 classes")
    check_channels(data.channels, tokenizer.spec.channels, data.name, "the data of this run")
    if n_seeds < 1:
        raise InputError(f"seeds is {n_seeds}; allowed: at least 1")
    train, test = (encode.encode(tokenizer, X, "pooled", progress=progress) for X in (data.X_train, data.X_test))
    found: dict[str, list[float]] = {name: [] for name in ("chance", *PROBES)}
    for seed in range(n_seeds):
        rows, _ = stratified_holdout(data.y_train, len(train), LEFT_OUT, seed)
        labels = data.y_train[rows]
        values, counts = np.unique(labels, return_counts=True)
        found["chance"].append(float(np.mean(data.y_test == values[counts.argmax()])))
        for name in PROBES:
            found[name].append(_accuracy(name, train[rows], labels, test, data.y_test, seed))
        progress("probe", seed + 1, n_seeds)
    return {
        name: Accuracy(float(np.mean(of)), float(np.std(of, ddof=1)) if n_seeds > 1 else 0.0)
        for name, of in found.items()
    }


def _accuracy(name: str, X: NDArray, y: NDArray, X_test: NDArray, y_test: NDArray, seed: int) -> float:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):  # many small products: two threads wait for each other
        model = make_pipeline(StandardScaler(), PROBES[name](len(X), seed))
        return float(model.fit(X.astype(np.float64), y).score(X_test.astype(np.float64), y_test))
