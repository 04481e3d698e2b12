"""Pictures of a codebook: where its codes lie, how often they are used, by which classes, and in what company."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.codes import (
    chance_variation,
    class_shares,
    neighbour_counts,
    pointwise_information,
    total_variation,
)
from timeloom.evaluation.measures.tokens import code_shares
from timeloom.evaluation.page.embedding import N_NEIGHBOURS, plane_maps
from timeloom.evaluation.page.figures import INK, drawing_style
from timeloom.evaluation.plots import REAL_COLOUR, SYNTHETIC_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

WIDTH, DPI = 12.0, 100
# Okabe and Ito's colours without the yellow, which is faint on white; black stands for an eighth class.
CLASS_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7A5195", "#1d2733")
GREY, PALE = "#9aa4af", "#dfe3e7"
MOST_BARS, MOST_PAIRED, MOST_COLUMNS, MOST_CLASSES = 256, 24, 128, 60
MOST_NUMBERED = 40  # with room for upright numbers; up to MOST_COLUMNS they lie on their side
FEWEST_TO_TELL = 5  # pairs seen, or to be expected by chance: fewer tell no tendency
LETTERS = 14
LARGEST_DOT, NUMBERED_DOT = 450.0, 180.0  # areas in square points; a smaller one has no room for a number
MAP_SIZE, NUMBER_SIZE = (5.8, 3.8), (0.3, 0.18)  # inches, width and height


@dataclass(frozen=True)
class GridUse:
    """One level of one grid: its codes, and the tokens of two splits.

    Attributes:
        name: which grid and level, for titles.
        codes: code vectors (K, D).
        train: tokens (N, S, 1) of the training split.
        test: tokens (M, S, 1) of the test split.
        labels: classes (N,) of the training split, or None.
    """

    name: str
    codes: NDArray[np.float32]
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    labels: NDArray | None

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """How often the training split uses each code, (K,); they sum to 1."""
        return code_shares(self.train, len(self.codes))[0]

    @cached_property
    def test_shares(self) -> NDArray[np.float64]:
        """How often the test split uses each code, (K,)."""
        return code_shares(self.test, len(self.codes))[0]

    @cached_property
    def by_class(self) -> tuple[NDArray, NDArray[np.float64]]:
        """The classes (G,) and how often each of them uses each code, (G, K); with labels only."""
        assert self.labels is not None
        classes, shares = class_shares(self.train, self.labels, len(self.codes))
        return classes, shares[:, 0]


def code_maps(uses: Sequence[GridUse], *, seed: int = 0) -> Figure:
    """The code vectors in the plane, a row a grid: by PCA, and from 31 codes on by UMAP where umap-learn is installed.

    Under a map without UMAP beside it stands the reason; PCA's title has its share of the codes' variance.
    A dot's area is how often training series use the code, its colour the class that uses it most: the one with the
    largest share of its own tokens there, so that a large class has no advantage. Codes without use are crosses.
    Colours go to the 8 classes that lead the most codes, the dots of all others are white.
    """
    with drawing_style():
        maps = [_positions(use.codes, seed) for use in uses]
        columns = max(len(found) for found, _ in maps)
        figure = _new_figure(4.7 * len(uses), WIDTH if columns > 1 else 0.6 * WIDTH)
        rows = figure.subplots(len(uses), columns, squeeze=False)
        colours, words = _class_colours(uses)
        for panels, use, (found, lacking) in zip(rows, uses, maps, strict=True):
            for panel, (method, positions) in zip(panels, found.items(), strict=False):
                _draw_codes(panel, use, positions, colours)
                _title(panel, f"{use.name}, {method}{_explained(use.codes) if method == 'PCA' else ''}: {_used(use)}")
            panels[0].set_xlabel(lacking)
            for panel in panels[len(found) :]:
                panel.axis("off")
        _legend(figure, words, any((use.shares == 0).any() for use in uses))
        return figure


def histograms(uses: Sequence[GridUse], *, seed: int = 0) -> Figure:
    """How often each code is used, the most used one first: the training split beside the test split, a row a grid.

    The title has the total-variation distance between them, and its floor: what it is on average when the series are
    shuffled between the splits, drawn by the seed.
    """
    with drawing_style():
        figure = _new_figure(2.6 * len(uses) + 0.3)
        for panel, use in zip(figure.subplots(len(uses), 1, squeeze=False)[:, 0], uses, strict=True):
            _draw_bars(panel, use)
            moved = float(total_variation(use.shares, use.test_shares))
            floor = float(chance_variation(use.train, use.test, len(use.codes), seed=seed)[0])
            _title(panel, f"{use.name}: total variation {moved:.3f} between the splits (by chance {floor:.3f})")
        return figure


def cooccurrences(uses: Sequence[GridUse]) -> Figure:
    """Which codes follow which in neighbouring cells of training series, a row a grid; the 24 most used codes.

    Left the number of pairs, grey for none. Right their pointwise mutual information in nats: 0 as often as by chance,
    red more often, blue less often or never; grey where fewer than 5 pairs were seen and to be expected by chance,
    from which nothing can be told.
    """
    with drawing_style():
        figure = _new_figure(5.1 * len(uses))
        for panels, use in zip(figure.subplots(len(uses), 2, squeeze=False), uses, strict=True):
            _draw_pairs(figure, panels[0], panels[1], use)
        return figure


def class_use(uses: Sequence[GridUse]) -> Figure:
    """How often each class (a row) uses each code (a column) in training series, a panel a grid.

    Codes are sorted by the class that uses them most, then by use. At most 60 classes and the 128 most used codes.

    Raises:
        InputError: no labels.
    """
    if any(use.labels is None for use in uses):
        raise InputError("the use of codes by class needs labels; the data have none")
    with drawing_style():
        shown = min(len(uses[0].by_class[0]), MOST_CLASSES)
        figure = _new_figure((1.6 + max(0.17 * shown, 0.9)) * len(uses))
        for panel, use in zip(figure.subplots(len(uses), 1, squeeze=False)[:, 0], uses, strict=True):
            _draw_classes(figure, panel, use)
        return figure


def _new_figure(height: float, width: float = WIDTH) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def _title(panel: Axes, words: str) -> None:
    panel.set_title(words, loc="left", fontsize=11)


def _short(label: object) -> str:
    text = str(label)
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"


def _positions(codes: NDArray, seed: int) -> tuple[dict[str, NDArray[np.float64]], str]:
    """Maps of codes (K, D) by the name of the method, and why UMAP is not among them, if so."""
    vectors = np.pad(codes, ((0, 0), (0, max(0, 2 - codes.shape[1]))))
    few = 2 * N_NEIGHBOURS
    maps = plane_maps(vectors, seed, ("PCA", "UMAP") if len(codes) > few else ("PCA",))
    umap = maps.get("UMAP", f"it needs more than {few} codes")
    lacking = f"no UMAP: {umap}" if isinstance(umap, str) else ""
    return {name: of for name, of in maps.items() if not isinstance(of, str)}, lacking


def _explained(codes: NDArray) -> str:
    """How much of the variance of codes (K, D) two principal components have, in words."""
    of = np.linalg.svd(codes - codes.mean(axis=0), compute_uv=False).astype(np.float64) ** 2
    return f" ({100 * of[:2].sum() / of.sum():.0f} % of the variance)" if of.sum() > 0 else ""


def _used(use: GridUse) -> str:
    return f"{int((use.shares > 0).sum())} of {len(use.codes)} codes used"


def _leading(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """The class that uses each code most (K,), from shares (G, K); -1 where no class does."""
    return np.where(shares.max(axis=0) > 0, shares.argmax(axis=0), -1)


def _class_colours(uses: Sequence[GridUse]) -> tuple[dict[Any, str], dict[str, str]]:
    """The colour of each class that has one, and the legend's words with theirs; white is for all others."""
    if uses[0].labels is None:
        return {}, {"codes in use": GREY}
    classes, _ = uses[0].by_class
    led = [_leading(use.by_class[1]) for use in uses]
    leads = np.bincount(np.concatenate([of[of >= 0] for of in led]), minlength=len(classes))
    chosen = np.sort(np.argsort(-leads, kind="stable")[: len(CLASS_COLOURS)])
    colours = {classes[index]: colour for index, colour in zip(chosen, CLASS_COLOURS, strict=False)}
    words = {f"class {_short(label)}": colour for label, colour in colours.items()}
    others = len(classes) - len(chosen)
    return colours, words | ({f"{others} other classes": "white"} if others else {})


def _draw_codes(panel: Axes, use: GridUse, positions: NDArray[np.float64], colours: dict[Any, str]) -> None:
    from matplotlib.patheffects import withStroke

    shares = use.shares
    dead, order = positions[shares == 0], np.argsort(-shares, kind="stable")[: int((shares > 0).sum())]
    faces = [GREY] * len(order)
    if use.labels is not None:
        classes, of_class = use.by_class
        faces = [colours.get(classes[leader], "white") for leader in _leading(of_class)[order]]
    panel.scatter(dead[:, 0], dead[:, 1], marker="x", s=16, color=GREY, linewidths=0.9)
    areas = LARGEST_DOT * shares[order] / shares.max()
    edges = [_edge(face) for face in faces]
    used = positions[order]
    panel.scatter(used[:, 0], used[:, 1], s=areas, c=faces, edgecolors=edges, linewidths=0.7, alpha=0.85)
    halo = [withStroke(linewidth=2, foreground="white")]
    for code in _apart(order[areas >= NUMBERED_DOT], positions):
        panel.annotate(str(code), positions[code], ha="center", va="center", fontsize=8, color=INK, path_effects=halo)
    panel.set(xticks=[], yticks=[])
    panel.margins(0.08)
    panel.set_aspect("equal", adjustable="datalim")
    panel.spines[["top", "right"]].set_visible(True)


def _edge(face: str) -> str:
    return INK if face == "white" else "white"


def _apart(codes: NDArray[np.int64], positions: NDArray[np.float64]) -> list[int]:
    """Those of the codes whose numbers do not cover the number of an earlier one."""
    unit = np.max(np.ptp(positions, axis=0) / MAP_SIZE)
    place = positions / max(float(unit), 1e-12)
    kept: list[int] = []
    for code in codes:
        if all((np.abs(place[code] - place[other]) > NUMBER_SIZE).any() for other in kept):
            kept.append(int(code))
    return kept


def _legend(figure: Figure, words: dict[str, str], has_dead: bool) -> None:
    from matplotlib.lines import Line2D

    dot: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 8}
    marks = [Line2D([], [], color=face, label=text, markeredgecolor=_edge(face), **dot) for text, face in words.items()]
    if has_dead:
        marks.append(Line2D([], [], linestyle="", marker="x", color=GREY, label="not used"))
    figure.legend(
        handles=marks,
        loc="outside lower center",
        ncols=5 if figure.get_figwidth() == WIDTH else 3,
        frameon=False,
        title="area: how often used" + ("; colour: by which class most" if len(words) > 1 else ""),
    )


def _draw_bars(panel: Axes, use: GridUse) -> None:
    train, test = use.shares, use.test_shares
    order = np.argsort(-train, kind="stable")
    used = order[(train + test)[order] > 0]
    drawn = used[:MOST_BARS]
    panel.stairs(
        100 * train[drawn],
        np.arange(len(drawn) + 1) - 0.5,
        fill=True,
        color=REAL_COLOUR,
        alpha=0.4,
        label=f"training split ({len(use.train)} series)",
    )
    dots: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 3.5, "color": SYNTHETIC_COLOUR}
    panel.plot(100 * test[drawn], label=f"test split ({len(use.test)} series)", **dots)
    panel.set_ylim(bottom=0)
    panel.set_xlim(-0.7, len(drawn) - 0.3)
    _number_codes(panel.xaxis, drawn, 0)
    rest = f"the {len(used)} of {len(train)} codes that either split uses, the most used one first"
    panel.set_xlabel(rest + (f" ({MOST_BARS} are drawn)" if len(used) > MOST_BARS else ""))
    panel.set_ylabel("share, %")
    panel.grid(axis="y", alpha=0.25, linewidth=0.5)
    panel.legend(frameon=False)


def _number_codes(axis: Axis, codes: NDArray[np.int64], shift: float) -> None:
    """The codes' numbers as tick labels, as long as they can be read."""
    if len(codes) > MOST_COLUMNS:
        axis.set_ticks([])
        return
    axis.set_ticks(np.arange(len(codes)) + shift, [str(code) for code in codes])
    small = len(codes) > MOST_NUMBERED
    axis.set_tick_params(labelsize=6 if small else 9, length=0, labelrotation=90 if small else 0)


def _draw_pairs(figure: Figure, left: Axes, right: Axes, use: GridUse) -> None:
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator

    counts = neighbour_counts(use.train, len(use.codes))[0]
    order = np.argsort(-use.shares, kind="stable")[: int((use.shares > 0).sum())][:MOST_PAIRED]
    _title(left, f"{use.name}: number of pairs of neighbours (grey: none)")
    _title(right, "pointwise mutual information, nats (grey: below 5 pairs)")
    if not counts.any():
        for panel in (left, right):
            panel.text(0.5, 0.5, "one cell: it has no neighbours", transform=panel.transAxes, ha="center", va="center")
            panel.axis("off")
        return
    place = np.ix_(order, order)
    often = np.ma.masked_equal(counts[place], 0)
    information = np.ma.masked_where(~_telling(counts)[place], pointwise_information(counts)[place])
    most = float(np.abs(np.ma.masked_invalid(information).compressed()).max(initial=0.1))
    information = np.ma.maximum(information, -most)  # of what never meets it is minus infinity
    scales: tuple[dict[str, Any], ...] = (
        {"cmap": "Blues", "norm": LogNorm(0.7, max(2, often.max()))},
        {"cmap": "RdBu_r", "vmin": -most, "vmax": most},
    )
    bars: tuple[dict[str, Any], ...] = ({"ticks": LogLocator(subs=(1, 2, 5)), "format": "{x:.0f}"}, {})
    for panel, values, scale, bar in zip((left, right), (often, information), scales, bars, strict=True):
        panel.set_facecolor(PALE)
        image = panel.pcolormesh(values, edgecolors="white", linewidth=0.4, **scale)
        # without smaller ticks: a logarithmic scale would label them in a notation that the style does not draw
        figure.colorbar(image, ax=panel, shrink=0.85, pad=0.02, **bar).minorticks_off()
        for axis, words in ((panel.xaxis, "code of the next cell"), (panel.yaxis, "code of a cell")):
            _number_codes(axis, order, 0.5)
            axis.set_label_text(words)
        panel.tick_params(axis="x", labelrotation=90)
        panel.invert_yaxis()
        panel.set_aspect("equal")


def _telling(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pairs (A, B) were met, or should have been by chance, often enough to tell a tendency."""
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / counts.sum()
    return np.maximum(counts, expected) >= FEWEST_TO_TELL


def _draw_classes(figure: Figure, panel: Axes, use: GridUse) -> None:
    classes, shares = use.by_class
    used = np.argsort(-use.shares, kind="stable")[: int((use.shares > 0).sum())]
    most = used[:MOST_COLUMNS]
    leader = _leading(shares)[most]
    codes = most[np.lexsort((-shares[leader, most], leader))]
    values = 100 * shares[:MOST_CLASSES, codes]
    image = panel.pcolormesh(values, cmap="Blues", vmin=0)
    panel.invert_yaxis()
    names = [f"{_short(name)} ({(use.labels == name).sum()})" for name in classes[:MOST_CLASSES]]
    figure.colorbar(image, ax=panel, pad=0.01, aspect=max(8, 0.7 * len(names)), label="share of the class, %")
    panel.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=9 if len(names) <= 20 else 7)
    panel.tick_params(length=0)
    _number_codes(panel.xaxis, codes, 0.5)
    panel.set_xlabel(
        f"the {len(codes)} most used of {len(used)} codes" if len(used) > len(codes) else f"{len(used)} codes in use"
    )
    panel.set_ylabel("class (number of series)")
    cut = f" (the first {len(names)} of {len(classes)} classes)" if len(names) < len(classes) else ""
    _title(panel, f"{use.name}: use of codes by class{cut}")
