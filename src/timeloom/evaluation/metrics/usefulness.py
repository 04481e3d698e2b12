"""Usefulness: does a model that learned from synthetic series work on real ones?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from timeloom.evaluation.evidence import Absent
from timeloom.evaluation.gathering import NO_SYNTHETIC_LABELS, Evidence
from timeloom.evaluation.measures.augmentation import ridge_predictions
from timeloom.evaluation.measures.bootstrap import centred_interval
from timeloom.evaluation.measures.predictive import predictive_errors
from timeloom.evaluation.metrics.metric import (
    CaseScores,
    capped_rows,
    case_measure,
    mean_of,
    share_replicates,
    undefined,
)
from timeloom.evaluation.results import Interval, Measure

NO_TEST_LABELS = "the real test split has no labels"


def cas(evidence: Evidence) -> Measure:
    """Accuracy on real series of a classifier trained on synthetic ones; the floor is trained on real ones.

    Classification accuracy score (Ravuri & Vinyals 2019) with the FCN; intervals are over test series.
    """
    found = evidence.predictions
    if isinstance(found, Absent):
        return undefined("higher", found)
    return _accuracy(found.truth, found.synthetic, found.train, found.memoriser)


def augmentation_rocket(evidence: Evidence) -> Measure:
    """Accuracy of a classifier trained on real and synthetic series together; the floor is trained on real ones.

    Ridge classifier on ROCKET features: does adding the synthetic series help?
    """
    real, y = evidence.real, evidence.y_synthetic
    if real.y_train is None or real.y_test is None:
        return undefined("higher", Absent("the data has no labels" if real.y_train is None else NO_TEST_LABELS))
    if len(set(real.y_train.tolist())) < 2:
        return undefined("higher", Absent("the training split holds a single class"))
    views = evidence.rocket
    by_real = ridge_predictions(views.train, real.y_train, views.test)
    both: NDArray | Absent = NO_SYNTHETIC_LABELS
    if y is not None:
        rows = capped_rows(len(y), evidence.seed)
        features = np.concatenate([views.train, views.synthetic[rows]])
        both = ridge_predictions(features, np.concatenate([real.y_train, y[rows]]), views.test)
    return _accuracy(real.y_test, both, by_real, Absent("memoriser: copies add nothing to training series"))


def predictive_error(evidence: Evidence) -> Measure:
    """Error on real series of a forecaster trained on synthetic ones; the floor is trained on real ones.

    Mean absolute error of the next step by ridge regression on the past, in training standard deviations.
    """
    scores = CaseScores.of([evidence.scaled], lambda test, other: predictive_errors(other, test))
    return case_measure(scores, evidence, "lower")


def _accuracy(truth: NDArray, predicted: NDArray | Absent, by_real: NDArray, memorised: NDArray | Absent) -> Measure:
    """Accuracy with that of a classifier trained on real series as its floor."""

    def right(given: NDArray | Absent) -> tuple[float | None, Interval | None]:
        if isinstance(given, Absent):
            return None, None
        cases = (given == truth).astype(np.float64)
        share = mean_of(cases)
        return share, centred_interval(share, share_replicates(cases), low=0.0, high=1.0)

    value, ci95 = right(predicted)
    floor, floor_ci95 = right(by_real)
    reasons = [given.reason for given in (predicted, memorised) if isinstance(given, Absent)]
    return Measure(value, floor, right(memorised)[0], ci95, "higher", "; ".join(reasons) or None, floor_ci95)
