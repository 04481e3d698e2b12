"""What all metrics are built of: a value with its floor, its memoriser and intervals for value and floor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from timeloom.evaluation.evidence import Absent, Views
from timeloom.evaluation.gathering import Evidence
from timeloom.evaluation.measures.bootstrap import centred_interval, redrawn
from timeloom.evaluation.results import Better, Family, Interval, Measure

N_BOOT = 200
# a replicate of these costs an eigenvalue problem or a pass over all series
N_BOOT_SLOW = 100
# distances between all pairs are taken of no more than so many series of each set, drawn by the seed
MOST_PAIRED = 5000

Distance = Callable[[NDArray, NDArray], float]
Replicates = Callable[[NDArray, NDArray, int, int], NDArray]
Summary = Callable[[NDArray], float]


@dataclass(frozen=True)
class Metric:
    """A line of the report.

    Attributes:
        compute: evidence to measure; the first line of its docstring says in plain words what is measured.
        family: which question it answers.
        parts: attributes of the evidence that it needs and that take long to make.
    """

    compute: Callable[[Evidence], Measure]
    family: Family
    parts: tuple[str, ...] = ()

    @property
    def explanation(self) -> str:
        """One sentence for the reader of a report."""
        return (self.compute.__doc__ or "").strip().splitlines()[0]


def undefined(better: Better, absent: Absent) -> Measure:
    """A measure that cannot be had, with the reason."""
    return Measure(None, None, None, None, better, absent.reason)


def distance_measure(
    seeds: Sequence[Views], distance: Distance, replicates: Replicates, evidence: Evidence, n_boot: int = N_BOOT
) -> Measure:
    """Distance of the synthetic set to the real test split; lower is better. Means over the encoder's seeds."""

    def mean(part: Callable[[Views], NDArray]) -> float:
        return float(np.mean([distance(views.test, part(views)) for views in seeds]))

    def spread(part: Callable[[Views], NDArray]) -> NDArray:
        return np.mean([replicates(views.test, part(views), n_boot, evidence.seed) for views in seeds], axis=0)

    value, floor = mean(_synthetic), mean(_floor)
    # an unbiased distance may be below 0, a plain one not
    low = 0.0 if min(value, floor) >= 0 else -np.inf
    return Measure(
        value=value,
        floor=floor,
        memoriser=mean(_memoriser),
        ci95=centred_interval(value, spread(_synthetic), low=low),
        better="lower",
        floor_ci95=prediction_interval(floor, spread(_floor), seeds[0], low=low),
    )


@dataclass(frozen=True)
class CaseScores:
    """Scores (cases,) of the same kind for each set that stands against the test split; entries are encoder seeds."""

    synthetic: list[NDArray]
    floor: list[NDArray]
    memoriser: list[NDArray]

    @classmethod
    def of(cls, seeds: Sequence[Views], scores: Callable[[NDArray, NDArray], NDArray]) -> Self:
        """`scores(test, other)` for each seed and each set in the place of `other`."""
        return cls(
            *(
                [np.asarray(scores(views.test, part(views))) for views in seeds]
                for part in (_synthetic, _floor, _memoriser)
            )
        )


def case_measure(
    scores: CaseScores,
    evidence: Evidence,
    better: Better,
    *,
    summary: Summary | None = None,
    low: float = 0.0,
    high: float = np.inf,
) -> Measure:
    """A summary (the mean, if nothing else is said) of scores that each case has."""
    summarise = mean_of if summary is None else summary

    def centre(seeds: list[NDArray]) -> float:
        return float(np.mean([summarise(cases) for cases in seeds]))

    def spread(seeds: list[NDArray]) -> NDArray:
        if summary is None and all(np.isin(cases, (0, 1)).all() for cases in seeds):
            return np.mean([share_replicates(cases) for cases in seeds], axis=0)
        return np.mean([redrawn(summarise, cases, evidence.seed, N_BOOT) for cases in seeds], axis=0)

    value, floor = centre(scores.synthetic), centre(scores.floor)
    widened = widen(spread(scores.floor), len(scores.floor[0]), len(scores.synthetic[0]))
    return Measure(
        value=value,
        floor=floor,
        memoriser=centre(scores.memoriser),
        ci95=centred_interval(value, spread(scores.synthetic), low=low, high=high),
        better=better,
        floor_ci95=centred_interval(floor, widened, low=low, high=high),
    )


def mean_of(cases: NDArray) -> float:
    """The mean as a plain number."""
    return float(np.mean(cases))


def share_replicates(cases: NDArray) -> NDArray:
    """What a share of N cases that are 0 or 1 could be: quantiles of Jeffreys' posterior, (N_BOOT,).

    Unlike redrawn cases these also vary where every case is a 1.
    """
    from scipy.stats import beta

    n, hits = len(cases), float(np.sum(cases))
    return np.asarray(beta.ppf((np.arange(N_BOOT) + 0.5) / N_BOOT, hits + 0.5, n - hits + 0.5))


def plain_replicates(distance: Distance) -> Replicates:
    """Replicates of any distance: computed again on the second set's rows, drawn again with replacement."""

    def replicates(real: NDArray, other: NDArray, n_boot: int, seed: int) -> NDArray:
        return redrawn(lambda rows: distance(real, rows), other, seed, n_boot)

    return replicates


def prediction_interval(
    floor: float, replicates: NDArray, views: Views, *, low: float = -np.inf, high: float = np.inf
) -> Interval:
    """Where the floor of another real set of the synthetic set's size would fall, 95 times in 100; see `widen`."""
    widened = widen(replicates, len(views.floor_rows), len(views.synthetic))
    return centred_interval(floor, widened, low=low, high=high)


def widen(replicates: NDArray, n_floor: int, n_synthetic: int) -> NDArray:
    """Bootstrap replicates of the floor, spread out to those of another real set.

    The bootstrap tells how far the floor strays from the truth; another set strays as well, and both add up:
    deviations are widened by sqrt(1 + n_floor / n_synthetic).
    """
    centre = replicates.mean()
    return np.asarray(centre + np.sqrt(1.0 + n_floor / n_synthetic) * (replicates - centre))


def capped(views: Views, seed: int, most: int = MOST_PAIRED) -> Views:
    """The same views with at most `most` test and synthetic cases, drawn by the seed."""
    rows = capped_rows(len(views.synthetic), seed, most)
    return Views(
        test=views.test[capped_rows(len(views.test), seed, most)],
        train=views.train,
        synthetic=views.synthetic[rows],
        memoriser_rows=views.memoriser_rows[rows],
        floor_rows=views.floor_rows[capped_rows(len(views.floor_rows), seed, most)],
    )


def matched(views: Views, seed: int) -> Views:
    """The same views with no more synthetic cases than there are training cases for the floor, and at most 5000.

    For what depends on the number of cases: more synthetic ones would not be compared with their like.
    """
    views = capped(views, seed)
    rows = capped_rows(len(views.synthetic), seed, len(views.floor_rows))
    return replace(views, synthetic=views.synthetic[rows], memoriser_rows=views.memoriser_rows[rows])


def capped_rows(n: int, seed: int, most: int = MOST_PAIRED) -> NDArray | slice:
    """All of n rows, or `most` of them drawn by the seed, ascending."""
    return slice(None) if n <= most else np.sort(np.random.default_rng(seed).choice(n, size=most, replace=False))


def _synthetic(views: Views) -> NDArray:
    return views.synthetic


def _floor(views: Views) -> NDArray:
    return views.floor


def _memoriser(views: Views) -> NDArray:
    return views.memoriser
