"""Train, sample and evaluate one data set with one preset and several seeds; one JSON object for all of it.

    python benchmarks/quality.py --data ECG5000.npz --preset small --seeds 0 1 2 --work runs/ECG5000 --json

Protocol `honest`: the training split is learned, class proportions are the training split's, max(|test|, 1000) series
are sampled and measured on the test split, which nothing is tuned on. The seeds are the
generator's; the evaluators have seed 0.
What is finished in `--work` is not done again, so a run that was cut short goes on.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from timeloom import data as datasets
from timeloom.checkpoint import read_json, write_json
from timeloom.evaluation import EncoderCache
from timeloom.progress import RichProgress
from timeloom.stages import evaluate, run_config, sample, train

RESULT = "result.json"
METRICS = (
    "fid_fcn",
    "fid_rocket",
    "inception_score",
    "cas",
    "recon_fid_fcn",
    "perplexity",
    "usage",
    "copy_share",
)


def one_seed(
    data: datasets.Dataset, config: run_config.RunConfig, folder: Path, overwrite: bool, cache: EncoderCache
) -> dict[str, Any]:
    """The figures of one seed; read from `folder` if it is done already."""
    if (folder / RESULT).exists() and not overwrite:
        return read_json(folder / RESULT)
    progress = RichProgress()
    record = train.run(data, config, folder, resume=not overwrite, overwrite=overwrite, progress=progress)
    tokenizer, prior = sample.load(folder)
    assert data.X_test is not None
    n, labelled = max(len(data.X_test), 1000), data.y_train is not None
    start = time.perf_counter()
    made = sample.run(tokenizer, prior, n, config.sampling, match_labels=labelled, seed=config.seed, progress=progress)
    sampling_seconds = time.perf_counter() - start
    models = evaluate.Models(tokenizer, prior, config.sampling)
    report = evaluate.run(
        data, made.X, made.y, None, n_seeds=1, metrics=METRICS, models=models, cache=cache, progress=progress
    )
    report.save(folder / evaluate.REPORT)
    stages = record["stages"]
    result = {
        "seed": config.seed,
        "metrics": report.to_json()["metrics"],
        "training_seconds": sum(stage["seconds"] for stage in stages.values()),
        "sampling_seconds": sampling_seconds,
        "stages": stages,
        "n_sampled": n,
    }
    write_json(folder / RESULT, result)
    return result


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds of every metric, its floor and its memoriser."""
    table: dict[str, Any] = {}
    for name in results[0]["metrics"]:
        row = {}
        for column in ("value", "floor", "memoriser"):
            values = [r["metrics"][name][column] for r in results if r["metrics"][name][column] is not None]
            row[column] = statistics.mean(values) if values else None
            if column == "value" and len(values) > 1:
                row["std"] = statistics.stdev(values)
        table[name] = row
    return table


def main() -> None:
    """Read the arguments, run every seed, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a data set's name or file")
    parser.add_argument("--preset", default=run_config.DEFAULT_PRESET)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--work", type=Path, help="folder for the runs; without it they are thrown away")
    parser.add_argument("--overwrite", action="store_true", help="do again what is finished in --work")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    args = parser.parse_args()
    data = datasets.load(args.data).with_test_split()
    with tempfile.TemporaryDirectory() as scratch:
        work = args.work or Path(scratch)
        cache = EncoderCache()
        results = [
            one_seed(
                data,
                run_config.build(args.preset, overrides=args.overrides, seed=s),
                work / f"seed{s}",
                args.overwrite,
                cache,
            )
            for s in args.seeds
        ]
    figures = {
        "data": data.name,
        "preset": args.preset,
        "overrides": args.overrides,
        "seeds": args.seeds,
        "threads": torch.get_num_threads(),
        "machine": platform.processor() or platform.machine(),
        "training_seconds": [round(r["training_seconds"], 1) for r in results],
        "sampling_seconds": [round(r["sampling_seconds"], 2) for r in results],
        "metrics": summary(results),
    }
    if args.json:
        print(json.dumps(figures))
        return
    print(f"{data.name}, preset {args.preset}, seeds {args.seeds}, training {figures['training_seconds']} s")
    for name, row in figures["metrics"].items():
        cells = "  ".join(f"{column} {value:.4g}" for column, value in row.items() if value is not None)
        print(f"  {name:<18} {cells}")


if __name__ == "__main__":
    main()
