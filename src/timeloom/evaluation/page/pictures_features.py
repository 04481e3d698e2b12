"""Pictures of what models see: maps of features, use of tokens, accuracy by class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from timeloom.evaluation.exhibits import Embedding, Exhibits, TokenUse
from timeloom.evaluation.measures.codes import total_variation
from timeloom.evaluation.page.embedding import FEWEST_POINTS, Map, draw_rows, mixing, plane_maps
from timeloom.evaluation.page.figures import (
    HEIGHT,
    DetailTable,
    Panel,
    Picture,
    Row,
    axis_labels,
    new_axes,
    png_panel,
    svg_panel,
)
from timeloom.evaluation.plots import REAL_COLOUR, SYNTHETIC_COLOUR

SEED = 0
MAX_CODES = 256
MAX_MATRIX_CLASSES = 12
LABEL_LETTERS = 12
INK_DARK, INK_LIGHT = "#1d2733", "#55606e"
WHAT_MAPS_KEEP = {
    "PCA": "keeps straight distances",
    "t-SNE": "keeps who is near whom",
    "UMAP": "keeps who is near whom",
    "densMAP": "also keeps where it is dense",
}


def embeddings(exhibits: Exhibits) -> Picture:
    """Real and synthetic series as points in the plane, by four methods."""
    title, found = "Maps of all series", exhibits.embedding
    if found is None:
        return Picture("embedding", title, missing="No encoder was used, so there are no features to map.")
    test = np.asarray(found.test)[draw_rows(len(found.test), SEED)]
    synthetic = np.asarray(found.synthetic)[draw_rows(len(found.synthetic), SEED)]
    features = np.concatenate([test, synthetic])
    if len(features) < FEWEST_POINTS or features.shape[1] < 2 or not np.isfinite(features).all():
        reason = (
            f"It takes {FEWEST_POINTS} series and 2 finite features of each; "
            f"here are {len(features)} series with {features.shape[1]} features."
        )
        return Picture("embedding", title, missing=reason)
    is_synthetic = np.arange(len(features)) >= len(test)
    maps = plane_maps(features, SEED)
    panels = [_map_panel(name, at, is_synthetic) for name, at in maps.items() if not isinstance(at, str)]
    return Picture(
        key="embedding",
        title=title,
        caption=f"Each mark is one series as the encoder {found.encoder} sees it; near marks are alike. Crosses and "
        "dots should share the same places: dots without crosses are kinds of series that were not made, crosses on "
        "their own are series that do not occur.",
        rows=[Row(panels)],
        legend=[("dot", f"real, held out ({len(test)} dots)"), ("cross", f"synthetic ({len(synthetic)} crosses)")],
        notes=[*(f"{name} is missing: {why}." for name, why in maps.items() if isinstance(why, str)), *_drawn(found)],
    )


def token_use(exhibits: Exhibits) -> Picture:
    """How often each code is used, by level, and how decoding goes."""
    tokens = exhibits.tokens
    if tokens is None:
        return Picture("tokens", "Use of the tokens", missing="No tokenizer was given, so there are no tokens.")
    pairs = list(zip(tokens.test_shares, tokens.synthetic_shares, strict=True))
    panels = [_code_panel(real, synthetic, level, len(pairs)) for level, (real, synthetic) in enumerate(pairs)]
    rounds = _round_panels(tokens)
    codes = tokens.test_shares.shape[1]
    return Picture(
        key="tokens",
        title="Use of the tokens",
        caption="How often each code of the codebook is used, the most used one on real series first. The dots should "
        "follow the filled shape; dots far under it are patterns that are made too rarely."
        + (" The curves of the decoding rounds show how unsure the prior is while it writes." if rounds else ""),
        rows=[Row(panels), *([Row(rounds, "Decoding")] if rounds else [])],
        legend=[("band-real", "real"), ("dot-synthetic", "synthetic")],
        notes=[f"The {MAX_CODES} most used of {codes} codes are drawn."] if codes > MAX_CODES else [],
    )


def class_matrix(exhibits: Exhibits) -> Picture:
    """Which classes a classifier mistakes for which, by the set it was trained on."""
    title, found = "Accuracy by class", exhibits.class_matrix
    if found is None:
        return Picture("classes", title, missing="Without labels on both sides no classifier can be trained.")
    labels = [str(label) for label in found.classes]
    shown = min(len(labels), MAX_MATRIX_CLASSES)
    panels = [
        _matrix_panel(name, matrix, labels[:shown], f"classes-{index}")
        for index, (name, matrix) in enumerate(found.matrices.items())
    ]
    hits = {name: np.diag(matrix) for name, matrix in found.matrices.items()}
    rows = [[label, *(_percent(share[i]) for share in hits.values())] for i, label in enumerate(labels)]
    left_out = [f"The first {shown} of {len(labels)} classes are drawn; the table below has all."]
    return Picture(
        key="classes",
        title=title,
        caption="Of the held-out real series of each class (a row), the share in per cent that a classifier puts into "
        "each class (a column). Right answers are on the diagonal, which should be as dark after training on synthetic "
        "series as after training on real ones.",
        rows=[Row(panels)],
        notes=left_out if shown < len(labels) else [],
        table=DetailTable("Right answers by class", ["class", *(f"trained on {name}" for name in hits)], rows),
    )


def _map_panel(name: str, positions: Map, is_synthetic: NDArray[np.bool_]) -> Panel:
    assert not isinstance(positions, str)
    (axes,) = new_axes(3.4)
    real, synthetic = positions[~is_synthetic], positions[is_synthetic]
    axes.scatter(real[:, 0], real[:, 1], s=14, color=REAL_COLOUR, alpha=0.55, linewidths=0)
    axes.scatter(synthetic[:, 0], synthetic[:, 1], s=16, color=SYNTHETIC_COLOUR, alpha=0.75, linewidths=0.9, marker="x")
    axes.set(xticks=[], yticks=[])
    axes.spines[["top", "right"]].set_visible(True)
    mixed = mixing(positions, is_synthetic)
    note = f"mixing {mixed:.2f} (1: mixed, 0: apart)"
    alt = (
        f"{name} map of {len(real)} real and {len(synthetic)} synthetic series: among the 10 nearest marks of a mark, "
        f"those of the other set are {mixed:.2f} times as many as if the sets were mixed at random."
    )
    return png_panel(axes, alt, f"{name}: {WHAT_MAPS_KEEP[name]}", note)


def _drawn(found: Embedding) -> list[str]:
    sizes = {"real": len(found.test), "synthetic": len(found.synthetic)}
    cut = [f"{size} {name}" for name, size in sizes.items() if len(draw_rows(size, SEED)) < size]
    return [f"Chosen by lot from {' and '.join(cut)} series."] if cut else []


def _code_panel(real: NDArray, synthetic: NDArray, level: int, n_levels: int) -> Panel:
    order = np.argsort(-real, kind="stable")
    drawn = order[:MAX_CODES]
    (axes,) = new_axes()
    axes.stairs(100 * real[drawn], np.arange(len(drawn) + 1) - 0.5, fill=True, color=REAL_COLOUR, alpha=0.35)
    axes.plot(100 * synthetic[drawn], linestyle="", marker="o", markersize=2.4, color=SYNTHETIC_COLOUR)
    axes.set_ylim(bottom=0)
    axis_labels(axes, "codes, most used on real series first", "share, %")
    moved = float(total_variation(real, synthetic))
    new, lost = int(((real == 0) & (synthetic > 0)).sum()), int(((real > 0) & (synthetic == 0)).sum())
    alt = (
        f"Use of {len(real)} codes, level {level}: {(real > 0).sum()} are used on real and {(synthetic > 0).sum()} on "
        f"synthetic series, {lost} only on real and {new} only on synthetic ones; {moved:.1%} of the use differs."
    )
    title = f"level {level}" if n_levels > 1 else "codes"
    return svg_panel(axes, alt, f"tokens-{level}", title, f"{moved:.1%} of the use differs")


def _round_panels(tokens: TokenUse) -> list[Panel]:
    from matplotlib.ticker import MaxNLocator

    panels = []
    for name, unit, values in (
        ("entropy", "entropy, nats", tokens.step_entropy),
        ("confidence", "probability", tokens.step_confidence),
    ):
        if values is None or not np.isfinite(values).any():
            continue
        (axes,) = new_axes()
        axes.plot(np.arange(1, len(values) + 1), values, color="#24303c", linewidth=1.4, marker="o", markersize=3)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis_labels(axes, "decoding round", unit)
        first, last = values[0], values[-1]
        alt = f"Mean {name} in each of {len(values)} decoding rounds: {first:.3g} in the first, {last:.3g} in the last."
        panels.append(svg_panel(axes, alt, f"tokens-{name}", f"{name} of the prior by round"))
    return panels


def _matrix_panel(name: str, matrix: NDArray, labels: list[str], prefix: str) -> Panel:
    size = len(labels)
    shares = 100 * np.asarray(matrix, dtype=np.float64)[:size, :size]
    (axes,) = new_axes(max(HEIGHT + 0.4, 0.9 + 0.32 * size))
    axes.pcolormesh(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=100, edgecolors="white", linewidth=1)
    axes.invert_yaxis()
    for (row, column), share in np.ndenumerate(shares):
        text, colour = ("?", INK_LIGHT) if np.isnan(share) else (f"{share:.0f}", "white" if share > 60 else INK_DARK)
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=colour, fontsize=9 if size > 8 else 10)
    short = [label if len(label) <= LABEL_LETTERS else f"{label[: LABEL_LETTERS - 1]}…" for label in labels]
    slanted = max(map(len, short)) * size > 30
    axes.set_xticks(np.arange(size) + 0.5, short, rotation=40 if slanted else 0, ha="right" if slanted else "center")
    axes.set_yticks(np.arange(size) + 0.5, short)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("class that was answered")
    axes.set_ylabel("true class")
    right = np.nanmean(np.diag(shares)) if np.isfinite(np.diag(shares)).any() else np.nan
    worst = int(np.nanargmin(np.diag(shares))) if np.isfinite(right) else 0
    alt = (
        f"Trained on {name}: on average {right:.0f} % of a class are right; "
        f"worst is class {labels[worst]} with {np.diag(shares)[worst]:.0f} %."
    )
    return svg_panel(axes, alt, prefix, f"trained on {name}", f"mean over classes {right:.0f} %")


def _percent(share: float) -> str:
    return "not in the test split" if np.isnan(share) else f"{share:.0%}"
