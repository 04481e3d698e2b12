"""Evidence: everything that metrics are computed from, each part made when a metric first asks for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any, TypeVar, cast

from numpy.typing import NDArray

from timeloom.encoders import FCN, Catch22, Rocket, StoredEncoder, TS2Vec
from timeloom.encoders.inputs import SeriesScaler
from timeloom.errors import InputError
from timeloom.evaluation.cache import EncoderCache
from timeloom.evaluation.evidence import Absent, Predictions, RealData, TokenViews, Views
from timeloom.evaluation.measures.copying import NearestTraining, nearest_training_of_each
from timeloom.evaluation.workers import Workers
from timeloom.progress import Progress, silent

NO_LABELS = Absent("the data has no labels")
NO_SYNTHETIC_LABELS = Absent("the synthetic series have no labels")
NO_TOKENS = Absent("no tokenizer was given")
Result = TypeVar("Result")


class Evidence:
    """The sets of series and what encoders make of them.

    Args:
        real: both real splits, checked.
        X_synthetic: (N, C, T), checked.
        y_synthetic: labels known to the training split, or None.
        tokens: what a tokenizer makes of the series, or None.
        seeds: of the encoders that are trained; the first one is also the source of every other draw.
        fcn_steps: optimisation steps of every FCN; None takes the FCN's own choice.
        ts2vec_steps: the same of TS2Vec.
        cache: keeps fitted encoders.
        workers: train those that `start` asks for; None trains each here when it is wanted.
        progress: told about each training.
    """

    def __init__(
        self,
        real: RealData,
        X_synthetic: NDArray,
        y_synthetic: NDArray | None,
        tokens: TokenViews | None,
        *,
        seeds: range,
        fcn_steps: int | None = None,
        ts2vec_steps: int | None = None,
        cache: EncoderCache | None = None,
        workers: Workers | None = None,
        progress: Progress = silent,
    ) -> None:
        self.real, self.y_synthetic, self.seeds = real, y_synthetic, seeds
        self.tokens = NO_TOKENS if tokens is None else tokens
        self.series = Views.draw(real.X_test, real.X_train, X_synthetic, seeds.start)
        self._fcn_steps, self._ts2vec_steps = fcn_steps, ts2vec_steps
        self._cache = EncoderCache() if cache is None else cache
        self._workers = workers
        self._progress = progress
        self._kept: dict[Callable[[Evidence], Any], Any] = {}

    def start(self, parts: Collection[str]) -> None:
        """Have the workers train the encoders that these parts will ask for, TS2Vec, which takes longest, first."""
        if self._workers is None:
            return
        asked: list[tuple[StoredEncoder, NDArray, NDArray | None]] = []
        if "ts2vec" in parts:
            asked += [(self._ts2vec(seed), self.real.X_train, None) for seed in self.seeds]
        predicted = "predictions" in parts and self.real.y_test is not None and self.y_synthetic is not None
        if predicted or "fcn_features" in parts:
            asked += self._classifiers("real", self.seeds)
        if predicted:
            asked += [*self._classifiers("synthetic", [self.seed]), *self._classifiers("memorised", [self.seed])]
        for encoder, X, y in asked:
            self._cache.start(encoder, X, y, self._workers)

    def once(self, function: Callable[[Evidence], Result]) -> Result:
        """`function(self)`, kept for the metrics that share it."""
        if function not in self._kept:
            self._kept[function] = function(self)
        return cast(Result, self._kept[function])

    @property
    def seed(self) -> int:
        """Source of every draw that is not an encoder's."""
        return self.seeds.start

    @cached_property
    def scaled(self) -> Views:
        """Series (N, C, T), scaled per channel by training statistics, missing values interpolated."""
        return self._through(SeriesScaler.fit(self.real.X_train).transform)

    @property
    def flat(self) -> Views:
        """`scaled` with a row a series, (N, C T)."""
        views = self.scaled
        return views.of(*(part.reshape(len(part), -1) for part in (views.test, views.train, views.synthetic)))

    @cached_property
    def fcns(self) -> list[FCN] | Absent:
        """Classifiers trained on the real training split, one a seed."""
        found = self._labelled("real")
        return found if isinstance(found, Absent) else [self._classifier("real", *found, seed) for seed in self.seeds]

    @cached_property
    def _fcn_outputs(self) -> tuple[tuple[Views, Views], ...] | Absent:
        """Features and probabilities of each set under each FCN, in one pass."""
        if isinstance(self.fcns, Absent):
            return self.fcns
        found = [self._read(fcn, fcn.encode_and_classify) for fcn in self.fcns]
        return tuple((features, probabilities) for features, probabilities in found)

    @property
    def fcn_features(self) -> tuple[Views, ...] | Absent:
        """Features (N, 128) of the FCNs trained on the real training split, one entry a seed."""
        outputs = self._fcn_outputs
        return outputs if isinstance(outputs, Absent) else tuple(features for features, _ in outputs)

    @property
    def fcn_probabilities(self) -> tuple[Views, ...] | Absent:
        """Class probabilities (N, n_classes) of the same FCNs."""
        outputs = self._fcn_outputs
        return outputs if isinstance(outputs, Absent) else tuple(probabilities for _, probabilities in outputs)

    @cached_property
    def fcn_reconstruction(self) -> tuple[NDArray, ...] | Absent:
        """FCN features (N, 128) of the tokenizer's reconstruction of the test split, one array a seed."""
        if isinstance(self.fcns, Absent):
            return self.fcns
        if isinstance(self.tokens, Absent):
            return self.tokens
        return tuple(fcn.encode(self.tokens.reconstruction) for fcn in self.fcns)

    @cached_property
    def rocket(self) -> Views:
        """Features (N, 1000) of random convolutions; their scale is the training split's."""
        return self._encoded(Rocket(seed=self.seed))

    @cached_property
    def ts2vec(self) -> tuple[Views, ...]:
        """Features (N, 320) of TS2Vec trained on the real training split, one entry a seed."""
        return tuple(self._encoded(self._ts2vec(seed)) for seed in self.seeds)

    @cached_property
    def catch22(self) -> Views | Absent:
        """catch22 features (N, 24 C), standardised by the training split; needs the package pycatch22."""
        try:
            return self._encoded(Catch22())
        except InputError as error:
            return Absent(str(error))

    @cached_property
    def codes(self) -> Views | Absent:
        """Pooled codes (N, D) of the tokenizer."""
        if isinstance(self.tokens, Absent):
            return self.tokens
        if self.tokens.features is None:
            return Absent("no features of the tokenizer were given")
        return self.series.of(*self.tokens.features)

    @property
    def likelihood(self) -> tuple[NDArray, NDArray] | Absent:
        """The prior's masked log-likelihood (N,) in nats a token, of test and training series."""
        if isinstance(self.tokens, Absent):
            return self.tokens
        return Absent("no prior was given") if self.tokens.likelihood is None else self.tokens.likelihood

    @property
    def candidates(self) -> dict[str, NDArray]:
        """Flat series that are held against the training split; here the real test split is the floor."""
        return {"synthetic": self.flat.synthetic, "floor": self.flat.test, "memoriser": self.flat.memoriser}

    @cached_property
    def nearest(self) -> dict[str, NearestTraining]:
        """The training series nearest to each synthetic, test and memorised series."""
        return nearest_training_of_each(self.flat.train, self.candidates)

    @cached_property
    def predictions(self) -> Predictions | Absent:
        """What FCNs trained on each set (first seed) say of the real test split."""
        real = self._labelled("real")
        if isinstance(real, Absent):
            return real
        if self.y_synthetic is None:
            return NO_SYNTHETIC_LABELS
        if self.real.y_test is None:
            return Absent("the real test split has no labels")
        assert not isinstance(self.fcns, Absent)
        return Predictions(
            truth=self.real.y_test,
            train=self._answers(self.fcns[0]),
            synthetic=self._predicted("synthetic"),
            memoriser=self._predicted("memorised"),
        )

    def _predicted(self, name: str) -> NDArray | Absent:
        found = self._labelled(name)
        return found if isinstance(found, Absent) else self._answers(self._classifier(name, *found, self.seed))

    def _labelled(self, name: str) -> tuple[NDArray, NDArray] | Absent:
        """What the classifier of this name learns from: the real, the synthetic or the memorised series."""
        X, y = self.real.X_train, self.real.y_train
        if name == "real":
            if y is None:
                return NO_LABELS
            return Absent("the training split holds a single class") if _single(y) else (X, y)
        if name == "synthetic":
            X, y = self.series.synthetic, self.y_synthetic
        elif y is not None:
            X, y = X[self.series.memoriser_rows], y[self.series.memoriser_rows]
        if y is None:
            return Absent(f"the {name} series have no labels")
        return Absent(f"the {name} series hold a single class, {y[0]}") if _single(y) else (X, y)

    def _answers(self, fcn: FCN) -> NDArray:
        """Labels that a classifier gives to the test series."""
        _, probabilities = self._cache.outputs(fcn, fcn.encode_and_classify, self.series.test)
        return fcn.classes_[probabilities.argmax(axis=1)]

    def _classifiers(self, name: str, seeds: Sequence[int]) -> list[tuple[StoredEncoder, NDArray, NDArray | None]]:
        """Classifiers to be trained, one a seed, with their series and labels; none where there can be none."""
        found = self._labelled(name)
        return [] if isinstance(found, Absent) else [(self._fcn(seed), *found) for seed in seeds]

    def _classifier(self, name: str, X: NDArray, y: NDArray, seed: int) -> FCN:
        progress = self._named(f"FCN on {name}", seed)
        return self._cache.fitted(self._fcn(seed), X, y, workers=self._workers, progress=progress)

    def _fcn(self, seed: int) -> FCN:
        return FCN(steps=self._fcn_steps, seed=seed)

    def _ts2vec(self, seed: int) -> TS2Vec:
        # the same figures with and without a GPU
        return TS2Vec(steps=self._ts2vec_steps, seed=seed, device="cpu")

    def _encoded(self, encoder: StoredEncoder) -> Views:
        name, seed = type(encoder).__name__, getattr(encoder, "seed", self.seed)
        progress = self._named(name, seed)
        fitted = self._cache.fitted(encoder, self.real.X_train, workers=self._workers, progress=progress)

        def encode(X: NDArray) -> tuple[NDArray, ...]:
            return (fitted.encode(X),)

        return self._read(fitted, encode)[0]

    def _read(self, encoder: StoredEncoder, function: Callable[[NDArray], tuple[NDArray, ...]]) -> tuple[Views, ...]:
        """What an encoder gives of each set; of the real ones from the cache."""
        series = self.series
        real = [self._cache.outputs(encoder, function, X) for X in (series.test, series.train)]
        return tuple(series.of(*parts) for parts in zip(*real, function(series.synthetic), strict=True))

    def _through(self, function: Callable[[NDArray], NDArray]) -> Views:
        series = self.series
        return series.of(function(series.test), function(series.train), function(series.synthetic))

    def _named(self, name: str, seed: int) -> Progress:
        """Progress under the name of what is trained, and which of the seeds it is."""
        title = name if len(self.seeds) == 1 else f"{name}, seed {seed}"

        def report(stage: str, done: int, total: int, note: str = "") -> None:
            self._progress(title, done, total, note)

        return report


def _single(y: NDArray) -> bool:
    return len(set(y.tolist())) < 2
