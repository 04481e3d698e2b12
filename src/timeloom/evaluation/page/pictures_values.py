"""Pictures of all values: histograms, autocorrelation and power spectrum, real over synthetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from timeloom.data import evenly_spaced
from timeloom.data.missing import fill_missing
from timeloom.evaluation.exhibits import Exhibits
from timeloom.evaluation.page.figures import BANDS, Panel, Picture, Row, axis_labels, new_axes, svg_panel
from timeloom.evaluation.plots import MAX_CHANNELS, REAL_COLOUR, SYNTHETIC_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_SERIES = 5000
N_BINS = 60
FEWEST_STEPS = 4
# Power below this share of the largest is numerical noise, and would stretch the axis over it.
LEAST_POWER = 1e-8
DASHES = (0, (4, 1.5))

Values = NDArray[np.float64]


def histograms(exhibits: Exhibits) -> Picture:
    """How often each value occurs, by channel."""
    rows = []
    for channel, (real, synthetic) in enumerate(_channels(exhibits)):
        both = np.concatenate([real.ravel(), synthetic.ravel()])
        seen = [values[np.isfinite(values)] for values in (real, synthetic)]
        if min(map(len, seen)) == 0:
            continue
        low, high = np.quantile(both[np.isfinite(both)], [0.001, 0.999])
        edges = np.linspace(low, high, N_BINS + 1) if high > low else np.linspace(low - 0.5, low + 0.5, N_BINS + 1)
        rows.append((exhibits.channel_title(channel), *seen, edges))
    if not rows:
        return Picture("histograms", "Values", missing="One of the two sets holds no value at all.")
    panels: list[Panel] = []
    for name, real, synthetic, edges in rows:
        (axes,) = new_axes()
        shares = [np.histogram(values, edges)[0] / len(values) for values in (real, synthetic)]
        axes.stairs(100 * shares[0], edges, fill=True, color=REAL_COLOUR, alpha=0.25)
        axes.stairs(100 * shares[0], edges, color=REAL_COLOUR, linewidth=1.3)
        axes.stairs(100 * shares[1], edges, color=SYNTHETIC_COLOUR, linewidth=1.3, linestyle=DASHES)
        axis_labels(axes, "value", "share of values, %")
        overlap = float(np.minimum(*shares).sum())
        alt = (
            f"Histogram of values{', ' + name if name else ''}: {overlap:.0%} of the two overlap; "
            f"median {np.median(real):.3g} real, {np.median(synthetic):.3g} synthetic."
        )
        panels.append(svg_panel(axes, alt, f"histograms-{len(panels)}", name, f"overlap {overlap:.0%}"))
    return Picture(
        key="histograms",
        title="Values",
        caption="How often each value occurs. The two outlines should lie on each other; a missing tail or a second "
        "hump means that some heights are made too rarely or too often.",
        rows=[Row(panels)],
        legend=[("real", "real (solid, filled)"), ("synthetic", "synthetic (dashed)")],
        notes=["The outermost 0.1 % of the values on either side are not drawn.", *_notes(exhibits)],
    )


def autocorrelation(exhibits: Exhibits) -> Picture:
    """How much a value says of the values that follow it, by channel."""
    return _band_picture(
        exhibits,
        Picture(
            key="autocorrelation",
            title="Autocorrelation",
            caption="How closely a value goes with the one so many steps later: 1 is in step, 0 unrelated, -1 "
            "opposed. Waves in the curve are rhythms of the series, and both curves should have the same ones.",
            legend=BANDS,
        ),
        autocorrelations,
        "lag, time steps",
        "correlation",
    )


def spectrum(exhibits: Exhibits) -> Picture:
    """How much of the variation is slow and how much is fast, by channel."""
    return _band_picture(
        exhibits,
        Picture(
            key="spectrum",
            title="Power spectrum",
            caption="How strong slow (left) and fast (right) changes are, on a scale where each mark is ten times the "
            "one below. A synthetic curve that sinks on the right is too smooth; one that stays high is too noisy.",
            legend=BANDS,
        ),
        powers,
        "cycles per time step",
        "power",
    )


def autocorrelations(series: Values) -> Values:
    """Autocorrelation (m, T // 2 + 1) of each series (n, T) at lags 0 to T // 2; constant series are left out.

    The biased estimate: the sum of products over the sum of squares of the centred series, in [-1, 1].
    """
    n_timepoints = series.shape[1]
    centred = series - series.mean(axis=1, keepdims=True)
    products = np.fft.irfft(np.abs(np.fft.rfft(centred, 2 * n_timepoints)) ** 2, axis=1)[:, : n_timepoints // 2 + 1]
    moving = centred.std(axis=1) > 1e-7 * (np.abs(series).max(axis=1) + 1e-30)
    return products[moving] / products[moving, :1]


def powers(series: Values) -> Values:
    """Periodogram (n, T // 2) of each series (n, T), without frequency 0: squared magnitude over T."""
    centred = series - series.mean(axis=1, keepdims=True)
    return np.abs(np.fft.rfft(centred)[:, 1:]) ** 2 / series.shape[1]


def _band_picture(
    exhibits: Exhibits, picture: Picture, statistic: Callable[[Values], Values], x: str, y: str
) -> Picture:
    """`picture` with a panel for each channel: mean and 5-95 % band of a statistic of single series."""
    n_timepoints = exhibits.X_test.shape[2]
    if n_timepoints < FEWEST_STEPS:
        reason = f"The series have {n_timepoints} time steps; it takes {FEWEST_STEPS}."
        return Picture(picture.key, picture.title, missing=reason)
    panels = []
    for channel, pair in enumerate(_channels(exhibits)):
        real, synthetic = (statistic(_filled(values)) for values in pair)
        if min(len(real), len(synthetic)) == 0 or min(real.max(), synthetic.max()) <= 0:
            continue
        (axes,) = new_axes()
        log = statistic is powers
        at = np.fft.rfftfreq(n_timepoints)[1:] if log else np.arange(real.shape[1])
        least = LEAST_POWER * max(real.mean(axis=0).max(), synthetic.mean(axis=0).max()) if log else -np.inf
        for values, colour, style in ((real, REAL_COLOUR, "-"), (synthetic, SYNTHETIC_COLOUR, DASHES)):
            low, high = np.maximum(np.quantile(values, [0.05, 0.95], axis=0), least)
            axes.fill_between(at, low, high, color=colour, alpha=0.16, linewidth=0)
            axes.plot(at, np.maximum(values.mean(axis=0), least), color=colour, linewidth=1.5, linestyle=style)
        if log:
            _log_scale(axes)
        axis_labels(axes, x, y)
        name = exhibits.channel_title(channel)
        alt = f"{picture.title}{', ' + name if name else ''}: {_difference(real, synthetic, at, log=log)}"
        panels.append(svg_panel(axes, alt, f"{picture.key}-{channel}", name))
    if not panels:
        return Picture(picture.key, picture.title, missing="In one of the two sets every series is constant.")
    notes = [*picture.notes, *_notes(exhibits)]
    return Picture(picture.key, picture.title, picture.caption, [Row(panels)], legend=picture.legend, notes=notes)


def _log_scale(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _difference(real: Values, synthetic: Values, at: NDArray, *, log: bool) -> str:
    """Where the mean curves are farthest apart, in words."""
    ours, theirs = synthetic.mean(axis=0), real.mean(axis=0)
    if not log:
        farthest = int(np.abs(ours - theirs).argmax())
        return (
            f"the mean curves are farthest apart at lag {at[farthest]}, "
            f"{theirs[farthest]:.2f} real and {ours[farthest]:.2f} synthetic."
        )
    least = LEAST_POWER * max(ours.max(), theirs.max())
    ratio = np.maximum(ours, least) / np.maximum(theirs, least)
    farthest = int(np.abs(np.log(ratio)).argmax())
    return (
        f"mean synthetic power is {np.median(ratio):.3g} times the real one at the middle frequency, "
        f"and at most off by {ratio[farthest]:.3g} times, at {at[farthest]:.3g} cycles per step."
    )


def _channels(exhibits: Exhibits) -> list[tuple[Values, Values]]:
    """Real test and synthetic series (n, T) of each channel that is drawn; at most 5000 of each set."""
    sets = [_drawn(X) for X in (exhibits.X_test, exhibits.X_synthetic)]
    n_channels = min(exhibits.X_test.shape[1], MAX_CHANNELS)
    return [(sets[0][:, channel], sets[1][:, channel]) for channel in range(n_channels)]


def _drawn(X: NDArray) -> Values:
    rows = evenly_spaced(len(X), MAX_SERIES)
    return np.asarray(X[rows], dtype=np.float64)


def _filled(series: Values) -> Values:
    """Series (n, T) that hold a value, with straight lines where values are missing."""
    some = series[~np.isnan(series).all(axis=1)]
    return fill_missing(some[:, None])[0][:, 0]


def _notes(exhibits: Exhibits) -> list[str]:
    n_channels, notes = exhibits.X_test.shape[1], []
    if n_channels > MAX_CHANNELS:
        notes.append(f"The first {MAX_CHANNELS} of {n_channels} channels are drawn.")
    if max(len(exhibits.X_test), len(exhibits.X_synthetic)) > MAX_SERIES:
        notes.append(f"Of sets with more, {MAX_SERIES} evenly spaced series are used.")
    return notes
