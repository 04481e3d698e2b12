"""Inception score, code use, copies and the bootstrap: known answers and edges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timeloom.errors import InputError
from timeloom.evaluation.measures.bootstrap import bootstrap_interval
from timeloom.evaluation.measures.copying import (
    copy_share,
    nearest_distances,
    nearest_training,
    nearest_training_of_each,
)
from timeloom.evaluation.measures.inception import inception_score
from timeloom.evaluation.measures.tokens import perplexity, usage

# ---- inception score


def test_inception_score_of_sure_and_balanced_classes_is_their_number() -> None:
    assert inception_score(np.tile(np.eye(4), (5, 1))) == pytest.approx(4)


def test_inception_score_of_a_collapsed_or_unsure_set_is_1() -> None:
    assert inception_score(np.tile([0.0, 1.0, 0.0], (7, 1))) == pytest.approx(1)
    assert inception_score(np.tile([0.2, 0.5, 0.3], (7, 1))) == pytest.approx(1)


def test_inception_score_by_hand() -> None:
    rows = np.array([[0.9, 0.1], [0.3, 0.7]])
    divergences = [sum(p * np.log(p / q) for p, q in zip(row, (0.6, 0.4), strict=True)) for row in rows]
    assert inception_score(rows) == pytest.approx(np.exp(np.mean(divergences)))


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 30), k=st.integers(1, 6), seed=st.integers(0, 1000))
def test_inception_score_lies_between_1_and_the_number_of_classes(n: int, k: int, seed: int) -> None:
    rows = np.random.default_rng(seed).dirichlet(np.full(k, 0.3), n).astype(np.float32)
    assert 1 <= inception_score(rows) <= k + 1e-6


def test_inception_score_refuses_what_is_no_probability() -> None:
    with pytest.raises(InputError, match=r"row 1 sum to 1\.2"):
        inception_score([[0.5, 0.5], [0.5, 0.7]])
    with pytest.raises(InputError, match=r"shape \(3,\)"):
        inception_score([0.5, 0.3, 0.2])
    with pytest.raises(InputError, match="row 0"):
        inception_score([[np.nan, 1.0]])


# ---- code use


def test_perplexity_and_usage_of_known_tokens() -> None:
    tokens = np.array([0, 1, 2, 3, 0, 1, 2, 3]).reshape(2, 4, 1)
    assert perplexity(tokens, 8) == pytest.approx(4)
    assert usage(tokens, 8) == 0.5
    skewed = np.array([0, 0, 0, 1]).reshape(1, 4, 1)
    assert perplexity(skewed, 2) == pytest.approx(np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25))))


def test_levels_are_averaged_not_pooled() -> None:
    tokens = np.stack([np.full((2, 4), 0), np.tile([0, 1, 2, 3], (2, 1))], axis=2)
    assert perplexity(tokens, 4) == pytest.approx((1 + 4) / 2)
    assert usage(tokens, 4) == pytest.approx((0.25 + 1) / 2)


@settings(deadline=None, max_examples=25)
@given(size=st.integers(1, 20), seed=st.integers(0, 1000))
def test_perplexity_is_bounded_by_the_codes_used(size: int, seed: int) -> None:
    tokens = np.random.default_rng(seed).integers(0, size, (3, 5, 1))
    assert 1 - 1e-9 <= perplexity(tokens, size) <= usage(tokens, size) * size + 1e-9


@pytest.mark.parametrize("metric", [perplexity, usage])
def test_bad_tokens_are_refused(metric: Callable[..., float]) -> None:
    with pytest.raises(InputError, match=r"allowed: 0\.\.3"):
        metric(np.array([[[4]]]), 4)
    with pytest.raises(InputError, match=r"0\.\.3"):
        metric(np.array([[[-1]]]), 4)
    with pytest.raises(InputError, match="float64"):
        metric(np.array([[[0.5]]]), 4)
    with pytest.raises(InputError, match="n_cells"):
        metric(np.zeros((2, 3), dtype=int), 4)


# ---- copies


def noise(n: int, seed: int, n_timepoints: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 2, n_timepoints)).astype(np.float32)


def test_copies_are_seen_and_new_series_score_about_5_per_cent() -> None:
    train = noise(300, 0)
    assert copy_share(train, train[::3]) == 1.0
    assert copy_share(train, noise(1000, 1)) == pytest.approx(0.05, abs=0.035)
    half = np.concatenate([train[:50], 10 + noise(50, 1)])
    assert copy_share(train, half) == 0.5


def test_copies_survive_scale_storage_and_gaps() -> None:
    train = 1e4 + 1e3 * noise(40, 0)
    assert copy_share(train, (train.astype(np.float64) * (1 + 1e-9)).astype(np.float32)) == 1.0
    train[:, 1, 4:6] = np.nan
    assert copy_share(train, train) == 1.0


def test_channels_weigh_the_same_whatever_their_unit() -> None:
    train, candidates = noise(60, 0), noise(60, 1)
    factor = np.array([[1.0], [1e4]], dtype=np.float32)
    assert copy_share(train * factor, candidates * factor) == copy_share(train, candidates)


def test_duplicates_in_train_leave_only_exact_copies() -> None:
    train = np.repeat(noise(20, 0), 2, axis=0)
    assert copy_share(train, train) == 1.0
    assert copy_share(train, train + 0.05) == 0.0


def test_two_training_series_have_one_distance() -> None:
    train = np.array([[[0.0, 0.0]], [[0.0, 2.0]]])
    candidates = np.array([[[0.0, -1.9]], [[0.0, -2.1]], [[0.0, 1.0]], [[9.0, 9.0]]])
    assert copy_share(train, candidates) == 0.5
    with pytest.raises(InputError, match="train holds 1 series"):
        copy_share(train[:1], candidates)


def test_several_sets_of_candidates_are_told_as_each_alone() -> None:
    rng = np.random.default_rng(0)
    train, sets = rng.standard_normal((20, 2, 6)), {"a": rng.standard_normal((7, 2, 6)), "b": np.zeros((3, 2, 6))}
    found = nearest_training_of_each(train, sets)
    assert list(found) == ["a", "b"]
    for name, candidates in sets.items():
        for part, alone in zip(found[name], nearest_training(train, candidates), strict=True):
            np.testing.assert_array_equal(part, alone)
    with pytest.raises(InputError, match=r"b has shape \(4,\); allowed: \(N, V\)"):
        nearest_training_of_each(train[:, 0], {"a": train[:3, 0], "b": np.zeros(4)})


def test_nearest_distances_equal_the_full_matrix_across_blocks() -> None:
    rng = np.random.default_rng(0)
    reference, candidates = 100 + rng.standard_normal((2500, 3)), 100 + rng.standard_normal((2000, 3))
    full = np.sqrt(((candidates[:, None] - reference) ** 2).sum(axis=2))
    np.testing.assert_allclose(nearest_distances(candidates, reference), full.min(axis=1), rtol=1e-6)
    within = np.sqrt(((reference[:, None] - reference) ** 2).sum(axis=2)) + np.diag(np.full(2500, np.inf))
    found = nearest_distances(reference, reference, leave_self_out=True)
    np.testing.assert_allclose(found, within.min(axis=1), rtol=1e-6)


# ---- bootstrap


def mean(values: np.ndarray) -> float:
    return float(values.mean())


def test_the_interval_of_a_mean_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    low, high = bootstrap_interval(mean, values, n_boot=2000, seed=0)
    error = 1.96 * values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + error, abs=0.1 * error)


def test_intervals_of_95_per_cent_cover_the_truth_about_so_often() -> None:
    rng = np.random.default_rng(0)
    covered = [low <= 0 <= high for low, high in (bootstrap_interval(mean, rng.normal(size=60)) for _ in range(200))]
    assert 0.88 <= np.mean(covered) <= 0.99


def test_several_arrays_are_drawn_together() -> None:
    values = np.arange(50.0)
    low, high = bootstrap_interval(lambda a, b: float((a - b).mean()), values, values + 1.0)
    assert (low, high) == (-1.0, -1.0)


def test_bounds_seed_and_value() -> None:
    values = np.array([1.0] * 19 + [0.0])
    first = bootstrap_interval(mean, values, seed=1, low=0.0, high=1.0)
    assert first == bootstrap_interval(mean, values, seed=1, low=0.0, high=1.0)
    assert first != bootstrap_interval(mean, values, seed=2, low=0.0, high=1.0)
    assert first[0] < 0.95 < first[1] <= 1.0
    assert bootstrap_interval(mean, np.ones(5)) == (1.0, 1.0)


def test_unequal_or_empty_arrays_are_refused() -> None:
    with pytest.raises(InputError, match=r"\[3, 2\] cases"):
        bootstrap_interval(lambda a, b: 0.0, np.zeros(3), np.zeros(2))
    with pytest.raises(InputError, match=r"\[0\] cases"):
        bootstrap_interval(mean, np.zeros(0))
