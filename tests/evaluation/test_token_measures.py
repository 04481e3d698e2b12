"""Tokens: code use, divergence and mutual information against known answers and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.tokens import (
    code_cosine,
    code_shares,
    gini,
    level_information,
    perplexity,
    position_information,
    token_divergence,
    token_entropy,
)


def draws(n: int, size: int, seed: int, places: tuple[int, int] = (6, 1)) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, size, (n, *places))


# ---- code use


def test_shares_by_hand() -> None:
    tokens = np.array([[[0, 2], [0, 2]], [[1, 2], [3, 2]]])
    np.testing.assert_allclose(code_shares(tokens, 4), [[0.5, 0.25, 0, 0.25], [0, 0, 1, 0]])


def test_entropy_is_the_mean_over_levels() -> None:
    tokens = np.stack([np.zeros((2, 4), dtype=int), np.tile([0, 1, 2, 3], (2, 1))], axis=2)
    assert token_entropy(tokens, 9) == pytest.approx(np.log(4) / 2)
    assert token_entropy(tokens[..., 1:], 9) == pytest.approx(np.log(perplexity(tokens[..., 1:], 9)))


def test_gini_of_equal_use_one_code_and_by_hand() -> None:
    assert gini(np.arange(8).reshape(2, 4, 1), 8) == pytest.approx(0)
    assert gini(np.zeros((2, 4, 1), dtype=int), 8) == pytest.approx(1 - 1 / 8)
    # shares 3/4, 1/4, 0: sum of |differences| over ordered pairs 2 (2/4 + 3/4 + 1/4) = 3, over 2 K = 6
    assert gini(np.array([0, 0, 0, 1]).reshape(1, 4, 1), 3) == pytest.approx(0.5)


# ---- divergence


def test_divergence_by_hand() -> None:
    real, synthetic = np.array([0, 0, 1]).reshape(3, 1, 1), np.array([1]).reshape(1, 1, 1)
    p, q = np.array([2.5, 1.5]) / 4, np.array([0.5, 1.5]) / 2
    assert token_divergence(real, synthetic, 2) == pytest.approx(float((p * np.log(p / q)).sum()))


def test_divergence_is_taken_place_by_place() -> None:
    # each code equally often in all, but never at the same position
    real, synthetic = np.tile([[[0], [1]]], (500, 1, 1)), np.tile([[[1], [0]]], (500, 1, 1))
    assert token_divergence(real, synthetic, 2) > 5
    mixed = np.concatenate([real, synthetic], axis=2)
    assert token_divergence(mixed, mixed, 2) == 0.0
    half = np.concatenate([real, real], axis=2)
    assert token_divergence(half, mixed, 2) == pytest.approx(token_divergence(real, synthetic, 2) / 2)


def test_divergence_of_samples_of_one_source_is_the_stated_bias() -> None:
    value = token_divergence(draws(2000, 8, 0, (40, 1)), draws(1000, 8, 1, (40, 1)), 8)
    assert value == pytest.approx(7 / 2 * (1 / 2000 + 1 / 1000), rel=0.2)


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 6), m=st.integers(1, 6), size=st.integers(1, 5), seed=st.integers(0, 1000))
def test_divergence_is_finite_and_not_negative(n: int, m: int, size: int, seed: int) -> None:
    value = token_divergence(draws(n, size, seed, (3, 2)), draws(m, size, seed + 1, (3, 2)), size)
    assert -1e-12 <= value < 10


# ---- mutual information


def test_information_is_scikit_learns_adjusted_score_in_nats() -> None:
    from sklearn.metrics import adjusted_mutual_info_score

    tokens = draws(60, 7, 0, (3, 1))
    tokens[:40, 1] = tokens[:40, 0]
    tokens[:, 2] = np.minimum(tokens[:, 2], 2)
    counts = [np.bincount(column, minlength=7) / 60 for column in tokens[:, :, 0].T]
    entropies = [-sum(p * np.log(p) for p in shares if p > 0) for shares in counts]
    found = position_information(tokens, 7)
    for i in range(3):
        for j in range(3):
            score = adjusted_mutual_info_score(tokens[:, i, 0], tokens[:, j, 0], average_method="min")
            assert found[i, j] == pytest.approx(score * min(entropies[i], entropies[j]), abs=1e-9)


@pytest.mark.parametrize(("n", "size"), [(300, 32), (300, 128)])
def test_independent_positions_give_about_0_and_equal_ones_their_entropy(n: int, size: int) -> None:
    tokens = draws(n, size, 0, (12, 1))
    tokens[:, 1] = (tokens[:, 0] + 3) % size
    found = position_information(tokens, size)
    apart = found[2:, 2:][~np.eye(10, dtype=bool)]
    assert abs(apart.mean()) < 0.03
    assert np.abs(apart).max() < 0.25
    assert found[0, 1] == pytest.approx(token_entropy(tokens[:, :1], size))
    np.testing.assert_allclose(np.diag(found)[2:], [token_entropy(tokens[:, [i]], size) for i in range(2, 12)])
    np.testing.assert_array_equal(found, found.T)


def test_information_of_a_known_joint_law_at_large_n() -> None:
    case = np.arange(2000)
    first = case % 2
    second = np.where(case % 20 < 2, 1 - first, first)
    expected = np.log(2) + 0.1 * np.log(0.1) + 0.9 * np.log(0.9)
    found = position_information(np.stack([first, second], axis=1)[:, :, None], 2)
    assert found[0, 1] == pytest.approx(expected, abs=1e-3)


def test_only_the_first_level_counts_between_positions() -> None:
    tokens = draws(100, 8, 0, (4, 2))
    np.testing.assert_array_equal(position_information(tokens, 8), position_information(tokens[..., :1], 8))


def test_levels_of_a_cell_are_compared_within_the_cell() -> None:
    tokens = draws(400, 16, 0, (5, 3))
    tokens[..., 1] = (tokens[..., 0] + np.arange(5)) % 16
    found = level_information(tokens, 16)
    assert found.shape == (3, 3)
    assert found[0, 1] == pytest.approx(np.log(16), abs=0.05)
    assert abs(found[0, 2]) < 0.05
    np.testing.assert_array_equal(found, found.T)


def test_more_than_2000_cases_are_thinned_evenly() -> None:
    tokens = draws(2000, 8, 0)
    # Of 3999 cases every second one stays; what stands between, with all positions equal, is not seen.
    between = np.repeat(draws(1999, 8, 1, (1, 1)), 6, axis=1)
    woven = np.empty((3999, 6, 1), dtype=int)
    woven[::2], woven[1::2] = tokens, between
    np.testing.assert_array_equal(position_information(woven, 8), position_information(tokens, 8))


def test_what_leaves_no_room_for_information_gives_0() -> None:
    constant = np.zeros((30, 3, 1), dtype=int)
    np.testing.assert_array_equal(position_information(constant, 4), np.zeros((3, 3)))
    unlike = np.tile(np.arange(30)[:, None, None], (1, 2, 1))
    np.testing.assert_array_equal(position_information(unlike, 30), np.zeros((2, 2)))
    np.testing.assert_array_equal(position_information(draws(1, 4, 0), 4), np.zeros((6, 6)))
    assert level_information(draws(50, 4, 0), 4).shape == (1, 1)


# ---- errors


@pytest.mark.parametrize("measure", [code_shares, token_entropy, gini, position_information, level_information])
def test_bad_tokens_are_refused(measure: Callable[..., object]) -> None:
    with pytest.raises(InputError, match=r"allowed: 0\.\.3"):
        measure(np.array([[[4]]]), 4)
    with pytest.raises(InputError, match="float64"):
        measure(np.array([[[0.5]]]), 4)


def test_sets_of_unlike_grids_are_refused() -> None:
    with pytest.raises(InputError, match=r"synthetic tokens have shape \(3, 5, 1\), real ones \(3, 6, 1\)"):
        token_divergence(draws(3, 4, 0), draws(3, 4, 0, (5, 1)), 4)


def test_cosines_are_those_of_the_codes_in_use() -> None:
    codes = np.random.default_rng(0).normal(size=(2, 6, 3))
    tokens = np.array([[[0, 5], [3, 5]], [[4, 1], [0, 5]]])  # level 0 uses 0, 3, 4; level 1 uses 1, 5

    def cos(level: int, i: int, j: int) -> float:
        a, b = codes[level, i], codes[level, j]
        return abs(float(a @ b)) / float(np.sqrt((a @ a) * (b @ b)))

    expected = ((cos(0, 0, 3) + cos(0, 0, 4) + cos(0, 3, 4)) / 3 + cos(1, 1, 5)) / 2
    assert code_cosine(tokens, codes) == pytest.approx(expected)
    spoiled = codes.copy()
    spoiled[0, [1, 2, 5]] = spoiled[1, [0, 2]] = 1.0  # dead codes
    assert code_cosine(tokens, spoiled) == pytest.approx(expected)
    assert code_cosine(tokens, -7 * codes) == pytest.approx(expected)


def test_cosines_of_orthogonal_parallel_and_single_codes() -> None:
    every = np.arange(4)[:, None, None]
    assert code_cosine(every, np.eye(4)[None]) == pytest.approx(0)
    assert code_cosine(every, np.outer([1, -2, 3, 0.5], np.ones(3))[None]) == pytest.approx(1)
    one_used = np.concatenate([np.zeros_like(every), every], axis=2)
    assert code_cosine(one_used, np.stack([np.eye(4), np.eye(4)])) == pytest.approx(0)
    assert np.isnan(code_cosine(np.zeros_like(every), np.eye(4)[None]))
    many = np.random.default_rng(0).normal(size=(1, 500, 32))
    assert code_cosine(np.arange(500)[:, None, None], many) == pytest.approx(np.sqrt(2 / np.pi / 32), rel=0.02)


def test_codes_that_do_not_fit_the_tokens_are_refused() -> None:
    with pytest.raises(InputError, match="codes have 2 levels, the tokens 1; allowed: the same"):
        code_cosine(draws(5, 4, 0), np.zeros((2, 4, 3)))
    with pytest.raises(InputError, match=r"allowed: 0\.\.3, the codebook"):
        code_cosine(draws(50, 8, 0), np.zeros((1, 4, 3)))
    with pytest.raises(InputError, match=r"codes have shape \(4, 3\); allowed: finite"):
        code_cosine(draws(5, 4, 0), np.zeros((4, 3)))
