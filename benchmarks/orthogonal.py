"""What the orthogonal penalty does to a codebook, against its weight: a table and a picture.

    python benchmarks/orthogonal.py --data ECG5000.npz --seeds 0 1 --work runs/orthogonal
    python benchmarks/orthogonal.py --figures benchmarks/figures/orthogonal.csv --out benchmarks/pictures/orthogonal.png

Tokenizers alone, without a self-supervised loss, their codebooks trained by gradient with each weight, and one trained
as by default (EMA, which knows no penalty). All take the same number of steps: where training ends must not depend on
the weight. What is finished in `--work` is not done again.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import ledger
import torch
from matplotlib.figure import Figure

from timeloom import data as datasets
from timeloom.data.missing import fill_missing
from timeloom.evaluation.plots import REAL_COLOUR, SYNTHETIC_COLOUR
from timeloom.files import read_json, write_json
from timeloom.progress import RichProgress
from timeloom.stages import encode, probe, run_config, study_codebook, train
from timeloom.tokenizer.tokenizer import Tokenizer

RESULT, EMA = "result.json", "ema"
FIXED = (
    "tokenizer.ssl.loss=none",
    "tokenizer.weights.class_nll=0",
    "tokenizer_training.holdout=0",
    "tokenizer_training.texture_steps=0",
)
# of each measure: words, a factor, digits
MEASURES = {
    "cosine": ("mean |cosine| of used codes", 1, 3),
    "used": ("codes used, %", 100, 1),
    "perplexity": ("perplexity", 1, 0),
    "error": ("reconstruction error, test split", 1, 4),
    "svm": ("accuracy of an SVM, %", 100, 1),
}


def error(tokenizer: Tokenizer, data: datasets.Dataset) -> float:
    """Mean squared error of scaled test series (n, C, T)."""
    assert data.X_test is not None
    X = tokenizer.scale(torch.from_numpy(fill_missing(data.X_test, tokenizer.spec.mean)[0]))
    with torch.no_grad():
        parts = [(tokenizer(part).recon - part).square().mean(dim=(1, 2)) for part in X.split(256)]
    return float(torch.cat(parts).mean())


def one(data: datasets.Dataset, weight: str, seed: int, args: argparse.Namespace) -> ledger.Row:
    """The figures of one weight and seed; read from its folder if they are there already."""
    folder = args.work / data.name / weight / f"seed{seed}"
    if not (folder / RESULT).exists():
        trained = (
            () if weight == EMA else ("tokenizer.quantizer.codebook=gradient", f"tokenizer.weights.orthogonal={weight}")
        )
        config = run_config.build(args.preset, overrides=[*FIXED, *trained, *args.overrides], seed=seed)
        train.run(data, config, folder, stages=("tokenizer",), resume=True, progress=RichProgress())
        tokenizer = encode.load(folder)
        (use,) = study_codebook.read(tokenizer, data)
        of = study_codebook.figures(use)
        found = {"cosine": of.cosine, "used": of.used / of.codebook_size, "perplexity": of.perplexity}
        svm = probe.run(tokenizer, data, n_seeds=3)["svm"].mean
        write_json(folder / RESULT, {**found, "error": error(tokenizer, data), "svm": svm})
    key = {"data": data.name, "weight": weight, "seed": seed}
    return {**key, "version": ledger.version(folder), **read_json(folder / RESULT)}


def by_weight(rows: list[ledger.Row], name: str) -> dict[str, list[ledger.Row]]:
    """The rows of a set by weight, ascending, and then those of the EMA codebook."""
    weights = {str(row["weight"]) for row in rows}
    order = sorted(weights - {EMA}, key=float) + sorted(weights & {EMA})
    return {of: [row for row in rows if row["data"] == name and str(row["weight"]) == of] for of in order}


def table(rows: list[ledger.Row]) -> str:
    """A line a set and weight: means over the seeds and deviations."""
    lines = ["| set | weight | seeds |" + "".join(f" {words} |" for words, *_ in MEASURES.values())]
    lines.append("|" + "---|" * (3 + len(MEASURES)))
    for name in sorted({row["data"] for row in rows}):
        for weight, found in by_weight(rows, name).items():
            cells = [
                ledger.spread([factor * row[of] for row in found], digits)
                for of, (_, factor, digits) in MEASURES.items()
            ]
            lines.append("| " + " | ".join([name, weight, ", ".join(str(row["seed"]) for row in found), *cells]) + " |")
    return "\n".join(lines)


def picture(rows: list[ledger.Row]) -> Figure:
    """A panel a measure against the weight: dots are runs, lines their means; dashed the EMA codebook."""
    names = sorted({row["data"] for row in rows})
    figure = Figure(figsize=(3.2 * len(MEASURES), 2.9), layout="constrained")
    for panel, (of, (words, factor, _)) in zip(figure.subplots(1, len(MEASURES)), MEASURES.items(), strict=True):
        for name, colour in zip(names, (REAL_COLOUR, SYNTHETIC_COLOUR, "#009E73"), strict=False):
            _draw(panel, by_weight(rows, name), of, factor, name, colour)
        panel.set_title(words, loc="left", fontsize=10)
        panel.set_xlabel("weight of the penalty")
    figure.axes[0].legend(fontsize=8, frameon=False)
    return figure


def _draw(panel: Any, found: dict[str, list[ledger.Row]], of: str, factor: float, name: str, colour: str) -> None:
    values = {weight: [factor * row[of] for row in rows] for weight, rows in found.items()}
    ema = values.pop(EMA, [])
    for place, each in enumerate(values.values()):
        panel.plot([place] * len(each), each, "o", color=colour, markersize=3.5, alpha=0.6)
    panel.plot([statistics.mean(each) for each in values.values()], color=colour, label=name)
    if ema:
        panel.axhline(statistics.mean(ema), color=colour, linestyle="--", linewidth=1, label=f"{name}, EMA")
    panel.set_xticks(range(len(values)), list(values))


def main() -> None:
    """Read the arguments, train what is lacking, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=[], help="names or files of data sets with labels")
    parser.add_argument("--weights", nargs="+", default=["0", "1", "10", "100", "1000", EMA], help="of the penalty")
    parser.add_argument("--preset", default=run_config.DEFAULT_PRESET)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--work", type=Path, help="folder for the runs")
    parser.add_argument("--figures", type=Path, help="CSV file of runs; new ones are written to it")
    parser.add_argument("--out", type=Path, help="PNG file")
    args = parser.parse_args()
    if bool(args.data) != bool(args.work) or not (args.data or args.figures):
        parser.error("give --data with --work, or --figures")
    sets = [datasets.load(name).with_test_split() for name in args.data]
    new = [one(data, weight, seed, args) for data in sets for weight in args.weights for seed in args.seeds]
    rows = ledger.kept(args.figures, new, ("data", "weight", "seed"))
    print(table(rows))
    if args.out is not None:
        picture(rows).savefig(args.out, metadata={"Software": None})


if __name__ == "__main__":
    main()
