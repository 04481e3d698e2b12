"""What metrics are built of, on small arrays of known answers: views, caps, intervals, means over cases and seeds."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import beta

from timeloom.evaluation.evidence import RealData, Views
from timeloom.evaluation.gathering import Evidence
from timeloom.evaluation.metrics.metric import (
    CaseScores,
    capped,
    case_measure,
    distance_measure,
    plain_replicates,
    prediction_interval,
)

SERIES = np.zeros((4, 1, 8), dtype=np.float32)
EVIDENCE = Evidence(RealData(SERIES, None, SERIES, None), SERIES, None, None, seeds=range(3, 4))


def views(n_test: int, n_train: int, n_synthetic: int, seed: int = 0) -> Views:
    """Views whose cases are their own row number: from 0 the test split, from 1000 training, from 2000 synthetic."""
    return Views.draw(np.arange(n_test), 1000 + np.arange(n_train), 2000 + np.arange(n_synthetic), seed)


def gap_of_means(real: NDArray, other: NDArray) -> float:
    return float(abs(np.mean(real) - np.mean(other)))


# ---- views


@pytest.mark.parametrize(("n_train", "n_synthetic"), [(20, 8), (20, 20), (20, 50)])
def test_floor_and_memoriser_are_training_rows(n_train: int, n_synthetic: int) -> None:
    drawn = views(5, n_train, n_synthetic)
    assert len(drawn.floor) == min(n_train, n_synthetic)
    assert len(set(drawn.floor.tolist())) == len(drawn.floor)
    assert set(drawn.floor) <= set(drawn.train)
    assert (np.diff(drawn.floor) > 0).all()
    assert len(drawn.memoriser) == n_synthetic
    assert set(drawn.memoriser) <= set(drawn.train)
    np.testing.assert_array_equal(drawn.memoriser, drawn.train[drawn.memoriser_rows])


def test_a_memoriser_repeats_itself_and_a_floor_does_not() -> None:
    drawn = views(5, 20, 20)
    assert len(set(drawn.memoriser.tolist())) < 20
    np.testing.assert_array_equal(drawn.floor, drawn.train)


def test_the_draw_is_that_of_its_seed() -> None:
    one, same, other = (views(5, 200, 50, seed) for seed in (1, 1, 2))
    for part in ("memoriser", "floor"):
        np.testing.assert_array_equal(getattr(one, part), getattr(same, part))
        assert not np.array_equal(getattr(one, part), getattr(other, part))


def test_other_arrays_of_the_same_cases_keep_the_rows() -> None:
    drawn = views(5, 20, 8)
    twice = drawn.of(2 * drawn.test, 2 * drawn.train, 2 * drawn.synthetic)
    for part in ("test", "train", "synthetic", "memoriser", "floor"):
        np.testing.assert_array_equal(getattr(twice, part), 2 * getattr(drawn, part))


# ---- caps


def test_capped_views_keep_so_many_cases_of_each_set() -> None:
    whole = views(30, 50, 40)
    cut = capped(whole, 0, most=12)
    assert [len(part) for part in (cut.test, cut.train, cut.synthetic, cut.memoriser, cut.floor)] == [
        12,
        50,
        12,
        12,
        12,
    ]
    for part in ("test", "synthetic", "floor"):
        kept = getattr(cut, part)
        assert (np.diff(kept) > 0).all()
        assert set(kept) <= set(getattr(whole, part))
    np.testing.assert_array_equal(cut.memoriser, whole.memoriser[cut.synthetic - 2000])
    np.testing.assert_array_equal(cut.synthetic, capped(whole, 0, most=12).synthetic)
    assert not np.array_equal(cut.synthetic, capped(whole, 1, most=12).synthetic)


def test_small_views_are_left_whole() -> None:
    whole = views(10, 20, 12)
    cut = capped(whole, 0, most=12)
    for part in ("test", "train", "synthetic", "memoriser", "floor"):
        np.testing.assert_array_equal(getattr(cut, part), getattr(whole, part))


# ---- intervals


@pytest.mark.parametrize(
    ("n_train", "n_synthetic", "factor"), [(30, 30, sqrt(2)), (90, 30, sqrt(2)), (30, 90, sqrt(4 / 3))]
)
def test_a_floor_is_predicted_with_the_spread_of_both_sets(n_train: int, n_synthetic: int, factor: float) -> None:
    replicates = 5 + np.linspace(-1, 1, 41)  # 2.5 and 97.5 % quantiles at -0.95 and 0.95 of the centre
    drawn = views(5, n_train, n_synthetic)
    assert prediction_interval(2.0, replicates, drawn) == pytest.approx((2 - 0.95 * factor, 2 + 0.95 * factor))
    assert prediction_interval(2.0, replicates, drawn, low=1.5, high=2.5) == (1.5, 2.5)


def test_the_prediction_interval_holds_another_floor_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        floor, another = rng.standard_normal(60), rng.standard_normal(180)
        replicates = np.array([rng.choice(floor, 60).mean() for _ in range(100)])
        low, high = prediction_interval(floor.mean(), replicates, views(5, 60, 180))
        held += low <= another.mean() <= high
    assert 0.88 <= held / 200 <= 0.98


# ---- cases


def test_scores_are_taken_of_each_seed_and_set() -> None:
    one, two = views(4, 6, 6), views(4, 6, 6, seed=1)
    found = CaseScores.of([one, two], lambda test, other: other - test[0])
    for part in ("synthetic", "floor", "memoriser"):
        for scores, seed in zip(getattr(found, part), (one, two), strict=True):
            np.testing.assert_array_equal(scores, getattr(seed, part))


def test_a_measure_of_cases_is_the_mean_over_cases_and_seeds() -> None:
    scores = CaseScores([np.array([1.0, 3.0]), np.array([5.0, 7.0])], [np.full(2, 2.5)], [np.full(2, 9.0)])
    found = case_measure(scores, EVIDENCE, "higher")
    assert (found.value, found.floor, found.memoriser, found.better) == (4.0, 2.5, 9.0, "higher")
    assert found.floor_ci95 == pytest.approx((2.5, 2.5))  # cases that are all alike do not vary
    assert found.ci95 is not None
    assert found.ci95[0] < 4 < found.ci95[1]


def test_the_intervals_of_a_mean_are_those_of_theory() -> None:
    rng = np.random.default_rng(1)
    synthetic, floor = 10 + rng.standard_normal(400), 10 + 2 * rng.standard_normal(100)
    found = case_measure(CaseScores([synthetic], [floor], [floor]), EVIDENCE, "lower")
    assert found.ci95 is not None
    assert found.floor_ci95 is not None
    assert found.ci95[1] - found.ci95[0] == pytest.approx(2 * 1.96 * synthetic.std() / 20, rel=0.15)
    # the floor's own 100 cases and another set of 400
    half = 1.96 * floor.std() * sqrt(1 / 100 + 1 / 400)
    assert found.floor_ci95[1] - found.floor_ci95[0] == pytest.approx(2 * half, rel=0.15)


def test_a_share_of_all_is_not_certain() -> None:
    found = case_measure(CaseScores([np.ones(20)], [np.zeros(20)], [np.ones(20)]), EVIDENCE, "lower", high=1.0)
    below = beta.mean(20.5, 0.5) - beta.ppf(0.025, 20.5, 0.5)
    assert found.ci95 == pytest.approx((1 - below, 1.0), abs=0.01)
    assert found.floor_ci95 is not None
    assert found.floor_ci95[0] == 0.0
    assert 0.05 < found.floor_ci95[1] < 0.25


def test_another_summary_takes_the_place_of_the_mean() -> None:
    scores = CaseScores([np.array([1.0, 2.0, 90.0])], [np.array([4.0, 5.0, 6.0])], [np.array([0.0, 0.0, 1.0])])
    found = case_measure(scores, EVIDENCE, "lower", summary=lambda cases: float(np.median(cases)), high=50.0)
    assert (found.value, found.floor, found.memoriser) == (2.0, 5.0, 0.0)
    assert found.ci95 is not None
    assert found.ci95[1] == 50.0


# ---- distances


def test_a_distance_is_the_mean_over_seeds_for_each_set() -> None:
    near = Views.draw(np.zeros(4), np.full(6, 2.0), np.full(6, 1.0), 0)
    far = Views.draw(np.zeros(4), np.full(6, 2.0), np.full(6, 5.0), 0)
    found = distance_measure([near, far], gap_of_means, plain_replicates(gap_of_means), EVIDENCE, 20)
    assert (found.value, found.floor, found.memoriser, found.better) == (3.0, 2.0, 2.0, "lower")
    assert found.ci95 == pytest.approx((3.0, 3.0))
    assert found.floor_ci95 == pytest.approx((2.0, 2.0))


def test_the_spread_of_a_distance_is_that_of_its_set() -> None:
    rng = np.random.default_rng(2)
    drawn = Views.draw(np.zeros(50), 10 + rng.standard_normal(100), 20 + 3 * rng.standard_normal(400), 0)
    found = distance_measure([drawn], gap_of_means, plain_replicates(gap_of_means), EVIDENCE)
    assert found.ci95 is not None
    assert found.floor_ci95 is not None
    assert found.ci95[1] - found.ci95[0] == pytest.approx(2 * 1.96 * drawn.synthetic.std() / 20, rel=0.15)
    half = 1.96 * drawn.train.std() * sqrt(1 / 100 + 1 / 400)
    assert found.floor_ci95[1] - found.floor_ci95[0] == pytest.approx(2 * half, rel=0.15)


@pytest.mark.parametrize(("sign", "cut"), [(1.0, True), (-1.0, False)])
def test_intervals_end_at_0_unless_the_distance_can_be_negative(sign: float, cut: bool) -> None:
    def signed(real: NDArray, other: NDArray) -> float:
        return float(sign * (np.mean(other) - np.mean(real)))

    rng = np.random.default_rng(3)
    wide = 0.1 + 3 * (rng.standard_normal(30))
    drawn = Views.draw(np.full(5, wide.mean() - 0.1), wide, wide, 0)
    found = distance_measure([drawn], signed, plain_replicates(signed), EVIDENCE)
    assert found.value == pytest.approx(sign * 0.1)
    assert found.ci95 is not None
    assert (found.ci95[0] == 0.0) == cut
