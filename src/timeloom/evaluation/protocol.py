"""The honest protocol: hold-out data, fixed seeds, no choice by test results, floors beside every number."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.encoders.fcn import FCN
from timeloom.encoders.inputs import check_series
from timeloom.encoders.rocket import Rocket
from timeloom.errors import InputError
from timeloom.evaluation.evidence import Absent, Correctness, Evidence, RealData, TokenViews, Views
from timeloom.evaluation.metrics import METRICS
from timeloom.evaluation.report import Measure, Report
from timeloom.progress import Progress, silent

PROTOCOL = "honest"
NO_LABELS = Absent("the data has no labels")
NO_TOKENS = Absent("no tokenizer was given")
CAS_SERIES = 1000


def evaluate_arrays(
    real: RealData,
    X_synthetic: ArrayLike,
    y_synthetic: ArrayLike | None = None,
    *,
    tokens: TokenViews | None = None,
    seed: int = 0,
    n_seeds: int = 1,
    fcn_steps: int | None = None,
    trained: dict[str, FCN] | None = None,
    progress: Progress = silent,
) -> Report:
    """Score synthetic series (N, C, T) against both real splits, beside the floor and the memoriser.

    FCNs are trained on the real training split (features, probabilities, train-on-real accuracy), on the synthetic
    series and on the memoriser's (CAS), each for the steps that its number of series asks for; ROCKET takes its scale
    from the real training split. The memoriser draws training series with their labels again with replacement, as many
    as there are synthetic ones.

    Args:
        real: both real splits.
        X_synthetic: series in the units of the real data; the metrics want as many as there are test series.
        y_synthetic: (N,) labels; without them `cas` is undefined.
        tokens: what the tokenizer makes of the real series; without it three metrics are undefined.
        seed: of the FCNs (`seed`, `seed + 1`, ...), the kernels, the memoriser and the bootstrap.
        n_seeds: number of FCNs on each set; metrics are averaged over them.
        fcn_steps: optimisation steps of every FCN; None takes `default_steps` of the series it is trained on.
        trained: FCNs of earlier reports, kept by the caller: one that was trained on the same series with the same seed
            and steps is not trained again, and new ones are put in.
        progress: told about each training and each metric.

    Raises:
        InputError: arrays whose channels, length or number of labels do not match, fewer than 2 series in a set, or
            synthetic labels unknown to the real training split.
    """
    if n_seeds < 1:
        raise InputError(f"n_seeds is {n_seeds}; allowed: at least 1")
    real = _check_real(real)
    synthetic = _check_split("X_synthetic", X_synthetic, real.X_train.shape[1:])
    labels = _check_synthetic_labels(y_synthetic, len(synthetic), real.y_train)
    if tokens is not None and tokens.reconstruction.shape != real.X_test.shape:
        raise InputError(
            f"reconstruction has shape {tokens.reconstruction.shape}; allowed: {real.X_test.shape}, that of X_test"
        )
    seconds: dict[str, float] = {}
    rows = np.random.default_rng(seed).integers(0, len(real.X_train), size=len(synthetic))
    series = Views(
        test=real.X_test,
        train=real.X_train,
        synthetic=synthetic,
        memoriser=real.X_train[rows],
        reconstruction=NO_TOKENS if tokens is None else tokens.reconstruction,
    )
    trainer = _Trainer(
        steps=fcn_steps,
        seeds=range(seed, seed + n_seeds),
        trained={} if trained is None else trained,
        progress=progress,
    )
    with _timed(seconds, "train_on_real"):
        fcns = _train_on_real(real, trainer)
        features, probabilities = _fcn_views(fcns, series, rows)
    with _timed(seconds, "train_for_cas"):
        correctness = _correctness(fcns, real, series, labels, rows, trainer)
    with _timed(seconds, "rocket_features"):
        rocket = Rocket(seed=seed).fit(real.X_train)
        rocket_features = _rocket_views(rocket, series, rows)
    evidence = Evidence(
        series=series,
        fcn_features=features,
        fcn_probabilities=probabilities,
        rocket_features=rocket_features,
        correctness=correctness,
        tokens=NO_TOKENS if tokens is None else tokens,
        seed=seed,
    )
    return Report(
        protocol=PROTOCOL,
        metrics=_compute_metrics(evidence, seconds, progress),
        seconds_parts=seconds,
        versions=_versions(),
        counts=_counts(evidence, n_seeds),
        warnings=_warnings(evidence),
    )


def _check_split(name: str, X: ArrayLike, expected: tuple[int, ...]) -> NDArray[np.float32]:
    series = check_series(X, name)
    if len(series) < 2:
        raise InputError(f"{name} holds {len(series)} series; allowed: at least 2, for a covariance")
    if series.shape[1:] != expected:
        raise InputError(
            f"{name} has {series.shape[1]} channels of length {series.shape[2]}, "
            f"X_train {expected[0]} channels of length {expected[1]}; allowed: the same of both"
        )
    return series


def _check_labels(name: str, y: ArrayLike | None, n_cases: int) -> NDArray | None:
    if y is None:
        return None
    labels = np.asarray(y)
    if labels.shape != (n_cases,):
        raise InputError(f"{name} has shape {labels.shape}; allowed: ({n_cases},), one label for each series")
    return labels


def _check_real(real: RealData) -> RealData:
    shape = check_series(real.X_train, "X_train").shape[1:]
    X_train, X_test = _check_split("X_train", real.X_train, shape), _check_split("X_test", real.X_test, shape)
    return RealData(
        X_train=X_train,
        y_train=_check_labels("y_train", real.y_train, len(X_train)),
        X_test=X_test,
        y_test=_check_labels("y_test", real.y_test, len(X_test)),
    )


def _check_synthetic_labels(y: ArrayLike | None, n_cases: int, y_train: NDArray | None) -> NDArray | None:
    labels = _check_labels("y_synthetic", y, n_cases)
    if labels is None or y_train is None:
        return None
    known = set(y_train.tolist())
    unknown = sorted(set(labels.tolist()) - known, key=str)
    if unknown:
        raise InputError(
            f"y_synthetic holds the label {unknown[0]!r}; allowed: {sorted(known, key=str)}, as in y_train"
        )
    return labels


@dataclass(frozen=True)
class _Trainer:
    """How every FCN of a report is trained."""

    steps: int | None
    seeds: range
    trained: dict[str, FCN]
    progress: Progress

    def train(self, X: NDArray, y: NDArray, name: str) -> list[FCN]:
        """One FCN a seed; their progress is reported together, as the stage `name`."""
        fcns: list[FCN] = []

        def together(stage: str, done: int, total: int, note: str = "") -> None:
            self.progress(name, len(fcns) * total + done, len(self.seeds) * total, note)

        for seed in self.seeds:
            key = _key(X, y, self.steps, seed)
            if key not in self.trained:
                self.trained[key] = FCN(steps=self.steps, seed=seed).fit(X, y, progress=together)
            fcns.append(self.trained[key])
        return fcns


def _key(X: NDArray, y: NDArray, steps: int | None, seed: int) -> str:
    """Name of a training: the series, their labels, and what else decides its result."""
    digest = hashlib.sha256(f"{X.shape} {steps} {seed} {y.tolist()}".encode())
    digest.update(np.ascontiguousarray(X).tobytes())
    return digest.hexdigest()


def _train_on_real(real: RealData, trainer: _Trainer) -> list[FCN] | Absent:
    if real.y_train is None:
        return NO_LABELS
    if len(set(real.y_train.tolist())) < 2:
        return Absent("the training split holds a single class")
    return trainer.train(real.X_train, real.y_train, "FCN on real")


def _fcn_views(
    fcns: list[FCN] | Absent, series: Views, rows: NDArray
) -> tuple[tuple[Views, ...] | Absent, tuple[Views, ...] | Absent]:
    """Features and probabilities of each set under each FCN; the memoriser's are rows of the training split's."""
    if isinstance(fcns, Absent):
        return fcns, fcns
    features: list[Views] = []
    probabilities: list[Views] = []
    for fcn in fcns:
        test, train = fcn.encode_and_classify(series.test), fcn.encode_and_classify(series.train)
        synthetic = fcn.encode_and_classify(series.synthetic)
        reconstruction: tuple[NDArray | Absent, NDArray | Absent] = (NO_TOKENS, NO_TOKENS)
        if not isinstance(series.reconstruction, Absent):
            reconstruction = fcn.encode_and_classify(series.reconstruction)
        pairs = zip(test, train, synthetic, reconstruction, strict=True)
        for views, (of_test, of_train, of_synthetic, of_reconstruction) in zip(
            (features, probabilities), pairs, strict=True
        ):
            views.append(Views(of_test, of_train, of_synthetic, of_train[rows], of_reconstruction))
    return tuple(features), tuple(probabilities)


def _rocket_views(rocket: Rocket, series: Views, rows: NDArray) -> Views:
    train = rocket.encode(series.train)
    return Views(
        test=rocket.encode(series.test),
        train=train,
        synthetic=rocket.encode(series.synthetic),
        memoriser=train[rows],
        reconstruction=Absent("not used by any metric"),
    )


def _correctness(
    fcns: list[FCN] | Absent,
    real: RealData,
    series: Views,
    labels: NDArray | None,
    rows: NDArray,
    trainer: _Trainer,
) -> Correctness | Absent:
    """Which test series FCNs trained on each set get right; needs labels of both real splits."""
    if isinstance(fcns, Absent):
        return fcns
    if real.y_test is None or real.y_train is None:
        return Absent("the real test split has no labels")
    y_test, classes = real.y_test, real.y_train

    def correct(trained: list[FCN]) -> NDArray:
        return np.mean([fcn.predict(series.test) == y_test for fcn in trained], axis=0)

    def of_set(X: NDArray, y: NDArray | None, name: str) -> NDArray | Absent:
        if y is None:
            return Absent("the synthetic series have no labels")
        missing = sorted(set(classes.tolist()) - set(y.tolist()), key=str)
        if missing:
            return Absent(f"no {name} series of class {', '.join(map(str, missing))}")
        return correct(trainer.train(X, y, f"FCN on {name}"))

    return Correctness(
        train=correct(fcns),
        synthetic=of_set(series.synthetic, labels, "synthetic"),
        memoriser=of_set(series.memoriser, classes[rows], "memorised"),
    )


def _compute_metrics(evidence: Evidence, seconds: dict[str, float], progress: Progress) -> dict[str, Measure]:
    measures = {}
    for done, (name, metric) in enumerate(METRICS.items(), start=1):
        with _timed(seconds, name):
            measures[name] = metric(evidence)
        progress("metrics", done, len(METRICS), name)
    return measures


def _counts(evidence: Evidence, n_seeds: int) -> dict[str, int]:
    series = evidence.series
    return {
        "train": len(series.train),
        "test": len(series.test),
        "synthetic": len(series.synthetic),
        "channels": series.test.shape[1],
        "timepoints": series.test.shape[2],
        "fcn_seeds": n_seeds,
    }


def _warnings(evidence: Evidence) -> list[str]:
    series, found = evidence.series, []
    sizes = {"test": series.test, "train": series.train, "synthetic": series.synthetic}
    widths = {"fid_rocket": evidence.rocket_features.test.shape[1]}
    if not isinstance(evidence.fcn_features, Absent):
        widths = {"fid_fcn": evidence.fcn_features[0].test.shape[1], **widths}
    for metric, width in widths.items():
        small = [f"{len(X)} {name}" for name, X in sizes.items() if len(X) <= width]
        if small:
            found.append(
                f"{metric}: {' and '.join(small)} series do not fill {width} features; "
                "read it beside its floor and memoriser, not as a number of its own"
            )
    for name, X in sizes.items():
        if np.isnan(X).any():
            found.append(f"{np.isnan(X).mean():.1%} of the {name} values are missing and were interpolated")
    if isinstance(evidence.correctness, Correctness) and len(series.synthetic) < CAS_SERIES:
        found.append(f"cas: trained on {len(series.synthetic)} synthetic series; the UCR protocol wants {CAS_SERIES}")
    return found


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in ("timeloom", "torch", "numpy"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


@contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[part] = time.perf_counter() - start
