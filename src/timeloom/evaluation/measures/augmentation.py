"""Does adding synthetic series to real ones help a classifier?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.inputs import check_pair

PENALTIES = np.logspace(-3, 3, 7)


def ridge_predictions(train: ArrayLike, labels: ArrayLike, test: ArrayLike) -> NDArray:
    """Labels (M,) that a ridge classifier trained on features (N, D) with labels (N,) gives to test features (M, D).

    Features are standardised by the training ones; the penalty (0.001 to 1000) is the best under leave-one-out on the
    training set: ROCKET's own classifier (Dempster et al. 2020, section 3.3), deterministic, in a second or two. The
    accuracy of its predictions is a classification accuracy score (Ravuri & Vinyals 2019): trained on real and
    synthetic series together, beside trained on real ones alone. Higher is better.

    Raises:
        InputError: features that are not (N, D) and finite, another number of labels, or a single class.
    """
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.preprocessing import StandardScaler

    rows, candidates = check_pair(train, test)
    classes = np.asarray(labels)
    if classes.shape != (len(rows),):
        raise InputError(f"labels have shape {classes.shape}; allowed: ({len(rows)},), one for each row of features")
    if len(np.unique(classes)) < 2:
        raise InputError(f"labels hold a single class, {classes[0]}; allowed: at least 2")
    scaler = StandardScaler().fit(rows)
    model = RidgeClassifierCV(alphas=PENALTIES).fit(scaler.transform(rows), classes)
    return np.asarray(model.predict(scaler.transform(candidates)))
