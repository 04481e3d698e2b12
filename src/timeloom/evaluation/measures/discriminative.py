"""Can a classifier tell synthetic series from real ones by their features?"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.inputs import check_pair

# Inverse strength of the L2 penalty. One fixed value, so that nothing is chosen on the cases that are judged: of 1e-4
# to 0.1 it came within a hundredth of the best on most kinds of damage done to ECG5000 (noise, scale, smoothing,
# shift, few principal components), at 1000 + 1000 series and 1000 ROCKET features.
PENALTY_C = 0.01


def discriminative_cases(real: ArrayLike, synthetic: ArrayLike, seed: int = 0, n_folds: int = 5) -> NDArray[np.bool_]:
    """Which held-out cases a linear classifier puts on the right side; chance is one half. Lower share is better.

    L2-penalised logistic regression on features (N_real, D) and (N_synthetic, D), standardised by each training part;
    every case is held out once, in one of `n_folds` parts that each hold as many real as synthetic cases. The larger
    set is first drawn down to the size n of the smaller one, and only cases used are returned: (2 n,), n real ones,
    then n synthetic ones. Lopez-Paz & Oquab 2017 ("Revisiting classifier two-sample tests"), with cross-validation.

    A real and a synthetic row that are equal are paired one to one, and no pair is divided between parts: else a
    copy would teach the classifier the wrong side of its original, and accuracy fell below chance. Further repeats on
    one side stay single: a generator that repeats itself is told by that, and should be.

    Raises:
        InputError: features that are not (N, D) with N at least 2 and finite, of different widths, or fewer than 2
            parts.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    sets = [rows.astype(np.float64) for rows in check_pair(real, synthetic)]
    if n_folds < 2:
        raise InputError(f"n_folds is {n_folds}; allowed: at least 2")
    rng = np.random.default_rng(seed)
    n = min(len(rows) for rows in sets)
    left, right = (rows[np.sort(rng.choice(len(rows), size=n, replace=False))] for rows in sets)
    folds = np.concatenate(_balanced_folds(left, right, min(n_folds, n), rng))
    features, is_real = np.concatenate([left, right]), np.arange(2 * n) < n
    correct = np.empty(2 * n, dtype=bool)
    for fold in np.unique(folds):
        held_out = folds == fold
        centre, spread = features[~held_out].mean(axis=0), features[~held_out].std(axis=0)
        standardised = (features - centre) / np.where(spread > 1e-12 * np.abs(centre), spread, 1.0)
        # its many small products take two threads twice as long as one: they wait for each other
        with threadpool_limits(1, user_api="blas"):
            classifier = LogisticRegression(C=PENALTY_C, max_iter=5000).fit(standardised[~held_out], is_real[~held_out])
        correct[held_out] = classifier.predict(standardised[held_out]) == is_real[held_out]
    return correct


def discriminative_score(cases: ArrayLike) -> float:
    """How far the accuracy is from chance, |share of right cases - 0.5|, in [0, 0.5]; lower is better, 0 best.

    The cases (N,) are those of `discriminative_cases`. The score of sets from one source is about 0.4 / sqrt(N), not
    0: read it beside its floor. Yoon et al. 2019 (TimeGAN), section 5, there with a recurrent classifier.

    Raises:
        InputError: no case, or more than one dimension.
    """
    right = np.asarray(cases)
    if right.ndim != 1 or right.size == 0:
        raise InputError(f"cases have shape {right.shape}; allowed: (N,) with N at least 1")
    return float(abs(right.mean() - 0.5))


def excess_accuracy(cases: ArrayLike) -> float:
    """How far the accuracy is above chance, max(share of right cases - 0.5, 0), in [0, 0.5]; lower is better, 0 best.

    A classifier that is wrong more often than right, as happens among a dozen cases, tells nothing apart.

    Raises:
        InputError: as `discriminative_score`.
    """
    distance = discriminative_score(cases)
    return distance if np.asarray(cases).mean() > 0.5 else 0.0


def _balanced_folds(
    left: NDArray[np.float64], right: NDArray[np.float64], n_folds: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The part, 0 to n_folds - 1, of each row of two sets (n, D): equally many of both in each, pairs undivided."""
    n = len(left)
    pairs = _equal_pairs(left, right)
    places = rng.permutation(n) % n_folds
    parts = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    for side, part in enumerate(parts):
        paired = np.array([pair[side] for pair in pairs], dtype=np.int64)
        single = rng.permutation(np.setdiff1d(np.arange(n), paired))
        # Both sides have as many pairs and as many singles, so the same places make equal parts.
        part[np.concatenate([paired, single])] = places
    return parts


def _equal_pairs(left: NDArray[np.float64], right: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Rows of the left and the right set that are equal in every bit, each used at most once."""
    waiting: dict[bytes, list[int]] = defaultdict(list)
    for index, row in enumerate(left + 0.0):
        waiting[row.tobytes()].append(index)
    pairs = []
    for index, row in enumerate(right + 0.0):
        if partners := waiting.get(row.tobytes()):
            pairs.append((partners.pop(), index))
    return pairs
