"""Codes: neighbours, pointwise information, classes and total variation, against hand-made answers and plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from timeloom.errors import InputError
from timeloom.evaluation.measures.codes import (
    chance_variation,
    class_shares,
    neighbour_counts,
    pointwise_information,
    total_variation,
)
from timeloom.evaluation.measures.tokens import code_shares


def test_neighbours_by_hand_are_ordered_and_stay_within_a_series() -> None:
    tokens = np.array([[0, 1, 1], [2, 0, 1]])[..., None]
    wanted = np.zeros((3, 3), dtype=int)
    wanted[0, 1], wanted[1, 1], wanted[2, 0] = 2, 1, 1
    assert np.array_equal(neighbour_counts(tokens, 3), wanted[None])


@settings(deadline=None, max_examples=20)
@given(n=st.integers(1, 5), cells=st.integers(1, 5), levels=st.integers(1, 3), seed=st.integers(0, 99))
def test_neighbours_equal_the_plain_loops(n: int, cells: int, levels: int, seed: int) -> None:
    tokens = np.random.default_rng(seed).integers(0, 4, (n, cells, levels))
    wanted = np.zeros((levels, 4, 4), dtype=int)
    for case in tokens:
        for before, after in itertools.pairwise(case):
            for level in range(levels):
                wanted[level, before[level], after[level]] += 1
    assert np.array_equal(neighbour_counts(tokens, 4), wanted)


def test_pointwise_information_by_hand() -> None:
    # of 8 pairs: first code 0 in 4, 1 in 4; second code 0 in 2, 1 in 6; code 2 nowhere
    found = pointwise_information([[2, 2, 0], [0, 4, 0], [0, 0, 0]])
    assert_allclose(found[:2, :2], [[np.log(2), np.log(2 / 3)], [-np.inf, np.log(4 / 3)]])
    assert np.isnan(found[2]).all()
    assert np.isnan(found[:, 2]).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99), st.integers(1, 50))
def test_pairs_that_meet_by_chance_alone_have_no_information_at_any_scale(seed: int, times: int) -> None:
    rng = np.random.default_rng(seed)
    counts = times * rng.integers(1, 9, (2, 4, 1)) * rng.integers(1, 9, (2, 1, 5))
    assert_allclose(pointwise_information(counts), 0, atol=1e-12)
    mixed = rng.integers(1, 9, (4, 5))
    assert_allclose(pointwise_information(times * mixed), pointwise_information(mixed))
    share = mixed / mixed.sum()
    assert (share * pointwise_information(mixed)).sum() >= -1e-12, "the mean is the mutual information"


@pytest.mark.parametrize("counts", [[1, 2], [[1, -1], [0, 2]], [[np.nan, 1], [1, 1]]])
def test_what_is_no_table_of_counts_is_refused(counts: list) -> None:
    with pytest.raises(InputError, match="counts have shape"):
        pointwise_information(counts)


def test_classes_by_hand_do_not_depend_on_their_sizes() -> None:
    tokens = np.array([[0, 0], [0, 1], [2, 1], [2, 1], [2, 1]])[..., None]
    classes, shares = class_shares(tokens, ["b", "b", "a", "a", "a"], 3)
    assert classes.tolist() == ["a", "b"]
    assert_allclose(shares[:, 0], [[0, 0.5, 0.5], [0.75, 0.25, 0]])
    with pytest.raises(InputError, match=r"labels have shape \(4,\); allowed: \(5,\)"):
        class_shares(tokens, [1, 1, 2, 2], 3)


def test_total_variation_by_hand() -> None:
    assert_allclose(total_variation([[0.5, 0.5, 0], [1, 0, 0]], [[0.25, 0.25, 0.5], [0, 0, 1]]), [0.5, 1])
    assert total_variation([0.3, 0.7], [0.3, 0.7]) == 0


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [([0.5, 0.5], [1.0], "shapes"), ([0.5, 0.4], [0.5, 0.5], "sum to 0.9"), ([0.5, 0.5], [1.5, -0.5], "0 or more")],
)
def test_what_are_no_two_distributions_is_refused(first: list, second: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        total_variation(first, second)


def test_chance_explains_two_halves_of_one_source_and_not_two_sources() -> None:
    rng = np.random.default_rng(0)
    one, same, other = rng.integers(0, 8, (60, 6, 1)), rng.integers(0, 8, (30, 6, 1)), rng.integers(4, 8, (30, 6, 1))
    floors = [chance_variation(one, second, 8, seed=0)[0] for second in (same, other)]
    found = [total_variation(code_shares(one, 8), code_shares(second, 8))[0] for second in (same, other)]
    assert 0.3 * floors[0] < found[0] < 2 * floors[0]
    assert found[1] > 4 * floors[1]
    assert chance_variation(one, same, 8, seed=0)[0] == floors[0]


def test_one_code_leaves_nothing_to_chance_and_other_shapes_are_refused() -> None:
    assert chance_variation(np.ones((3, 2, 2), dtype=int), np.ones((4, 2, 2), dtype=int), 5, seed=0).tolist() == [0, 0]
    with pytest.raises(InputError, match="as many cells and levels"):
        chance_variation(np.ones((3, 2, 1), dtype=int), np.ones((3, 1, 1), dtype=int), 5, seed=0)


@pytest.mark.parametrize("measure", [neighbour_counts, lambda tokens, size: class_shares(tokens, [0], size)])
def test_tokens_outside_the_codebook_are_refused(measure) -> None:
    with pytest.raises(InputError, match=r"tokens lie in 3\.\.3; allowed: 0\.\.2"):
        measure(np.full((1, 2, 1), 3), 3)
