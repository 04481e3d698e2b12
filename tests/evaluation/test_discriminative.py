"""Classifier two-sample test: chance where there is nothing to tell, certainty where there is, and copies."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.discriminative import discriminative_cases, discriminative_score, excess_accuracy


def rows(n: int, seed: int, width: int = 6) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((n, width))


def test_sets_of_one_source_are_told_at_chance() -> None:
    cases = discriminative_cases(rows(400, 0), rows(400, 1))
    assert cases.shape == (800,)
    assert cases.dtype == bool
    # two standard errors of 800 tosses, doubled for the dependence between parts
    assert discriminative_score(cases) < 0.07


def test_sets_far_apart_are_always_told() -> None:
    assert discriminative_cases(rows(40, 0), rows(40, 1) + 20.0).all()


def test_the_accuracy_of_shifted_gaussians_is_that_of_the_best_rule() -> None:
    # a shift of 2 in one direction: the best rule is right with probability Phi(1)
    shift = np.array([2.0, 0, 0, 0, 0, 0])
    cases = discriminative_cases(rows(1500, 0), rows(1500, 1) + shift)
    assert cases.mean() == pytest.approx(0.8413, abs=0.02)


def test_the_larger_set_is_drawn_down_and_the_cases_stand_in_the_order_of_the_sets() -> None:
    real, synthetic = rows(200, 0), rows(30, 1)
    synthetic[:10] += 20.0
    cases = discriminative_cases(real, synthetic, seed=3)
    assert cases.shape == (60,)
    assert cases[30:40].all()


def test_units_of_the_features_do_not_matter() -> None:
    real, synthetic = rows(60, 0), rows(60, 1) + 0.7
    units, zeros = np.array([1e-6, 1, 1e6, 1, 10, 1]), np.array([0, 1e3, 0, -5.0, 0, 0])
    np.testing.assert_array_equal(
        discriminative_cases(real, synthetic), discriminative_cases(real * units + zeros, synthetic * units + zeros)
    )


def test_an_exact_copy_is_told_at_chance_and_not_below() -> None:
    # With more columns than cases a classifier knows its rows by heart: on plain folds it takes each for its twin.
    real = rows(60, 0, width=300)
    cases = discriminative_cases(real, real[::-1])
    assert cases.mean() == 0.5
    np.testing.assert_array_equal(cases[:60], ~cases[:59:-1])


def test_a_memoriser_is_not_below_chance() -> None:
    real = rows(150, 0, width=300)
    for seed in range(3):
        memorised = real[np.random.default_rng(seed).integers(0, 150, 150)]
        assert discriminative_cases(real, memorised, seed=seed).mean() > 0.45


def test_a_generator_that_repeats_one_series_is_told_even_if_it_is_a_real_one() -> None:
    real = rows(100, 0)
    for repeated in (real[7], rows(1, 5)[0]):
        assert discriminative_cases(real, np.tile(repeated, (100, 1))).mean() > 0.9


def test_sets_that_are_all_equal_score_chance() -> None:
    assert discriminative_score(discriminative_cases(np.full((12, 3), 0.1), np.full((9, 3), 0.1))) == 0.0


def test_two_cases_of_each_are_enough() -> None:
    assert discriminative_cases(rows(2, 0), rows(2, 1)).shape == (4,)
    assert discriminative_cases([[0.0], [0.1]], [[9.0], [9.1]]).all()


def test_the_same_seed_gives_the_same_cases_and_leaves_the_global_generators_alone() -> None:
    real, synthetic = rows(80, 0), rows(50, 1)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = discriminative_cases(real, synthetic, seed=1)
    np.testing.assert_array_equal(first, discriminative_cases(real, synthetic, seed=1))
    assert (first != discriminative_cases(real, synthetic, seed=2)).any()
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_the_score_is_the_distance_of_the_accuracy_from_one_half() -> None:
    assert discriminative_score([True, True, True, False]) == 0.25
    assert discriminative_score([True, False, False, False]) == 0.25
    assert discriminative_score(np.ones(3, dtype=bool)) == 0.5


def test_an_accuracy_below_chance_tells_nothing_apart() -> None:
    assert excess_accuracy([True, True, True, False]) == 0.25
    assert excess_accuracy([True, False, False, False]) == 0


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="n_folds is 1"):
        discriminative_cases(rows(4, 0), rows(4, 1), n_folds=1)
    with pytest.raises(InputError, match="synthetic features are 2 wide, real ones 6"):
        discriminative_cases(rows(4, 0), rows(4, 1, width=2))
    with pytest.raises(InputError, match="synthetic features have shape"):
        discriminative_cases(rows(4, 0), rows(1, 1))
    with pytest.raises(InputError, match=r"cases have shape \(0,\)"):
        discriminative_score([])
