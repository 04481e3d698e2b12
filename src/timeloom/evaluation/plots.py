"""Pictures of series, real beside synthetic."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.data.channels import channel_title
from timeloom.encoders.inputs import check_series
from timeloom.errors import InputError
from timeloom.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CLASSES = 12
MAX_CHANNELS = 3
# Okabe and Ito's blue and vermilion: apart for every kind of colour vision, and in grey.
REAL_COLOUR, SYNTHETIC_COLOUR = "#0072B2", "#D55E00"


def plot_samples(
    path: str | os.PathLike[str],
    X_real: ArrayLike,
    y_real: ArrayLike | None,
    X_synthetic: ArrayLike,
    y_synthetic: ArrayLike | None,
    *,
    n_per_class: int = 10,
    channels: Sequence[str] | None = None,
) -> None:
    """Draw real series left and synthetic ones right, a row for each class and channel, into a PNG file.

    Each panel holds up to `n_per_class` series, evenly spaced over the set, the median and the band from the 5 % to
    the 95 % quantile of all series of the class. Both panels of a row share the y axis, whose range the real series
    set and the synthetic band may widen, so that one stray series cannot flatten the rest. At most 12 classes and 3
    channels are drawn; without labels on both sides there is one row a channel. The same input gives the same bytes.

    Args:
        path: of the PNG; written under a temporary name, then renamed.
        X_real: (N, C, T).
        y_real: (N,), or None.
        X_synthetic: (M, C, T).
        y_synthetic: (M,), or None.
        n_per_class: number of single series in a panel.
        channels: names of the C channels, or None.

    Raises:
        InputError: series of different channels or lengths, or labels that are not one a series.
    """
    real, synthetic = check_series(X_real, "X_real"), check_series(X_synthetic, "X_synthetic")
    if real.shape[1:] != synthetic.shape[1:]:
        raise InputError(
            f"X_synthetic has (channels, length) {synthetic.shape[1:]}, X_real {real.shape[1:]}; allowed: equal ones"
        )
    groups = by_class(real, y_real, synthetic, y_synthetic)
    with replacing(Path(path)) as temporary:
        _draw(groups, n_per_class, channels).savefig(temporary, format="png", metadata={"Software": None})


Group = tuple[str, NDArray[np.float32], NDArray[np.float32]]


def by_class(
    real: NDArray[np.float32], y_real: ArrayLike | None, synthetic: NDArray[np.float32], y_synthetic: ArrayLike | None
) -> list[Group]:
    """Title and series of each row of classes: (title, real (n, C, T), synthetic (m, C, T)); m may be 0."""
    if y_real is None or y_synthetic is None:
        return [("", real, synthetic)]
    real_labels, synthetic_labels = np.asarray(y_real), np.asarray(y_synthetic)
    for name, labels, series in (("y_real", real_labels, real), ("y_synthetic", synthetic_labels, synthetic)):
        if labels.shape != (len(series),):
            raise InputError(f"{name} has shape {labels.shape}; allowed: ({len(series)},), one label for each series")
    return [
        (f"class {label}: ", real[real_labels == label], synthetic[synthetic_labels == label])
        for label in np.unique(real_labels)[:MAX_CLASSES]
    ]


def _draw(groups: list[Group], n_lines: int, names: Sequence[str] | None) -> Figure:
    from matplotlib.figure import Figure

    channels = range(min(groups[0][1].shape[1], MAX_CHANNELS))
    n_rows = len(groups) * len(channels)
    figure = Figure(figsize=(10, 0.6 + 1.9 * n_rows), dpi=100, layout="constrained")
    axes = figure.subplots(n_rows, 2, squeeze=False, sharex=True, sharey="row")
    rows = [(group, channel) for group in groups for channel in channels]
    for (left, right), ((title, real, synthetic), channel) in zip(axes, rows, strict=True):
        name = channel_title(names, channel, groups[0][1].shape[1])
        suffix = f", {name}" if name else ""
        for panel, series, side, colour in (
            (left, real, "real", REAL_COLOUR),
            (right, synthetic, "synthetic", SYNTHETIC_COLOUR),
        ):
            heading = f"{title}{side}{suffix} (n = {len(series)})"
            panel.set_title(heading, fontsize=9, loc="left", parse_math=False)
            draw_panel(panel, series[:, channel], n_lines, colour)
        set_range(left, real[:, channel], synthetic[:, channel])
    figure.suptitle("black: median; band: 5-95 % quantiles of all n; thin: single series", fontsize=9)
    for panel in axes[-1]:
        panel.set_xlabel("time step", fontsize=9)
    return figure


def draw_panel(panel: Axes, series: NDArray[np.float32], n_lines: int, colour: str) -> None:
    panel.tick_params(labelsize=8)
    panel.grid(alpha=0.25, linewidth=0.5)
    panel.margins(x=0.01)
    if len(series) == 0:
        panel.text(0.5, 0.5, "no series of this class", transform=panel.transAxes, ha="center", va="center")
        return
    low, median, high = quantiles(series)
    steps = np.arange(series.shape[1])
    panel.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
    shown = np.unique(np.linspace(0, len(series) - 1, n_lines).round().astype(int))
    panel.plot(steps, series[shown].T, color=colour, alpha=0.45, linewidth=0.6)
    panel.plot(steps, median, color="black", linewidth=1.4)


def set_range(panel: Axes, real: NDArray[np.float32], synthetic: NDArray[np.float32]) -> None:
    """Show all of the real series and the whole band of the synthetic ones."""
    bands = [quantiles(synthetic)] if len(synthetic) else []
    shown = np.concatenate([real.ravel(), *(band.ravel() for band in bands)])
    shown = shown[np.isfinite(shown)]
    if len(shown):
        margin = 0.05 * float(np.ptp(shown)) or 0.5
        panel.set_ylim(float(shown.min()) - margin, float(shown.max()) + margin)


def quantiles(series: NDArray[np.float32]) -> NDArray[np.float64]:
    """5 %, 50 % and 95 % quantile at each time (3, T) of series (n, T); NaN where every series misses the value."""
    quantiles = np.full((3, series.shape[1]), np.nan)
    seen = ~np.isnan(series).all(axis=0)
    quantiles[:, seen] = np.nanquantile(series[:, seen].astype(np.float64), [0.05, 0.5, 0.95], axis=0)
    return quantiles
