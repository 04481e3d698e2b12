"""Precision, recall, density and coverage against plain loops and their expected values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.inputs import squared_distances
from timeloom.evaluation.measures.manifold import TILE, ManifoldScores, manifold_scores


def normal(n: int, width: int, seed: int) -> NDArray[np.float64]:
    return 50 + np.random.default_rng(seed).standard_normal((n, width))


def by_loops(real: NDArray, synthetic: NDArray, k: int) -> ManifoldScores:
    def radii(rows: NDArray) -> list[float]:
        others = [np.delete(rows, i, axis=0) - rows[i] for i in range(len(rows))]
        return [float(np.sort(np.linalg.norm(other, axis=1))[k - 1]) for other in others]

    distances = np.array([[np.linalg.norm(r - s) for r in real] for s in synthetic])
    in_real = distances <= np.array(radii(real))
    in_synthetic = distances <= np.array(radii(synthetic))[:, None]
    return ManifoldScores(in_real.any(axis=1), in_real.sum(axis=1) / k, in_synthetic.any(axis=0), in_real.any(axis=0))


def means(scores: ManifoldScores) -> tuple[float, ...]:
    return tuple(float(s.mean()) for s in (scores.precision, scores.density, scores.recall, scores.coverage))


@settings(deadline=None, max_examples=25)
@given(
    n=st.integers(5, 20), m=st.integers(5, 20), width=st.integers(1, 4), k=st.integers(1, 4), seed=st.integers(0, 99)
)
def test_equals_the_plain_loops(n: int, m: int, width: int, k: int, seed: int) -> None:
    real, synthetic = normal(n, width, seed), normal(m, width, seed + 1)
    found, expected = manifold_scores(real, synthetic, k), by_loops(real, synthetic, k)
    np.testing.assert_array_equal(found.precision, expected.precision)
    np.testing.assert_allclose(found.density, expected.density)
    np.testing.assert_array_equal(found.recall, expected.recall)
    np.testing.assert_array_equal(found.coverage, expected.coverage)


@pytest.mark.parametrize(("n", "m"), [(200, 200), (300, 100)])
def test_expected_values_for_equal_distributions(n: int, m: int) -> None:
    k = 3
    found = np.mean([means(manifold_scores(normal(n, 2, s), normal(m, 2, 100 + s), k)) for s in range(30)], axis=0)
    coverage = 1 - np.prod([(n - i) / (n + m - i) for i in range(1, k + 1)])
    assert found[1] == pytest.approx(1, abs=0.04)
    assert found[3] == pytest.approx(coverage, abs=0.03)


def test_copies_score_full_marks_and_far_away_series_none() -> None:
    real = normal(60, 8, 0).astype(np.float32)
    assert means(manifold_scores(real, real.copy()))[0::2] == (1.0, 1.0)
    np.testing.assert_array_equal(manifold_scores(real, real[:10]).precision, 1.0)
    assert means(manifold_scores(real, real + 1000)) == (0.0, 0.0, 0.0, 0.0)


def test_a_collapsed_set_is_precise_but_not_complete() -> None:
    real = normal(100, 2, 0)
    single = np.repeat(real[:1], 50, axis=0)
    precision, _, recall, coverage = means(manifold_scores(real, single))
    assert precision == 1.0
    assert recall == 0.01
    assert coverage < 0.2


def test_more_than_k_duplicates_hold_only_their_equals() -> None:
    real = np.concatenate([np.repeat(normal(1, 5, 0), 4, axis=0), 100 + normal(10, 5, 1)])
    scores = manifold_scores(real, np.concatenate([real[:1], real[:1] + 1e-2, real[:4]]), k=3)
    np.testing.assert_array_equal(scores.precision, [1, 0, 1, 1, 1, 1])
    assert scores.density[0] == pytest.approx(4 / 3)
    np.testing.assert_array_equal(scores.coverage[:4], 1)


def test_tiles_join_without_a_seam() -> None:
    real, synthetic = np.arange(TILE + 20.0)[:, None], np.arange(TILE + 5.0)[:, None] + 0.25
    scores = manifold_scores(real, synthetic, k=2)
    # On a line of whole numbers a sphere reaches one step, or two at the ends.
    np.testing.assert_allclose(scores.density[5:-5], 1.0)
    np.testing.assert_array_equal(scores.coverage[: TILE + 5], 1)
    np.testing.assert_array_equal(scores.coverage[TILE + 7 : TILE + 17], 0)
    np.testing.assert_array_equal(scores.recall[: TILE + 5], 1)


def test_distances_are_exactly_0_between_equal_rows_only() -> None:
    rows = normal(50, 300, 0)
    distances = squared_distances(rows, rows + 0.0)
    np.testing.assert_array_equal(np.diag(distances), 0.0)
    plain = ((rows[:, None] - rows) ** 2).sum(axis=2)
    np.testing.assert_allclose(distances, plain, rtol=1e-9)


def test_k_must_leave_a_neighbour() -> None:
    with pytest.raises(InputError, match=r"k is 5; allowed: 1\.\.4, the smaller set has 5 cases"):
        manifold_scores(normal(9, 2, 0), normal(5, 2, 1))
    with pytest.raises(InputError, match="k is 0"):
        manifold_scores(normal(9, 2, 0), normal(9, 2, 1), k=0)
    with pytest.raises(InputError, match="real features are not finite in row 1"):
        manifold_scores([[0.0], [np.inf]], [[0.0], [1.0]], k=1)
