"""What encoders are good for, and how fast they are.

    python benchmarks/encoders.py classification --data GunPoint.npz ECG200.npz --encoders ts2vec rocket --work runs
    python benchmarks/encoders.py forecasting --data ETTh1.npz --encoders ts2vec --work runs        # and --univariate
    python benchmarks/encoders.py anomaly --data ETTm1.npz --window 96 --encoders ts2vec rocket --work runs
    python benchmarks/encoders.py table --work runs                                                  # what is finished
    python benchmarks/encoders.py speed --data ECG5000.npz

Each encoder that trains stands beside itself untrained, each task beside a baseline; seeds 0, 1, 2. Classifiers,
penalties and the number of steps are never chosen on test data, but for those of the FCN, which also learns from the
labels (see `timeloom.encoders.fcn.default_steps`). What is finished in `--work` is not done again, so a
run that was cut short goes on; a file there belongs to its data, settings and version, which are in its name and in it.
`speed` takes one thread and gives CPU time: of one training step of TS2Vec (batches of 8), and of encoding.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from timeloom import __version__
from timeloom import data as datasets
from timeloom.encoders import TS2Vec
from timeloom.errors import InputError
from timeloom.evaluation.tasks.classification import CLASSIFIERS
from timeloom.files import read_json, write_json
from timeloom.progress import RichProgress
from timeloom.stages import benchmark_encoders as stage
from timeloom.stages.encoder_forecasting import ForecastConfig
from timeloom.stages.train_encoder import STEPS

COST = "CPU s"  # of one seed: fit, encode, and the task itself


def load(task: str, source: str, window: int | None) -> datasets.Dataset | datasets.LongSeries:
    """The data of a task: one long series to forecast, series with a test split for the others."""
    return datasets.load_long(source) if task == "forecasting" else datasets.load(source, window).with_test_split()


def one(
    args: argparse.Namespace, data: datasets.Dataset | datasets.LongSeries, method: stage.Method, seed: int
) -> list[stage.Result]:
    """The rows of one method and seed; read from the work folder if they are there already."""
    forecast = forecast_of(args)
    settings: dict[str, Any] = {
        "task": args.task,
        "data": data.name,
        "variant": variant(args),
        "method": method.name,
        "settings": None if method.config is None else method.config.settings,
        "all settings": None if method.config is None else method.config.make().settings,
        "fingerprint": data.fingerprint,
        "timeloom": __version__,
        "seed": seed,
    }
    if args.task == "forecasting":
        settings["forecast"] = forecast.model_dump(mode="json")
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    name = re.sub(r"\W+", "-", f"{method.name}-seed{seed}-{digest}")
    path = args.work / args.task / data.name / f"{name}.json"
    if not path.exists():
        start = time.process_time()
        found = stage.measure(args.task, data, method, seed, forecast, progress=RichProgress())
        rows = [{"method": result.method, "figures": result.figures} for result in found]
        write_json(path, {**settings, "rows": rows, "cpu_seconds": round(time.process_time() - start, 1)})
    return results(read_json(path))


def forecast_of(args: argparse.Namespace) -> ForecastConfig:
    """How the task of forecasting is set."""
    return ForecastConfig(horizons=args.horizons, univariate=args.univariate)


def variant(args: argparse.Namespace) -> str:
    """What sets figures on the same data apart: rows of several variants are never averaged."""
    parts = ["univariate"] if args.univariate else []
    parts += [f"window {args.window}"] if args.window else []
    parts += [f"horizons {', '.join(map(str, args.horizons))}"] if args.horizons else []
    return ", ".join(parts)


def results(finished: dict[str, Any]) -> list[stage.Result]:
    """The rows of a file in the work folder; settings other than the encoder's own are named."""
    data = " ".join(part for part in (finished["data"], finished["variant"]) if part)
    settings = finished["settings"] or {}
    changed = ", ".join(f"{key} {value}" for key, value in settings.items() if value != 0 or key != STEPS)
    note = f" ({changed})" if changed else ""
    cost = {COST: finished["cpu_seconds"]}
    return [
        stage.Result(data, row["method"] + note, finished["seed"], row["figures"] | cost) for row in finished["rows"]
    ]


def tables(work: Path) -> str:
    """Everything that is finished below `work`, in Markdown: a table a task; three of classification, for all sets."""
    parts = []
    for task in stage.TASKS:
        found = [read_json(path) for path in sorted((work / task).rglob("*.json"))]
        rows = [result for finished in found for result in results(finished)]
        if task == "classification" and rows:
            parts.append(f"{task}, means over the sets that all have\n\n{over_sets(rows)}")
            parts += [f"{task}, accuracy of {name}\n\n{by_set(rows, name)}" for name in CLASSIFIERS]
        elif rows:
            parts.append(f"{task}\n\n{stage.table(rows, markdown=True)}")
    return "\n\n".join(parts)


def over_sets(results: list[stage.Result]) -> str:
    """A line a method: means, over the data sets on which all methods have been measured, of those over the seeds."""
    rows = stage.summary(results)
    measured: dict[str, set[str]] = {}
    for row in rows:
        measured.setdefault(row.method, set()).add(row.data)
    sets, names = set.intersection(*measured.values()), list(rows[0].figures)
    lines = [["method", "sets", *names]]
    for method in measured:
        of = [row.figures for row in rows if row.method == method and row.data in sets]
        means = {name: statistics.fmean(figures[name][0] for figures in of) for name in names} if of else {}
        cells = [f"{mean:.1f}" if name == COST else f"{mean:.3f}" for name, mean in means.items()]
        lines.append([method, str(len(of)), *cells])
    return stage.as_markdown(lines)


def by_set(results: list[stage.Result], figure: str) -> str:
    """A line a data set, a column a method: the mean of one figure over the seeds."""
    means = {(row.data, row.method): row.figures[figure][0] for row in stage.summary(results)}
    names = list(dict.fromkeys(method for _, method in means))
    lines = [["data", *names]]
    for data in dict.fromkeys(data for data, _ in means):
        cells = [f"{means[data, name]:.3f}" if (data, name) in means else "" for name in names]
        lines.append([data, *cells])
    return stage.as_markdown(lines)


def speed(source: str, steps: int, rounds: int) -> dict[str, float]:
    """CPU-milliseconds a training step and series encoded a CPU-second, medians over the rounds, one thread."""
    torch.set_num_threads(1)
    data = datasets.load(source).with_test_split()
    assert data.X_test is not None
    fits, encodes = [], []
    for _ in range(rounds):
        # the cost of a fit that is not its steps, such as scaling, is taken off
        start = time.process_time()
        TS2Vec(steps=0).fit(data.X_train)
        middle = time.process_time()
        encoder = TS2Vec(steps=steps, batch_size=8).fit(data.X_train)
        fits.append((time.process_time() - middle - (middle - start)) / steps)
        start = time.process_time()
        encoder.encode(data.X_test)
        encodes.append(len(data.X_test) / (time.process_time() - start))
    return {"cpu_ms_a_step": 1000 * statistics.median(fits), "series_a_cpu_second": statistics.median(encodes)}


def parsed() -> argparse.Namespace:
    """The arguments, checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=[*stage.TASKS, "table", "speed"])
    parser.add_argument("--data", nargs="+", default=[], help="names or files of data sets")
    parser.add_argument("--encoders", nargs="+", default=["ts2vec"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="ENCODER.KEY=VALUE")
    parser.add_argument("--no-control", dest="control", action="store_false", help="without the untrained encoders")
    parser.add_argument("--window", type=int, help="of anomaly: cut a long series into windows of this length")
    parser.add_argument("--horizons", type=int, nargs="+", help="of forecasting; the published five unless given")
    parser.add_argument("--univariate", action="store_true", help="of forecasting: the last column alone")
    parser.add_argument("--work", type=Path, help="folder for what is finished")
    parser.add_argument("--steps", type=int, default=200, help="of speed")
    parser.add_argument("--rounds", type=int, default=3, help="of speed")
    args = parser.parse_args()
    if bool(args.data) == (args.task == "table") or (args.work is None and args.task != "speed"):
        parser.error("give --data and --work; --work alone for table, --data alone for speed")
    return args


def main() -> None:
    """Read the arguments, run every set, method and seed, print."""
    args = parsed()
    if args.task == "speed":
        for source in args.data:
            print(json.dumps({"data": Path(source).stem, **speed(source, args.steps, args.rounds)}))
        return
    if args.task != "table":
        compared = stage.methods(args.task, args.encoders, args.overrides, args.control)
        sources = [load(args.task, source, args.window) for source in args.data]
        planned = stage.jobs(args.task, sources, compared, args.seeds, forecast_of(args))
        for data in sources:
            rows = [row for job in planned if job.data is data for row in one(args, *job)]
            print(stage.table(rows), flush=True)
        return
    print(tables(args.work))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(f"encoders.py: {error}") from None
