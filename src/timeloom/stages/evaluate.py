"""Stage 4: measure synthetic series against real ones."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from timeloom.data import Dataset, check_series, match_label_type, read_series
from timeloom.errors import InputError
from timeloom.evaluation import EncoderCache, RealData, Report, Settings, TokenViews, evaluate_arrays, plot_samples
from timeloom.evaluation.cache import default_folder
from timeloom.evaluation.page import write_comparison_page
from timeloom.evaluation.report import explanations
from timeloom.evaluation.windows import evaluate_windows
from timeloom.prior.decoding import Round, SamplingConfig
from timeloom.prior.prior import Prior
from timeloom.progress import Progress, silent
from timeloom.stages import sample
from timeloom.stages.train import saved_sampling
from timeloom.stages.train_prior import tokenize
from timeloom.stages.train_tokenizer import class_indices
from timeloom.tokenizer.tokenizer import Tokenizer

REPORT, PAGE, PICTURE, COMPARISON = "report.json", "report.html", "samples.png", "comparison.html"
# series whose decoding is watched for the picture of entropy and confidence
WATCHED = 128

Pair = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class Models:
    """What a run folder adds to a report: its models and how it samples."""

    tokenizer: Tokenizer
    prior: Prior
    sampling: SamplingConfig

    @classmethod
    def load(cls, run: Path) -> Models:
        """The models of a run folder.

        Raises:
            InputError: a part is missing or damaged.
        """
        tokenizer, prior = sample.load(run)
        return cls(tokenizer, prior, saved_sampling(run))


def run(
    data: Dataset,
    X: np.ndarray,
    y: np.ndarray | None,
    out: Path | None,
    *,
    protocol: Literal["honest", "ucr", "windows"] = "honest",
    labels: Sequence[int | str] | None = None,
    metrics: Sequence[str] | None = None,
    n_seeds: int | None = None,
    seed: int = 0,
    models: Models | None = None,
    cache: EncoderCache | None = None,
    name: str = "synthetic",
    page: bool = True,
    progress: Progress = silent,
) -> Report:
    """Measure, and write `report.json`, `report.html` and `samples.png` into `out`.

    Args:
        data: the real series; without a test split a part of them is held out (not under `windows`, which has none).
        X: synthetic series (n, C, T).
        y: their labels, in the words of the data, or None.
        out: folder for the results; None writes nothing.
        protocol: `honest`, or the published `ucr` or `windows`.
        labels: only the series of these classes, real and synthetic; without labels of their own the synthetic series
            are taken to be of them. None takes all.
        metrics: names of the measures; None takes all of the protocol's.
        n_seeds: trainings of each encoder; None takes the protocol's number (3; 1 of `ucr`; 5 of `windows`).
        seed: source of all randomness.
        models: of the run that made the series, for the measures that rest on tokens.
        cache: encoders fitted by earlier reports; None keeps none.
        name: of the synthetic series, in the report.
        page: draw `report.html`, which takes some seconds.
        progress: told what is measured.

    Raises:
        InputError: shapes or labels do not fit the data, a class that one of the sets lacks, the tokenizer was
            trained on another training split, or an unknown measure.
    """
    if protocol not in ("honest", "ucr", "windows"):
        raise InputError(f"--protocol: {protocol!r}; allowed: honest, ucr, windows")
    if protocol != "windows":
        data = data.with_test_split()
    _check_shape(data, X)
    y = _own_labels(data, y)
    if models is not None:
        _check_run(models, data)
    if labels:
        data, (X, y) = data.of_classes(labels), _of_classes(data, X, y, labels)
    if protocol == "windows":
        real = data.X_train if data.X_test is None else np.concatenate([data.X_train, data.X_test])
        report = evaluate_windows(
            real,
            X,
            metrics=metrics,
            n_seeds=5 if n_seeds is None else n_seeds,
            seed=seed,
            cache=cache,
            names=(data.name, name),
            progress=progress,
        )
    else:
        assert data.X_test is not None
        tokens = None if models is None else _token_views(models, data, X, seed)
        report = evaluate_arrays(
            RealData(data.X_train, data.y_train, data.X_test, data.y_test, data.channels),
            X,
            y,
            tokens=tokens,
            settings=Settings(protocol, metrics, (1 if protocol == "ucr" else 3) if n_seeds is None else n_seeds, seed),
            cache=cache,
            names=(data.name, name),
            progress=progress,
        )
    if out is not None:
        write(report, out, page=page, progress=progress)
    return report


def write(report: Report, out: Path, *, page: bool = True, progress: Progress = silent) -> None:
    """`report.json`, `samples.png` and, if wanted, `report.html` in a folder."""
    report.save(out / REPORT)
    shown = report.exhibits
    if shown is not None:
        plot_samples(
            out / PICTURE, shown.X_test, shown.y_test, shown.X_synthetic, shown.y_synthetic, channels=shown.channels
        )
    # what is not drawn now would be of an earlier report
    for name, drawn in ((PICTURE, shown is not None), (PAGE, page)):
        if not drawn:
            (out / name).unlink(missing_ok=True)
    if page:
        progress("draw the page", 0, 1)
        report.to_html(out / PAGE)
        progress("draw the page", 1, 1)


def compare(
    data: Dataset,
    generators: dict[str, Pair],
    out: Path,
    *,
    metrics: Sequence[str] | None = None,
    n_seeds: int | None = None,
    seed: int = 0,
    cache: EncoderCache | None = None,
    progress: Progress = silent,
) -> dict[str, Report]:
    """Measure several generators' series on the same data with the same encoders; a report each, and one page of all.

    Raises:
        InputError: as `run`, with the name of the generator.
    """
    cache = EncoderCache() if cache is None else cache
    reports: dict[str, Report] = {}
    for name, (X, y) in generators.items():  # all of them before the first takes minutes
        with _told_of(name):
            _check_shape(data, X)
            _own_labels(data, y)
    for name, (X, y) in generators.items():
        with _told_of(name):
            reports[name] = run(
                data, X, y, None, metrics=metrics, n_seeds=n_seeds, seed=seed, cache=cache, name=name, progress=progress
            )
    for name, report in reports.items():
        write(report, out / name, progress=progress)
    write_comparison_page(out / COMPARISON, dict(reports), explanations())
    return reports


@contextmanager
def _told_of(name: str) -> Iterator[None]:
    """Name the generator in what is wrong with its series."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def comparison_table(reports: dict[str, Report]) -> str:
    """Plain text: a row a measure, a column a generator, with floor and memoriser (of the first) beside them."""
    first = next(iter(reports.values()))
    head = ("metric", *reports, "floor", "memoriser", "better")
    rows: list[tuple[str, ...]] = [head]
    for name, measure in first.metrics.items():
        values = [report.metrics[name].value for report in reports.values()]
        cells = ["-" if value is None else f"{value:.4g}" for value in (*values, measure.floor, measure.memoriser)]
        rows.append((name, *cells, measure.better))
    for aspect in (verdict.aspect for verdict in first.verdicts):
        grades = [next(v.grade for v in report.verdicts if v.aspect == aspect) for report in reports.values()]
        rows.append((aspect, *grades, "", "", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def evaluate(
    real_train: object,
    real_test: object,
    synthetic: object,
    *,
    protocol: Literal["honest", "ucr", "windows"] = "honest",
    metrics: str | Sequence[str] | None = None,
    n_seeds: int | None = None,
    seed: int = 0,
    run_folder: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | Literal["default"] | None = "default",
    progress: Progress = silent,
) -> Report:
    """Measure synthetic series of any generator against real ones.

    Args:
        real_train: series (n, C, T) or (n, T) that the generator learned from, or a pair (series, labels).
        real_test: real series that it did not see, likewise.
        synthetic: synthetic series, likewise; or the name of a file.
        protocol: `honest`, `ucr` or `windows`.
        metrics: a name or names of measures, see `timeloom.evaluation.METRICS`; None takes all.
        n_seeds: trainings of each encoder.
        seed: source of all randomness.
        run_folder: of `timeloom train`, if that made the series: for the measures of tokens.
        cache: folder that keeps fitted encoders; None keeps none.
        progress: told what is measured.

    Raises:
        InputError: series or labels that do not fit together (it says which and why).

    Example:
        >>> report = timeloom.evaluate((X_train, y_train), (X_test, y_test), (X_new, y_new))    # doctest: +SKIP
        >>> print(report.table()); report.to_html("report.html")                                # doctest: +SKIP
    """
    X_train, y_train = _pair(real_train, "real_train", 2)
    X_test, y_test = _pair(real_test, "real_test", 1)
    X, y = _pair(synthetic, "synthetic", 1)
    data = Dataset("real", X_train, y_train, X_test, None)
    data = replace(data, y_test=_own_labels(data, y_test, "real_test"))
    folder = default_folder() if cache == "default" else None if cache is None else Path(cache)
    return run(
        data,
        X,
        y,
        None,
        protocol=protocol,
        metrics=[metrics] if isinstance(metrics, str) else metrics,
        n_seeds=n_seeds,
        seed=seed,
        models=None if run_folder is None else Models.load(Path(run_folder)),
        cache=EncoderCache(folder),
        progress=progress,
    )


def _pair(given: object, name: str, least: int) -> Pair:
    if isinstance(given, str | os.PathLike):
        X, y, _ = read_series(Path(given))
        return X, y
    X, y = given if isinstance(given, tuple) else (given, None)
    return check_series(X, y, name, least)


def _check_shape(data: Dataset, X: np.ndarray) -> None:
    if X.shape[1:] != data.X_train.shape[1:]:
        swapped = "; are its axes (n, time, channels)?" if X.shape[:0:-1] == data.X_train.shape[1:] else ""
        raise InputError(
            f"the synthetic series have (channels, length) = {X.shape[1:]}, {data.name} has "
            f"{data.X_train.shape[1:]}{swapped}"
        )


def _own_labels(data: Dataset, y: np.ndarray | None, of: str = "the synthetic series") -> np.ndarray | None:
    """Labels in the words of the data; None where the data has none."""
    if y is None or data.classes is None:
        return None
    try:
        return np.array(match_label_type(list(y), data.classes))
    except InputError as error:
        raise InputError(f"labels of {of}: {error}, as in {data.name}") from None


def _of_classes(data: Dataset, X: np.ndarray, y: np.ndarray | None, labels: Sequence[int | str]) -> Pair:
    """The synthetic series of these classes; without labels all of them, as of the class, if it is one."""
    assert data.classes is not None
    wanted = match_label_type(list(labels), data.classes)
    if y is None:
        return X, np.repeat(wanted, len(X)) if len(wanted) == 1 else None
    kept = np.isin(y, wanted)
    if not kept.any():
        theirs = ", ".join(str(label) for label in np.unique(y))
        raise InputError(f"--label: no synthetic series of class {', '.join(map(str, wanted))}; they have {theirs}")
    return X[kept], y[kept]


def _check_run(models: Models, data: Dataset) -> None:
    spec = models.tokenizer.spec
    if spec.fingerprint != data.fingerprint:
        raise InputError(
            f"--run: was trained on {spec.name} ({spec.fingerprint}), not on the training split "
            f"of {data.name} ({data.fingerprint}); give the data it was trained on, or leave --run out"
        )


def _token_views(models: Models, data: Dataset, X: np.ndarray, seed: int) -> TokenViews:
    tokenizer, prior = models.tokenizer, models.prior
    assert data.X_test is not None
    test, train, synthetic = (tokenize(tokenizer, series) for series in (data.X_test, data.X_train, X))
    generator = torch.Generator().manual_seed(seed)
    likelihood = [
        prior.masked_log_likelihood(tokens, class_indices(tokenizer.spec, y, len(tokens)), generator).numpy()
        for tokens, y in ((test, data.y_test), (train, data.y_train))
    ]
    rounds: list[Round] = []
    classes = class_indices(tokenizer.spec, data.y_train, len(train))
    watched = classes[torch.linspace(0, len(classes) - 1, min(WATCHED, len(classes))).long()]
    prior.sample(watched, models.sampling, generator, trace=rounds)
    texture = models.sampling.resolve(prior.decoding).texture
    return TokenViews(
        reconstruction=torch.cat([tokenizer.decode(part, generator, texture) for part in test.split(256)]).numpy(),
        test=test.numpy(),
        train=train.numpy(),
        synthetic=synthetic.numpy(),
        codebook_size=tokenizer.layout.codebook_size,
        features=tuple(tokenizer.pool(part).numpy() for part in (test, train, synthetic)),  # type: ignore[arg-type]
        likelihood=(likelihood[0], likelihood[1]),
        step_entropy=np.array([done.entropy for done in rounds]),
        step_confidence=np.array([done.confidence for done in rounds]),
    )
