"""Compare encoders by what their features are good for, each beside its untrained self and a simple baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from timeloom.config import merge_all, parse_override
from timeloom.data import Dataset, LongSeries
from timeloom.encoders import ENCODERS
from timeloom.errors import InputError
from timeloom.progress import Progress, silent
from timeloom.stages import encoder_forecasting, encoder_tasks
from timeloom.stages.encoder_forecasting import FORECASTERS, ForecastConfig
from timeloom.stages.encoder_tasks import Figures
from timeloom.stages.train_encoder import EncoderConfig

Task = Literal["classification", "forecasting", "anomaly"]
TASKS: tuple[Task, ...] = get_args(Task)
BASELINE = "no encoder"


class Method(NamedTuple):
    """A row of the table: an encoder with its settings, or a baseline that needs none."""

    name: str
    config: EncoderConfig | None


class Result(NamedTuple):
    """What one method reached on one data set with one seed.

    Attributes:
        data: name of the data set.
        method: name of the row.
        seed: of the encoder, of the folds, and of the planted faults.
        figures: by name; accuracies and areas in [0, 1] (higher is better), errors of scaled values (lower is better).
    """

    data: str
    method: str
    seed: int
    figures: Figures


class Row(NamedTuple):
    """Mean and standard deviation over the seeds."""

    data: str
    method: str
    n_seeds: int
    figures: dict[str, tuple[float, float]]


def methods(task: str, encoders: Sequence[str], overrides: Iterable[str] = (), control: bool = True) -> list[Method]:
    """What is compared: the encoders, beside each that trains its untrained self, and the task's baselines.

    Args:
        task: one of `TASKS`.
        encoders: keys of `ENCODERS`.
        overrides: settings, as `ts2vec.steps=50`.
        control: with the untrained encoders.

    Raises:
        InputError: an unknown task, encoder or setting, or an encoder that does not do the task.
    """
    if task not in TASKS:
        raise InputError(f"task = {task!r}: must be one of {', '.join(TASKS)}")
    settings = merge_all(map(parse_override, overrides))
    bare = [f"{name}={of}" for name, of in settings.items() if not isinstance(of, dict)]
    if bare:
        raise InputError(f"--set {bare[0]}: must be ENCODER.KEY=VALUE, such as ts2vec.steps=50")
    unused = sorted(set(settings) - set(encoders))
    if unused:
        raise InputError(f"--set {unused[0]}: is none of the encoders that are compared, {', '.join(encoders)}")
    known = tuple(FORECASTERS) if task == "forecasting" else tuple(ENCODERS)
    wrong = [name for name in encoders if name not in known]
    if wrong or not encoders:
        raise InputError(f"encoder = {wrong[0] if wrong else 'none'!r}: must be one of {', '.join(known)} for {task}")
    found = []
    for name in dict.fromkeys(encoders):
        config = EncoderConfig.parse({"encoder": name, "settings": settings.get(name, {})})
        found.append(Method(name, config))
        untrained = config.untrained() if control else None
        if untrained is not None:
            found.append(Method(f"{name}, untrained", untrained))
    return [*found, Method(BASELINE, None)]


def check(task: Task, data: Dataset | LongSeries, method: Method, forecast: ForecastConfig | None = None) -> None:
    """Refuse what could not be measured, before any work.

    Raises:
        InputError: data that do not fit the task or the encoder.
    """
    encoder = None if method.config is None else method.config.encoder
    if isinstance(data, LongSeries):
        if task != "forecasting":
            raise InputError(f"{data.name}: is one long series; allowed for {task}: series, or windows of it")
        encoder_forecasting.check_forecast(data, encoder, forecast or ForecastConfig())
        return
    if task == "forecasting":
        raise InputError(f"{data.name}: is a set of series; allowed for forecasting: one long series")
    if task == "classification":
        encoder_tasks.check_labelled(data)
    else:
        encoder_tasks.check_windows(data)
    if encoder is not None and ENCODERS[encoder].needs_labels and data.y_train is None:
        raise InputError(f"{data.name}: has no labels; allowed for {encoder}: labelled data")


class Job(NamedTuple):
    """A piece of work: one method on one data set with one seed."""

    data: Dataset | LongSeries
    method: Method
    seed: int


def jobs(
    task: Task,
    sources: Sequence[Dataset | LongSeries],
    compared: Sequence[Method],
    seeds: Sequence[int],
    forecast: ForecastConfig | None = None,
) -> list[Job]:
    """All that is to be measured, data set after data set; without an encoder nothing of a forecast is random.

    Raises:
        InputError: data that do not fit the task or an encoder, or two data sets of one name.
    """
    names = [data.name for data in sources]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"two data sets are called {twice[0]}; allowed: different names, as the table goes by them")
    found = []
    for data in sources:
        for method in compared:
            check(task, data, method, forecast)
            once = task == "forecasting" and method.config is None
            found += [Job(data, method, seed) for seed in (seeds[:1] if once else seeds)]
    return found


def measure(
    task: Task,
    data: Dataset | LongSeries,
    method: Method,
    seed: int,
    forecast: ForecastConfig | None = None,
    *,
    progress: Progress = silent,
) -> list[Result]:
    """One method on one data set with one seed: the piece of work that a benchmark repeats; several rows of some.

    Raises:
        InputError: as `check`.
    """
    check(task, data, method, forecast)
    config = None if method.config is None else method.config.model_copy(update={"seed": seed})
    rows: dict[str, Figures]
    if isinstance(data, LongSeries):
        settings = forecast or ForecastConfig()
        if config is None:
            rows = encoder_forecasting.forecast_baselines(data, settings, progress=progress)
        else:
            rows = {method.name: encoder_forecasting.forecasting(data, config, settings, progress=progress)}
    elif task == "anomaly":
        if config is None:
            rows = encoder_tasks.anomaly_baselines(data, seed)
        else:
            scored = encoder_tasks.anomaly(data, config, progress=progress)
            rows = {f"{method.name}, {name}": figures for name, figures in scored.items()}
    elif config is None:
        rows = encoder_tasks.classification_baselines(data, seed)
    else:
        rows = {method.name: encoder_tasks.classification(data, config, progress=progress)}
    return [Result(data.name, name, seed, figures) for name, figures in rows.items()]


def run(
    task: Task,
    sources: Sequence[Dataset | LongSeries],
    compared: Sequence[Method],
    *,
    n_seeds: int = 3,
    forecast: ForecastConfig | None = None,
    keep: Callable[[list[Result]], object] = lambda found: None,
    progress: Progress = silent,
) -> list[Result]:
    """Every method on every data set with seeds 0, 1, ...; `keep` is given what there is after each.

    Raises:
        InputError: as `jobs`, before any work, or no seed.
    """
    if n_seeds < 1:
        raise InputError(f"seeds is {n_seeds}; allowed: at least 1")
    found: list[Result] = []
    planned = jobs(task, sources, compared, range(n_seeds), forecast)
    for done, (data, method, seed) in enumerate(planned, 1):
        found += measure(task, data, method, seed, forecast, progress=progress)
        keep(found)
        progress("benchmark", done, len(planned), f"{data.name}, {method.name}, seed {seed}")
    return found


def summary(results: Sequence[Result]) -> list[Row]:
    """A row for each data set and method, in the order in which they came."""
    groups: dict[tuple[str, str], list[Figures]] = {}
    for result in results:
        groups.setdefault((result.data, result.method), []).append(result.figures)
    rows = []
    for (data, method), figures in groups.items():
        columns = {name: [of[name] for of in figures] for name in figures[0]}
        spread = {
            name: (float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0)
            for name, values in columns.items()
        }
        rows.append(Row(data, method, len(figures), spread))
    return rows


def table(results: Sequence[Result], *, markdown: bool = False) -> str:
    """Mean ± standard deviation over the seeds, a line a method; as Markdown or aligned for a terminal."""
    rows = summary(results)
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    lines = [["data", "method", "seeds", *names]]
    for row in rows:
        cells = [_cell(*row.figures[name], row.n_seeds) if name in row.figures else "" for name in names]
        lines.append([row.data, row.method, str(row.n_seeds), *cells])
    if markdown:
        return as_markdown(lines)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def as_markdown(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table of a header and rows."""
    ruled = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in ruled)


def _cell(mean: float, deviation: float, n_seeds: int) -> str:
    if mean > 1 and mean.is_integer() and not deviation:
        return str(int(mean))  # a number of windows
    return f"{mean:.3f}" + (f" ± {deviation:.3f}" if n_seeds > 1 else "")
