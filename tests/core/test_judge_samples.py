"""How far samples are from training series, on series whose classes differ in level or in nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from timeloom.encoders import Rocket
from timeloom.evaluation.measures.frechet import frechet_distance
from timeloom.evaluation.workers import Workers
from timeloom.progress import Progress, silent
from timeloom.stages import judge_samples

LENGTH = 16


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_samples, "STEPS", 60)


def levels(n: int, seed: int = 0, apart: float = 5.0) -> tuple[np.ndarray, np.ndarray]:
    """Noise (n, 1, T) of two classes, one of which lies higher."""
    classes = np.arange(n) % 2
    noise = np.random.default_rng(seed).normal(size=(n, 1, LENGTH))
    return (noise + apart * classes[:, None, None]).astype(np.float32), classes


def distance_to(
    series: np.ndarray,
    classes: np.ndarray,
    wanted: np.ndarray,
    *,
    rows: np.ndarray | None = None,
    seed: int = 0,
    workers: Workers | None = None,
    progress: Progress = silent,
) -> Callable[[np.ndarray], float]:
    rows = np.arange(len(series)) if rows is None else rows
    return judge_samples.distance(
        series, classes, rows, wanted, seed=seed, workers=workers or Workers(0), progress=progress
    )


@pytest.mark.parametrize("below", [0, 1000])
def test_series_of_another_class_than_they_were_asked_for_are_far(monkeypatch: pytest.MonkeyPatch, below: int) -> None:
    monkeypatch.setattr(judge_samples, "CROSSED_BELOW", below)
    series, classes = levels(20)
    right, wrong = (distance_to(series, classes, wanted)(series) for wanted in (classes, 1 - classes))
    assert right < 0.1 * wrong


def test_a_classifier_that_learned_all_series_takes_fresh_ones_for_far_and_two_that_learned_halves_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The classes differ in nothing, so that all a classifier can learn is the single series."""
    monkeypatch.setattr(judge_samples, "STEPS", 250)
    (series, classes), (fresh, wanted), (others, _) = (levels(80, seed, apart=0.0) for seed in (0, 1, 2))

    def distances(below: int) -> tuple[float, float, float]:
        monkeypatch.setattr(judge_samples, "CROSSED_BELOW", below)
        distance = distance_to(series, classes, wanted)
        return distance(series), distance(fresh), distance(others)

    learned, *unseen = distances(0)
    assert min(unseen) > 5 > 0.1 > learned
    learned, *unseen = distances(1000)
    assert max(unseen) < 3 < learned


def test_samples_that_equal_the_series_of_the_one_judge_are_at_no_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_samples, "CROSSED_BELOW", 0)
    series, classes = levels(20)
    assert distance_to(series, classes, classes)(series) == pytest.approx(0, abs=1e-3)


def test_without_two_classes_the_features_of_rocket_are_compared() -> None:
    (series, _), (fresh, _) = levels(20), levels(30, 1)
    alone = np.zeros(20, dtype=np.int64)
    rocket = Rocket(seed=judge_samples.SEED).fit(series[:12])
    expected = frechet_distance(rocket.encode(series[:12]), rocket.encode(fresh))
    distance = distance_to(series, alone, np.zeros(30, dtype=np.int64), rows=np.arange(12))
    # beside them stands the one class, in the same place for all
    assert distance(fresh) == pytest.approx(expected, rel=1e-4)


def test_only_the_drawn_series_are_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Series that are not drawn lie elsewhere; samples like the drawn ones are near all the same."""
    monkeypatch.setattr(judge_samples, "CROSSED_BELOW", 0)
    series, classes = levels(40)
    series[20:] *= -3
    near, far = (distance_to(series, classes, classes[:20], rows=np.arange(n))(series[:20]) for n in (20, 40))
    assert near < 0.1 * far


def test_few_series_are_halved_by_class() -> None:
    classes = np.array([0] * 7 + [1] * 4 + [2])
    (learned, compared), (second, third) = judge_samples._parts(classes, 0)
    assert np.array_equal(second, compared)
    assert np.array_equal(third, learned)
    assert sorted([*learned, *compared]) == list(range(12))
    for half in (learned, compared):
        assert len(half) == 6
        assert (classes[half] == 0).sum() in (3, 4)
        assert (classes[half] == 1).sum() == 2
    assert not np.array_equal(judge_samples._parts(classes, 1)[0][0], learned)  # drawn by the seed


@pytest.mark.parametrize(
    ("classes", "parts"),
    [(np.arange(1000) % 2, 1), (np.arange(999) % 2, 2), (np.zeros(50, dtype=np.int64), 0), (np.array([0, 0, 0, 1]), 1)],
)
def test_one_judge_learns_many_series_or_too_few_to_halve_and_none_a_single_class(
    classes: np.ndarray, parts: int
) -> None:
    found = judge_samples._parts(classes, 0)
    assert len(found) == parts
    if parts == 1:
        assert all(np.array_equal(part, np.arange(len(classes))) for part in found[0])


@pytest.mark.parametrize("n", [20, 4])
def test_judges_that_trained_beside_judge_alike(n: int) -> None:
    (series, classes), (fresh, wanted) = levels(n), levels(30, 1)
    alone = distance_to(series, classes, wanted)(fresh)
    with Workers(1) as workers:
        judge_samples.start(workers, series, torch.from_numpy(classes), seed=0)
        assert workers.spare_cores is not None  # they train
        assert distance_to(series, classes, wanted, workers=workers)(fresh) == alone


def test_the_largest_seed_is_allowed_and_each_training_is_told() -> None:
    series, classes = levels(20)
    told: list[int] = []
    distance = distance_to(
        series, classes, classes, seed=2**32 - 1, progress=lambda stage, done, total, note="": told.append(done)
    )
    assert distance(series) > 0
    assert told.count(judge_samples.STEPS) >= 2
