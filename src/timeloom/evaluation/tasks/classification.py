"""How well simple classifiers read the classes from features; all choices are made on the training split."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.inputs import check_features

N_FOLDS = 5
POWERS = tuple(10.0**power for power in range(-4, 5))
# below this many training cases, or this many a class, nothing is cross-validated (Yue et al. 2022, as coded)
LEAST_CASES, LEAST_A_CLASS = 50, 5
MOST_CASES = 10_000
# without a penalty there is no solution where equal features have different classes (the authors' code stops, too)
MOST_ITERATIONS = 10_000_000


class ClassScore(NamedTuple):
    """What a classifier reached on the test split; higher is better.

    Attributes:
        accuracy: share of test cases that are classified rightly, in [0, 1].
        macro_f1: F1 of each class, averaged with equal weight, in [0, 1].
        c: inverse strength of the penalty that cross-validation chose.
    """

    accuracy: float
    macro_f1: float
    c: float


def svm(X: NDArray[np.float64], y: NDArray, seed: int) -> tuple[Any, float]:
    """Support vector machine with RBF kernel on the features as they are, as TS2Vec is judged.

    C is chosen by 5-fold cross-validation among 1e-4, 1e-3, ..., 1e4 and infinity; it is infinity where there are fewer
    than 50 training cases or 5 a class, or a single class that has more than one. Of more than 10 000 cases, so many
    are drawn, class by class. The kernel's width is 1 / (D * variance). Yue et al. 2022, appendix C.2 and the authors'
    code.
    """
    from sklearn.model_selection import train_test_split
    from sklearn.svm import SVC

    how: dict[str, Any] = {"gamma": "scale", "max_iter": MOST_ITERATIONS}
    counts = np.unique(y, return_counts=True)[1]
    # without the fold that holds a class's only case there may be one class left
    if len(y) < LEAST_CASES or len(y) // len(counts) < LEAST_A_CLASS or (counts > 1).sum() < 2:
        return _quietly(SVC(C=np.inf, **how).fit, X, y), float("inf")
    if len(y) > MOST_CASES:
        by_class = y if counts.min() > 1 else None
        X, _, y, _ = train_test_split(X, y, train_size=MOST_CASES, random_state=seed, stratify=by_class)
    return _searched(SVC(**how), "C", (*POWERS, np.inf), X, y, N_FOLDS, seed)


def logistic(X: NDArray[np.float64], y: NDArray, seed: int) -> tuple[Any, float]:
    """Logistic regression on standardised features; C among 1e-4, 1e-3, ..., 1e4 by cross-validation.

    There are 5 folds, or as many as the smallest class has cases; C is 1 where that is a single one.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    n_folds = min(N_FOLDS, int(np.unique(y, return_counts=True)[1].min()))
    if n_folds < 2:
        return _quietly(model.fit, X, y), 1.0
    return _searched(model, "logisticregression__C", POWERS, X, y, n_folds, seed)


CLASSIFIERS: dict[str, Callable[[NDArray[np.float64], NDArray, int], tuple[Any, float]]] = {
    "svm": svm,
    "logistic": logistic,
}


def classify(
    train: ArrayLike, y_train: ArrayLike, test: ArrayLike, y_test: ArrayLike, *, classifier: str = "svm", seed: int = 0
) -> ClassScore:
    """Learn the classes from features (N, D), chosen by cross-validation on them alone, and judge on others (M, D).

    Args:
        train: features to learn from.
        y_train: their labels (N,), at least two classes.
        test: features to judge on.
        y_test: their labels (M,).
        classifier: a key of `CLASSIFIERS`.
        seed: of the folds.

    Raises:
        InputError: features that are not (N, D) and finite, labels of another number, one class, or an unknown
            classifier.
    """
    from sklearn.metrics import f1_score
    from threadpoolctl import threadpool_limits

    if classifier not in CLASSIFIERS:
        raise InputError(f"classifier = {classifier!r}: must be one of {', '.join(CLASSIFIERS)}")
    features = check_features(train, "train").astype(np.float64), check_features(test, "test").astype(np.float64)
    labels = np.asarray(y_train), np.asarray(y_test)
    for name, rows, of in zip(("train", "test"), features, labels, strict=True):
        if of.shape != (len(rows),):
            raise InputError(f"y_{name} has shape {of.shape}; allowed: ({len(rows)},), one label for each case")
    if len(np.unique(labels[0])) < 2:
        raise InputError("y_train holds one class; allowed: at least 2 classes")
    with threadpool_limits(1, user_api="blas"):  # many small products: two threads wait for each other
        model, c = CLASSIFIERS[classifier](features[0], labels[0], seed)
        found = model.predict(features[1])
    return ClassScore(
        float(np.mean(found == labels[1])), float(f1_score(labels[1], found, average="macro", zero_division=0)), c
    )


def _searched(
    model: Any, name: str, values: tuple[float, ...], X: NDArray, y: NDArray, n_folds: int, seed: int
) -> tuple[Any, float]:
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    search = _quietly(GridSearchCV(model, {name: list(values)}, cv=folds).fit, X, y)
    return search.best_estimator_, float(search.best_params_[name])


def _quietly(fit: Callable[..., Any], X: NDArray, y: NDArray) -> Any:
    """Fit without the warnings that a class has fewer cases than folds, and that a weak penalty converges slowly."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        return fit(X, y)
