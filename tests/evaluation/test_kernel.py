"""Kernel distances against plain double loops, and their laws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.bootstrap import case_weights
from timeloom.evaluation.measures.kernel import (
    TILE,
    Discrepancy,
    kernel_distance,
    kernel_distance_replicates,
    mmd,
    mmd_replicates,
)

Kernel = Callable[[NDArray, NDArray], float]


def normal(n: int, width: int, seed: int, shift: float = 0.0) -> NDArray[np.float64]:
    return shift + np.random.default_rng(seed).standard_normal((n, width))


def polynomial(real: NDArray) -> Kernel:
    mean, deviation = real.mean(axis=0), real.std(axis=0)
    return lambda x, y: float((((x - mean) / deviation) @ ((y - mean) / deviation) / len(mean) + 1) ** 3)


def gaussians(real: NDArray) -> Kernel:
    pairs = [np.linalg.norm(real[i] - real[j]) for i in range(len(real)) for j in range(i)]
    widths = np.median(pairs) * np.array([0.5, 1, 2])
    return lambda x, y: float(np.exp(-((x - y) @ (x - y)) / (2 * widths**2)).mean())


def by_loops(kernel: Kernel, real: NDArray, synthetic: NDArray, case: NDArray) -> float:
    """Unbiased discrepancy of real rows and the synthetic rows `case`, without pairs of one case."""
    rr = [kernel(a, b) for i, a in enumerate(real) for j, b in enumerate(real) if i != j]
    ss = [kernel(synthetic[i], synthetic[j]) for i in case for j in case if i != j]
    rs = [kernel(a, synthetic[j]) for a in real for j in case]
    return float(np.mean(rr) + np.mean(ss) - 2 * np.mean(rs))


MEASURES = [(kernel_distance, kernel_distance_replicates, polynomial), (mmd, mmd_replicates, gaussians)]


@pytest.mark.parametrize(("measure", "replicates", "kernel_of"), MEASURES)
def test_equals_the_plain_loops_and_so_do_redrawn_sets(
    measure: Callable, replicates: Callable, kernel_of: Callable
) -> None:
    real, synthetic = 3 + 2 * normal(12, 4, 0), 2.5 + 3 * normal(9, 4, 1)
    kernel = kernel_of(real)
    assert measure(real, synthetic) == pytest.approx(by_loops(kernel, real, synthetic, np.arange(9)), rel=1e-9)
    drawn = [np.repeat(np.arange(9), counts.astype(int)) for counts in case_weights(9, 3, 4)]
    expected = [by_loops(kernel, real, synthetic, rows) for rows in drawn]
    np.testing.assert_allclose(replicates(real, synthetic, 3, 4), expected, rtol=1e-9)


@pytest.mark.parametrize("measure", [kernel_distance, mmd])
def test_unbiased_about_0_for_equal_distributions_and_above_for_others(measure: Callable) -> None:
    real = normal(300, 5, 0)
    equal = [measure(real, normal(40, 5, seed)) for seed in range(1, 31)]
    shifted = [measure(real, normal(40, 5, seed, shift=1.0)) for seed in range(1, 31)]
    assert min(equal) < 0 < max(equal)
    assert abs(np.mean(equal)) < 0.2 * np.mean(shifted)
    assert min(shifted) > max(equal)


@pytest.mark.parametrize("measure", [kernel_distance, mmd])
@settings(deadline=None, max_examples=15)
@given(n=st.integers(2, 12), m=st.integers(2, 12), width=st.integers(1, 6), seed=st.integers(0, 500))
def test_the_order_of_rows_and_a_common_unit_do_not_matter(
    measure: Callable, n: int, m: int, width: int, seed: int
) -> None:
    real, synthetic = normal(n, width, seed), normal(m, width, seed + 1)
    value = measure(real, synthetic)
    assert measure(real[::-1], synthetic[::-1]) == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert measure(7 + 100 * real, 7 + 100 * synthetic) == pytest.approx(value, rel=1e-6, abs=1e-8)


def test_one_real_set_serves_many_synthetic_ones() -> None:
    real, sets = normal(12, 4, 0), (normal(9, 4, 1), normal(5, 4, 2, shift=1.0))
    for of, measure, replicates in (
        (Discrepancy.polynomial(real), kernel_distance, kernel_distance_replicates),
        (Discrepancy.gaussian(real), mmd, mmd_replicates),
    ):
        for synthetic in sets:
            assert of.value(synthetic) == measure(real, synthetic)
            np.testing.assert_array_equal(of.replicates(synthetic, 4, 3), replicates(real, synthetic, 4, 3))


def test_tiles_join_without_a_seam() -> None:
    real, synthetic = normal(TILE + 30, 2, 0), normal(TILE + 7, 2, 1)
    scaled = [(rows - real.mean(axis=0)) / real.std(axis=0) for rows in (real, synthetic)]
    rr, ss, rs = ((scaled[i] @ scaled[j].T / 2 + 1) ** 3 for i, j in ((0, 0), (1, 1), (0, 1)))
    within = [(values.sum() - np.trace(values)) / (len(values) * (len(values) - 1)) for values in (rr, ss)]
    assert kernel_distance(real, synthetic) == pytest.approx(sum(within) - 2 * rs.mean(), rel=1e-8)


def test_a_bad_generator_does_not_widen_the_gaussian_kernel() -> None:
    real = normal(60, 3, 0)
    assert mmd(real, 1e6 * normal(60, 3, 1)) > mmd(real, 3 * normal(60, 3, 1)) > 0.05


@pytest.mark.parametrize(("measure", "replicates", "kernel_of"), MEASURES)
def test_constant_features_and_duplicates_are_no_special_case(
    measure: Callable, replicates: Callable, kernel_of: Callable
) -> None:
    constant = np.full((6, 3), 0.1, dtype=np.float32)
    assert measure(constant, constant) == pytest.approx(0, abs=1e-6)
    assert measure(constant, constant + 5) > 0.5
    mostly = np.concatenate([np.zeros((20, 3)), normal(5, 3, 0)])
    assert np.isfinite(measure(mostly, normal(9, 3, 1)))
    assert np.isfinite(replicates(mostly, normal(2, 3, 1), 20, 0)).all()


@pytest.mark.parametrize(("measure", "replicates", "kernel_of"), MEASURES)
def test_the_spread_of_replicates_is_that_of_new_samples(
    measure: Callable, replicates: Callable, kernel_of: Callable
) -> None:
    real = normal(400, 3, 0)
    samples = [normal(60, 3, seed, shift=0.7) for seed in range(1, 31)]
    values = np.array([measure(real, sample) for sample in samples])
    redrawn = np.array([replicates(real, sample, 60, 0) for sample in samples])
    assert redrawn.std(axis=1).mean() == pytest.approx(values.std(), rel=0.25)
    assert (redrawn.mean(axis=1) - values).mean() == pytest.approx(0, abs=0.1 * values.std())
    np.testing.assert_array_equal(redrawn[0], replicates(real, samples[0], 60, 0))


@pytest.mark.parametrize("measure", [kernel_distance, mmd])
def test_bad_features_are_refused(measure: Callable) -> None:
    with pytest.raises(InputError, match="synthetic features are 2 wide, real ones 3"):
        measure(np.zeros((4, 3)), np.zeros((4, 2)))
    with pytest.raises(InputError, match="real features have shape"):
        measure(np.zeros((1, 3)), np.zeros((4, 3)))
