"""The last part of stage 2: how long trained, and decoded how, samples look most like the training series."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timeloom.data import proportional_labels
from timeloom.encoders import FCN, Rocket
from timeloom.evaluation.measures.copying import copy_share
from timeloom.evaluation.measures.frechet import frechet_distance
from timeloom.evaluation.workers import Workers
from timeloom.prior.decoding import Decoding, SamplingConfig
from timeloom.prior.prior import Prior
from timeloom.progress import Progress
from timeloom.tokenizer.tokenizer import Tokenizer

# From nearly greedy to nearly random order; guidance makes classes clearer. Noisy series want the random end, smooth
# and regular ones the greedy end, many classes with few series each want guidance, and no setting is best for all.
# The one that copies least comes first.
CANDIDATES = (
    Decoding(temperature=1.0, choice_temperature=16.0),
    Decoding(temperature=1.0, choice_temperature=4.0),
    Decoding(temperature=1.0, choice_temperature=1.0),
    Decoding(temperature=0.9, choice_temperature=1.0),
    Decoding(temperature=0.9, choice_temperature=4.0),
    Decoding(temperature=1.0, choice_temperature=1.0, guidance_scale=1.5),
    Decoding(temperature=1.0, choice_temperature=4.0, guidance_scale=1.5),
    Decoding(temperature=1.0, choice_temperature=4.0, guidance_scale=2.0),
    Decoding(temperature=1.0, choice_temperature=16.0, guidance_scale=2.0),
    Decoding(temperature=1.0, choice_temperature=4.0, guidance_scale=3.0),
)
N_SAMPLES = 400
MOST_REAL = 1000
# a judge of its own: not the network that an evaluation with seed 0 trains
JUDGE_SEED = 1000
JUDGE_STEPS = 250
JUDGE = "judge"
# the share of near copies among fresh real series, in the mean
COPIES = 0.05


class Choice(NamedTuple):
    """What was chosen.

    Attributes:
        place: of the prior among those that were given.
        decoding: its decoding.
        distance: Frechet joint distance of its samples to the training series.
    """

    place: int
    decoding: Decoding
    distance: float


def start_judge(workers: Workers, series: np.ndarray, labels: Tensor, *, seed: int) -> None:
    """Train the classifier that `choose` judges by, in a process of its own: it knows nothing of tokens.

    Args:
        workers: at most one training is started; `choose` gets the same workers.
        series: training series (N, C, T), without NaN.
        labels: class indices (N,).
        seed: that of `choose`.
    """
    if len(labels.unique()) > 1:
        workers.start(JUDGE, _classifier(seed), series, labels.numpy())


def choose(
    tokenizer: Tokenizer,
    priors: Sequence[Prior],
    series: np.ndarray,
    labels: Tensor,
    config: SamplingConfig,
    *,
    seed: int,
    workers: Workers,
    progress: Progress,
) -> Choice:
    """The first prior that does not copy, and the candidate whose samples are nearest to the training series (N, C, T).

    Frechet distance of the features of a classifier (FCN) trained on the training series, with the wanted class beside
    them, so that a series of another class than it was asked for counts as far (Frechet joint distance, DeVries et al.
    2019, eq. 3); of ROCKET's features where there are no two classes. Candidates with more near copies than
    `most_copies`, and than 1.5 times the fewest, are out. The nearest is then tried with half of the tokenizer's
    texture and with none: stage 1 measured the amount with ROCKET, which sees more in noise than a classifier does.

    Args:
        tokenizer: makes series of tokens.
        priors: make tokens; the one that was trained longest first.
        series: training series, without NaN.
        labels: class indices (N,).
        config: the other settings of decoding.
        seed: of the drawn training series, the samples and the judge.
        workers: where `start_judge` may have begun; else the judge is trained here.
        progress: told about each candidate.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(series))[:MOST_REAL])
    classes = labels.numpy()
    wanted = proportional_labels(classes, N_SAMPLES)
    most = most_copies(len(rows))
    own = float(tokenizer.texture_amount)
    free = config.texture == "auto" and own > 0
    trials = _Trials(tokenizer, config, series[rows], wanted, seed)
    more: list[float | Literal["auto"]] = ["auto", (own + 1) / 2, 1.0] if free and own < 1 else ["auto"]
    place, texture = _least_copying(priors, more, lambda prior, candidate: trials.copies(prior, candidate) <= most)
    prior = priors[place]
    guidable = prior.n_classes > 1 and prior.config.label_drop > 0
    candidates = [of.model_copy(update={"texture": texture}) for of in CANDIDATES if guidable or of.guidance_scale == 1]
    less = [0.5 * own, 0.0] if free and texture == "auto" else []
    distance_of = _judge(series, classes, rows, wanted, seed, workers, progress)
    tried: list[_Tried] = []

    def try_all(candidates: Sequence[Decoding]) -> _Tried:
        """The best of these and of those before."""
        for candidate in candidates:
            distance = distance_of(trials.made(prior, candidate))
            tried.append(_Tried(candidate, distance, trials.copies(prior, candidate)))
            progress("decoding", len(tried), n_tries, f"distance {distance:.3g}")
        allowed = max(most, 1.5 * min(of.share for of in tried))
        return min((of for of in tried if of.share <= allowed), key=lambda of: of.distance)

    n_tries = len(candidates) + len(less)
    best = try_all(candidates)
    best = try_all([best.decoding.model_copy(update={"texture": amount}) for amount in less])
    return Choice(place, best.decoding, best.distance)


class _Trials:
    """Samples of priors, of the same classes and from the same seed, and how many of them copy the drawn series."""

    def __init__(
        self, tokenizer: Tokenizer, config: SamplingConfig, real: np.ndarray, wanted: np.ndarray, seed: int
    ) -> None:
        self.tokenizer, self.config, self.real, self.wanted, self.seed = tokenizer, config, real, wanted, seed
        # each is wanted twice, to be judged and for its copies; that of the found prior a few looks later
        self.made = functools.lru_cache(maxsize=4)(self._made)

    def _made(self, prior: Prior, candidate: Decoding) -> np.ndarray:
        generator = torch.Generator().manual_seed(self.seed)
        settings = self.config.resolve(candidate)  # what the user wrote stays
        parts = [
            self.tokenizer.decode(prior.sample(part, settings, generator), generator, settings.texture)
            for part in torch.from_numpy(self.wanted).split(self.config.batch_size)
        ]
        return torch.cat(parts).numpy()

    def copies(self, prior: Prior, candidate: Decoding) -> float:
        """Share of near copies."""
        return copy_share(self.real, self.made(prior, candidate))


class _Tried(NamedTuple):
    decoding: Decoding
    distance: float
    share: float  # of near copies


def most_copies(n: int) -> float:
    """The share of near copies that is no more than fresh real series have, as far as n training series can tell.

    What counts as near is a quantile of n distances: the share of fresh series below it varies about `COPIES` from one
    training set to the next, with a variance of `COPIES (1 - COPIES) / n` and more. One deviation is allowed.
    """
    return COPIES + (COPIES * (1 - COPIES) / n) ** 0.5


def _least_copying(
    priors: Sequence[Prior], amounts: Sequence[float | Literal["auto"]], passes: Callable[[Prior, Decoding], bool]
) -> tuple[int, float | Literal["auto"]]:
    """Place of the first prior whose most random candidate makes few copies, and the amount of texture.

    The longer a prior was trained, the more it copies: of the priors, longest first, the place is found by halving.
    Where all of them copy, some with more texture than the tokenizer found best may not: what looks like a copy is then
    a series whose own noise was smoothed away. If that does not help either, the last prior has all its texture.
    """
    for amount in amounts:
        candidate = CANDIDATES[0].model_copy(update={"texture": amount})
        if passes(priors[0], candidate):
            return 0, amount
        if passes(priors[-1], candidate):
            copies, good = 0, len(priors) - 1
            while good - copies > 1:
                middle = (copies + good) // 2
                copies, good = (copies, middle) if passes(priors[middle], candidate) else (middle, good)
            return good, amount
    return len(priors) - 1, amounts[-1]


def _classifier(seed: int) -> FCN:
    return FCN(steps=JUDGE_STEPS, seed=JUDGE_SEED + seed)


def _judge(
    series: np.ndarray,
    classes: np.ndarray,
    rows: np.ndarray,
    wanted: np.ndarray,
    seed: int,
    workers: Workers,
    progress: Progress,
) -> Callable[[np.ndarray], float]:
    """The distance of made series, of the wanted classes, to the drawn rows of the training series."""
    n_classes = int(classes.max()) + 1
    if len(np.unique(classes)) > 1:
        judge = workers.train(JUDGE, _classifier(seed), series, classes, progress)
    else:
        judge = Rocket(seed=JUDGE_SEED + seed).fit(series[rows])
    features = judge.encode(series[rows])
    # a class weighs as much as the features do
    weight = np.linalg.norm(features, axis=1).mean()
    goal = _joint(features, classes[rows], n_classes, weight)
    return lambda made: frechet_distance(goal, _joint(judge.encode(made), wanted, n_classes, weight))


def _joint(features: NDArray[np.float32], labels: NDArray[np.int64], n: int, weight: float) -> NDArray[np.float64]:
    """Features (N, D) with the class beside them, (N, D + n): `weight` in its column, 0 in the others."""
    return np.hstack([features, weight * np.eye(n)[labels]])
