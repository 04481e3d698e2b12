"""The last part of stage 2: how long trained, and decoded how, samples look most like the training series."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timeloom.data import proportional_labels
from timeloom.encoders.inputs import SeriesScaler
from timeloom.evaluation.measures.copying import nearest_distances, too_near
from timeloom.evaluation.workers import Workers
from timeloom.prior.decoding import Decoding, SamplingConfig
from timeloom.prior.prior import Prior
from timeloom.progress import Progress
from timeloom.stages import judge_samples
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
# with which the nearest candidate is tried, too, if there are so many series: fewer lose variety that judges do not see
CORRECTIONS = (2, 4, 8)
FEWEST_CORRECTED = 1000
N_SAMPLES = 400
# training series that samples are compared with: as a set, and each with the nearest
MOST_REAL, MOST_NEAR = 1000, 10_000
# samples that `sample` will not draw
SAMPLE_SEED = 1000
Texture = float | Literal["auto"]
# the level of the noise was measured on a few series, and may be too low
MOST_TEXTURE = 1.25
# a distance that is no more than this times the least is as good
AS_GOOD = 1.1
# the share of near copies among fresh real series, in the mean
COPIES = 0.05
# times as many near copies as are allowed are too many to be chance, and a longer training would only add to them
FAR_TOO_MANY = 1.5


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


def copies(
    tokenizer: Tokenizer, prior: Prior, series: np.ndarray, labels: Tensor, config: SamplingConfig, *, seed: int
) -> bool:
    """Whether far too many samples of a prior copy; `choose` takes the same arguments.

    With no more noise than half the way from the measured amount to the whole, where decoding may choose: a prior that
    knows the training series by heart should not be trained further because much noise would hide that.
    """
    trials = _Trials(tokenizer, config, series, labels, seed)
    amount = (_amounts(tokenizer, config)[:-1] or ["auto"])[:2][-1]  # the last is more than the whole
    share = trials.copies(prior, _first(amount))
    return share > FAR_TOO_MANY * most_copies(len(trials.near))


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
    """The prior, texture and candidate whose samples are nearest to the training series (N, C, T) without copying them.

    The distance is that of `judge_samples`.

    The amount of texture that stage 1 measured, on a few series, is only where the search begins: with more of it a
    noisy series is no longer smooth, and a longer trained prior no longer near to the training series. For each of
    four amounts the longest trained prior is found that does not copy, and the nearest of these pairs decodes in all
    ways, and the nearest of these, where there are enough series, with corrections, too. Candidates with more near
    copies than `most_copies`, and than 1.5 times the fewest, are out; with corrections, which bring samples nearer to
    what was learned, those with more than `COPIES` and than without. The nearest is then tried with the other amounts,
    and with less than was measured; of those that are as good to a tenth, the amount nearest to the measured one is
    taken, for a classifier of classes hardly hears noise.

    Args:
        tokenizer: makes series of tokens.
        priors: make tokens; the one that was trained longest first.
        series: training series, without NaN.
        labels: class indices (N,).
        config: the other settings of decoding.
        seed: of the drawn training series, the samples and the judges.
        workers: where `judge_samples.start` may have begun; else the judges are trained here.
        progress: told about each candidate.
    """
    trials = _Trials(tokenizer, config, series, labels, seed)
    distance_of = judge_samples.distance(
        series, labels.numpy(), trials.rows, trials.wanted, seed=seed, workers=workers, progress=progress
    )
    own, amounts, most = float(tokenizer.texture_amount), _amounts(tokenizer, config), most_copies(len(trials.near))

    def distance(prior: Prior, candidate: Decoding) -> float:
        return distance_of(trials.made(prior, candidate))

    place, texture = _length_and_texture(trials, distance, priors, amounts, most)
    prior = priors[place]
    guidable = prior.n_classes > 1 and prior.config.label_drop > 0
    candidates = [of for of in CANDIDATES if guidable or of.guidance_scale == 1]
    # what the user wrote stays: with that, several may be the same
    candidates = list(dict.fromkeys(_with(config, of.model_copy(update={"texture": texture})) for of in candidates))
    less: list[Texture] = [0.0, 0.5 * own] if _free(tokenizer, config) else []
    others = [amount for amount in less + amounts if amount != texture]
    tried: list[_Tried] = []
    done = itertools.count(1)

    def off(of: _Tried) -> float:
        return 0.0 if of.decoding.texture == "auto" else abs(of.decoding.texture - own)

    def try_all(candidates: Sequence[Decoding], limit: float = 1.0) -> _Tried:
        """The best of these, but for those whose share of near copies is above the limit, and of those before."""
        for candidate in candidates:
            found = _Tried(candidate, distance(prior, candidate), trials.copies(prior, candidate))
            progress("decoding", next(done), n_tries, f"distance {found.distance:.3g}")
            if found.share <= limit:
                tried.append(found)
        allowed = max(most, 1.5 * min(of.share for of in tried))
        return min((of for of in tried if of.share <= allowed), key=lambda of: of.distance)

    corrections = CORRECTIONS if config.corrections == "auto" and len(series) >= FEWEST_CORRECTED else ()
    n_tries = len(candidates) + len(corrections) + len(others)
    best = try_all(candidates)
    corrected = [best.decoding.model_copy(update={"corrections": n}) for n in corrections]
    best = try_all(corrected, max(COPIES, best.share))
    best = try_all([best.decoding.model_copy(update={"texture": amount}) for amount in others])
    alike = [best.decoding.model_copy(update={"texture": amount}) for amount in amounts + less]
    fit = [of for of in tried if of.decoding in alike and of.share <= max(most, best.share)]
    best = min((of for of in fit if of.distance <= AS_GOOD * best.distance), key=off)
    return Choice(place, best.decoding, best.distance)


def _with(config: SamplingConfig, candidate: Decoding) -> Decoding:
    """A candidate with what the user wrote in its place, but for the texture."""
    resolved = config.resolve(candidate)
    names = set(Decoding.model_fields) - {"texture"}
    return candidate.model_copy(update={name: getattr(resolved, name) for name in names})


def _free(tokenizer: Tokenizer, config: SamplingConfig) -> bool:
    """Whether the amount of texture is to be chosen; marginals were fitted for one amount."""
    return config.texture == "auto" and float(tokenizer.texture_amount) > 0 and not tokenizer.marginals.fitted


def _amounts(tokenizer: Tokenizer, config: SamplingConfig) -> list[Texture]:
    """Amounts of texture, ascending from the measured one."""
    own, free = float(tokenizer.texture_amount), _free(tokenizer, config)
    return ["auto", *(of for of in ((own + 1) / 2, 1.0, MOST_TEXTURE) if free and of > own)]


def _first(amount: Texture) -> Decoding:
    """The candidate that copies least, with an amount of texture."""
    return CANDIDATES[0].model_copy(update={"texture": amount})


class _Trials:
    """Samples of priors, of the training series' classes and from one seed, beside drawn training series.

    Attributes:
        rows: places of the drawn training series.
        real: those series.
        near: all training series, but for those of very large sets, scaled and flat (N, V).
        wanted: classes of the samples.
    """

    def __init__(
        self, tokenizer: Tokenizer, config: SamplingConfig, series: np.ndarray, labels: Tensor, seed: int
    ) -> None:
        self.tokenizer, self.config, self.seed = tokenizer, config, seed
        order = np.random.default_rng(seed).permutation(len(series))
        self.rows = np.sort(order[:MOST_REAL])
        self.real, self.wanted = series[self.rows], proportional_labels(labels.numpy(), N_SAMPLES)
        self.scaler = SeriesScaler.fit(series)
        self.near = self._flat(series[np.sort(order[:MOST_NEAR])])
        self.threshold = too_near(self.near)
        # each is wanted twice, to be judged and for its copies; that of the found prior a few looks later
        self.made = functools.lru_cache(maxsize=4)(self._made)
        # amounts of texture are tried on the same tokens
        self.drawn = functools.lru_cache(maxsize=64)(self._drawn)

    def _drawn(self, prior: Prior, candidate: Decoding) -> tuple[list[Tensor], Tensor]:
        """Tokens of the wanted classes, and the state of the generator after them."""
        generator = torch.Generator().manual_seed(SAMPLE_SEED + self.seed)
        settings = self.config.resolve(candidate)  # what the user wrote stays
        parts = torch.from_numpy(self.wanted).split(self.config.batch_size)
        return [prior.sample(part, settings, generator) for part in parts], generator.get_state()

    def _made(self, prior: Prior, candidate: Decoding) -> np.ndarray:
        tokens, state = self.drawn(prior, candidate.model_copy(update={"texture": "auto"}))
        generator, texture = torch.Generator(), self.config.resolve(candidate).texture
        generator.set_state(state)
        return torch.cat([self.tokenizer.decode(part, generator, texture) for part in tokens]).numpy()

    def copies(self, prior: Prior, candidate: Decoding) -> float:
        """Share of near copies, as `copy_share` of the evaluation counts them."""
        return float((nearest_distances(self._flat(self.made(prior, candidate)), self.near) <= self.threshold).mean())

    def _flat(self, series: np.ndarray) -> NDArray[np.float32]:
        return self.scaler.transform(series).reshape(len(series), -1)


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


def _length_and_texture(
    trials: _Trials,
    distance: Callable[[Prior, Decoding], float],
    priors: Sequence[Prior],
    amounts: Sequence[Texture],
    most: float,
) -> tuple[int, Texture]:
    """Place of a prior and an amount: of the longest trained ones that do not copy, each with its amount, the nearest.

    Where all priors copy with all amounts, the one that was trained least, with all of the noise if that is free.
    """

    def longest(amount: Texture) -> int | None:
        return _longest(priors, lambda prior: trials.copies(prior, _first(amount)) <= most)

    pairs = [(place, amount) for amount in amounts if (place := longest(amount)) is not None]
    if len(pairs) < 2:
        return pairs[0] if pairs else (len(priors) - 1, 1.0 if 1.0 in amounts else "auto")
    return min(pairs, key=lambda pair: distance(priors[pair[0]], _first(pair[1])))


def _longest(priors: Sequence[Prior], passes: Callable[[Prior], bool]) -> int | None:
    """Place of the first prior that passes, None if none does.

    They stand longest trained first, and the longer a prior was trained, the more it copies: it is found by halving.
    """
    if passes(priors[0]):
        return 0
    if not passes(priors[-1]):
        return None
    copies, good = 0, len(priors) - 1
    while good - copies > 1:
        middle = (copies + good) // 2
        copies, good = (copies, middle) if passes(priors[middle]) else (middle, good)
    return good
