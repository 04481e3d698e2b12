"""Laws of hold-outs, proportional labels and label matching."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timeloom.data import evenly_spaced, match_label_type, proportional_labels, stratified_holdout
from timeloom.errors import InputError

LABELS = st.lists(st.integers(0, 4), min_size=2, max_size=60).map(np.array)


@settings(deadline=None, max_examples=60)
@given(y=LABELS, share=st.floats(0.01, 0.99), seed=st.integers(0, 5))
def test_holdout_is_a_stratified_partition(y: np.ndarray, share: float, seed: int) -> None:
    classes, sizes = np.unique(y, return_counts=True)
    if sizes.max() == 1:
        with pytest.raises(InputError, match="classes has one series"):
            stratified_holdout(y, len(y), share, seed)
        return
    train, held = stratified_holdout(y, len(y), share, seed)
    assert sorted([*train, *held]) == list(range(len(y)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(held) > 0).all()
    assert len(held) >= 1
    assert set(y[train]) == set(classes)
    wanted = [min(int(share * size + 0.5), size - 1) for size in sizes]
    if sum(wanted):
        assert [int((y[held] == c).sum()) for c in classes] == wanted
    for first, second in zip((train, held), stratified_holdout(y, len(y), share, seed), strict=True):
        np.testing.assert_array_equal(first, second)


def test_holdout_known_counts_with_and_without_labels() -> None:
    y = np.array(["b"] * 10 + ["a"] * 5 + ["c"])
    train, held = stratified_holdout(y, 16, 0.2, seed=0)
    assert sorted(y[held].tolist()) == ["a", "b", "b"]
    assert len(train) == 13
    assert len(stratified_holdout(None, 10, 0.25, seed=0)[1]) == 3


def test_holdout_takes_one_of_the_largest_class_where_shares_round_to_nothing() -> None:
    y = np.array([0, 0, 1, 1, 1, 2])
    _, held = stratified_holdout(y, 6, 0.1, seed=0)
    assert y[held].tolist() == [1]


def test_another_seed_holds_out_other_series() -> None:
    draws = {tuple(stratified_holdout(None, 30, 0.5, seed)[1]) for seed in range(5)}
    assert len(draws) == 5


@pytest.mark.parametrize(
    ("y", "n", "share", "fact"),
    [
        (None, 5, 0.0, "share to hold out is 0.0"),
        (None, 5, 1.0, "share to hold out is 1.0"),
        (None, 5, float("nan"), "share to hold out is nan"),
        (None, 1, 0.5, "1 series cannot be split"),
        (np.array([0, 1]), 3, 0.5, "2 labels for 3 series"),
        (np.array([0, 1, 2]), 3, 0.5, "each of the 3 classes has one series"),
    ],
)
def test_impossible_holdouts_are_refused(y: Any, n: int, share: float, fact: str) -> None:
    with pytest.raises(InputError, match=fact):
        stratified_holdout(y, n, share, seed=0)


@settings(deadline=None, max_examples=60)
@given(y=LABELS, n=st.integers(0, 300))
def test_proportional_labels_follow_the_shares(y: np.ndarray, n: int) -> None:
    labels = proportional_labels(y, n)
    assert len(labels) == n
    assert labels.dtype == y.dtype
    assert (np.diff(labels) >= 0).all()
    for c in np.unique(y):
        assert abs((labels == c).sum() - n * (y == c).mean()) < 1 + 1e-9


@settings(deadline=None, max_examples=20)
@given(y=LABELS, times=st.integers(1, 4))
def test_whole_multiples_are_met_exactly(y: np.ndarray, times: int) -> None:
    np.testing.assert_array_equal(proportional_labels(y, times * len(y)), np.sort(np.tile(y, times)))


def test_proportional_labels_known_answers() -> None:
    y = np.array(["b"] * 5 + ["a"] * 3 + ["c"] * 2)
    # Quotas 1.2, 2.0, 0.8: the remainder .8 of c gets the last one.
    assert proportional_labels(y, 4).tolist() == ["a", "b", "b", "c"]
    # Equal remainders go to the class that sorts first.
    assert proportional_labels(np.array([2, 1]), 3).tolist() == [1, 1, 2]


def test_proportional_labels_need_labels_and_a_count() -> None:
    with pytest.raises(InputError, match="number of labels is -1"):
        proportional_labels(np.array([1]), -1)
    with pytest.raises(InputError, match="at least one label"):
        proportional_labels(np.array([]), 3)


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        (["3", "1"], (1, 2, 3), [3, 1]),
        ([True, False], (0, 1), [1, 0]),  # truth values are read as 0 and 1
        ([3, 1], (1, 2, 3), [3, 1]),
        (2, (1, 2, 3), [2]),
        ("-1", (-1, 1), [-1]),
        (["3.0", "03", " 3 "], (1, 2, 3), [3, 3, 3]),
        ([3.0], (1, 2, 3), [3]),
        ([1, "a"], ("1", "a"), ["1", "a"]),
        (["standing"], ("Running", "Standing"), ["Standing"]),
        (["a", "A"], ("A", "a"), ["a", "A"]),
        ([], (1, 2), []),
    ],
)
def test_labels_take_the_type_of_the_classes(labels: Any, classes: tuple[Any, ...], expected: list[Any]) -> None:
    matched = match_label_type(labels, classes)
    assert matched.tolist() == expected
    assert matched.dtype == np.int64 if isinstance(classes[0], int) else matched.dtype.kind == "U"


@pytest.mark.parametrize(
    ("labels", "classes", "facts"),
    [
        (["4"], (1, 2, 3), ["'4'", "1, 2, 3"]),
        (["2.5"], (1, 2, 3), ["'2.5'"]),
        (["nan"], (1, 2, 3), ["'nan'"]),
        (["standin"], ("Running", "Standing"), ["'standin'", "Running, Standing", "did you mean Standing?"]),
        (["AB"], ("ab", "Ab"), ["'AB'"]),
        ([99], tuple(range(50)), ["18, 19 and 30 more"]),
    ],
)
def test_unknown_classes_are_refused(labels: Any, classes: tuple[Any, ...], facts: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        match_label_type(labels, classes)
    assert "\n" not in str(caught.value)
    for fact in facts:
        assert fact in str(caught.value)


def test_many_classes_too_small_to_share_give_one_each_until_the_share_is_met() -> None:
    y = np.repeat(np.arange(52), 2)
    train, held = stratified_holdout(y, 104, 0.2, seed=0)
    assert len(held) == 21
    assert len(set(y[held])) == 21
    assert set(y[train]) == set(range(52))


def test_evenly_spaced_indices_are_all_or_reach_both_ends() -> None:
    assert evenly_spaced(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert evenly_spaced(9, 5).tolist() == [0, 2, 4, 6, 8]
    assert len(evenly_spaced(7200, 2000)) == 2000
