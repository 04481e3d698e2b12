"""Sliced Wasserstein distance: shifts, an independent reference, and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.bootstrap import case_weights
from timeloom.evaluation.measures.sliced import sliced_wasserstein, sliced_wasserstein_replicates


def normal(n: int, width: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((n, width))


@settings(deadline=None, max_examples=25)
@given(n=st.integers(2, 30), m=st.integers(2, 30), seed=st.integers(0, 500))
def test_on_a_line_it_is_the_wasserstein_distance(n: int, m: int, seed: int) -> None:
    # Rounded, so that values of the two sets tie.
    a, b = normal(n, 1, seed).round(1), normal(m, 1, seed + 1).round(1)
    expected = scipy.stats.wasserstein_distance(a[:, 0], b[:, 0])
    assert sliced_wasserstein(a, b, n_projections=2) == pytest.approx(expected, abs=1e-12)


def test_a_shift_on_a_line_costs_its_length() -> None:
    values = normal(40, 1, 0)
    assert sliced_wasserstein(values, values + 2.5) == pytest.approx(2.5)
    assert sliced_wasserstein(values, np.repeat(values, 3, axis=0) - 1.5) == pytest.approx(1.5)


@pytest.mark.parametrize("width", [2, 10, 100])
def test_a_shift_in_many_dimensions_is_seen_as_a_mean_cosine(width: int) -> None:
    rows = normal(20, width, 0)
    shift = np.linspace(-1, 2, width)
    cosine = math.exp(math.lgamma(width / 2) - math.lgamma((width + 1) / 2)) / math.sqrt(math.pi)
    found = sliced_wasserstein(rows, rows + shift, n_projections=4000)
    assert found == pytest.approx(np.linalg.norm(shift) * cosine, rel=0.04)
    if width == 100:
        assert cosine == pytest.approx(math.sqrt(2 / (math.pi * width)), rel=0.01)


@settings(deadline=None, max_examples=25)
@given(n=st.integers(2, 20), m=st.integers(2, 20), width=st.integers(1, 6), seed=st.integers(0, 500))
def test_laws(n: int, m: int, width: int, seed: int) -> None:
    a, b, c = normal(n, width, seed), normal(m, width, seed + 1), 1 + normal(n, width, seed + 2)
    near = sliced_wasserstein(a, b, 8)
    assert sliced_wasserstein(a, a[::-1], 8) == pytest.approx(0, abs=1e-12)
    assert near == pytest.approx(sliced_wasserstein(b, a, 8))
    assert sliced_wasserstein(3 * a + 1, 3 * b + 1, 8) == pytest.approx(3 * near)
    assert sliced_wasserstein(a, c, 8) <= near + sliced_wasserstein(b, c, 8) + 1e-9


def test_the_seed_draws_the_directions() -> None:
    a, b = normal(20, 4, 0), normal(30, 4, 1)
    assert sliced_wasserstein(a, b, seed=3) == sliced_wasserstein(a, b, seed=3)
    assert sliced_wasserstein(a, b, seed=3) != sliced_wasserstein(a, b, seed=4)


def test_replicates_are_the_distances_of_redrawn_sets() -> None:
    a, b = normal(20, 4, 0), 0.3 + normal(15, 4, 1)
    drawn = [np.repeat(np.arange(15), counts.astype(int)) for counts in case_weights(15, 4, 9)]
    expected = [sliced_wasserstein(a, b[rows], 16, seed=2) for rows in drawn]
    found = sliced_wasserstein_replicates(a, b, n_boot=4, seed=9, n_projections=16, projection_seed=2)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_bad_rows_are_refused() -> None:
    with pytest.raises(InputError, match="n_projections is 0"):
        sliced_wasserstein(normal(4, 2, 0), normal(4, 2, 0), n_projections=0)
    with pytest.raises(InputError, match="synthetic features are 3 wide, real ones 2"):
        sliced_wasserstein(normal(4, 2, 0), normal(4, 3, 0))
