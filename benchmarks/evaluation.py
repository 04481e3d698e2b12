"""Is the evaluation itself right? Planted faults, two halves of the same data, and its own cost.

    python benchmarks/evaluation.py faults --data TwoPatterns.npz       # rows: planted fault, columns: measures
    python benchmarks/evaluation.py halves --data TwoPatterns.npz       # equal sets: how often within the floors
    python benchmarks/evaluation.py windows --data ETTh1.npz            # Context-FID of windows against themselves
    python benchmarks/evaluation.py cost --data ECG5000.npz             # seconds of a report, cached and not
    python benchmarks/evaluation.py memory                              # peak memory at 100 000 synthetic series

Splits are drawn anew from all series of a data set: a training split, a test split and further real series, which
play the synthetic set or are spoiled to play it.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from timeloom import data as datasets
from timeloom.encoders import TS2Vec
from timeloom.evaluation import EncoderCache, Measure, RealData, Settings, evaluate_arrays
from timeloom.evaluation.measures.frechet import frechet_distance
from timeloom.evaluation.measures.gru_scores import discriminative_score_gru, predictive_score_gru
from timeloom.evaluation.metrics import METRICS
from timeloom.evaluation.report import Report
from timeloom.progress import RichProgress, silent

Set = tuple[np.ndarray, np.ndarray]


def thirds(name: str, sizes: tuple[int, int, int], seed: int) -> tuple[RealData, Set]:
    """A training split, a test split and further real series, disjoint, drawn from all series of a data set."""
    found = datasets.load(name).with_test_split()
    assert found.X_test is not None
    assert found.y_train is not None
    assert found.y_test is not None
    X, y = np.concatenate([found.X_train, found.X_test]), np.concatenate([found.y_train, found.y_test])
    order = np.random.default_rng(seed).permutation(len(X))
    train, test, rest = (order[sum(sizes[:i]) : sum(sizes[: i + 1])] for i in range(3))
    return RealData(X[train], y[train], X[test], y[test]), (X[rest], y[rest])


def _shifted(real: RealData, X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Set:
    return (X + 0.5 * X.std()).astype(np.float32), y


def _swapped(real: RealData, X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Set:
    classes = np.unique(y)
    return X, np.roll(classes, 1)[np.searchsorted(classes, y)]


def _collapsed(real: RealData, X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Set:
    first = [np.flatnonzero(y == label)[0] for label in np.unique(y)]
    return np.repeat(X[first[:1]], len(X), axis=0), np.repeat(y[first[:1]], len(X))


def _one_a_class(real: RealData, X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Set:
    first = {label: np.flatnonzero(y == label)[0] for label in np.unique(y)}
    return X[[first[label] for label in y]], y


def _noise(real: RealData, X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Set:
    return (X.mean() + X.std() * rng.standard_normal(X.shape)).astype(np.float32), y


def _smoothed(real: RealData, X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Set:
    kernel = np.ones(5) / 5
    padded = np.pad(X, [(0, 0), (0, 0), (2, 2)], mode="edge")
    return np.apply_along_axis(lambda row: np.convolve(row, kernel, "valid"), 2, padded).astype(np.float32), y


def _copies(real: RealData, X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Set:
    assert real.y_train is not None
    rows = rng.integers(0, len(real.X_train), size=len(X))
    return real.X_train[rows], real.y_train[rows]


def _half_missing(real: RealData, X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Set:
    classes = np.unique(y)
    rows = np.flatnonzero(np.isin(y, classes[: len(classes) // 2]))
    again = rows[rng.integers(0, len(rows), size=len(X))]
    fresh = np.concatenate([rows, again])[: len(X)]
    return X[fresh], y[fresh]


FAULTS: dict[str, Callable[[RealData, np.ndarray, np.ndarray, np.random.Generator], Set]] = {
    "none (further real series)": lambda real, X, y, rng: (X, y),
    "shifted by half a deviation": _shifted,
    "classes swapped": _swapped,
    "collapsed to one series": _collapsed,
    "collapsed to one a class": _one_a_class,
    "white noise": _noise,
    "smoothed": _smoothed,
    "copies of the training set": _copies,
    "half of the classes missing": _half_missing,
}


def caught(measure: Measure) -> bool | None:
    """Whether a value lies outside its floor's interval, on the wrong side; None where there is none."""
    if measure.value is None or measure.floor_ci95 is None:
        return None
    low, high = measure.floor_ci95
    return bool(measure.value > high if measure.better == "lower" else measure.value < low)


def within(measure: Measure) -> bool | None:
    """Whether a value lies in its floor's interval; None where there is none."""
    if measure.value is None or measure.floor_ci95 is None:
        return None
    return bool(measure.floor_ci95[0] <= measure.value <= measure.floor_ci95[1])


def faults(args: argparse.Namespace) -> dict[str, Any]:
    """Each planted fault, measured."""
    real, (X, y) = thirds(args.data, tuple(args.sizes), args.seed)
    cache, rows = EncoderCache(), {}
    for name, spoil in FAULTS.items():
        report = evaluate_arrays(
            real,
            *spoil(real, X, y, np.random.default_rng(args.seed)),
            settings=Settings(n_seeds=1, seed=args.seed, metrics=args.metrics),
            cache=cache,
            progress=RichProgress(),
        )
        rows[name] = {
            "verdicts": {verdict.aspect: verdict.grade for verdict in report.verdicts},
            "measures": {
                of: {"value": m.value, "floor": m.floor, "caught": caught(m)} for of, m in report.metrics.items()
            },
        }
    return {"data": args.data, "sizes": args.sizes, "rows": rows}


def fault_tables(rows: dict[str, Any]) -> str:
    """The rows of `faults` as Markdown tables, one or more a family of measures; bold is what was caught."""
    first = next(iter(rows.values()))
    measured = [
        name for name in first["measures"] if any(row["measures"][name]["value"] is not None for row in rows.values())
    ]
    families = dict.fromkeys(METRICS[name].family for name in measured)
    lines = []
    for family in families:
        names = [name for name in measured if METRICS[name].family == family]
        for some in (names[i : i + 8] for i in range(0, len(names), 8)):
            lines += ["", f"{family}:", "", "| planted fault | " + " | ".join(f"`{name}`" for name in some) + " |"]
            lines += ["|---" * (len(some) + 1) + "|"]
            lines += [
                f"| {fault} | " + " | ".join(_cell(row["measures"][of]) for of in some) + " |"
                for fault, row in rows.items()
            ]
            lines += ["| *floor* | " + " | ".join(_figure(first["measures"][of]["floor"]) for of in some) + " |"]
    aspects = list(first["verdicts"])
    lines += ["", "verdicts:", "", "| planted fault | " + " | ".join(aspects) + " |", "|---" * (len(aspects) + 1) + "|"]
    lines += [f"| {fault} | " + " | ".join(row["verdicts"][of] for of in aspects) + " |" for fault, row in rows.items()]
    return "\n".join(lines)


def _cell(measure: dict[str, Any]) -> str:
    return f"**{_figure(measure['value'])}**" if measure["caught"] else _figure(measure["value"])


def _figure(value: float | None) -> str:
    return "n. d." if value is None else f"{value:.3g}"


def halves(args: argparse.Namespace) -> dict[str, Any]:
    """Draws in which the synthetic set is real: the share that each measure finds within its floor's interval."""
    inside: dict[str, list[bool]] = {}
    better: dict[str, int] = {}
    for draw in range(args.draws):
        real, (X, y) = thirds(args.data, tuple(args.sizes), args.seed + draw)
        settings = Settings(n_seeds=1, seed=draw, metrics=args.metrics)
        report: Report = evaluate_arrays(real, X, y, settings=settings, progress=silent)
        for name, measure in report.metrics.items():
            found = within(measure)
            if found is not None:
                inside.setdefault(name, []).append(found)
                better[name] = better.get(name, 0) + (not found and not caught(measure))
        print(f"draw {draw + 1} of {args.draws}", file=sys.stderr, flush=True)
    return {
        "data": args.data,
        "sizes": args.sizes,
        "draws": args.draws,
        "within": {name: sum(found) for name, found in inside.items()},
        "outside_on_the_better_side": {name: n for name, n in better.items() if n},
    }


def windows(args: argparse.Namespace) -> dict[str, Any]:
    """The protocol `windows` on real windows: Context-FID against themselves, drawn again and by halves; GRU scores."""
    data = datasets.load(args.data, args.window)
    X = data.X_train
    low, high = X.min(axis=(0, 2))[:, None], X.max(axis=(0, 2))[:, None]
    X = ((X - low) / np.where(high > low, high - low, 1)).astype(np.float32)
    again, by_half = [], []
    for seed in args.seeds:
        rng = np.random.default_rng(seed)
        encoder = TS2Vec(standardise=False, seed=seed).fit(X, progress=RichProgress())
        z = encoder.encode(X)
        again.append(frechet_distance(z, z[rng.integers(0, len(z), size=len(z))]))
        order = rng.permutation(len(z))
        by_half.append(frechet_distance(z[order[: len(z) // 2]], z[order[len(z) // 2 :]]))
    other = X[np.random.default_rng(args.seed).integers(0, len(X), size=len(X))]
    return {
        "data": args.data,
        "n": len(X),
        "window": args.window,
        "context_fid_drawn_again": again,
        "context_fid_halves": by_half,
        "discriminative_gru": discriminative_score_gru(X, other, args.seed, progress=RichProgress())[0],
        "predictive_gru": predictive_score_gru(X, other, args.seed, progress=RichProgress()),
    }


def cost(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a whole honest report with its page, with an empty cache and then with a full one."""
    from timeloom.stages import evaluate as stage

    data = datasets.load(args.data).with_test_split()
    rng = np.random.default_rng(args.seed)
    rows = rng.integers(0, len(data.X_train), size=args.n)
    X = (data.X_train[rows] + 0.1 * rng.standard_normal((args.n, *data.X_train.shape[1:]))).astype(np.float32)
    y = None if data.y_train is None else data.y_train[rows]
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("not cached", "cached"):
            cache = EncoderCache(Path(folder) / "cache")
            start = time.perf_counter()
            # other noise the second time: the synthetic set is new, the encoders of the real one are not
            report = stage.run(data, X, y, Path(folder) / "report", cache=cache, progress=RichProgress())
            seconds[name] = time.perf_counter() - start
            parts = {part: round(of, 1) for part, of in report.seconds_parts.items() if of > 1}
            seconds[f"{name}, parts"] = parts
            X = (X + 0.01 * rng.standard_normal(X.shape)).astype(np.float32)
    return {"data": args.data, "n": args.n, "seconds": seconds}


def memory(args: argparse.Namespace) -> dict[str, Any]:
    """Peak memory of a report on many synthetic series."""
    rng = np.random.default_rng(args.seed)

    def waves(n: int) -> Set:
        y = rng.integers(0, 2, n)
        phase, time_points = rng.uniform(0, 2 * np.pi, (n, 1)), np.linspace(0, 1, args.length)
        X = np.sin(2 * np.pi * (2 + 3 * y[:, None]) * time_points + phase).astype(np.float32)
        X += 0.1 * rng.standard_normal(X.shape, dtype=np.float32)
        return X[:, None], y

    real = RealData(*waves(1000), *waves(1000))
    start = time.perf_counter()
    evaluate_arrays(real, *waves(args.n), settings=Settings(n_seeds=args.encoders), progress=RichProgress())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"n": args.n, "length": args.length, "peak_mb": round(peak), "seconds": round(time.perf_counter() - start)}


def main() -> None:
    """Read the arguments, run one of them, print one JSON object or its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for function in (faults, halves, windows, cost, memory):
        command = commands.add_parser(function.__name__, help=function.__doc__)
        command.set_defaults(function=function)
        command.add_argument("--data", default="ItalyPowerDemand", help="a data set's name or file")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
        command.add_argument("--sizes", type=int, nargs=3, default=[500, 500, 500], help="train, test, further")
        command.add_argument("--draws", type=int, default=20)
        command.add_argument("--metrics", nargs="+", help="of faults and halves: only these")
        command.add_argument("--markdown", action="store_true", help="of faults: tables instead of JSON")
        command.add_argument("--window", type=int, default=24)
        command.add_argument("--n", type=int, default=1000, help="synthetic series")
        command.add_argument("--length", type=int, default=128)
        command.add_argument("--encoders", type=int, default=3, help="trainings of each encoder")
    args = parser.parse_args()
    found = args.function(args)
    print(fault_tables(found["rows"]) if args.markdown and args.function is faults else json.dumps(found))


if __name__ == "__main__":
    main()
