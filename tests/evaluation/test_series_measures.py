"""Measures of raw series: known answers, plain references, redrawn sets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures import series as measures
from timeloom.evaluation.measures.bootstrap import case_weights
from timeloom.evaluation.measures.inputs import BLOCK_VALUES
from timeloom.evaluation.measures.series import (
    SUMMARIES,
    autocorrelation_difference,
    correlational_score,
    cross_correlation_difference,
    kurtosis_difference,
    marginal_difference,
    skewness_difference,
    spectral_difference,
    summary_distance,
    summary_means,
    summary_replicates,
)

ALL = [getattr(measures, name) for name in SUMMARIES]


def noise(n: int, seed: int, n_channels: int = 2, n_timepoints: int = 20) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n, n_channels, n_timepoints)).astype(np.float32)


def walks(n: int, seed: int, n_channels: int = 3, n_timepoints: int = 30) -> NDArray[np.float64]:
    """Random walks whose channels share half of their steps."""
    steps = noise(n, seed, n_channels, n_timepoints).astype(np.float64)
    return np.cumsum(steps + steps[:, :1], axis=2)


# ---- what holds for all


@pytest.mark.parametrize("measure", ALL)
@settings(deadline=None, max_examples=8)
@given(n=st.integers(1, 12), n_channels=st.integers(2, 3), n_timepoints=st.integers(3, 9), seed=st.integers(0, 99))
def test_0_for_the_same_series_in_any_order_and_not_below(
    measure: Callable, n: int, n_channels: int, n_timepoints: int, seed: int
) -> None:
    real, other = noise(n, seed, n_channels, n_timepoints), 1 + noise(n + 2, seed + 1, n_channels, n_timepoints)
    assert measure(real, real[::-1]) == pytest.approx(0, abs=1e-9)
    assert measure(real, np.repeat(real, 3, axis=0)) == pytest.approx(0, abs=1e-9)
    assert measure(real, other) > 0


@pytest.mark.parametrize("measure", ALL)
def test_constant_series_are_finite_and_equal_to_themselves(measure: Callable) -> None:
    constant = np.full((4, 2, 8), 0.1, dtype=np.float32)
    assert measure(constant, constant) == 0
    assert 0 < measure(noise(6, 0, 2, 8), constant) < np.inf
    assert 0 < measure(constant, noise(6, 0, 2, 8)) < np.inf


@pytest.mark.parametrize("name", SUMMARIES)
def test_replicates_are_the_measures_of_redrawn_sets(name: str) -> None:
    real, synthetic = walks(25, 0), walks(15, 1)
    drawn = [np.repeat(np.arange(15), counts.astype(int)) for counts in case_weights(15, 4, 7)]
    expected = [getattr(measures, name)(real, synthetic[rows]) for rows in drawn]
    found = summary_replicates(name, real, synthetic, n_boot=4, seed=7)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)
    assert found.std() > 0


def test_blocks_join_without_a_seam() -> None:
    real = noise(2 * BLOCK_VALUES // (34 * 2000) + 7, 0, 1, 2000)
    summary = SUMMARIES["marginal_difference"](real[:50])
    whole = summary.per_case(real.astype(np.float64))
    np.testing.assert_allclose(summary_means(summary, real), whole.mean(axis=0), rtol=1e-9, atol=1e-12)
    weights = case_weights(len(real), 3, 0)
    np.testing.assert_allclose(
        summary_means(summary, real, weights), weights @ whole / len(real), rtol=1e-9, atol=1e-12
    )


def test_wide_summaries_are_redrawn_in_several_passes() -> None:
    real, synthetic = noise(6, 0, 40, 2000), noise(5, 1, 40, 2000)
    drawn = [np.repeat(np.arange(5), counts.astype(int)) for counts in case_weights(5, 8, 0)]
    assert 4 * BLOCK_VALUES // (34 * 40 * 2000) < 8
    found = summary_replicates("marginal_difference", real, synthetic, n_boot=8, seed=0)
    expected = [marginal_difference(real, synthetic[rows]) for rows in (drawn[0], drawn[7])]
    np.testing.assert_allclose(found[[0, 7]], expected, rtol=1e-9)


@pytest.mark.parametrize("measure", ALL)
def test_bad_series_are_refused(measure: Callable) -> None:
    good = noise(4, 0)
    with pytest.raises(
        InputError, match="synthetic series have 2 channels of length 19; allowed: 2 channels of length 20"
    ):
        measure(good, good[:, :, 1:])
    with pytest.raises(InputError, match=r"real series have shape \(4, 20\)"):
        measure(good[:, 0], good)
    gap = good.copy()
    gap[3, 1, 2] = np.nan
    with pytest.raises(InputError, match="synthetic series are not finite in case 3"):
        measure(good, gap)


@pytest.mark.parametrize("measure", [cross_correlation_difference, correlational_score])
def test_one_channel_has_no_correlation_between_channels(measure: Callable) -> None:
    with pytest.raises(InputError, match="series have 1 channel; allowed: at least 2"):
        measure(noise(4, 0, 1), noise(4, 1, 1))


@pytest.mark.parametrize("measure", [autocorrelation_difference, spectral_difference])
def test_one_time_has_no_lag_and_no_frequency(measure: Callable) -> None:
    with pytest.raises(InputError, match="series have length 1; allowed: at least 2"):
        measure(noise(4, 0, 2, 1), noise(4, 1, 2, 1))


# ---- marginal distributions


@settings(deadline=None, max_examples=20)
@given(shift=st.floats(-50, 50), seed=st.integers(0, 99))
def test_marginal_difference_of_a_shift_is_its_length(shift: float, seed: int) -> None:
    real = noise(40, seed).astype(np.float64)
    assert marginal_difference(real, real + shift) == pytest.approx(abs(shift), rel=1e-9, abs=1e-12)


def test_marginal_difference_is_close_below_the_exact_distance() -> None:
    real, synthetic = noise(400, 0, 2, 5), 0.2 + 1.5 * noise(300, 1, 2, 5) ** 3
    exact = [
        scipy.stats.wasserstein_distance(real[:, channel, time], synthetic[:, channel, time])
        for channel in range(2)
        for time in range(5)
    ]
    found = marginal_difference(real, synthetic)
    assert 0.97 * np.mean(exact) < found <= np.mean(exact) * (1 + 1e-6)


def test_marginal_difference_counts_what_lies_outside_the_real_range() -> None:
    real = np.zeros((10, 1, 1))
    assert marginal_difference(real, np.array([-3.0, 5.0]).reshape(2, 1, 1)) == pytest.approx(4)


# ---- autocorrelation


def loop_autocorrelation(series: NDArray, lag: int) -> float:
    centred = series.astype(np.float64) - series.mean(dtype=np.float64)
    return float(sum(centred[t] * centred[t + lag] for t in range(len(series) - lag)) / (centred**2).sum())


@pytest.mark.parametrize("n_timepoints", [12, 80])
def test_autocorrelation_difference_equals_plain_loops(n_timepoints: int) -> None:
    real, synthetic = noise(6, 0, 2, n_timepoints), walks(5, 1, 2, n_timepoints)
    lags = range(1, min(n_timepoints - 1, 64) + 1)
    gaps = [
        abs(np.subtract(*(np.mean([loop_autocorrelation(s, lag) for s in part[:, c]]) for part in (real, synthetic))))
        for c in range(2)
        for lag in lags
    ]
    assert autocorrelation_difference(real, synthetic) == pytest.approx(np.mean(gaps), rel=1e-6)


def test_autocorrelation_sees_time_but_neither_level_nor_amplitude() -> None:
    real = walks(30, 0)
    shuffled = np.random.default_rng(0).permutation(real, axis=2)
    assert autocorrelation_difference(real, shuffled) > 0.2
    assert autocorrelation_difference(real, 5 - 3 * real) == pytest.approx(0, abs=1e-12)


# ---- correlation between channels


def test_cross_correlation_difference_equals_plain_loops() -> None:
    real, synthetic = walks(5, 0, 3, 10), noise(4, 1, 3, 10).astype(np.float64)

    def mean_correlation(part: NDArray, i: int, j: int, lag: int) -> float:
        found = []
        for case in part:
            x, y = case[i] - case[i].mean(), case[j] - case[j].mean()
            pairs = [(x[t], y[t + lag]) for t in range(10) if 0 <= t + lag < 10]
            found.append(sum(a * b for a, b in pairs) / np.sqrt((x @ x) * (y @ y)))
        return float(np.mean(found))

    gaps = [
        abs(mean_correlation(real, i, j, lag) - mean_correlation(synthetic, i, j, lag))
        for i, j in ((0, 1), (0, 2), (1, 2))
        for lag in range(-4, 5)
    ]
    assert cross_correlation_difference(real, synthetic) == pytest.approx(np.mean(gaps), rel=1e-9)


def test_a_delayed_channel_is_seen_and_its_direction_too() -> None:
    source = noise(40, 0, 1, 60)[:, 0]
    ahead, behind = (
        np.stack([source, np.roll(source, 2, axis=1)], 1),
        np.stack([source, np.roll(source, -2, axis=1)], 1),
    )
    # Two of nine lags differ, each by almost 1.
    assert cross_correlation_difference(ahead, behind) == pytest.approx(2 / 9, abs=0.03)


def test_correlational_score_is_the_benchmarks_sum() -> None:
    real, synthetic = walks(40, 0, 4), noise(40, 1, 4, 30).astype(np.float64)

    def as_published(part: NDArray) -> NDArray:
        values = part.transpose(0, 2, 1)
        scaled = (values - values.mean(axis=(0, 1))) / values.std(axis=(0, 1), ddof=1)
        lower = np.tril_indices(4)
        return (scaled[..., lower[0]] * scaled[..., lower[1]]).mean(axis=(0, 1))

    expected = np.abs(as_published(real) - as_published(synthetic)).sum() / 10
    # The published deviation has ddof 1: a factor of 1 - 1 / (40 * 30).
    assert correlational_score(real, synthetic) == pytest.approx(expected / (1 - 1 / 1200), rel=1e-9)


def test_correlational_score_of_an_inverted_channel() -> None:
    base = noise(50, 0, 1)
    real, inverted = np.concatenate([base, base], axis=1), np.concatenate([base, -base], axis=1)
    assert correlational_score(real, inverted) == pytest.approx(0.2)
    assert correlational_score(real, 100 + 7 * real) == pytest.approx(0, abs=1e-5)
    assert correlational_score(real, np.full_like(real, 3.0)) == pytest.approx(0.3)


# ---- spectrum


def test_spectral_difference_of_an_amplitude_is_its_power_in_decades() -> None:
    real = noise(30, 0, 2, 40).astype(np.float64)
    assert spectral_difference(real, 10 * real) == pytest.approx(2, abs=1e-3)
    assert spectral_difference(real, 0.5 * real + 9) == pytest.approx(np.log10(4), abs=1e-3)


def test_spectral_difference_equals_a_plain_transform() -> None:
    real, synthetic = walks(7, 0, 1, 9), noise(5, 1, 1, 9).astype(np.float64)
    times = np.arange(9)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (times + 0.5) / 9)

    def powers(part: NDArray) -> NDArray:
        windowed = [window * (case[0] - case[0].mean()) for case in part]
        waves = [np.exp(-2j * np.pi * f * times / 9) for f in range(1, 5)]
        return np.array([[abs(wave @ series) ** 2 / (window @ window) for wave in waves] for series in windowed])

    floor = 1e-6 * powers(real).mean()
    means = [np.log10(powers(part) + floor).mean(axis=0) for part in (real, synthetic)]
    assert spectral_difference(real, synthetic) == pytest.approx(np.abs(means[0] - means[1]).mean(), rel=1e-9)


def test_smoothing_is_seen_and_reversal_in_time_is_not() -> None:
    real = noise(50, 0, 1, 64)
    smooth = (real + np.roll(real, 1, axis=2) + np.roll(real, -1, axis=2)) / 3
    assert spectral_difference(real, smooth) > 0.5
    assert spectral_difference(real, real[:, :, ::-1]) == pytest.approx(0, abs=1e-6)


# ---- moments


def test_moments_equal_those_of_scipy() -> None:
    real, synthetic = noise(20, 0).astype(np.float64), 3 + np.exp(noise(30, 1).astype(np.float64))
    pooled = [part.transpose(1, 0, 2).reshape(2, -1) for part in (real, synthetic)]
    skewness = [scipy.stats.skew(part, axis=1) for part in pooled]
    kurtosis = [scipy.stats.kurtosis(part, axis=1, fisher=False) for part in pooled]
    assert skewness_difference(real, synthetic) == pytest.approx(np.abs(skewness[0] - skewness[1]).mean(), rel=1e-9)
    assert kurtosis_difference(real, synthetic) == pytest.approx(np.abs(kurtosis[0] - kurtosis[1]).mean(), rel=1e-9)


def test_moments_of_two_values() -> None:
    coin = np.array([-1.0, 1.0]).reshape(2, 1, 1)
    rare = np.array([0.0] * 9 + [1.0]).reshape(10, 1, 1)
    # A value of chance p: skewness (1 - 2p) / sqrt(p (1 - p)), kurtosis 1 / (p (1 - p)) - 3.
    assert skewness_difference(coin, rare) == pytest.approx(0.8 / 0.3)
    assert kurtosis_difference(coin, rare) == pytest.approx(abs(1 / 0.09 - 3 - 1))
    assert kurtosis_difference(coin, np.full((4, 1, 1), 7.3)) == pytest.approx(1)
    assert skewness_difference(coin, -5 * rare) == pytest.approx(0.8 / 0.3)


def test_names_lead_to_the_public_functions() -> None:
    real, synthetic = walks(9, 0), walks(8, 1)
    for name in SUMMARIES:
        assert summary_distance(name, real, synthetic) == getattr(measures, name)(real, synthetic)
