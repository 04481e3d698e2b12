"""Fidelity and diversity: do the synthetic series look like real ones, and like all of them?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from timeloom.evaluation.evidence import Absent, Views
from timeloom.evaluation.gathering import NO_SYNTHETIC_LABELS, Evidence
from timeloom.evaluation.measures.bootstrap import centred_interval, redrawn
from timeloom.evaluation.measures.discriminative import discriminative_cases, excess_accuracy
from timeloom.evaluation.measures.frechet import frechet_distance, frechet_replicates
from timeloom.evaluation.measures.inception import inception_score
from timeloom.evaluation.measures.kernel import Discrepancy
from timeloom.evaluation.measures.manifold import ManifoldScores, manifold_scores
from timeloom.evaluation.measures.series import SUMMARIES, correlational_score, summary_distance, summary_replicates
from timeloom.evaluation.measures.sliced import sliced_wasserstein, sliced_wasserstein_replicates
from timeloom.evaluation.metrics.metric import (
    N_BOOT_SLOW,
    CaseScores,
    capped,
    case_measure,
    distance_measure,
    matched,
    undefined,
    widen,
)
from timeloom.evaluation.results import Measure

NEIGHBOURS = 5


def fid_fcn(evidence: Evidence) -> Measure:
    """Distance to real data as a classifier (FCN) trained on real data sees it.

    Frechet distance on its pooled features.
    """
    views = evidence.fcn_features
    return undefined("lower", views) if isinstance(views, Absent) else _frechet(views, evidence)


def fid_fcn_by_class(evidence: Evidence) -> Measure:
    """The same distance within each class, averaged: are the classes themselves right?"""
    views, labels = evidence.fcn_features, evidence.y_synthetic
    if isinstance(views, Absent):
        return undefined("lower", views)
    if labels is None:
        return undefined("lower", NO_SYNTHETIC_LABELS)
    real = evidence.real
    assert real.y_train is not None
    if real.y_test is None:
        return undefined("lower", Absent("the real test split has no labels"))
    parts: dict[str, Measure] = {}
    for label in np.unique(real.y_test):
        rows = [np.flatnonzero(y == label) for y in (real.y_test, real.y_train, labels)]
        if min(len(found) for found in rows) < 2:
            few = Absent(f"class {label} has fewer than 2 series in a set")
            return undefined("lower", few)
        of_class = [
            Views.draw(of.test[rows[0]], of.train[rows[1]], of.synthetic[rows[2]], evidence.seed) for of in views
        ]
        parts[str(label)] = _frechet(of_class, evidence)
    return _mean_of(list(parts.values()), {name: part.value for name, part in parts.items()})


def fid_rocket(evidence: Evidence) -> Measure:
    """Distance to real data as random convolutions (ROCKET) see it; needs no labels and no training.

    Frechet distance on shares of positive values and maxima.
    """
    return _frechet([evidence.rocket], evidence)


def context_fid(evidence: Evidence) -> Measure:
    """Distance to real data as a self-supervised encoder (TS2Vec) trained on real data sees it.

    Context-FID (Jeha et al. 2022): Frechet distance on whole-series representations.
    """
    return _frechet(evidence.ts2vec, evidence)


def fid_catch22(evidence: Evidence) -> Measure:
    """Distance to real data in 24 classical statistics of a series (catch22): Frechet distance."""
    views = evidence.catch22
    return undefined("lower", views) if isinstance(views, Absent) else _frechet([views], evidence)


def fid_tokenizer(evidence: Evidence) -> Measure:
    """Distance to real data in the tokenizer's own codes; not comparable between tokenizers.

    Frechet distance on pooled code vectors.
    """
    views = evidence.codes
    return undefined("lower", views) if isinstance(views, Absent) else _frechet([views], evidence)


def kernel_distance_rocket(evidence: Evidence) -> Measure:
    """Kernel distance (KID) on ROCKET features: like FID, without a bell shape; 0 is best, below 0 is chance."""
    views = capped(evidence.rocket, evidence.seed)
    return _discrepancy(Discrepancy.polynomial(views.test), views, evidence)


def mmd_ts2vec(evidence: Evidence) -> Measure:
    """Kernel two-sample distance (MMD) on TS2Vec features: any difference counts; 0 is best, below 0 is chance."""
    views = capped(evidence.ts2vec[0], evidence.seed)
    return _discrepancy(Discrepancy.gaussian(views.test), views, evidence)


def sliced_wasserstein_distance(evidence: Evidence) -> Measure:
    """How far values would have to move to turn one set into the other, seen from many directions."""
    distance = partial(sliced_wasserstein, seed=evidence.seed)
    replicates = partial(sliced_wasserstein_replicates, projection_seed=evidence.seed)
    return distance_measure([evidence.flat], distance, replicates, evidence, N_BOOT_SLOW)


def discriminative_rocket(evidence: Evidence) -> Measure:
    """Can a classifier tell synthetic from real? Its held-out accuracy above chance: 0 is no, 0.5 is always.

    Logistic regression on ROCKET features, each series held out once.
    """
    views = matched(evidence.rocket, evidence.seed)
    cases = CaseScores.of([views], partial(discriminative_cases, seed=evidence.seed))
    return case_measure(cases, evidence, "lower", summary=excess_accuracy, high=0.5)


def precision(evidence: Evidence) -> Measure:
    """Share of synthetic series that lie where real ones do: are they realistic? (TS2Vec features)"""
    return _manifold(evidence, "precision", high=1.0)


def density(evidence: Evidence) -> Measure:
    """How crowded with real series the places of synthetic ones are; 1 is as crowded as among real ones."""
    return _manifold(evidence, "density")


def recall(evidence: Evidence) -> Measure:
    """Share of real series that lie where synthetic ones do: is all of the data covered? (TS2Vec features)"""
    return _manifold(evidence, "recall", high=1.0)


def coverage(evidence: Evidence) -> Measure:
    """Share of real series with a synthetic one in their neighbourhood; not fooled by outliers."""
    return _manifold(evidence, "coverage", high=1.0)


def inception(evidence: Evidence) -> Measure:
    """Are the series of clear classes, and of all of them? (IS; the floor is the real test split's own score)"""
    probabilities = evidence.fcn_probabilities
    if isinstance(probabilities, Absent):
        return undefined("higher", probabilities)
    n_classes = probabilities[0].test.shape[1]

    def score(part: Callable[[Views], NDArray]) -> tuple[float, NDArray]:
        value = float(np.mean([inception_score(part(views)) for views in probabilities]))
        spread = [redrawn(inception_score, part(views), evidence.seed, N_BOOT_SLOW) for views in probabilities]
        return value, np.mean(spread, axis=0)

    value, spread = score(lambda views: views.synthetic)
    floor, floor_spread = score(lambda views: views.test)
    n_test, n_synthetic = len(evidence.series.test), len(evidence.series.synthetic)
    widened = widen(floor_spread, n_test, n_synthetic)
    return Measure(
        value=value,
        floor=floor,
        memoriser=float(np.mean([inception_score(views.memoriser) for views in probabilities])),
        ci95=centred_interval(value, spread, low=1.0, high=n_classes),
        better="higher",
        floor_ci95=centred_interval(floor, widened, low=1.0, high=n_classes),
    )


def series_statistic(name: str, explanation: str) -> Callable[[Evidence], Measure]:
    """The metric of a statistic in `SUMMARIES`, of scaled series; its docstring is the explanation."""

    def compute(evidence: Evidence) -> Measure:
        views = evidence.scaled
        if name == "cross_correlation_difference" and views.test.shape[1] < 2:
            return undefined("lower", Absent("the series have one channel"))
        distance = partial(summary_distance, name)
        return distance_measure([views], distance, partial(summary_replicates, name), evidence, N_BOOT_SLOW)

    assert name in SUMMARIES
    compute.__doc__ = explanation
    return compute


def correlational(evidence: Evidence) -> Measure:
    """Difference of the correlations between channels, as the windows benchmark computes it."""
    if evidence.scaled.test.shape[1] < 2:
        return undefined("lower", Absent("the series have one channel"))
    replicates = partial(summary_replicates, "correlational_score")
    return distance_measure([evidence.scaled], correlational_score, replicates, evidence, N_BOOT_SLOW)


def _frechet(seeds: tuple[Views, ...] | list[Views], evidence: Evidence) -> Measure:
    return distance_measure(seeds, frechet_distance, frechet_replicates, evidence, N_BOOT_SLOW)


def _discrepancy(to_test: Discrepancy, views: Views, evidence: Evidence) -> Measure:
    return distance_measure(
        [views],
        lambda _, other: to_test.value(other),
        lambda _, other, n_boot, seed: to_test.replicates(other, n_boot, seed),
        evidence,
        N_BOOT_SLOW,
    )


def manifolds(evidence: Evidence) -> dict[str, ManifoldScores] | Absent:
    """Per-case scores of the first TS2Vec's features, by the set that stands against the test split."""
    views = matched(evidence.ts2vec[0], evidence.seed)
    fewest = min(len(part) for part in (views.test, views.floor, views.synthetic))
    if fewest <= NEIGHBOURS:
        return Absent(f"a set holds {fewest} series; more than {NEIGHBOURS} are needed")
    parts = {"synthetic": views.synthetic, "floor": views.floor, "memoriser": views.memoriser}
    return {name: manifold_scores(views.test, part, k=NEIGHBOURS) for name, part in parts.items()}


def _manifold(evidence: Evidence, which: str, high: float = np.inf) -> Measure:
    found = evidence.once(manifolds)
    if isinstance(found, Absent):
        return undefined("higher", found)
    scores = {part: [np.asarray(getattr(of, which), dtype=np.float64)] for part, of in found.items()}
    return case_measure(CaseScores(**scores), evidence, "higher", high=high)


def _mean_of(measures: list[Measure], parts: dict[str, float | None]) -> Measure:
    """The mean of measures that are all defined; intervals of independent parts shrink together."""

    def centre(name: str) -> float:
        return float(np.mean([getattr(measure, name) for measure in measures]))

    def interval(name: str, value: float) -> tuple[float, float]:
        halves = np.array([[value_of - ends[0], ends[1] - value_of] for value_of, ends in _pairs(measures, name)])
        below, above = np.sqrt((halves**2).sum(axis=0)) / len(measures)
        return max(value - below, 0.0), value + above

    value, floor = centre("value"), centre("floor")
    return Measure(
        value=value,
        floor=floor,
        memoriser=centre("memoriser"),
        ci95=interval("value", value),
        better="lower",
        floor_ci95=interval("floor", floor),
        parts={name: part for name, part in parts.items() if part is not None},
    )


def _pairs(measures: list[Measure], name: str) -> list[tuple[float, tuple[float, float]]]:
    found = []
    for measure in measures:
        ends = measure.ci95 if name == "value" else measure.floor_ci95
        assert ends is not None
        found.append((getattr(measure, name), ends))
    return found
