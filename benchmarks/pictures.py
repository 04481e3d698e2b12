"""Draw a grid of real series above synthetic ones for data sets that `quality.py` or `windows.py --work` has finished.

    python benchmarks/pictures.py --data ECG5000.npz ECG200.npz --work runs --out benchmarks/pictures/heartbeats.png
    python benchmarks/pictures.py --data stock.npz Sines --window 24 --work runs --out benchmarks/pictures/windows.png

Each column holds real series (above, blue) and synthetic ones (below, vermilion), drawn by a seed and not picked; both
share the axis. A column is a class, and the real series are held out; of windows it is a channel.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from windows import windows_of

from timeloom import data as datasets
from timeloom.data.channels import channel_title
from timeloom.evaluation.plots import REAL_COLOUR, SYNTHETIC_COLOUR
from timeloom.stages import sample, train

COLUMNS = 6
LINES, MANY = 3, 8  # of a class; of a channel of windows
Column = tuple[str, NDArray, NDArray]  # title, real series, synthetic ones


def drawn(X: NDArray, n: int, seed: int) -> NDArray:
    """Some series (n, T) of a channel (N, T)."""
    return X[np.random.default_rng(seed).permutation(len(X))[:n]]


def synthetic(folder: Path, n: int, seed: int, *, labelled: bool) -> sample.Samples:
    """Samples of a finished run, decoded as its own record says."""
    config = train.saved_sampling(folder)
    return sample.run(*sample.load(folder), n, config, match_labels=labelled, seed=seed)


def by_class(name: str, work: Path, seed: int) -> list[Column]:
    """A column a class, first channel; where there are few classes a class comes again with other series."""
    data = datasets.load(name).with_test_split()
    assert data.X_test is not None
    assert data.y_test is not None
    made = synthetic(work / data.name / f"seed{seed}", 40 * COLUMNS, seed, labelled=True)
    assert made.y is not None
    present = [label for label in np.unique(made.y) if label in data.y_test]
    found = []
    for place in range(COLUMNS):
        label = present[place % len(present)]
        real, other = (X[y == label, 0] for X, y in ((data.X_test, data.y_test), (made.X, made.y)))
        title = f"{data.name}, class {label}"
        found.append((title, drawn(real, LINES, seed + place), drawn(other, LINES, seed + place)))
    return found


def by_channel(name: str, window: int, work: Path, seed: int) -> list[Column]:
    """A column a channel of windows, the first of them."""
    data = windows_of(name, window)
    made = synthetic(work / f"{data.name}-{window}" / f"seed{seed}", 40, seed, labelled=False)
    found = []
    for place in range(min(COLUMNS, data.n_channels)):
        real, other = (drawn(X[:, place], MANY, seed + place) for X in (data.X_train, made.X))
        title = ", ".join(filter(None, [data.name, channel_title(data.channels, place, data.n_channels)]))
        found.append((title, real, other))
    return found


def main() -> None:
    """Read the runs, sample, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", nargs="+", required=True, help="data sets with labels; or files of long series, Sines"
    )
    parser.add_argument("--window", type=int, help="length of the windows, if windows.py made the runs")
    parser.add_argument("--work", type=Path, required=True, help="the folder given to quality.py or windows.py")
    parser.add_argument("--seed", type=int, default=0, help="of the run, and of the drawn series")
    parser.add_argument("--out", type=Path, required=True, help="PNG file")
    args = parser.parse_args()
    figure = Figure(figsize=(2.4 * COLUMNS, 2.5 * len(args.data)), layout="constrained")
    axes = figure.subplots(2 * len(args.data), COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for row, name in enumerate(args.data):
        of_class = args.window is None
        columns = (
            by_class(name, args.work, args.seed) if of_class else by_channel(name, args.window, args.work, args.seed)
        )
        for place, (title, *both) in enumerate(columns):
            low, high = min(np.nanmin(of) for of in both), max(np.nanmax(of) for of in both)
            margin = 0.05 * (high - low)
            for below, (series, colour) in enumerate(zip(both, (REAL_COLOUR, SYNTHETIC_COLOUR), strict=True)):
                axis = axes[2 * row + below, place]
                axis.plot(series.T, color=colour, linewidth=0.8, alpha=0.8)
                axis.set(ylim=(low - margin, high + margin))
                axis.spines[["bottom", "left"]].set_visible(True)
            axes[2 * row, place].set_title(title, fontsize=8)
        axes[2 * row, 0].set_ylabel("real", color=REAL_COLOUR)
        axes[2 * row + 1, 0].set_ylabel("synthetic", color=SYNTHETIC_COLOUR)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=80, metadata={"Software": None})


if __name__ == "__main__":
    main()
