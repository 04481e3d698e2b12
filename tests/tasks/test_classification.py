"""Classifiers on features: known answers, the published grid, and nothing chosen on the test split."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.svm import SVC

from timeloom.errors import InputError
from timeloom.evaluation.tasks import classification
from timeloom.evaluation.tasks.classification import CLASSIFIERS, ClassScore, KernelMachine, classify


def blobs(n: int, gap: float, seed: int = 0, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian clouds whose centres lie `gap` apart along the first of four axes."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    X = rng.standard_normal((n, 4))
    X[:, 0] += gap * y
    return X, np.array([f"class {label}" for label in y])


def score(name: str, n: int, gap: float, **change) -> ClassScore:
    return classify(*blobs(n, gap), *blobs(400, gap, seed=1), classifier=name, **change)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classes_far_apart_are_told_and_equal_ones_are_guessed(name: str) -> None:
    assert score(name, 100, 12).accuracy == 1
    assert score(name, 100, 12).macro_f1 == 1
    assert abs(score(name, 100, 0).accuracy - 0.5) < 0.1


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_overlapping_classes_come_near_to_the_best_possible(name: str) -> None:
    """Two unit Gaussians 2 apart: no rule is right more often than Phi(1) = 0.8413."""
    assert score(name, 400, 2).accuracy == pytest.approx(0.8413, abs=0.04)


def test_a_ring_around_a_cloud_needs_the_kernel() -> None:
    def ring(seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        y, angle = np.arange(200) % 2, rng.uniform(0, 2 * np.pi, 200)
        radius = np.where(y == 1, 3, 0.5) + 0.2 * rng.standard_normal(200)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), y

    found = {name: classify(*ring(0), *ring(1), classifier=name).accuracy for name in CLASSIFIERS}
    assert found["svm"] > 0.97
    assert found["logistic"] < 0.7


def test_the_machine_is_scikit_learns() -> None:
    """The same C and the same labels as a grid search of `SVC`, which sees each case's features themselves."""
    (X, y), (X_test, _) = blobs(200, 1.5, classes=3), blobs(100, 1.5, seed=1, classes=3)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    values = [*(10.0**power for power in range(-4, 5)), np.inf]
    search = GridSearchCV(SVC(gamma="scale"), {"C": values}, cv=folds).fit(X, y)
    machine, c = classification.svm(X, y, 0)
    assert c == search.best_params_["C"]
    assert machine.width == pytest.approx(search.best_estimator_._gamma)
    assert machine.predict(X_test).tolist() == search.predict(X_test).tolist()
    # where the features lie does not matter to distances, nor to how exactly they are known
    moved = KernelMachine(X + 1e7, y)
    np.testing.assert_allclose(moved.squares, machine.squares, atol=1e-6)


def test_many_cases_are_labelled_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, _ = classification.svm(*blobs(60, 2), 0)
    X, _ = blobs(25, 2, seed=1)
    whole = machine.predict(X).tolist()
    monkeypatch.setattr(classification, "PREDICTED_AT_ONCE", 10)
    assert machine.predict(X).tolist() == whole


def test_small_training_sets_take_the_hard_margin() -> None:
    assert score("svm", 48, 3).c == np.inf
    assert score("svm", 200, 1).c < np.inf
    few_a_class = classify(*blobs(60, 3, classes=15), *blobs(60, 3, seed=1, classes=15))
    assert few_a_class.c == np.inf


def test_a_class_of_one_case_leaves_the_penalty_alone() -> None:
    X, y = blobs(61, 5)
    y = np.where(np.arange(61) == 60, "rare", y)
    assert classify(X, y, X, y, classifier="logistic").c == 1
    assert classify(X, y, X, y, classifier="svm").accuracy > 0.9


def test_macro_f1_counts_each_class_alike() -> None:
    """All cases called "a": F1 of a is 2 * 0.9 / 1.9, that of b is 0."""
    X, y = np.array([[0.0], [0.1], [5.0], [5.1]]), np.array(["a", "a", "b", "b"])
    test, y_test = np.zeros((10, 1)), np.array(["a"] * 9 + ["b"])
    found = classify(X, y, test, y_test)
    assert found.accuracy == 0.9
    assert found.macro_f1 == pytest.approx(0.9 / 1.9)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_nothing_is_chosen_on_the_test_split(name: str) -> None:
    """The penalty is the same whatever the test labels are, and right answers turn into wrong ones with them."""
    X, y = blobs(100, 1.5)
    test, y_test = blobs(50, 1.5, seed=1)
    swapped = np.where(y_test == "class 0", "class 1", "class 0")
    true, wrong = (classify(X, y, test, labels, classifier=name) for labels in (y_test, swapped))
    assert true.c == wrong.c
    assert true.accuracy == pytest.approx(1 - wrong.accuracy)


def test_the_same_seed_gives_the_same_answer() -> None:
    assert score("svm", 120, 1, seed=4) == score("svm", 120, 1, seed=4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": np.zeros(40)}, "y_train holds one class"),
        ({"y_train": np.zeros(39)}, r"y_train has shape \(39,\); allowed: \(40,\)"),
        ({"train": np.full((40, 4), np.nan)}, "train features are not finite in row 0"),
        ({"classifier": "tree"}, "classifier = 'tree': must be one of svm, logistic"),
    ],
)
def test_what_cannot_be_classified_is_refused(change: dict, message: str) -> None:
    X, y = blobs(40, 1)
    given = {"train": X, "y_train": y, "test": X, "y_test": y, **change}
    with pytest.raises(InputError, match=message):
        classify(**given)


def test_equal_features_of_different_classes_do_not_hang_the_hard_margin() -> None:
    X, y = blobs(20, 8)
    X[1] = X[0]
    assert classify(X, y, *blobs(100, 8, seed=1)).accuracy > 0.5


def test_a_single_class_with_more_than_one_case_leaves_nothing_to_choose() -> None:
    X, y = blobs(60, 8)
    many, one = np.flatnonzero(y == "class 0"), np.flatnonzero(y == "class 1")[:1]
    rows = np.r_[many, many, many, one]
    X, y = X[rows], y[rows]
    found = classify(X, y, X, y)
    assert (found.accuracy, found.macro_f1, found.c) == (1, 1, float("inf"))


def test_a_large_set_with_a_class_of_one_is_thinned_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classification, "MOST_CASES", 90)
    X, y = blobs(120, 8, classes=3)
    y[0] = "alone"
    assert classify(X, y, X, y).accuracy > 0.95
