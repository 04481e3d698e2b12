"""Protocols: which data, encoders and measures a report stands on. Figures of two protocols are never mixed."""

from __future__ import annotations

import difflib
import importlib.metadata
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.data.channels import channel_names
from timeloom.data.splits import proportional_labels
from timeloom.encoders.inputs import check_series
from timeloom.errors import InputError
from timeloom.evaluation.cache import EncoderCache
from timeloom.evaluation.evidence import Absent, RealData, TokenViews
from timeloom.evaluation.exhibiting import exhibits
from timeloom.evaluation.gathering import Evidence
from timeloom.evaluation.metrics import METRICS
from timeloom.evaluation.report import Report
from timeloom.evaluation.results import Measure
from timeloom.evaluation.verdict import judge
from timeloom.evaluation.workers import Workers, paying_workers
from timeloom.progress import Progress, silent
from timeloom.threads import cpu_threads

ProtocolName = Literal["honest", "ucr"]
# what TimeVQVAE's authors report (Lee et al. 2023, section 5.1 and appendix), and the reconstruction that explains it
UCR_METRICS = ("fid_fcn", "inception_score", "cas", "recon_fid_fcn")
UCR_LEAST, CAS_LEAST = 256, 1000
BY_CHANCE = 0.05
# parts of the evidence that wait for encoders to be trained, in the order in which they are
TRAINED = ("ts2vec", "fcn_features", "predictions")
FEATURE_WIDTHS = {"fid_fcn": "fcn_features", "fid_rocket": "rocket", "context_fid": "ts2vec", "fid_catch22": "catch22"}


@dataclass(frozen=True)
class Settings:
    """What a report is asked for.

    Attributes:
        protocol: `honest` (every measure) or `ucr` (the published protocol on the UCR archive).
        metrics: names; None takes all of the protocol's.
        n_seeds: trainings of each encoder that is trained; measures are averaged over them.
        seed: of the encoders (`seed`, `seed + 1`, ...), the kernels, the memoriser and the bootstrap.
        fcn_steps: optimisation steps of every FCN; None takes `default_steps` of the series it is trained on.
        ts2vec_steps: the same of TS2Vec.
        workers: processes that train encoders beside this one, no more than there are cores; 0 trains them in this
            process; None takes one for each core, or 0 where there is one core or a number of steps is set. The
            figures are the same.
    """

    protocol: ProtocolName = "honest"
    metrics: Sequence[str] | None = None
    n_seeds: int = 3
    seed: int = 0
    fcn_steps: int | None = None
    ts2vec_steps: int | None = None
    workers: int | None = None

    @property
    def processes(self) -> int:
        """How many encoders train at once beside this process: so many as pay."""
        return paying_workers(self.fcn_steps, self.ts2vec_steps) if self.workers is None else self.workers


def evaluate_arrays(
    real: RealData,
    X_synthetic: ArrayLike,
    y_synthetic: ArrayLike | None = None,
    *,
    tokens: TokenViews | None = None,
    settings: Settings | None = None,
    cache: EncoderCache | None = None,
    names: tuple[str, str] = ("real", "synthetic"),
    progress: Progress = silent,
) -> Report:
    """Score synthetic series (N, C, T) against both real splits, beside the floor and the memoriser.

    Args:
        real: both real splits.
        X_synthetic: series in the units of the real data.
        y_synthetic: (N,) labels; without them what rests on classes is undefined.
        tokens: what a tokenizer makes of the series; without it the measures of tokens are undefined.
        settings: protocol, measures and seeds.
        cache: encoders fitted by earlier reports.
        names: of the data and of the synthetic series, for the report.
        progress: told about each training and each measure.

    Raises:
        InputError: arrays whose channels, length or number of labels do not match, fewer than 2 series in a set,
            test or synthetic labels unknown to the real training split, an unknown measure.
    """
    settings = Settings() if settings is None else settings
    known = [name for name in METRICS if settings.protocol == "honest" or name in UCR_METRICS]
    chosen = chosen_metrics(settings.metrics, known, settings.protocol)
    if settings.n_seeds < 1:
        raise InputError(f"seeds is {settings.n_seeds}; allowed: at least 1")
    if settings.processes < 0:
        raise InputError(f"workers is {settings.workers}; allowed: at least 0, or None")
    real = _check_real(real)
    synthetic = _check_split("X_synthetic", X_synthetic, real.X_train.shape[1:])
    labels = _check_known("y_synthetic", y_synthetic, len(synthetic), real.y_train)
    if tokens is not None and tokens.reconstruction.shape != real.X_test.shape:
        raise InputError(
            f"reconstruction has shape {tokens.reconstruction.shape}; allowed: {real.X_test.shape}, that of X_test"
        )
    warnings: list[str] = []
    near, far = np.arange(len(synthetic)), np.arange(len(synthetic))
    if settings.protocol == "ucr":
        near, far, warnings = _ucr_rows(real, labels, len(synthetic), settings.seed)

    def evidence_of(rows: NDArray) -> Evidence:
        return Evidence(
            real,
            synthetic[rows],
            None if labels is None else labels[rows],
            tokens,
            seeds=range(settings.seed, settings.seed + settings.n_seeds),
            fcn_steps=settings.fcn_steps,
            ts2vec_steps=settings.ts2vec_steps,
            cache=cache,
            workers=workers,
            progress=progress,
        )

    cache = EncoderCache() if cache is None else cache
    with Workers(settings.processes) as workers:
        evidence = evidence_of(near)
        of_metric = dict.fromkeys(chosen, evidence)
        if "cas" in chosen and len(near) < len(far):
            of_metric["cas"] = evidence_of(far)
        for of in dict.fromkeys(of_metric.values()):
            of.start({part for name in chosen if of_metric[name] is of for part in METRICS[name].parts})
        # more threads than cores are left would wait for each other
        with cpu_threads(workers.spare_cores):
            measures, seconds = _measured(of_metric, progress)
    missing = missing_classes(real.y_train, labels)
    return Report(
        protocol=settings.protocol,
        metrics=measures,
        seconds_parts=seconds,
        versions=versions(),
        counts=_counts(evidence),
        warnings=[*warnings, *_warnings(evidence, measures, missing)],
        families={name: METRICS[name].family for name in chosen},
        verdicts=judge(measures, min(map(len, (real.X_train, real.X_test, evidence.series.synthetic))), missing),
        exhibits=exhibits(evidence, chosen),
        data=names[0],
        synthetic=names[1],
    )


def _measured(of_metric: dict[str, Evidence], progress: Progress) -> tuple[dict[str, Measure], dict[str, float]]:
    """Measures by name, in the order given, and the seconds that each and each part took.

    What waits for no training is measured first, then what waits for the first ones.
    """

    def readiness(name: str) -> int:
        return max((TRAINED.index(part) + 1 for part in METRICS[name].parts if part in TRAINED), default=0)

    seconds: dict[str, float] = {}
    found: dict[str, Measure] = {}
    for done, name in enumerate(sorted(of_metric, key=readiness), start=1):
        for part in METRICS[name].parts:
            with timed(seconds, part):
                getattr(of_metric[name], part)
        with timed(seconds, name):
            found[name] = METRICS[name].compute(of_metric[name])
        progress("measures", done, len(of_metric), name)
    return {name: found[name] for name in of_metric}, seconds


def chosen_metrics(metrics: Sequence[str] | None, known: Sequence[str], protocol: str) -> list[str]:
    """Names of the measures that are asked for, in the order of the protocol's table; None asks for all of them.

    Raises:
        InputError: no measure, or one that the protocol does not have.
    """
    if metrics is None:
        return list(known)
    if not metrics:
        raise InputError(f"no measure was asked for; allowed: {', '.join(known)}")
    for name in metrics:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ";"
            raise InputError(f"unknown measure {name!r} in protocol {protocol}{hint} allowed: {', '.join(known)}")
    return [name for name in known if name in metrics]


def _ucr_rows(
    real: RealData, labels: NDArray | None, n_synthetic: int, seed: int
) -> tuple[NDArray, NDArray, list[str]]:
    """Rows of the synthetic series for distances, max(|test|, 256), and for CAS, at least 1000; and what is short.

    Those for distances have the classes in the proportions of all synthetic series: drawn without a look at classes
    some would come too often, others too rarely, which adds to a distance of few series.
    """
    order = np.random.default_rng(seed).permutation(n_synthetic)
    wanted = max(len(real.X_test), UCR_LEAST)
    notes = []
    if n_synthetic < wanted:
        notes.append(
            f"protocol ucr wants max(|test|, {UCR_LEAST}) = {wanted} synthetic series; {n_synthetic} were given"
        )
    elif n_synthetic > wanted:
        by_class = "" if labels is None else " by class"
        notes.append(
            f"protocol ucr: distances rest on {wanted} of the {n_synthetic} synthetic series, drawn{by_class} by the "
            "seed"
        )
    near = order[:wanted] if labels is None else _by_class(order, labels, wanted)
    return np.sort(near), np.sort(order[: max(wanted, CAS_LEAST)]), notes


def _by_class(order: NDArray, labels: NDArray, n: int) -> NDArray:
    """The first rows of each class in an order of all labels (N,), n in all, or N, in the proportions of the whole."""
    classes, counts = np.unique(proportional_labels(labels, n), return_counts=True)
    return np.concatenate([order[labels[order] == of][:most] for of, most in zip(classes, counts, strict=True)])


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
    y_train = _check_labels("y_train", real.y_train, len(X_train))
    y_test = _check_known("y_test", real.y_test, len(X_test), y_train)
    return RealData(X_train, y_train, X_test, y_test, channel_names(real.channels, X_train.shape[1], "channels"))


def _check_known(name: str, y: ArrayLike | None, n_cases: int, y_train: NDArray | None) -> NDArray | None:
    """Labels of a set that is compared; None where it or the training split has none."""
    labels = _check_labels(name, y, n_cases)
    if labels is None or y_train is None:
        return None
    known = set(y_train.tolist())
    unknown = sorted(set(labels.tolist()) - known, key=str)
    if unknown:
        raise InputError(f"{name} holds the label {unknown[0]!r}; allowed: {sorted(known, key=str)}, as in y_train")
    return labels


def _counts(evidence: Evidence) -> dict[str, int]:
    series = evidence.series
    return {
        "train": len(series.train),
        "test": len(series.test),
        "synthetic": len(series.synthetic),
        "channels": series.test.shape[1],
        "timepoints": series.test.shape[2],
        "encoder_seeds": len(evidence.seeds),
    }


def _warnings(evidence: Evidence, measures: dict[str, Measure], missing: Sequence[str]) -> list[str]:
    series, found = evidence.series, []
    sizes = {"test": series.test, "train": series.train, "synthetic": series.synthetic}
    narrow = {}
    for metric, part in FEATURE_WIDTHS.items():
        views = getattr(evidence, part) if metric in measures else Absent("not measured")
        if not isinstance(views, Absent):
            width = (views[0] if isinstance(views, tuple) else views).test.shape[1]
            if min(map(len, sizes.values())) <= width:
                narrow[metric] = width
    if narrow:
        held = ", ".join(f"{len(X)} {name}" for name, X in sizes.items())
        widths = ", ".join(f"{metric} ({width})" for metric, width in narrow.items())
        found.append(
            f"fewer series ({held}) than features of {widths}: read these beside their floor and memoriser, not as "
            "numbers of their own"
        )
    twins = _shared(series.test, series.train)
    if twins:
        found.append(f"{twins} of {len(series.test)} held-out series are identical to training series: not held out")
    seen = _shared(series.synthetic, series.test)
    if seen:
        found.append(f"{seen} synthetic series are identical to held-out ones: what is measured is not new data")
    for name, X in sizes.items():
        share, flat = float(np.isnan(X).mean()), _constant_series(X)
        if share:
            found.append(f"{share:.1%} of the {name} values are missing and were interpolated")
        if flat:
            found.append(f"{flat} of the {len(X)} {name} series are constant")
    if missing:
        found.append(f"no synthetic series of class {', '.join(missing)}: the classifiers never see it")
    if "cas" in measures and measures["cas"].value is not None and len(series.synthetic) < CAS_LEAST:
        found.append(
            f"cas: trained on {len(series.synthetic)} synthetic series; {CAS_LEAST}, as published, make it steadier"
        )
    return found


def _shared(series: NDArray, others: NDArray) -> int:
    """How many series are among the others."""
    known = {row.tobytes() for row in others}
    return sum(row.tobytes() in known for row in series)


def _constant_series(X: NDArray) -> int:
    """How many series have one value in each channel, or none."""
    missing = np.isnan(X)
    highest, lowest = np.where(missing, -np.inf, X).max(axis=2), np.where(missing, np.inf, X).min(axis=2)
    return int((highest <= lowest).all(axis=1).sum())


def missing_classes(y_train: NDArray | None, y: NDArray | None) -> list[str]:
    """Classes of the training split that no synthetic series has, and that as many real ones would not miss by chance.

    The chance to miss a class of share p in n series is (1 - p)^n. None where there are no labels.
    """
    if y is None or y_train is None:
        return []
    classes, counts = np.unique(y_train, return_counts=True)
    by_chance = (1 - counts / counts.sum()) ** len(y)
    missing = ~np.isin(classes, y) & (by_chance < BY_CHANCE)
    return [str(label) for label in classes[missing]]


def versions() -> dict[str, str]:
    """Versions of what the figures depend on."""
    found = {"python": platform.python_version()}
    for package in ("timeloom", "torch", "numpy", "scikit-learn"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


@contextmanager
def timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    """Add the wall-clock time of the block to `seconds[part]`."""
    start = time.perf_counter()
    yield
    seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - start
