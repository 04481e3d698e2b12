"""Train, sample and evaluate data sets with one preset and several seeds.

    python benchmarks/quality.py --data ECG5000.npz GunPoint.npz --preset small --seeds 0 1 2 --work runs
    python benchmarks/quality.py --table --work runs --published ucr_timevqvae_paper.csv      # what is finished

The training split is learned, max(|train|, |test|, 1000) series are sampled in the training split's class proportions
and measured on the test split, which nothing is tuned on. FID, reconstruction FID, IS and CAS follow the protocol
`ucr`, the other measures the protocol `honest`. The seeds are the generator's; the evaluators have seed 0.
What is finished in `--work` is not done again, so a run that was cut short goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from timeloom import data as datasets
from timeloom.evaluation import EncoderCache
from timeloom.files import read_json, write_json
from timeloom.progress import RichProgress
from timeloom.stages import evaluate, run_config, sample, train

RESULT = "result.json"
METRICS = {
    "ucr": ("fid_fcn", "recon_fid_fcn", "inception_score", "cas"),
    "honest": ("fid_rocket", "copy_share", "perplexity", "usage"),
}


def one_seed(
    data: datasets.Dataset,
    preset: str,
    config: run_config.RunConfig,
    folder: Path,
    overwrite: bool,
    cache: EncoderCache,
) -> dict[str, Any]:
    """The figures of one seed; read from `folder` if it is done already."""
    if (folder / RESULT).exists() and not overwrite:
        return read_json(folder / RESULT)
    progress = RichProgress()
    record = train.run(data, config, folder, resume=not overwrite, overwrite=overwrite, progress=progress)
    tokenizer, prior = sample.load(folder)
    assert data.X_test is not None
    n, labelled = max(len(data.X_train), len(data.X_test), 1000), data.y_train is not None
    start = time.perf_counter()
    made = sample.run(tokenizer, prior, n, config.sampling, match_labels=labelled, seed=config.seed, progress=progress)
    sampling_seconds = time.perf_counter() - start
    models = evaluate.Models(tokenizer, prior, config.sampling)
    metrics = {}
    for protocol, names in METRICS.items():
        report = evaluate.run(
            data,
            made.X,
            made.y,
            None,
            protocol=protocol,
            n_seeds=1,
            metrics=names,
            models=models,
            cache=cache,
            progress=progress,
        )
        metrics |= report.to_json()["metrics"]
    stages = record["stages"]
    result = {
        "data": data.name,
        "preset": preset,
        "seed": config.seed,
        "metrics": metrics,
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


def figures(args: argparse.Namespace, results: list[dict[str, Any]]) -> dict[str, Any]:
    """What `--json` prints of one data set."""
    return {
        "data": results[0]["data"],
        "preset": args.preset,
        "overrides": args.overrides,
        "seeds": args.seeds,
        "threads": torch.get_num_threads(),
        "machine": platform.processor() or platform.machine(),
        "training_seconds": [round(r["training_seconds"], 1) for r in results],
        "sampling_seconds": [round(r["sampling_seconds"], 2) for r in results],
        "metrics": summary(results),
    }


def table(work: Path, published: Path | None) -> str:
    """Everything that is finished below `work` as a Markdown table, beside published figures (columns `dataset`,
    `fid_TimeVQVAE`, `cas_percent_TimeVQVAE`) if there are any, and then how many sets reach what is wanted.
    """
    by_set: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(work.rglob(RESULT)):
        result = read_json(path)
        by_set.setdefault(result["data"], []).append(result)
    theirs = {}
    if published is not None:
        with published.open() as lines:
            theirs = {row["dataset"]: row for row in csv.DictReader(lines)}
    lines = [
        "| set | seeds | FID | published | floor | memoriser | reconstruction FID | CAS % | published | train on real "
        "| IS | real | ROCKET-FID | floor | copies | real | training s |",
        "|" + "---|" * 17,
    ]
    for name, results in sorted(by_set.items()):
        row, other = summary(results), theirs.get(name, {})
        fid, cas, rocket, copies = row["fid_fcn"], row["cas"], row["fid_rocket"], row["copy_share"]
        cells = [
            name,
            ", ".join(str(r["seed"]) for r in results),
            _spread(fid, 3),
            other.get("fid_TimeVQVAE", ""),
            f"{fid['floor']:.3f}",
            f"{fid['memoriser']:.3f}",
            _spread(row["recon_fid_fcn"], 3),
            _spread(cas, 1, 100),
            other.get("cas_percent_TimeVQVAE", ""),
            f"{100 * cas['floor']:.1f}",
            _spread(row["inception_score"], 2),
            f"{row['inception_score']['floor']:.2f}",
            _spread(rocket, 1),
            f"{rocket['floor']:.1f}",
            _spread(copies, 3),
            f"{copies['floor']:.3f}",
            ", ".join(f"{r['training_seconds']:.0f}" for r in results),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, *_reached({name: summary(of) for name, of in by_set.items()}, theirs)])


def _reached(rows: dict[str, dict[str, Any]], theirs: dict[str, dict[str, str]]) -> list[str]:
    """One line for each figure that a table of these sets, those of them that are published, is read for."""
    rows = {name: row for name, row in rows.items() if name in theirs}
    if not rows:
        return []
    ratios = [row["fid_fcn"]["value"] / float(theirs[name]["fid_TimeVQVAE"]) for name, row in rows.items()]
    cas = {name: (100 * row["cas"]["value"], 100 * row["cas"]["floor"]) for name, row in rows.items()}
    fresh = [row["copy_share"]["value"] <= row["copy_share"]["floor"] for row in rows.values()]
    at_or_above = [made >= float(theirs[name]["cas_percent_TimeVQVAE"]) for name, (made, _) in cas.items()]
    return [
        "",
        f"of {len(rows)} published sets, FID below: {sum(ratio < 1 for ratio in ratios)}",
        f"median ratio of the FIDs: {statistics.median(ratios):.2f}",
        f"CAS at or above: {sum(at_or_above)}",
        f"CAS within two points of train on real: {sum(made >= real - 2 for made, real in cas.values())}",
        f"no more near copies than real: {sum(fresh)}",
    ]


def _spread(row: dict[str, Any], digits: int, factor: float = 1) -> str:
    if row["value"] is None:
        return "n. d."
    spread = f" ± {factor * row['std']:.{digits}f}" if "std" in row else ""
    return f"{factor * row['value']:.{digits}f}{spread}"


def main() -> None:
    """Read the arguments, run every set and seed, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=[], help="names or files of data sets")
    parser.add_argument("--preset", default=run_config.DEFAULT_PRESET)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--work", type=Path, help="folder for the runs; without it they are thrown away")
    parser.add_argument("--overwrite", action="store_true", help="do again what is finished in --work")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each set instead of a table")
    parser.add_argument("--table", action="store_true", help="only print what is finished in --work, as a table")
    parser.add_argument("--published", type=Path, help="of --table: CSV file of published figures to put beside")
    args = parser.parse_args()
    if bool(args.data) == args.table or (args.table and args.work is None):
        parser.error("give --data, or --table with --work")
    if args.table:
        print(table(args.work, args.published))
        return
    with tempfile.TemporaryDirectory() as scratch:
        work = args.work or Path(scratch)
        for name in args.data:
            data = datasets.load(name).with_test_split()
            cache = EncoderCache(work / "encoders")  # those of the real series serve seeds of later calls, too
            results = []
            for seed in args.seeds:
                config = run_config.build(args.preset, overrides=args.overrides, seed=seed)
                folder = work / data.name / f"seed{seed}"
                results.append(one_seed(data, args.preset, config, folder, args.overwrite, cache))
            if args.json:
                print(json.dumps(figures(args, results)), flush=True)
        if not args.json:
            print(table(work, args.published))


if __name__ == "__main__":
    main()
