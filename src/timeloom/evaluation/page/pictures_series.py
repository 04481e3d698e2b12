"""Pictures of single series: real beside synthetic by class, and the nearest copies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from timeloom.evaluation.exhibits import Exhibits
from timeloom.evaluation.page.figures import HEIGHT, Panel, Picture, Row, axis_labels, new_axes, svg_panel
from timeloom.evaluation.plots import (
    MAX_CHANNELS,
    MAX_CLASSES,
    REAL_COLOUR,
    SYNTHETIC_COLOUR,
    by_class,
    draw_panel,
    quantiles,
    set_range,
)

N_LINES = 5
N_COPIES = 8


def samples(exhibits: Exhibits, key: str = "samples") -> Picture:
    """Held-out real series beside synthetic ones, by class and channel."""
    groups = by_class(exhibits.X_test, exhibits.y_test, exhibits.X_synthetic, exhibits.y_synthetic)
    n_channels = exhibits.X_test.shape[1]
    rows: list[Row] = []
    for group, real, synthetic in groups:
        for channel in range(min(n_channels, MAX_CHANNELS)):
            title = exhibits.channel_title(channel)
            name = (group.removesuffix(": ") or "all series") + (f", {title}" if title else "")
            panels = _sample_panels(name, real[:, channel], synthetic[:, channel], f"{key}-{len(rows)}")
            rows.append(Row(panels, name, f"{len(real)} real, {len(synthetic)} synthetic"))
    return Picture(
        key=key,
        title="Real beside synthetic series",
        caption="Held-out real series (blue) and synthetic ones (vermilion) of each class, on the same scale. Look for "
        "the same shapes, the same height and the same spread; a much narrower synthetic band means that the synthetic "
        "series vary too little.",
        rows=rows,
        layout="pairs",
        legend=[
            ("median", "median"),
            ("band", "band: 5-95 % of all series"),
            ("thin", f"thin lines: up to {N_LINES} single series"),
        ],
        notes=_left_out(exhibits),
    )


def _nearest_pairs(exhibits: Exhibits) -> NDArray:
    """Synthetic series next to a training series, nearest first: one for each training series, then further ones."""
    nearest = exhibits.neighbours
    order = np.argsort(nearest.distance, kind="stable")
    first = np.sort(np.unique(nearest.row[order], return_index=True)[1])
    return np.concatenate([order[first], np.delete(order, first)])[:N_COPIES]


def near_copies(exhibits: Exhibits) -> Picture:
    """The synthetic series that lie nearest to a training series, each over its neighbour."""
    nearest = exhibits.neighbours
    n_channels, panels = exhibits.X_train.shape[1], []
    channels = [exhibits.channel_title(channel) for channel in range(min(n_channels, MAX_CHANNELS))]
    for rank, row in enumerate(_nearest_pairs(exhibits)):
        synthetic, real = exhibits.X_synthetic[row], exhibits.X_train[nearest.row[row]]
        note = _distance_in_words(float(nearest.distance[row]), nearest.threshold)
        title = f"synthetic series {row}, training series {nearest.row[row]}"
        panels.append(_copy_panel(real, synthetic, channels, f"copies-{rank}", title, note))
    n_copies = int((nearest.distance <= nearest.threshold).sum())
    return Picture(
        key="copies",
        title="The nearest copies",
        caption=f"{len(panels)} synthetic series that come nearest to a training series, each drawn over it. Lines "
        "that run together, noise and all, are a copy; lines that only share their outline are not.",
        rows=[Row(panels)],
        legend=[("real", "training series (solid)"), ("synthetic", "synthetic series (dashed)")],
        notes=[
            f"{n_copies} of {len(nearest.distance)} synthetic series lie within the threshold of "
            f"{nearest.threshold:.3g}: nearer than 95 in 100 training series have their nearest fellow. "
            "About 5 in 100 new real series do so by chance.",
            *(
                [f"Channels after the first {MAX_CHANNELS} of {n_channels} are not drawn."]
                * (n_channels > MAX_CHANNELS)
            ),
        ],
    )


def _sample_panels(name: str, real: NDArray, synthetic: NDArray, prefix: str) -> list[Panel]:
    panels = []
    for side, series, colour in (("real", real, REAL_COLOUR), ("synthetic", synthetic, SYNTHETIC_COLOUR)):
        (axes,) = new_axes()
        draw_panel(axes, series, N_LINES, colour)
        axes.tick_params(labelsize=10)
        axis_labels(axes, "time step", "value")
        set_range(axes, real, synthetic)
        axes.set_xlim(*_steps(real.shape[1]))
        alt = f"{name}, {side}: {_describe(series)}"
        panels.append(svg_panel(axes, alt, f"{prefix}-{side}", side))
    return panels


def _steps(n_timepoints: int) -> tuple[float, float]:
    margin = max(0.01 * (n_timepoints - 1), 0.5)
    return -margin, n_timepoints - 1 + margin


def _describe(series: NDArray) -> str:
    """What the panel of series (n, T) shows, in words."""
    if len(series) == 0:
        return "no series of this class."
    low, median, high = quantiles(series)
    if np.isnan(median).all():
        return f"{len(series)} series without a single value."
    lowest, highest = int(np.nanargmin(median)), int(np.nanargmax(median))
    return (
        f"{len(series)} series; the median is lowest, {median[lowest]:.3g}, at step {lowest} and highest, "
        f"{median[highest]:.3g}, at step {highest}; the band is {np.nanmean(high - low):.3g} wide on average."
    )


def _left_out(exhibits: Exhibits) -> list[str]:
    """What the picture of samples does not show."""
    notes = []
    n_channels = exhibits.X_test.shape[1]
    if n_channels > MAX_CHANNELS:
        notes.append(f"The first {MAX_CHANNELS} of {n_channels} channels are drawn.")
    if exhibits.y_test is None or exhibits.y_synthetic is None:
        without = "real" if exhibits.y_test is None else "synthetic"
        return [*notes, f"The {without} series have no labels, so all series are drawn together."]
    classes = np.unique(exhibits.y_test)
    if len(classes) > MAX_CLASSES:
        notes.append(f"The first {MAX_CLASSES} of {len(classes)} classes are drawn.")
    strange = np.setdiff1d(exhibits.y_synthetic, classes)
    if len(strange):
        n_series = int(np.isin(exhibits.y_synthetic, strange).sum())
        notes.append(f"Not drawn: {n_series} synthetic series of classes that the held-out real series lack.")
    return notes


def _copy_panel(real: NDArray, synthetic: NDArray, channels: list[str], prefix: str, title: str, note: str) -> Panel:
    n_channels = len(channels)
    stack = new_axes(HEIGHT if n_channels == 1 else 0.5 + 1.1 * n_channels, n_channels)
    for channel, axes in enumerate(stack):
        axes.plot(real[channel], color=REAL_COLOUR, linewidth=2.6, alpha=0.5)
        axes.plot(synthetic[channel], color=SYNTHETIC_COLOUR, linewidth=1.1, linestyle=(0, (4, 1.5)))
        axis_labels(axes, "", channels[channel] or "value")
    stack[-1].set_xlabel("time step")
    apart = np.abs(real.astype(np.float64) - synthetic)
    gap = f"they are at most {np.nanmax(apart):.3g} apart" if np.isfinite(apart).any() else "they share no time step"
    return svg_panel(stack[0], f"{title}, drawn over each other: {gap}; {note}.", prefix, title, note)


def _distance_in_words(distance: float, threshold: float) -> str:
    verdict = "counts as a near copy" if distance <= threshold else "not a near copy"
    if threshold <= 0:
        return f"distance {distance:.3g}, threshold 0: {verdict}"
    return f"distance {distance:.3g}, {distance / threshold:.2f} times the threshold: {verdict}"
