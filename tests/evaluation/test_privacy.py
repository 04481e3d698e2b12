"""Closest records and membership attacks: known geometry, the ROC area by scikit-learn, unequal sizes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.copying import is_copy, nearest_rows, nearest_training
from timeloom.evaluation.measures.privacy import (
    auc_interval,
    closest_record_distances,
    membership_auc,
    membership_scores,
    nearest_neighbour_ratio,
)


def rows(n: int, seed: int, width: int = 5) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((n, width))


# ---- nearest rows


def test_the_nearest_rows_are_those_of_the_full_matrix_across_tiles() -> None:
    reference, candidates = rows(2300, 0, 3), rows(1100, 1, 3)
    full = np.sqrt(((candidates[:, None] - reference) ** 2).sum(axis=2))
    place, distance = nearest_rows(candidates, reference, k=3)
    np.testing.assert_array_equal(place, np.argsort(full, axis=1)[:, :3])
    np.testing.assert_allclose(distance, np.sort(full, axis=1)[:, :3], rtol=1e-12)


def test_a_row_may_be_kept_from_being_its_own_neighbour() -> None:
    reference = np.concatenate([rows(1500, 0, 3), rows(1, 5, 3), rows(1, 5, 3)])
    place, distance = nearest_rows(reference, reference, leave_self_out=True)
    assert (place[:, 0] != np.arange(1502)).all()
    assert place[1500:, 0].tolist() == [1501, 1500]
    assert (distance[:, 0] == 0).tolist() == [False] * 1500 + [True] * 2


def test_float32_rows_give_the_distances_of_their_values() -> None:
    reference, candidates = rows(50, 0).astype(np.float32), rows(20, 1).astype(np.float32)
    expected = closest_record_distances(candidates.astype(np.float64), reference.astype(np.float64))
    np.testing.assert_array_equal(closest_record_distances(candidates, reference), expected)


# ---- nearest training series


def test_the_gallery_and_the_copies_agree() -> None:
    rng = np.random.default_rng(0)
    train = rng.standard_normal((60, 2, 7)) * np.array([[1.0], [100.0]]) + 50
    candidates = np.concatenate([train[[5, 17]], rng.standard_normal((20, 2, 7)) * 100])
    row, distance, threshold = nearest_training(train, candidates)
    assert row[:2].tolist() == [5, 17]
    assert distance[:2].tolist() == [0.0, 0.0]
    np.testing.assert_array_equal(distance <= threshold, is_copy(train, candidates))
    assert is_copy(train, candidates)[:2].all()
    assert not is_copy(train, candidates)[2:].all()


def test_rows_that_are_scaled_already_give_what_their_series_give() -> None:
    rng = np.random.default_rng(0)
    train, candidates = rng.standard_normal((40, 1, 6)), rng.standard_normal((30, 1, 6))
    scaled = [((X - train.mean()) / train.std()).reshape(len(X), -1) for X in (train, candidates)]
    series, flat = nearest_training(train, candidates), nearest_training(*scaled)
    np.testing.assert_array_equal(series.row, flat.row)
    np.testing.assert_allclose(series.distance, flat.distance, rtol=1e-5)
    assert series.threshold == pytest.approx(flat.threshold, rel=1e-5)
    with pytest.raises(InputError, match="candidates are 6 values wide, the reference 5"):
        nearest_training(scaled[0][:, :5], scaled[1])
    with pytest.raises(InputError, match="train holds 1 series"):
        nearest_training(scaled[0][:1], scaled[1])


# ---- closest records


def test_distances_and_ratios_by_hand() -> None:
    reference = np.array([[0.0, 0.0], [3.0, 4.0], [30.0, 40.0]])
    candidates = np.array([[0.0, 1.0], [3.0, 4.0], [15.0, 20.0]])
    np.testing.assert_allclose(closest_record_distances(candidates, reference), [1.0, 0.0, 20.0])
    expected = [1 / np.sqrt(18), 0.0, 20 / 25]
    np.testing.assert_allclose(nearest_neighbour_ratio(candidates, reference), expected)


def test_a_candidate_equal_to_two_records_singles_out_neither() -> None:
    reference = np.array([[0.1, 0.2], [0.1, 0.2], [5.0, 5.0]])
    np.testing.assert_array_equal(nearest_neighbour_ratio(reference, reference), [1.0, 1.0, 0.0])
    assert nearest_neighbour_ratio(np.ones((1, 4)), np.ones((9, 4))).tolist() == [1.0]


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 8), m=st.integers(2, 8), seed=st.integers(0, 1000), digits=st.integers(0, 2))
def test_ratios_lie_between_0_and_1(n: int, m: int, seed: int, digits: int) -> None:
    # rounding makes ties and duplicates common
    ratios = nearest_neighbour_ratio(rows(n, seed, 2).round(digits), rows(m, seed + 1, 2).round(digits))
    assert ratios.shape == (n,)
    assert ((ratios >= 0) & (ratios <= 1)).all()


# ---- membership


def test_the_area_is_that_of_scikit_learn_with_ties() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 9, 70) + 1.0, rng.integers(0, 9, 33).astype(np.float64)
    expected = roc_auc_score(np.repeat([1, 0], [70, 33]), np.concatenate([train, test]))
    assert membership_auc(train, test) == pytest.approx(expected, rel=1e-12)


def test_the_area_of_known_orders() -> None:
    assert membership_auc([2.0, 3.0], [0.0, 1.0]) == 1.0
    assert membership_auc([0.0], [1.0, 2.0]) == 0.0
    assert membership_auc([1.0, 1.0], [1.0]) == 0.5
    assert membership_auc([0.0, 2.0], [1.0]) == 0.5


def test_copies_give_every_member_away_and_new_series_give_none_at_any_sizes() -> None:
    train, held_out = rows(900, 0), rows(60, 1)
    copies = train + 1e-6
    assert membership_auc(membership_scores(train, copies), membership_scores(held_out, copies)) == 1.0
    fresh = rows(500, 2)
    few, many = membership_scores(held_out, fresh), membership_scores(train, fresh)
    assert membership_auc(many, few) == pytest.approx(0.5, abs=0.08)
    assert membership_auc(many, few) == pytest.approx(1 - membership_auc(few, many))
    areas = [
        membership_auc(membership_scores(train, fresh), membership_scores(rows(30, 10 + seed), fresh))
        for seed in range(40)
    ]
    # the standard error of this mean is about 0.008: no pull to either side for 900 against 30
    assert np.mean(areas) == pytest.approx(0.5, abs=0.03)


def test_scores_are_minus_the_distance_to_the_nearest_synthetic_series() -> None:
    np.testing.assert_allclose(membership_scores([[0.0], [7.0]], [[1.0], [5.0]]), [-1.0, -2.0])


def test_the_interval_holds_the_area_and_its_width_is_that_of_hanley_and_mcneil() -> None:
    rng = np.random.default_rng(0)
    train, test = rng.normal(1, 1, 300), rng.normal(0, 1, 100)
    area = membership_auc(train, test)
    low, high = auc_interval(train, test, n_boot=400, seed=0)
    assert low < area < high
    # Hanley & McNeil 1982, eq. 1-2
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    error = np.sqrt((area * (1 - area) + 299 * (q1 - area**2) + 99 * (q2 - area**2)) / (300 * 100))
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.25)
    assert (low, high) == auc_interval(train, test, n_boot=400, seed=0)
    assert (low, high) != auc_interval(train, test, n_boot=400, seed=1)


def test_the_interval_of_a_sure_attack_is_a_point() -> None:
    assert auc_interval([2.0, 3.0], [0.0, 1.0]) == (1.0, 1.0)
    assert auc_interval([1.0], [1.0]) == (0.5, 0.5)


@pytest.mark.parametrize("function", [membership_auc, auc_interval])
def test_bad_scores_are_refused(function: Callable[..., object]) -> None:
    with pytest.raises(InputError, match=r"train scores have shape \(0,\)"):
        function([], [1.0])
    with pytest.raises(InputError, match=r"test scores have shape \(1, 1\)"):
        function([1.0], [[1.0]])
    with pytest.raises(InputError, match="test scores are not finite in row 1"):
        function([1.0], [1.0, np.nan])


@pytest.mark.parametrize("function", [closest_record_distances, nearest_neighbour_ratio, membership_scores])
def test_bad_rows_are_refused(function: Callable[..., object]) -> None:
    with pytest.raises(InputError, match=r"candidates has shape \(2, 1, 3\)"):
        function(np.zeros((2, 1, 3)), np.zeros((2, 3)))
    with pytest.raises(InputError, match="candidates are 3 values wide, the reference 4"):
        function(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(InputError, match="reference is not finite in row 1"):
        function(np.zeros((2, 2)), [[0.0, 0.0], [0.0, np.inf]])


def test_one_record_has_no_second_neighbour() -> None:
    with pytest.raises(InputError, match=r"reference has shape \(1, 2\); allowed: \(N, V\) with N at least 2"):
        nearest_neighbour_ratio(np.zeros((1, 2)), np.zeros((1, 2)))
