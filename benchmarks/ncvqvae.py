"""The comparison of self-supervised tokenizers: one prior for all, only the tokenizer's loss differs.

    python benchmarks/ncvqvae.py probes --data ECG5000.npz FordA.npz --seeds 0 1 2 --work runs/ncvqvae
    python benchmarks/ncvqvae.py samples --data ECG5000.npz --seeds 0 1 --work runs/ncvqvae
    python benchmarks/ncvqvae.py cost --data ECG5000.npz
    python benchmarks/ncvqvae.py table --work runs/ncvqvae --published ucr_ncvqvae_runs.csv
    python benchmarks/ncvqvae.py table --figures benchmarks/figures/ncvqvae.csv

A variant is a file of `configs/ncvqvae`. `probes` trains tokenizers alone and reads the classes from their pooled
codes; `samples` trains a prior on each of these tokenizers, too. What is finished in `--work` is not done again.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import ledger
import torch
from quality import one_seed

from timeloom import data as datasets
from timeloom.evaluation import EncoderCache
from timeloom.files import read_json, write_json
from timeloom.progress import RichProgress
from timeloom.stages import encode, probe, run_config, train, train_tokenizer

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "ncvqvae"
PAIRS = [f"{loss}_{view}" for loss in ("barlow", "vibcreg") for view in ("gauss", "slice", "warp")]
VARIANTS = {
    "probes": ["none", *PAIRS, "vicreg_gauss", "byol_gauss"],
    "samples": ["none", "barlow_gauss", "vibcreg_gauss", "vibcreg_slice"],
}
PROBE, SAMPLES = "probe.json", "result.json"
# of each measure: its column, the file, the place in it, a factor, and digits to print
MEASURES: dict[str, tuple[Any, ...]] = {
    "SVM accuracy, %": ("svm", PROBE, "probe", "svm", "mean", 100, 1),
    "k-NN accuracy, %": ("knn", PROBE, "probe", "knn", "mean", 100, 1),
    "logistic accuracy, %": ("logistic", PROBE, "probe", "logistic", "mean", 100, 1),
    "held-out reconstruction error": ("held_out_error", PROBE, "tokenizer", "held_out_loss", 1, 4),
    "FID": ("fid", SAMPLES, "metrics", "fid_fcn", "value", 1, 3),
    "FID, lower end of the 95 % interval": ("fid_low", SAMPLES, "metrics", "fid_fcn", "ci95", 0, 1, 3),
    "FID, upper end of the 95 % interval": ("fid_high", SAMPLES, "metrics", "fid_fcn", "ci95", 1, 1, 3),
    "reconstruction FID": ("recon_fid", SAMPLES, "metrics", "recon_fid_fcn", "value", 1, 3),
    "CAS, %": ("cas", SAMPLES, "metrics", "cas", "value", 100, 1),
    "ROCKET-FID": ("fid_rocket", SAMPLES, "metrics", "fid_rocket", "value", 1, 1),
    "near copies, %": ("copy_share", SAMPLES, "metrics", "copy_share", "value", 100, 1),
    "held-out negative log-likelihood of a token": ("nll", SAMPLES, "stages", "prior", "held_out_nll", 1, 2),
}
THEIR_NAMES = {"regular": "none"}
THEIR_COLUMNS = {
    "SVM accuracy, %": ("svm_accuracy", 100),
    "k-NN accuracy, %": ("knn_accuracy", 100),
    "FID": ("FID", 1),
    "CAS, %": ("cas", 100),
}
Figures = dict[tuple[str, str], list[float]]  # by set and variant: a figure a seed


def probes(args: argparse.Namespace) -> None:
    """Train the tokenizers of every set, variant and seed, and write what their probes find."""
    for name in args.data:
        data = datasets.load(name).with_test_split()
        for variant in args.variants or VARIANTS["probes"]:
            for seed in args.seeds:
                folder = args.work / data.name / variant / f"seed{seed}"
                if (folder / PROBE).exists():
                    continue
                config = run_config.build(args.preset, [CONFIGS / f"{variant}.yaml"], args.overrides, seed=seed)
                record = train.run(data, config, folder, stages=("tokenizer",), resume=True, progress=RichProgress())
                found = probe.run(encode.load(folder), data, n_seeds=3)
                accuracies = {kind: of._asdict() for kind, of in found.items()}
                write_json(folder / PROBE, {"probe": accuracies, "tokenizer": record["stages"]["tokenizer"]})
                print(data.name, variant, seed, {kind: round(of.mean, 4) for kind, of in found.items()}, flush=True)


def samples(args: argparse.Namespace) -> None:
    """Train the same prior on each of these tokenizers, sample and measure."""
    for name in args.data:
        data, cache = datasets.load(name).with_test_split(), EncoderCache(args.work / "encoders")
        for variant in args.variants or VARIANTS["samples"]:
            for seed in args.seeds:
                config = run_config.build(args.preset, [CONFIGS / f"{variant}.yaml"], args.overrides, seed=seed)
                folder = args.work / data.name / variant / f"seed{seed}"
                metrics = one_seed(data, args.preset, config, folder, False, cache)["metrics"]
                shown = {kind: round(metrics[kind]["value"], 3) for kind in ("fid_fcn", "recon_fid_fcn", "cas")}
                print(data.name, variant, seed, shown, flush=True)


def cost(args: argparse.Namespace) -> None:
    """Seconds of a training step of every variant against the plain one; medians, in turns."""
    for name in args.data:
        data = datasets.load(name).with_test_split()
        variants = args.variants or VARIANTS["probes"]
        steps = {variant: _stepper(data, variant, args) for variant in variants}
        times: dict[str, list[float]] = defaultdict(list)
        for _ in range(args.rounds):
            for variant, step in steps.items():
                start = time.process_time()
                step()
                times[variant].append(time.process_time() - start)
        plain = statistics.median(times["none"])
        for variant in variants:
            median = statistics.median(times[variant])
            print(f"{data.name} {variant}: {1000 * median:.1f} ms a step, {median / plain:.2f} x plain")


def _stepper(data: datasets.Dataset, variant: str, args: argparse.Namespace) -> Any:
    config = run_config.build(args.preset, [CONFIGS / f"{variant}.yaml"], args.overrides, seed=0)
    spec = train_tokenizer.describe(data)
    task = train_tokenizer.TokenizerTask(config.tokenizer.resolve(spec), spec)
    model, generator = task.build().train(), torch.Generator().manual_seed(0)
    scaled = model.scale(torch.from_numpy(data.X_train[: config.tokenizer_training.batch_size]))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)

    def step() -> None:
        terms = task.loss(model, {"scaled": scaled}, generator)
        optimizer.zero_grad()
        torch.stack([task.weights[term] * value for term, value in terms.items()]).sum().backward()
        optimizer.step()

    return step


def table(args: argparse.Namespace) -> None:
    """What is finished in `--work` or kept in `--figures`, as a Markdown table a measure.

    Variants down, sets across, published figures in brackets. A cell is the mean over the seeds and their deviation.
    The last columns are the mean over the sets on which every variant of the table is finished, what it is against the
    plain tokenizer's on these sets (of accuracies the mean difference, else the geometric mean of the ratios), and on
    how many of the published sets the mean is better than the published figure. `--seeds` picks seeds.
    """
    rows = ledger.kept(args.figures, _finished(args.work), ("data", "variant", "seed"))
    if not rows:
        sys.exit("there is no finished run; --work is the folder given to `probes` and `samples`")
    found: dict[str, Figures] = {measure: defaultdict(list) for measure in MEASURES}
    for row in rows:
        if row["seed"] not in args.seeds:
            continue
        for measure, (column, *_, factor, _digits) in MEASURES.items():
            if column in row:  # small sets hold nothing out
                found[measure][row["data"], row["variant"]].append(factor * row[column])
    theirs = _published(args.published)
    for measure, figures in found.items():
        if figures:
            _pivot(measure, figures, theirs.get(measure, {}), int(MEASURES[measure][-1]))


def _finished(work: Path | None) -> list[ledger.Row]:
    """The rows of all runs below a work folder."""
    found = []
    for folder in sorted({path.parent for path in work.glob("*/*/seed*/*.json")}) if work else []:
        name, variant, seed = folder.parts[-3:]
        figures = {
            column: _read(folder / source, keys)
            for column, source, *keys, _factor, _digits in MEASURES.values()
            if (folder / source).exists()
        }
        if figures:
            key = {"data": name, "variant": variant, "seed": int(seed.removeprefix("seed"))}
            known = {column: value for column, value in figures.items() if value is not None}
            found.append(key | {"version": ledger.version(folder)} | known)
    return found


def _pivot(measure: str, figures: Figures, theirs: Figures, digits: int) -> None:
    names, variants = (sorted({key[of] for key in figures}, key=lambda name: (name != "none", name)) for of in (0, 1))
    whole = [name for name in names if all((name, variant) in figures for variant in variants)]
    seeds = sorted({len(values) for values in figures.values()})
    print(f"\n{measure}; seeds a cell: {', '.join(map(str, seeds))}\n")
    print(f"| variant | {' | '.join(names)} | mean of {len(whole)} | against none |{' better |' if theirs else ''}")
    print("|" + "---|" * (len(names) + 3 + bool(theirs)))
    sign = -1 if "FID" in measure else 1
    compared = whole if "none" in variants else []
    for variant in variants:
        cells = [_cell(figures.get((name, variant), []), theirs.get((name, variant), []), digits) for name in names]
        means = [
            [statistics.mean(of[name, variant]) for name in whole if (name, variant) in of] for of in (figures, theirs)
        ]
        mean = [[statistics.mean(of)] if of and len(of) == len(whole) else [] for of in means]
        both = [key for key in figures if key[1] == variant and key in theirs]
        better = sum(sign * (statistics.mean(figures[key]) - theirs[key][0]) > 0 for key in both)
        last = f" {better} of {len(both)} |" if both else " |" if theirs else ""
        against = _against(measure, [[statistics.mean(figures[n, v]) for v in (variant, "none")] for n in compared])
        print(f"| {variant} | {' | '.join(cells)} | {_cell(mean[0], mean[1], digits)} | {against} |{last}")


def _against(measure: str, pairs: list[list[float]]) -> str:
    """What figures are against the plain tokenizer's, of pairs of both."""
    if not pairs:
        return ""
    if "accuracy" in measure or "CAS" in measure:
        return f"{statistics.mean(made - plain for made, plain in pairs):+.1f}"
    if min(plain for _, plain in pairs) <= 0 or min(made for made, _ in pairs) <= 0:
        return ""
    return f"{statistics.geometric_mean([made / plain for made, plain in pairs]):.2f} x"


def _read(path: Path, keys: list[str | int]) -> float | None:
    value: Any = read_json(path)
    for key in keys:
        value = value[key] if not isinstance(value, dict) or key in value else None
    return value  # type: ignore[no-any-return]


def _published(path: Path | None) -> dict[str, Figures]:
    if path is None:
        return {}
    found: dict[str, Figures] = {measure: {} for measure in THEIR_COLUMNS}
    with path.open() as lines:
        for row in csv.DictReader(lines):
            variant = THEIR_NAMES.get(row["variant"], row["variant"].replace("barlowtwins", "barlow"))
            for measure, (column, factor) in THEIR_COLUMNS.items():
                found[measure][row["dataset"], variant] = [factor * float(row[column])]
    return found


def _cell(values: list[float], published: list[float], digits: int) -> str:
    if not values:
        return ""
    return ledger.spread(values, digits) + (f" ({published[0]:.{digits}f})" if published else "")


def main() -> None:
    """Read the arguments and run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("probes", "samples", "cost", "table"))
    parser.add_argument("--data", nargs="+", default=[], help="names or files of data sets")
    parser.add_argument("--variants", nargs="+", choices=sorted(path.stem for path in CONFIGS.glob("*.yaml")))
    parser.add_argument("--preset", default=run_config.DEFAULT_PRESET)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--rounds", type=int, default=30, help="of cost")
    parser.add_argument("--work", type=Path, help="folder for the runs")
    parser.add_argument("--figures", type=Path, help="of table: CSV file of runs; those of --work are written to it")
    parser.add_argument("--published", type=Path, help="of table: CSV file of the published study")
    args = parser.parse_args()
    if args.part != "cost" and args.work is None and (args.part != "table" or args.figures is None):
        parser.error("--work is missing")
    if args.part != "table" and not args.data:
        parser.error("--data is missing")
    {"probes": probes, "samples": samples, "cost": cost, "table": table}[args.part](args)


if __name__ == "__main__":
    main()
