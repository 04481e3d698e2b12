"""Do synthetic series move as real ones do? Differences of means of what is computed on each series alone.

Every measure here is a distance between two mean vectors: of the real and of the synthetic cases' summaries. So it is
computed in one pass in blocks, and drawing the cases again needs only other weights in that mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.bootstrap import case_weights
from timeloom.evaluation.measures.inputs import BLOCK_VALUES, Floats, check_series_pair, float_blocks

MOST_LAGS = 64
CROSS_LAGS = 4
MARGINAL_CELLS = 32
# Power this far below the real channel's mean counts as none: 6 decades
POWER_FLOOR = 1e-6
# Variance below this share of the mean square is rounding
NO_VARIANCE = 1e-12

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """A measure as a mean over cases.

    Attributes:
        per_case: series (n, C, T) in float64 to what is averaged over cases, (n, F).
        distance: the mean of the real cases (F,) and that of the synthetic ones (F,) to the measure.
    """

    per_case: Callable[[Values], Values]
    distance: Callable[[Values, Values], float]


def marginal_difference(real: ArrayLike, synthetic: ArrayLike) -> float:
    """Distance of the distributions of single values, in units of the series; lower is better, 0 best.

    The 1-Wasserstein distance `integral |F(u) - G(u)| du` of real and synthetic values at each channel and time, mean
    over both. The axis is cut at 33 evenly spaced quantiles of the real values, the two ends reach to infinity, and the
    difference is taken after integration over each cell: exact where F - G keeps its sign within a cell, as it does
    for any shift, else a little too low; never below the difference of means.

    The "marginal distribution difference" of TSGBench (Ang et al. 2023) compares histograms over the real range
    instead: there a value outside the range, or one bin off, costs as much as any other. Sees no dependence between
    times or channels. Biased upwards for few series: compare at equal numbers, and with its floor.

    Raises:
        InputError: not (N, C, T), not finite, or of different channels or length.
    """
    return summary_distance("marginal_difference", real, synthetic)


def autocorrelation_difference(real: ArrayLike, synthetic: ArrayLike) -> float:
    """Difference of mean autocorrelations, in [0, 2]; lower is better, 0 best.

    The autocorrelation of a series about its own mean, `sum_t x_t x_{t+l} / sum_t x_t^2`, 0 for a constant series;
    mean over series; absolute difference, mean over lags 1..min(T - 1, 64) and channels. After the ACD of TSGBench (Ang
    et al. 2023), which centres by the mean of all series and takes the root of a sum of squares over lags. Sees neither
    level nor amplitude, and no variety: only the mean over series counts.

    Raises:
        InputError: as `marginal_difference`, or series of length 1.
    """
    return summary_distance("autocorrelation_difference", real, synthetic)


def cross_correlation_difference(real: ArrayLike, synthetic: ArrayLike) -> float:
    """Difference of mean correlations between channels, in [0, 2]; lower is better, 0 best.

    For channels i < j `sum_t x_{i,t} x_{j,t+l} / sqrt(sum_t x_{i,t}^2 sum_t x_{j,t}^2)` about each series' own mean,
    0 where either is constant; mean over series; absolute difference, mean over pairs and lags -4..4 (fewer where
    series are shorter). Within series: what differs only from one series to the next (levels) is for
    `correlational_score`. Sees no variety: only the mean over series counts.

    Raises:
        InputError: as `marginal_difference`, or series of one channel.
    """
    return summary_distance("cross_correlation_difference", real, synthetic)


def correlational_score(real: ArrayLike, synthetic: ArrayLike) -> float:
    """Correlational score of the benchmark of Diffusion-TS; lower is better, 0 best.

    `1/10 sum_{j <= i} |rho_real_{i,j} - rho_synthetic_{i,j}|` over channels i, j, with rho the correlation of two
    channels over all series and times together (Yuan & Qiao 2024, appendix; after Ni et al. 2020). It is a sum: it
    grows with the number of channels. A constant channel has correlation 0, also with itself. The published code
    divides by deviations of ddof 1, a factor of `1 - 1/(N T)`, and averages over random fifths of the series; this is
    the formula, on all series. Sees no time at all.

    Raises:
        InputError: as `marginal_difference`, or series of one channel, where it is always 0.
    """
    return summary_distance("correlational_score", real, synthetic)


def spectral_difference(real: ArrayLike, synthetic: ArrayLike) -> float:
    """Difference of mean log power spectra, in decades; lower is better, 0 best.

    `log10(|rfft(window (x - mean x))|^2 / sum window^2 + floor)` of each series, with a Hann window; mean over series;
    absolute difference, mean over frequencies above 0 and channels. The floor is a millionth of the real channel's mean
    power. A series of half the amplitude differs by 0.6; lost high frequencies (what a tokenizer smooths away) show
    here first. Own choice of formula. Sees no phase, no level, and no variety but through the mean of logarithms.

    Raises:
        InputError: as `marginal_difference`, or series of length 1.
    """
    return summary_distance("spectral_difference", real, synthetic)


def skewness_difference(real: ArrayLike, synthetic: ArrayLike) -> float:
    """Difference of skewness; lower is better, 0 best.

    Absolute difference of `m3 / m2^(3/2)`, with each channel's central moments over all series and times, mean over
    channels (SD of TSGBench, Ang et al. 2023); a constant channel has 0. Sees nothing but that asymmetry; heavy tails
    make it noisy.

    Raises:
        InputError: as `marginal_difference`.
    """
    return summary_distance("skewness_difference", real, synthetic)


def kurtosis_difference(real: ArrayLike, synthetic: ArrayLike) -> float:
    """Difference of kurtosis; lower is better, 0 best.

    Absolute difference of `m4 / m2^2`, with each channel's central moments over all series and times, mean over
    channels (KD of TSGBench, Ang et al. 2023); a constant channel has 0, a Gaussian one 3. Sees nothing but the weight
    of the tails; a few outliers decide.

    Raises:
        InputError: as `marginal_difference`.
    """
    return summary_distance("kurtosis_difference", real, synthetic)


def summary_distance(name: str, real: ArrayLike, synthetic: ArrayLike) -> float:
    """The measure of that name in `SUMMARIES`, of real series (N, C, T) and synthetic ones (M, C, T).

    Raises:
        InputError: not (N, C, T), not finite, of different channels or length, or the measure is not defined for them.
    """
    left, right = check_series_pair(real, synthetic)
    summary = SUMMARIES[name](left)
    return summary.distance(summary_means(summary, left), summary_means(summary, right))


def summary_replicates(name: str, real: ArrayLike, synthetic: ArrayLike, n_boot: int, seed: int) -> NDArray[np.float64]:
    """The measure (n_boot,) of the real series to the synthetic ones drawn again with replacement.

    Use their spread, not their level (`bootstrap.centred_interval`): a redrawn set has fewer distinct series.

    Raises:
        InputError: as `summary_distance`.
    """
    left, right = check_series_pair(real, synthetic)
    summary = SUMMARIES[name](left)
    mean_real = summary_means(summary, left)
    weights = case_weights(len(right), n_boot, seed)
    # Wide summaries are passed over several times, so that not all replicates' means are held at once.
    step = max(1, 4 * BLOCK_VALUES // len(mean_real))
    chunks = [summary_means(summary, right, weights[start : start + step]) for start in range(0, n_boot, step)]
    return np.array([summary.distance(mean_real, mean) for means in chunks for mean in means])


def summary_means(summary: Summary, X: Floats, weights: Values | None = None) -> Values:
    """Mean over cases (F,) of the summary of series (N, C, T), or the weighted means (R, F) for weights (R, N).

    Computed in blocks of cases; weights need not sum to 1.
    """
    rows = np.ones((1, len(X))) if weights is None else weights
    width = summary.per_case(np.asarray(X[:1], dtype=np.float64)).shape[1]
    total = np.zeros((len(rows), width))
    for place, block in float_blocks(X, max(1, BLOCK_VALUES // max(width, X[0].size))):
        total += rows[:, place] @ summary.per_case(block)
    total /= rows.sum(axis=1, keepdims=True)
    return total[0] if weights is None else total


def _mean_absolute(left: Values, right: Values) -> float:
    return float(np.abs(left - right).mean())


def _centred(series: Values) -> Values:
    """Series about their own means; constant ones exactly 0, where the mean would leave its rounding."""
    constant = series.max(axis=2, keepdims=True) == series.min(axis=2, keepdims=True)
    return np.where(constant, 0.0, series - series.mean(axis=2, keepdims=True))


def _share(part: Values, whole: Values) -> Values:
    """Ratio of part to whole, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(np.broadcast_shapes(part.shape, whole.shape)), where=whole > 0)


def _marginal(real: Floats) -> Summary:
    cuts = np.linspace(0, 1, MARGINAL_CELLS + 1)
    # Order statistics as they are: interpolated ones might not rise, by rounding.
    grid = [np.quantile(real[:, channel], cuts, axis=0, method="lower") for channel in range(real.shape[1])]
    edges = np.stack(grid, axis=1).astype(np.float64)
    widths = np.diff(edges, axis=0)

    def per_case(series: Values) -> Values:
        # The integral of the step function of a value over each cell; beyond the last edge, of 1 minus it.
        cells = np.empty((len(series), MARGINAL_CELLS + 2, *series.shape[1:]))
        cells[:, 0] = np.maximum(edges[0] - series, 0.0)
        cells[:, -1] = np.maximum(series - edges[-1], 0.0)
        np.subtract(edges[1:], series[:, None], out=cells[:, 1:-1])
        np.clip(cells[:, 1:-1], 0.0, widths, out=cells[:, 1:-1])
        return cells.reshape(len(series), -1)

    n_places = edges[0].size
    return Summary(per_case, lambda left, right: float(np.abs(left - right).sum() / n_places))


def _autocorrelation(real: Floats) -> Summary:
    n_timepoints = _at_least_two_times(real, "autocorrelation")
    lags = min(n_timepoints - 1, MOST_LAGS)

    def per_case(series: Values) -> Values:
        # Padded by zeros, the circular correlation of the transform is the plain one.
        spectrum = np.fft.rfft(_centred(series), n=n_timepoints + lags, axis=2)
        products = np.fft.irfft(np.abs(spectrum) ** 2, n=n_timepoints + lags, axis=2)
        return _share(products[:, :, 1 : lags + 1], products[:, :, :1]).reshape(len(series), -1)

    return Summary(per_case, _mean_absolute)


def _cross_correlation(real: Floats) -> Summary:
    n_channels, n_timepoints = _at_least_two_channels(real, "cross-correlation"), real.shape[2]
    first, second = np.triu_indices(n_channels, k=1)
    reach = min(CROSS_LAGS, n_timepoints - 1)

    def per_case(series: Values) -> Values:
        centred = _centred(series)
        scaled = _share(centred, np.sqrt((centred**2).sum(axis=2, keepdims=True)))
        found = []
        for lag in range(reach + 1):
            early, late = scaled[:, :, : n_timepoints - lag], scaled[:, :, lag:]
            products = early @ late.transpose(0, 2, 1)
            found.append(products[:, first, second])
            if lag:
                found.append(products[:, second, first])
        return np.concatenate(found, axis=1)

    return Summary(per_case, _mean_absolute)


def _pooled_correlation(real: Floats) -> Summary:
    n_channels = _at_least_two_channels(real, "correlational score")
    first, second = np.tril_indices(n_channels)
    shift = _channel_means(real)

    def per_case(series: Values) -> Values:
        shifted = series - shift[:, None]
        products = shifted @ shifted.transpose(0, 2, 1) / series.shape[2]
        return np.concatenate([shifted.mean(axis=2), products[:, first, second]], axis=1)

    def correlations(moments: Values) -> Values:
        mean, products = moments[:n_channels], moments[n_channels:]
        covariance = products - mean[first] * mean[second]
        squares = products[first == second]
        variance = squares - mean**2
        deviation = np.sqrt(np.where(variance > NO_VARIANCE * squares, variance, 0.0))
        return _share(covariance, deviation[first] * deviation[second])

    return Summary(per_case, lambda left, right: float(np.abs(correlations(left) - correlations(right)).sum() / 10.0))


def _spectrum(real: Floats) -> Summary:
    n_timepoints = _at_least_two_times(real, "power spectrum")
    # Hann, half a step in: no zero weight, so that the shortest series have a spectrum too.
    window = np.sin(np.pi * (np.arange(n_timepoints) + 0.5) / n_timepoints) ** 2
    window /= np.sqrt((window**2).sum())

    def power(series: Values) -> Values:
        return np.abs(np.fft.rfft(window * _centred(series), axis=2)[:, :, 1:]) ** 2

    mean_power = summary_means(Summary(lambda series: power(series).mean(axis=2), _mean_absolute), real)
    floor = POWER_FLOOR * np.where(mean_power > 0, mean_power, 1.0)[:, None]
    return Summary(lambda series: np.log10(power(series) + floor).reshape(len(series), -1), _mean_absolute)


def _standardised_moment(real: Floats, order: int) -> Summary:
    """Raw moments 1..order of each case about the real mean, to the central one of that order (3 or 4)."""
    shift = _channel_means(real)

    def per_case(series: Values) -> Values:
        shifted = series - shift[:, None]
        return np.concatenate([(shifted**power).mean(axis=2) for power in range(1, order + 1)], axis=1)

    def standardised(moments: Values) -> Values:
        raw = moments.reshape(order, -1)
        mean = raw[0]
        variance = raw[1] - mean**2
        central = raw[2] - 3 * mean * raw[1] + 2 * mean**3
        if order == 4:
            central = raw[3] - 4 * mean * raw[2] + 6 * mean**2 * raw[1] - 3 * mean**4
        return _share(central, np.where(variance > NO_VARIANCE * raw[1], variance, 0.0) ** (order / 2))

    return Summary(per_case, lambda left, right: _mean_absolute(standardised(left), standardised(right)))


def _channel_means(series: Floats) -> Values:
    return summary_means(Summary(lambda block: block.mean(axis=2), _mean_absolute), series)


def _at_least_two_times(series: Floats, name: str) -> int:
    if series.shape[2] < 2:
        raise InputError(f"series have length {series.shape[2]}; allowed: at least 2 for the {name}")
    return series.shape[2]


def _at_least_two_channels(series: Floats, name: str) -> int:
    if series.shape[1] < 2:
        raise InputError(f"series have {series.shape[1]} channel; allowed: at least 2 for the {name}")
    return series.shape[1]


# The summary of each measure, made for the real series that it is compared with.
SUMMARIES: dict[str, Callable[[Floats], Summary]] = {
    "marginal_difference": _marginal,
    "autocorrelation_difference": _autocorrelation,
    "cross_correlation_difference": _cross_correlation,
    "correlational_score": _pooled_correlation,
    "spectral_difference": _spectrum,
    "skewness_difference": lambda real: _standardised_moment(real, 3),
    "kurtosis_difference": lambda real: _standardised_moment(real, 4),
}
