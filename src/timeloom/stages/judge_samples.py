"""How far samples are from the training series, as classifiers see it: what stage 2 chooses decoding by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from timeloom.encoders import FCN, Rocket, StoredEncoder
from timeloom.evaluation.measures.frechet import frechet_distance
from timeloom.evaluation.workers import Workers
from timeloom.progress import Progress

# not the network that an evaluation with seed 0 trains
SEED = 1000
STEPS = 250
KEY = "judge-{}"
# below so many series a classifier knows what it learned by heart: there each judges by the half that it did not learn
CROSSED_BELOW = 1000
Indices = NDArray[np.int64]


def start(workers: Workers, series: np.ndarray, labels: Tensor, *, seed: int) -> None:
    """Train the classifiers that `distance` judges by, each in a process of its own: they know nothing of tokens.

    Args:
        workers: at most two trainings are started; `distance` gets the same workers.
        series: training series (N, C, T), without NaN.
        labels: class indices (N,).
        seed: that of `distance`.
    """
    classes = labels.numpy()
    for place, (learned, _) in enumerate(_parts(classes, seed)):
        workers.start(KEY.format(place), _classifier(seed, place), series[learned], classes[learned])


def distance(
    series: np.ndarray,
    classes: Indices,
    rows: Indices,
    wanted: Indices,
    *,
    seed: int,
    workers: Workers,
    progress: Progress,
) -> Callable[[np.ndarray], float]:
    """The distance of samples (n, C, T) of the wanted classes to the training series, in the mean of all judges.

    Frechet distance of the features of a classifier (FCN) trained on the training series, with the wanted class beside
    them, so that a series of another class than it was asked for counts as far (Frechet joint distance, DeVries et al.
    2019, eq. 3); of ROCKET's features where there are no two classes.

    Of few series two classifiers learn one half each and compare with the other. What a network has learned lies
    further from the other classes in its features than any other series do, and samples of strong guidance, which
    are too typical, would be the nearest to it.

    Args:
        series: training series (N, C, T), without NaN.
        classes: class indices (N,).
        rows: places of the training series that samples are compared with.
        wanted: class indices (n,) of the samples.
        seed: of the halves and the judges.
        workers: where `start` may have begun; else the judges are trained here.
        progress: told about each training.
    """
    judges: list[tuple[StoredEncoder, Indices]] = []
    for place, (learned, compared) in enumerate(_parts(classes, seed)):
        classifier = _classifier(seed, place)
        judge = workers.train(KEY.format(place), classifier, series[learned], classes[learned], progress)
        judges.append((judge, np.intersect1d(compared, rows)))
    if not judges:
        judges = [(Rocket(seed=SEED + seed).fit(series[rows]), rows)]
    n_classes = int(classes.max()) + 1

    def of(judge: StoredEncoder, compared: Indices) -> Callable[[np.ndarray], float]:
        features = judge.encode(series[compared])
        # a class weighs as much as the features do
        weight = np.linalg.norm(features, axis=1).mean()
        goal = _joint(features, classes[compared], n_classes, weight)
        return lambda made: frechet_distance(goal, _joint(judge.encode(made), wanted, n_classes, weight))

    distances = [of(judge, compared) for judge, compared in judges]
    return lambda made: float(np.mean([to(made) for to in distances]))


def _parts(classes: Indices, seed: int) -> list[tuple[Indices, Indices]]:
    """For each classifier the places of the series that it learns, and of those that samples are compared with.

    Two halves, each class in both where it has two series; all series where there are many, or where a half would have
    but one class; no part where there are no two classes.
    """
    if len(np.unique(classes)) < 2:
        return []
    shuffled = np.random.default_rng(seed).permutation(len(classes))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    halves = [np.sort(by_class[place::2]) for place in (0, 1)]
    if len(classes) >= CROSSED_BELOW or min(len(np.unique(classes[half])) for half in halves) < 2:
        return [(np.arange(len(classes)), np.arange(len(classes)))]
    return [(halves[0], halves[1]), (halves[1], halves[0])]


def _classifier(seed: int, place: int) -> FCN:
    return FCN(steps=STEPS, seed=SEED + seed + place)


def _joint(features: NDArray[np.float32], labels: Indices, n: int, weight: float) -> NDArray[np.float64]:
    """Features (N, D) with the class beside them, (N, D + n): `weight` in its column, 0 in the others."""
    return np.hstack([features, weight * np.eye(n)[labels]])
