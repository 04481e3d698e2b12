"""A picture of every view: what a self-supervised loss holds to be the same series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from timeloom.data import Scaler, check_series
from timeloom.data.channels import channel_title
from timeloom.data.missing import fill_missing
from timeloom.evaluation.page.figures import drawing_style
from timeloom.evaluation.plots import SYNTHETIC_COLOUR
from timeloom.ssl.views import NOISE, SEGMENTS, SHORTEST_CROP, VIEWS, View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WORDS = {
    "warp": "a stretch lasts longer or shorter",
    "slice": f"{SEGMENTS} pieces in random order",
    "gauss": f"noise of {NOISE} deviations",
    "crop": f"{SHORTEST_CROP} or more of it, stretched",
    "flip": "half of the series backwards",
    "slope": "plus a straight line",
    "magnitude": "times a smooth curve",
    "mask": "a tenth of all cells silent",
    "block": "some bins silent for a while",
    "band": "a quarter of the bins silent",
    "phase": "each bin has its phase turned",
}
N_SERIES, COLUMNS = 3, 3
SERIES_COLOUR = "#8c96a0"
APART = 1.1


def views_sheet(X: ArrayLike, *, seed: int, channels: Sequence[str] | None = None) -> Figure:
    """One panel a view: three of the series (n, C, T) in grey, and a view of each in colour over it.

    The series are drawn by the seed, scaled as for training (each channel to zero mean and unit variance, missing
    values filled in), and set under each other, so that a view is seen on its own series. All panels show the same
    series on the same axes. Of several channels, called `channels`, the first one that varies is drawn. The same input
    gives the same picture.

    Raises:
        InputError: no series of shape (n, C, T) or (n, T), T at least 8.
    """
    from matplotlib.figure import Figure

    checked, _ = check_series(X, None, "X", 1)
    filled, _ = fill_missing(checked, Scaler.fit(checked).mean.tolist())
    rows = np.sort(np.random.default_rng(seed).permutation(len(filled))[:N_SERIES])
    series = Scaler.fit(filled).transform(filled)[rows]
    drawn = int((np.ptp(series, axis=2) > 0).any(axis=0).argmax())
    n_rows = -(-(len(VIEWS) + 1) // COLUMNS)
    with drawing_style():
        figure = Figure(figsize=(12, 2.1 * n_rows + 0.5), dpi=100, layout="constrained")
        panels = figure.subplots(n_rows, COLUMNS, sharex=True, sharey=True).ravel()
        shift = APART * float(np.ptp(series[:, drawn], axis=1).max() or 1.0)
        for panel, (name, view) in zip(panels, VIEWS.items(), strict=False):
            panel.set_title(f"{name}: {WORDS[name]}", loc="left", fontsize=11)
            _draw(panel, series[:, drawn], _seen(view, series, seed)[:, drawn], shift)
        for panel in panels[len(VIEWS) :]:
            panel.axis("off")
        handles, words = panels[0].get_legend_handles_labels()
        title = ", ".join(filter(None, [f"{len(rows)} series", channel_title(channels, drawn, series.shape[1])]))
        panels[len(VIEWS)].legend(handles, words, loc="center", frameon=False, title=title)
        for panel in panels[-COLUMNS : len(VIEWS)]:
            panel.set_xlabel("time step")
        return figure


def _seen(view: View, series: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    return view(torch.from_numpy(series), torch.Generator().manual_seed(seed)).numpy()


def _draw(panel: Axes, series: NDArray[np.float32], seen: NDArray[np.float32], shift: float) -> None:
    down = -shift * np.arange(len(series))[:, None]
    before = panel.plot((series + down).T, color=SERIES_COLOUR, linewidth=2.2, alpha=0.8)
    after = panel.plot((seen + down).T, color=SYNTHETIC_COLOUR, linewidth=1.2)
    before[0].set_label("the series")
    after[0].set_label("a view of it")
    panel.set_yticks([])
    panel.margins(x=0.01)
    panel.grid(axis="x", alpha=0.25, linewidth=0.5)
