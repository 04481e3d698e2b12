"""Usefulness: does a model that learned from synthetic series work on real ones?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from timeloom.evaluation.evidence import Absent
from timeloom.evaluation.gathering import Evidence
from timeloom.evaluation.measures.bootstrap import centred_interval
from timeloom.evaluation.measures.predictive import predictive_errors
from timeloom.evaluation.metrics.metric import CaseScores, case_measure, mean_of, share_replicates, undefined
from timeloom.evaluation.results import Interval, Measure


def cas(evidence: Evidence) -> Measure:
    """Accuracy on real series of a classifier trained on synthetic ones; the floor is trained on real ones.

    Classification accuracy score (Ravuri & Vinyals 2019) with the FCN; intervals are over test series.
    """
    found = evidence.predictions
    if isinstance(found, Absent):
        return undefined("higher", found)
    return _accuracy(evidence, found.synthetic, found.train, found.memoriser)


def cas_augmented(evidence: Evidence) -> Measure:
    """The same after training on real and synthetic series together: does adding them help?"""
    found = evidence.predictions
    if isinstance(found, Absent):
        return undefined("higher", found)
    nothing = Absent("memoriser: copies add nothing to the training series")
    return _accuracy(evidence, evidence.augmented, found.train, nothing)


def predictive_error(evidence: Evidence) -> Measure:
    """Error on real series of a forecaster trained on synthetic ones; the floor is trained on real ones.

    Mean absolute error of the next step by ridge regression on the past, in training standard deviations.
    """
    scores = CaseScores.of([evidence.scaled], lambda test, other: predictive_errors(other, test))
    return case_measure(scores, evidence, "lower")


def _accuracy(
    evidence: Evidence, predicted: NDArray | Absent, by_real: NDArray, memorised: NDArray | Absent
) -> Measure:
    """Accuracy with that of a classifier trained on real series as its floor."""
    predictions = evidence.predictions
    assert not isinstance(predictions, Absent)
    truth = predictions.truth

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
