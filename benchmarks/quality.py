"""Train, sample and evaluate data sets with one preset and several seeds.

    python benchmarks/quality.py --data ECG5000.npz GunPoint.npz --preset small --seeds 0 1 2 --work runs
    python benchmarks/quality.py --table --work runs --published ucr_timevqvae_paper.csv ucr_ncvqvae_runs.csv
    python benchmarks/quality.py --table --figures benchmarks/figures/quality.csv             # what was kept

The training split is learned, max(|train|, |test|, 1000) series are sampled in the training split's class proportions
and measured on the test split, which nothing is tuned on. FID, reconstruction FID, IS and CAS follow the protocol
`ucr`, the other measures the protocol `honest`. The seeds are the generator's; the evaluators have seed 0.
What is finished in `--work` is not done again, so a run that was cut short goes on.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ledger

from timeloom import data as datasets
from timeloom.evaluation import EncoderCache
from timeloom.files import read_json, write_json
from timeloom.progress import RichProgress
from timeloom.stages import evaluate, run_config, sample, train

RESULT = "result.json"
KEY = ("data", "preset", "seed")
Published = dict[str, dict[str, str]]  # figures, as they are printed, by set and column
COLUMNS = {"value": "", "floor": "_floor", "memoriser": "_memoriser"}
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
    asked = config.model_dump(mode="json")
    done = None if overwrite else ledger.finished(folder / RESULT, asked)
    if done is not None:
        return done
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
        "asked": asked,
        "metrics": metrics,
        "training_seconds": sum(stage["seconds"] for stage in stages.values()),
        "sampling_seconds": sampling_seconds,
        "stages": stages,
        "n_sampled": n,
    }
    write_json(folder / RESULT, result)
    return result


def flat(result: dict[str, Any], version: str) -> ledger.Row:
    """The figures of one seed as a row of the ledger: `fid_fcn`, `fid_fcn_floor` and so on."""
    row = {name: result[name] for name in (*KEY, "training_seconds", "sampling_seconds")} | {"version": version}
    for name, metric in result["metrics"].items():
        row |= {name + ending: metric[column] for column, ending in COLUMNS.items() if metric[column] is not None}
    return row


def summary(rows: list[ledger.Row]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds of every metric, its floor and its memoriser."""
    table: dict[str, Any] = {}
    for name in [name for names in METRICS.values() for name in names]:
        found = {column: [row[name + end] for row in rows if name + end in row] for column, end in COLUMNS.items()}
        table[name] = {column: statistics.mean(of) if of else None for column, of in found.items()}
        if len(found["value"]) > 1:
            table[name]["std"] = statistics.stdev(found["value"])
    return table


def finished(work: Path | None) -> list[ledger.Row]:
    """The rows of all runs below a work folder that are of this benchmark, not of `windows.py`."""
    found = [] if work is None else [(read_json(path), path.parent) for path in work.rglob(RESULT)]
    return [flat(result, ledger.version(folder)) for result, folder in found if "preset" in result]


def table(rows: list[ledger.Row], published: Published) -> str:
    """The rows of one preset as a Markdown table, a line a set, and then how many sets reach what is wanted."""
    by_set: dict[str, list[ledger.Row]] = {}
    for row in rows:
        by_set.setdefault(row["data"], []).append(row)
    lines = [
        "| set | seeds | FID | TimeVQVAE | NC-VQVAE | floor | memoriser | reconstruction FID | CAS % | TimeVQVAE "
        "| NC-VQVAE | train on real | IS | real | ROCKET-FID | floor | copies | real | training s | version |",
        "|" + "---|" * 20,
    ]
    for name, seeds in sorted(by_set.items()):
        mean, theirs = summary(seeds), published.get(name, {})
        cells = [
            name,
            ", ".join(str(row["seed"]) for row in seeds),
            _cell(mean["fid_fcn"], 3),
            theirs.get("fid_TimeVQVAE", ""),
            theirs.get("fid_NC-VQVAE", ""),
            _cell(mean["fid_fcn"], 3, of="floor"),
            _cell(mean["fid_fcn"], 3, of="memoriser"),
            _cell(mean["recon_fid_fcn"], 3),
            _cell(mean["cas"], 1, 100),
            theirs.get("cas_percent_TimeVQVAE", ""),
            theirs.get("cas_percent_NC-VQVAE", ""),
            _cell(mean["cas"], 1, 100, of="floor"),
            _cell(mean["inception_score"], 2),
            _cell(mean["inception_score"], 2, of="floor"),
            _cell(mean["fid_rocket"], 1),
            _cell(mean["fid_rocket"], 1, of="floor"),
            _cell(mean["copy_share"], 3),
            _cell(mean["copy_share"], 3, of="floor"),
            ", ".join(f"{row['training_seconds']:.0f}" for row in seeds),
            ", ".join(dict.fromkeys(str(row["version"]) for row in seeds)),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, *_reached({name: summary(of) for name, of in by_set.items()}, published)])


def _published(paths: Sequence[Path]) -> Published:
    """Published figures by set, from files of two kinds.

    TimeVQVAE: a row a set, columns `dataset`, `fid_TimeVQVAE`, `cas_percent_TimeVQVAE`. NC-VQVAE: a row a set and
    variant, columns `dataset`, `variant`, `FID`, `cas`; the best of each set's variants stands for it.
    """
    found: Published = {}
    for path in paths:
        by_set: dict[str, list[dict[str, str]]] = {}
        with path.open() as lines:
            for row in csv.DictReader(lines):
                by_set.setdefault(row["dataset"], []).append(row)
        for name, rows in by_set.items():
            found.setdefault(name, {}).update(_best(rows) if "variant" in rows[0] else rows[0])
    return found


def _best(variants: list[dict[str, str]]) -> dict[str, str]:
    """The lowest FID and the highest CAS of a set's variants, each of whichever has it."""
    fid = min(float(row["FID"]) for row in variants)
    cas = max(100 * float(row["cas"]) for row in variants)
    return {"fid_NC-VQVAE": f"{fid:.1f}", "cas_percent_NC-VQVAE": f"{cas:.1f}"}


def _reached(rows: dict[str, dict[str, Any]], theirs: Published) -> list[str]:
    """One line for each figure that a table of these sets, those of them that TimeVQVAE publishes, is read for."""
    rows = {name: row for name, row in rows.items() if "fid_TimeVQVAE" in theirs.get(name, {})}
    if not rows:
        return []
    ratios = [row["fid_fcn"]["value"] / float(theirs[name]["fid_TimeVQVAE"]) for name, row in rows.items()]
    cas = {name: 100 * row["cas"]["value"] for name, row in rows.items()}
    real = {name: 100 * row["cas"]["floor"] for name, row in rows.items() if row["cas"]["floor"] is not None}
    fresh = [row["copy_share"]["value"] <= row["copy_share"]["floor"] for row in rows.values()]
    at_or_above = [made >= float(theirs[name]["cas_percent_TimeVQVAE"]) for name, made in cas.items()]
    return [
        "",
        f"of {len(rows)} published sets, FID below: {sum(ratio < 1 for ratio in ratios)}",
        f"median ratio of the FIDs: {statistics.median(ratios):.2f}",
        f"CAS at or above: {sum(at_or_above)}",
        f"CAS within two points of train on real: {sum(cas[name] >= of - 2 for name, of in real.items())}",
        f"no more near copies than real: {sum(fresh)}",
    ]


def _cell(row: dict[str, Any], digits: int, factor: float = 1, of: str = "value") -> str:
    """One figure, with its deviation if it is the samples' own of several seeds; "n. d." where there is none."""
    if row[of] is None:
        return "n. d."
    spread = f" ± {factor * row['std']:.{digits}f}" if of == "value" and "std" in row else ""
    return f"{factor * row[of]:.{digits}f}{spread}"


def main() -> None:
    """Read the arguments, run every set and seed, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=[], help="names or files of data sets")
    parser.add_argument("--preset", default=run_config.DEFAULT_PRESET)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--work", type=Path, help="folder for the runs; without it they are thrown away")
    parser.add_argument("--overwrite", action="store_true", help="do again what is finished in --work")
    parser.add_argument("--table", action="store_true", help="only print what --work and --figures hold, as a table")
    parser.add_argument("--figures", type=Path, help="of --table: CSV file of runs; those of --work are written to it")
    parser.add_argument(
        "--published", type=Path, nargs="+", default=[], help="of --table: CSV files of published figures to put beside"
    )
    args = parser.parse_args()
    if bool(args.data) == args.table or (args.table and args.work is args.figures is None):
        parser.error("give --data, or --table with --work or --figures")
    if args.table:
        rows = ledger.kept(args.figures, finished(args.work), KEY)
        print(table([row for row in rows if row["preset"] == args.preset], _published(args.published)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        work = args.work or Path(scratch)
        for name in args.data:
            data = datasets.load(name).with_test_split()
            cache = EncoderCache(work / "encoders")  # those of the real series serve seeds of later calls, too
            for seed in args.seeds:
                config = run_config.build(args.preset, overrides=args.overrides, seed=seed)
                one_seed(data, args.preset, config, work / data.name / f"seed{seed}", args.overwrite, cache)
        print(table([row for row in finished(work) if row["preset"] == args.preset], _published(args.published)))


if __name__ == "__main__":
    main()
