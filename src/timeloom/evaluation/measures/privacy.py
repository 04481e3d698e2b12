"""What synthetic series give away of the training series: closest records, and the attacker who asks who was in."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.bootstrap import centred_interval
from timeloom.evaluation.measures.copying import check_rows, check_widths, nearest_distances, nearest_rows


def closest_record_distances(candidates: ArrayLike, reference: ArrayLike) -> NDArray[np.float64]:
    """Distance (N,) from each candidate (N, V) to the closest record of the reference (M, V) (DCR); higher is safer.

    Euclidean, between scaled and flat series. It falls as the reference grows: compare distances to the *same*
    training series, those of synthetic candidates with those of held-out real ones. Zhao et al. 2021 (CTAB-GAN),
    section 4.1.

    Raises:
        InputError: not (N, V) with N at least 1, not finite, or of different widths.
    """
    rows, others = check_rows(candidates, "candidates"), check_rows(reference, "reference")
    check_widths(rows, others)
    return nearest_distances(rows, others)


def nearest_neighbour_ratio(candidates: ArrayLike, reference: ArrayLike) -> NDArray[np.float64]:
    """Distance to the nearest record over that to the second nearest (NNDR), (N,), in [0, 1]; higher is safer.

    Near 0 a candidate (N, V) singles out one record of the reference (M, V), near 1 it lies as far from several. A
    candidate that equals two or more records singles out none of them: its ratio 0 / 0 is 1. Zhao et al. 2021
    (CTAB-GAN), section 4.1; read it beside that of held-out real candidates.

    Raises:
        InputError: fewer than 2 records, not (N, V), not finite, or of different widths.
    """
    rows, others = check_rows(candidates, "candidates"), check_rows(reference, "reference", at_least=2)
    check_widths(rows, others)
    nearest, second = nearest_rows(rows, others, k=2)[1].T
    return np.divide(nearest, second, out=np.ones_like(nearest), where=second > 0)


def membership_scores(records: ArrayLike, synthetic: ArrayLike) -> NDArray[np.float64]:
    """How much an attacker who sees only synthetic series (M, V) takes each record (N, V) for a training series, (N,).

    Minus the Euclidean distance to the nearest synthetic series, at most 0; higher says member. The attack without
    access to the model of Chen et al. 2020 (GAN-Leaks), section 4.1; scores rank the records, as in Hayes et al. 2019
    (LOGAN).

    Raises:
        InputError: not (N, V) with N at least 1, not finite, or of different widths.
    """
    return -closest_record_distances(records, synthetic)


def membership_auc(train_scores: ArrayLike, test_scores: ArrayLike) -> float:
    """Area under the ROC curve of an attack, in [0, 1]: 0.5 is no better than guessing, 1 gives every member away.

    The chance that a training record (n_train,) is scored higher than a held-out one (n_test,), ties counting one half
    (Mann-Whitney). It does not depend on how many of each there are: nothing needs to be balanced. Values below 0.5
    say that held-out records lie closer, as chance will have it.

    Raises:
        InputError: no score, more than one dimension, or a score that is not finite.
    """
    return float(_area(*_counts(train_scores, test_scores)))


def auc_interval(
    train_scores: ArrayLike, test_scores: ArrayLike, n_boot: int = 200, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of `membership_auc` when both sets of records are drawn again with replacement, in [0, 1].

    The synthetic series stay as they are: the interval is about the records, not about another training run.

    Raises:
        InputError: as `membership_auc`.
    """
    members, others = _counts(train_scores, test_scores)
    rng = np.random.default_rng(seed)
    replicates = np.empty(n_boot)
    for index in range(n_boot):
        replicates[index] = _area(*(rng.multinomial(part.sum(), part / part.sum()) for part in (members, others)))
    return centred_interval(_area(members, others), replicates, low=0.0, high=1.0)


def _counts(train_scores: ArrayLike, test_scores: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many training and how many held-out records have each of the scores that occur, in rising order."""
    sets = [np.asarray(scores, dtype=np.float64) for scores in (train_scores, test_scores)]
    for name, scores in zip(("train", "test"), sets, strict=True):
        if scores.ndim != 1 or scores.size == 0:
            raise InputError(f"{name} scores have shape {scores.shape}; allowed: (N,) with N at least 1")
        if not np.isfinite(scores).all():
            row = int(np.argmin(np.isfinite(scores)))
            raise InputError(f"{name} scores are not finite in row {row}; allowed: finite numbers")
    values, place = np.unique(np.concatenate(sets), return_inverse=True)
    members, others = (np.bincount(part, minlength=len(values)) for part in np.split(place, [len(sets[0])]))
    return members, others


def _area(members: NDArray[np.int64], others: NDArray[np.int64]) -> float:
    below = np.cumsum(others) - others
    wins = members.astype(np.float64) @ (below + 0.5 * others)
    return float(wins / (float(members.sum()) * float(others.sum())))
