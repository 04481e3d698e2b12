"""Tokens: what the tokenizer and the prior do, where a run is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from timeloom.evaluation.evidence import Absent, TokenViews, Views
from timeloom.evaluation.gathering import Evidence
from timeloom.evaluation.measures.bootstrap import bootstrap_interval, centred_interval
from timeloom.evaluation.measures.frechet import frechet_distance, frechet_replicates
from timeloom.evaluation.measures.tokens import (
    gini,
    level_information,
    perplexity,
    position_information,
    token_divergence,
    token_entropy,
    usage,
)
from timeloom.evaluation.metrics.metric import (
    N_BOOT,
    N_BOOT_SLOW,
    distance_measure,
    plain_replicates,
    undefined,
)
from timeloom.evaluation.results import Better, Measure

NO_MEMORISER = "memoriser: the tokenizer is scored, not the synthetic series"


def recon_fid_fcn(evidence: Evidence) -> Measure:
    """Distance (FID, FCN) of the test series to their own reconstruction: the tokenizer's share of the error.

    The test series stand on both sides, so it may fall below its floor, the distance to the training split.
    """
    reconstruction = evidence.fcn_reconstruction
    if isinstance(reconstruction, Absent):
        return undefined("lower", reconstruction)
    features = evidence.fcn_features
    assert not isinstance(features, Absent)
    pairs = [(views.test, of) for views, of in zip(features, reconstruction, strict=True)]
    value = float(np.mean([frechet_distance(*pair) for pair in pairs]))
    spread = np.mean([frechet_replicates(*pair, N_BOOT_SLOW, evidence.seed) for pair in pairs], axis=0)
    floor = float(np.mean([frechet_distance(views.test, views.floor) for views in features]))
    return Measure(value, floor, None, centred_interval(value, spread, low=0.0), "lower", NO_MEMORISER)


def code_perplexity(evidence: Evidence) -> Measure:
    """How many codes are in use, as if all were used equally often (perplexity), on the real test split."""
    return _code_use(evidence, perplexity, "higher", lambda size: (1.0, size))


def code_usage(evidence: Evidence) -> Measure:
    """Share of codes that occur at all, on the real test split."""
    return _code_use(evidence, usage, "higher", lambda size: (0.0, 1.0))


def code_entropy(evidence: Evidence) -> Measure:
    """Entropy of code use in nats, on the real test split."""
    return _code_use(evidence, token_entropy, "higher", lambda size: (0.0, math.log(size)))


def code_gini(evidence: Evidence) -> Measure:
    """How unequally codes are used: 0 equally, towards 1 a single one (Gini), on the real test split."""
    return _code_use(evidence, gini, "lower", lambda size: (0.0, 1 - 1 / size))


def divergence(evidence: Evidence) -> Measure:
    """How far the synthetic tokens' frequencies are from the real ones', by position (KL, in nats)."""
    tokens = evidence.tokens
    if isinstance(tokens, Absent):
        return undefined("lower", tokens)
    distance = partial(token_divergence, codebook_size=tokens.codebook_size)
    return distance_measure([_views(evidence, tokens)], distance, plain_replicates(distance), evidence, N_BOOT_SLOW)


def between_positions(evidence: Evidence) -> Measure:
    """How well the prior keeps what tokens at two places say of each other (mutual information, mean difference)."""
    return _information(evidence, position_information)


def between_levels(evidence: Evidence) -> Measure:
    """How well the prior keeps what tokens at two levels of a cell say of each other (mutual information)."""
    tokens = evidence.tokens
    if not isinstance(tokens, Absent) and tokens.test.shape[2] < 2:
        return undefined("lower", Absent("the tokenizer has one level"))
    return _information(evidence, level_information)


def masked_perplexity(evidence: Evidence) -> Measure:
    """How many codes the prior wavers between where a token of a real test series is hidden; floor: training series.

    exp of the mean masked negative log-likelihood. A floor far below the value is overfitting.
    """
    if isinstance(evidence.likelihood, Absent):
        return undefined("lower", evidence.likelihood)
    test, train = evidence.likelihood
    ends = bootstrap_interval(_perplexity, test, n_boot=N_BOOT, seed=evidence.seed, low=1.0)
    return Measure(_perplexity(test), _perplexity(train), None, ends, "lower", NO_MEMORISER)


def _information(evidence: Evidence, information: Callable[[NDArray, int], NDArray]) -> Measure:
    tokens = evidence.tokens
    if isinstance(tokens, Absent):
        return undefined("lower", tokens)
    size = tokens.codebook_size

    def difference(real: NDArray, other: NDArray) -> float:
        return float(np.abs(information(real, size) - information(other, size)).mean())

    views = _views(evidence, tokens)
    return distance_measure([views], difference, plain_replicates(difference), evidence, n_boot=20)


def _code_use(
    evidence: Evidence,
    statistic: Callable[[NDArray, int], float],
    better: Better,
    ends_of: Callable[[int], tuple[float, float]],
) -> Measure:
    """A statistic of the test tokens, between the two ends that it has with so many codes."""
    tokens = evidence.tokens
    if isinstance(tokens, Absent):
        return undefined(better, tokens)
    size = tokens.codebook_size
    value, floor = statistic(tokens.test, size), statistic(tokens.train, size)
    low, high = ends_of(size)
    ends = bootstrap_interval(
        lambda drawn: statistic(drawn, size), tokens.test, n_boot=50, seed=evidence.seed, low=low, high=high
    )
    return Measure(value, floor, None, ends, better, NO_MEMORISER)


def _views(evidence: Evidence, tokens: TokenViews) -> Views:
    return evidence.series.of(tokens.test, tokens.train, tokens.synthetic)


def _perplexity(likelihood: NDArray) -> float:
    return float(np.exp(-np.mean(likelihood)))
