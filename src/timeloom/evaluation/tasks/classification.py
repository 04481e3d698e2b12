"""How well simple classifiers read the classes from features; all choices are made on the training split."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
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
PREDICTED_AT_ONCE = 1000
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


class KernelMachine:
    """Support vector machine with RBF kernel of width 1 / (D * variance of all values), as `SVC(gamma="scale")`.

    The width is that of the cases which are learned, so each fold has another: no one kernel would serve a grid search.
    The distances between the training cases are computed once, as one product of matrices, for all folds and penalties
    (10 000 cases take 3 GB of memory).

    Attributes:
        X: features of the training cases (N, D).
        y: their labels (N,).
        mean: of the features (D,).
        centred: the features without it (N, D).
        squares: squared distances (N, N).
    """

    def __init__(self, X: NDArray[np.float64], y: NDArray) -> None:
        self.X, self.y, self.mean = X, y, X.mean(axis=0)
        self.centred = X - self.mean
        self.squares = self._squares(X)

    def fit(self, c: float) -> None:
        """Learn all cases with this inverse strength of the penalty."""
        self.width = self._width(self.X)
        self.model = _svc(np.exp(-self.width * self.squares), self.y, c)

    def predict(self, X: NDArray[np.float64]) -> NDArray:
        """Labels (M,) of features (M, D)."""
        parts = (X[at : at + PREDICTED_AT_ONCE] for at in range(0, len(X), PREDICTED_AT_ONCE))
        return np.concatenate([self.model.predict(np.exp(-self.width * self._squares(part))) for part in parts])

    def best_c(self, values: Sequence[float], folds: Iterable[tuple[NDArray, NDArray]]) -> float:
        """The value with the highest mean accuracy over folds (rows to learn, rows to judge); the first of equals."""
        found = []
        for learned, judged in folds:
            width = self._width(self.X[learned])
            kernel, other = (np.exp(-width * self.squares[np.ix_(rows, learned)]) for rows in (learned, judged))
            found.append([_svc(kernel, self.y[learned], c).score(other, self.y[judged]) for c in values])
        return values[int(np.mean(found, axis=0).argmax())]

    def _squares(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Squared distances (M, N) from cases to the training cases; of differences from their mean, which keeps what
        is small beside it.
        """
        from sklearn.metrics.pairwise import euclidean_distances

        return np.asarray(euclidean_distances(X - self.mean, self.centred, squared=True))

    def _width(self, X: NDArray[np.float64]) -> float:
        variance = float(X.var())
        return 1 / (X.shape[1] * variance) if variance > 0 else 1.0


def _svc(kernel: NDArray[np.float64], y: NDArray, c: float) -> Any:
    from sklearn.svm import SVC

    return _quietly(SVC(C=c, kernel="precomputed", max_iter=MOST_ITERATIONS).fit, kernel, y)


def svm(X: NDArray[np.float64], y: NDArray, seed: int) -> tuple[Any, float]:
    """Support vector machine with RBF kernel on the features as they are, as TS2Vec is judged.

    C is chosen by 5-fold cross-validation among 1e-4, 1e-3, ..., 1e4 and infinity; it is infinity where there are fewer
    than 50 training cases or 5 a class, or a single class that has more than one. Of more than 10 000 cases, so many
    are drawn, class by class. Yue et al. 2022, appendix C.2 and the authors' code.
    """
    from sklearn.model_selection import train_test_split

    counts = np.unique(y, return_counts=True)[1]
    if len(y) > MOST_CASES:
        by_class = y if counts.min() > 1 else None
        X, _, y, _ = train_test_split(X, y, train_size=MOST_CASES, random_state=seed, stratify=by_class)
    machine = KernelMachine(X, y)
    # without the fold that holds a class's only case there may be one class left
    few = len(y) < LEAST_CASES or len(y) // len(counts) < LEAST_A_CLASS or (counts > 1).sum() < 2
    c = float("inf") if few else machine.best_c((*POWERS, float("inf")), _folds(N_FOLDS, X, y, seed))
    machine.fit(c)
    return machine, c


def logistic(X: NDArray[np.float64], y: NDArray, seed: int) -> tuple[Any, float]:
    """Logistic regression on standardised features; C among 1e-4, 1e-3, ..., 1e4 by cross-validation.

    There are 5 folds, or as many as the smallest class has cases; C is 1 where that is a single one.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    n_folds = min(N_FOLDS, int(np.unique(y, return_counts=True)[1].min()))
    if n_folds < 2:
        return _quietly(model.fit, X, y), 1.0
    grid = {"logisticregression__C": list(POWERS)}
    search = _quietly(GridSearchCV(model, grid, cv=_folds(n_folds, X, y, seed)).fit, X, y)
    return search.best_estimator_, float(search.best_params_["logisticregression__C"])


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


def _folds(n_folds: int, X: NDArray, y: NDArray, seed: int) -> list[tuple[NDArray, NDArray]]:
    from sklearn.model_selection import StratifiedKFold

    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    return _quietly(lambda X, y: list(splitter.split(X, y)), X, y)


def _quietly(fit: Callable[..., Any], X: NDArray, y: NDArray) -> Any:
    """Fit without the warnings that a class has fewer cases than folds, and that a weak penalty converges slowly."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        return fit(X, y)
