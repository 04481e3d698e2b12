"""Privacy and copying: do the synthetic series give the training series away?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from timeloom.evaluation.evidence import Absent
from timeloom.evaluation.gathering import Evidence
from timeloom.evaluation.measures.privacy import (
    auc_interval,
    membership_auc,
    membership_scores,
    nearest_neighbour_ratio,
)
from timeloom.evaluation.metrics.metric import (
    N_BOOT,
    CaseScores,
    capped,
    case_measure,
    undefined,
)
from timeloom.evaluation.results import Measure

TOO_FEW = Absent("fewer than 4 test series or fewer than 2 training series")


def copies(evidence: Evidence) -> Measure:
    """Share of synthetic series nearer to a training series than 95 % of training series are to each other.

    The floor is that share among real test series.
    """
    scores = {name: [of.distance <= of.threshold] for name, of in evidence.nearest.items()}
    return case_measure(CaseScores(**scores), evidence, "lower", high=1.0)


def closest_record(evidence: Evidence) -> Measure:
    """Distance from a synthetic series to the nearest training series (DCR), median; the floor is that of test series.

    A value below its floor means that the generator sits closer to its training series than new real data would.
    """
    scale = float(np.sqrt(evidence.flat.test.shape[1]))
    scores = {name: [of.distance / scale] for name, of in evidence.nearest.items()}
    return case_measure(CaseScores(**scores), evidence, "higher", summary=lambda cases: float(np.median(cases)))


def neighbour_ratio(evidence: Evidence) -> Measure:
    """Distance to the nearest training series over that to the second nearest (NNDR), median; near 0 is a copy.

    The floor is that of test series.
    """
    if len(evidence.series.train) < 2:
        return undefined("higher", TOO_FEW)
    flat = evidence.flat
    candidates = {"synthetic": flat.synthetic, "floor": flat.test, "memoriser": flat.memoriser}
    scores = {name: [nearest_neighbour_ratio(rows, flat.train)] for name, rows in candidates.items()}
    return case_measure(
        CaseScores(**scores), evidence, "higher", summary=lambda cases: float(np.median(cases)), high=1.0
    )


def membership_by_distance(evidence: Evidence) -> Measure:
    """Can an attacker tell training from test series by how near a synthetic one lies? 0.5 is no, 1 is always.

    Area under the ROC curve. The floor gives the attacker half of the test split in place of the synthetic series.
    """
    views = capped(evidence.flat, evidence.seed)
    if len(views.test) < 4 or len(views.train) < 2:
        return undefined("lower", TOO_FEW)
    half = np.random.default_rng(evidence.seed).permutation(len(views.test))
    released, unseen = views.test[half[::2]], views.test[half[1::2]]

    def attack(seen: NDArray, outside: NDArray) -> tuple[float, tuple[float, float]]:
        scores = membership_scores(views.train, seen), membership_scores(outside, seen)
        return membership_auc(*scores), auc_interval(*scores, n_boot=N_BOOT, seed=evidence.seed)

    value, ci95 = attack(views.synthetic, views.test)
    floor, floor_ci95 = attack(released, unseen)
    memoriser, _ = attack(views.memoriser, views.test)
    return Measure(value, floor, memoriser, ci95, "lower", None, floor_ci95)


def membership_by_likelihood(evidence: Evidence) -> Measure:
    """Can an attacker who has the model tell training from test series by their likelihood? 0.5 is no, 1 is always.

    Area under the ROC curve of the prior's masked log-likelihood. Its floor is 0.5, chance.
    """
    if isinstance(evidence.likelihood, Absent):
        return undefined("lower", evidence.likelihood)
    test, train = evidence.likelihood
    ends = auc_interval(train, test, n_boot=N_BOOT, seed=evidence.seed)
    reason = "memoriser: the model is attacked, not the synthetic series"
    return Measure(membership_auc(train, test), 0.5, None, ends, "lower", reason)
