"""The metrics of a report: each turns the evidence into a value with its floor, its memoriser and an interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from timeloom.evaluation.evidence import Absent, Evidence, Views
from timeloom.evaluation.measures.bootstrap import bootstrap_interval, centred_interval
from timeloom.evaluation.measures.copying import copy_share, is_copy
from timeloom.evaluation.measures.frechet import frechet_distance, frechet_replicates
from timeloom.evaluation.measures.inception import inception_score
from timeloom.evaluation.measures.tokens import perplexity, usage
from timeloom.evaluation.report import Better, Interval, Measure

N_BOOT = 200
# A replicate of the Frechet distance costs a moment sum and an eigenvalue problem.
N_BOOT_FRECHET = 100
NO_MEMORISER_OF_A_TOKENIZER = "memoriser: the tokenizer is scored, not the synthetic series"


def fid_fcn(evidence: Evidence) -> Measure:
    """Frechet distance of FCN features: real test to synthetic; floor: to real train. Mean over the FCN's seeds."""
    if isinstance(evidence.fcn_features, Absent):
        return _undefined("lower", evidence.fcn_features)
    return _fid(evidence.fcn_features, evidence.seed)


def fid_rocket(evidence: Evidence) -> Measure:
    """Frechet distance of ROCKET features: real test to synthetic; floor: to real train. Needs no labels."""
    return _fid([evidence.rocket_features], evidence.seed)


def recon_fid_fcn(evidence: Evidence) -> Measure:
    """Frechet distance of FCN features: real test to its own reconstruction; floor: to real train.

    The tokenizer's share of `fid_fcn`. The test series stand on both sides, so it may fall below its floor.
    """
    if isinstance(evidence.fcn_features, Absent):
        return _undefined("lower", evidence.fcn_features)
    pairs = []
    for views in evidence.fcn_features:
        if isinstance(views.reconstruction, Absent):
            return _undefined("lower", views.reconstruction)
        pairs.append((views.test, views.reconstruction))
    floor = float(np.mean([frechet_distance(views.test, views.train) for views in evidence.fcn_features]))
    value, ci95 = _frechet_with_interval(pairs, evidence.seed)
    return Measure(value, floor, None, ci95, "lower", NO_MEMORISER_OF_A_TOKENIZER)


def inception(evidence: Evidence) -> Measure:
    """Inception score of the synthetic series under the FCN trained on real ones; floor: of the real test split."""
    if isinstance(evidence.fcn_probabilities, Absent):
        return _undefined("higher", evidence.fcn_probabilities)
    seeds = evidence.fcn_probabilities
    synthetic = [views.synthetic for views in seeds]
    return Measure(
        value=_mean_inception(*synthetic),
        floor=_mean_inception(*(views.test for views in seeds)),
        memoriser=_mean_inception(*(views.memoriser for views in seeds)),
        ci95=bootstrap_interval(
            _mean_inception, *synthetic, n_boot=N_BOOT, seed=evidence.seed, low=1.0, high=synthetic[0].shape[1]
        ),
        better="higher",
    )


def cas(evidence: Evidence) -> Measure:
    """Classification accuracy score: real-test accuracy in [0, 1] of an FCN trained on the synthetic series.

    Floor: of an FCN trained on the real training split. The interval is over test series, not over trainings.
    """
    found = evidence.correctness
    if isinstance(found, Absent):
        return _undefined("higher", found)
    value = ci95 = memoriser = None
    reasons = []
    if isinstance(found.synthetic, Absent):
        reasons.append(found.synthetic.reason)
    else:
        value = float(np.mean(found.synthetic))
        ci95 = bootstrap_interval(_mean, found.synthetic, n_boot=N_BOOT, seed=evidence.seed, low=0.0, high=1.0)
    if isinstance(found.memoriser, Absent):
        reasons.append(f"memoriser: {found.memoriser.reason}")
    else:
        memoriser = float(np.mean(found.memoriser))
    return Measure(value, float(np.mean(found.train)), memoriser, ci95, "higher", "; ".join(reasons) or None)


def code_perplexity(evidence: Evidence) -> Measure:
    """Perplexity of the codes of the real test split; floor: of the real training split."""
    return _code_use(evidence, perplexity, low=1.0)


def code_usage(evidence: Evidence) -> Measure:
    """Share of codes used on the real test split; floor: on the real training split."""
    return _code_use(evidence, usage, low=0.0)


def copies(evidence: Evidence) -> Measure:
    """Share of synthetic series suspiciously near a training series; floor: that share of the real test split."""
    series = evidence.series
    flags = is_copy(series.train, series.synthetic).astype(np.float64)
    return Measure(
        value=float(flags.mean()),
        floor=copy_share(series.train, series.test),
        memoriser=copy_share(series.train, series.memoriser),
        ci95=bootstrap_interval(_mean, flags, n_boot=N_BOOT, seed=evidence.seed, low=0.0, high=1.0),
        better="lower",
    )


METRICS: dict[str, Callable[[Evidence], Measure]] = {
    "fid_fcn": fid_fcn,
    "fid_rocket": fid_rocket,
    "inception_score": inception,
    "cas": cas,
    "recon_fid_fcn": recon_fid_fcn,
    "perplexity": code_perplexity,
    "usage": code_usage,
    "copy_share": copies,
}


def _undefined(better: Better, absent: Absent) -> Measure:
    return Measure(None, None, None, None, better, absent.reason)


def _mean(values: NDArray) -> float:
    return float(np.mean(values))


def _mean_inception(*probabilities: NDArray) -> float:
    return float(np.mean([inception_score(given) for given in probabilities]))


def _fid(seeds: Sequence[Views], seed: int) -> Measure:
    value, ci95 = _frechet_with_interval([(views.test, views.synthetic) for views in seeds], seed)
    return Measure(
        value=value,
        floor=float(np.mean([frechet_distance(views.test, views.train) for views in seeds])),
        memoriser=float(np.mean([frechet_distance(views.test, views.memoriser) for views in seeds])),
        ci95=ci95,
        better="lower",
    )


def _frechet_with_interval(pairs: Sequence[tuple[NDArray, NDArray]], seed: int) -> tuple[float, Interval]:
    """Mean distance over pairs of feature sets (one a seed of the encoder), and its interval over the second set."""
    value = float(np.mean([frechet_distance(real, other) for real, other in pairs]))
    replicates = np.mean([frechet_replicates(real, other, N_BOOT_FRECHET, seed) for real, other in pairs], axis=0)
    return value, centred_interval(value, replicates, low=0.0)


def _code_use(evidence: Evidence, statistic: Callable[[NDArray, int], float], low: float) -> Measure:
    tokens = evidence.tokens
    if isinstance(tokens, Absent):
        return _undefined("higher", tokens)
    size = tokens.codebook_size
    value = statistic(tokens.test_tokens, size)
    ci95 = bootstrap_interval(
        lambda drawn: statistic(drawn, size), tokens.test_tokens, n_boot=N_BOOT, seed=evidence.seed, low=low
    )
    floor = statistic(tokens.train_tokens, size)
    return Measure(value, floor, None, ci95, "higher", NO_MEMORISER_OF_A_TOKENIZER)
