"""Draw a grid of real series above synthetic ones for data sets that `quality.py --work` has finished.

    python benchmarks/pictures.py --data ECG5000.npz ECG200.npz --work runs --out benchmarks/pictures/heartbeats.png

Each column holds held-out real series (above, blue) and synthetic ones (below, vermilion) of one class, drawn by a seed
and not picked; both share the axis.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from timeloom import data as datasets
from timeloom.evaluation.plots import REAL_COLOUR, SYNTHETIC_COLOUR
from timeloom.stages import run_config, sample

COLUMNS = 6
LINES = 3


def drawn(X: NDArray, y: NDArray, label: object, seed: int) -> NDArray:
    """Some series (LINES, T) of a class, first channel."""
    rows = np.flatnonzero(y == label)
    return X[np.random.default_rng(seed).permutation(rows)[:LINES], 0]


def main() -> None:
    """Read the runs, sample, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True, help="names or files of data sets with labels")
    parser.add_argument("--work", type=Path, required=True, help="the folder given to quality.py")
    parser.add_argument("--seed", type=int, default=0, help="of the run, and of the drawn series")
    parser.add_argument("--out", type=Path, required=True, help="PNG file")
    args = parser.parse_args()
    figure = Figure(figsize=(2.4 * COLUMNS, 2.5 * len(args.data)), layout="constrained")
    axes = figure.subplots(2 * len(args.data), COLUMNS, squeeze=False)
    for row, name in enumerate(args.data):
        data = datasets.load(name).with_test_split()
        assert data.X_test is not None
        assert data.y_test is not None
        tokenizer, prior = sample.load(args.work / data.name / f"seed{args.seed}")
        config = run_config.build(run_config.DEFAULT_PRESET).sampling
        made = sample.run(tokenizer, prior, 40 * COLUMNS, config, match_labels=True, seed=args.seed)
        assert made.y is not None
        present = [label for label in np.unique(made.y) if label in data.y_test]
        for column in range(COLUMNS):
            label = present[column % len(present)]
            seed = args.seed + column  # where there are few classes a class comes again with other series
            real, synthetic = drawn(data.X_test, data.y_test, label, seed), drawn(made.X, made.y, label, seed)
            low, high = real.min(), real.max()
            margin = 0.15 * (high - low)
            for below, (series, colour) in enumerate(((real, REAL_COLOUR), (synthetic, SYNTHETIC_COLOUR))):
                axis = axes[2 * row + below, column]
                axis.plot(series.T, color=colour, linewidth=0.8, alpha=0.8)
                axis.set(ylim=(low - margin, high + margin), xticks=[], yticks=[])
                axis.spines[["top", "right"]].set_visible(False)
            axes[2 * row, column].set_title(f"{data.name}, class {label}", fontsize=8)
        axes[2 * row, 0].set_ylabel("real", color=REAL_COLOUR)
        axes[2 * row + 1, 0].set_ylabel("synthetic", color=SYNTHETIC_COLOUR)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=80, metadata={"Software": None})


if __name__ == "__main__":
    main()
