"""What a picture of the page is made of, and how a matplotlib figure becomes markup."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree

from timeloom.files import replacing

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# 72 units an inch: as wide as a phone shows it, so that a font of 10 units is read as one of 10 pixels or more.
WIDTH, HEIGHT = 4.5, 2.0
INK = "#3d4854"
STYLE: Any = {
    "svg.hashsalt": "timeloom",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9aa4af",
    "xtick.color": "#9aa4af",
    "ytick.color": "#9aa4af",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # Labels are a user's text: a dollar sign in them is a dollar sign.
    "text.parse_math": False,
}
PNG_DPI = 180


@dataclass(frozen=True)
class Panel:
    """One drawing.

    Attributes:
        markup: an `<svg>` or `<img>` that carries its alternative text.
        title: words above it; may be empty.
        note: words under it; may be empty.
    """

    markup: Markup
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Row:
    """Drawings that belong together, with words for what they share."""

    panels: list[Panel]
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class DetailTable:
    """The numbers behind a picture: the first cell of each row is its heading."""

    title: str
    columns: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Picture:
    """A figure of the page with its caption, or the sentence that stands in its place.

    Attributes:
        key: anchor on the page.
        title: heading.
        caption: what it shows and what to look for.
        rows: drawings; empty where there is nothing to draw.
        missing: why there is nothing to draw.
        layout: "pairs" puts real beside synthetic in each row, "grid" fills the width.
        legend: what the lines and marks stand for: (kind of swatch, words).
        notes: what was left out, and other remarks.
        table: numbers to open on demand.
    """

    key: str
    title: str
    caption: str = ""
    rows: list[Row] = field(default_factory=list)
    missing: str | None = None
    layout: Literal["pairs", "grid"] = "grid"
    legend: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    table: DetailTable | None = None


BANDS = [
    ("real", "real (solid line: mean; band: 5-95 %)"),
    ("synthetic", "synthetic (dashed line: mean; band: 5-95 %)"),
]


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file in the drawing style, whole or not at all; the same figure gives the same bytes.

    Raises:
        InputError: `path` cannot be written.
    """
    with drawing_style(), replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


@contextmanager
def drawing_style() -> Iterator[None]:
    """The look of every picture; letters that a font lacks are the browser's affair and no warning."""
    import matplotlib

    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def new_axes(height: float = HEIGHT, n_rows: int = 1) -> list[Axes]:
    """Axes under each other, with a common x axis, on a figure of the panel's width."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return list(figure.subplots(n_rows, 1, squeeze=False, sharex=True)[:, 0])


def axis_labels(axes: Axes, x: str, y: str) -> None:
    """Name both axes and draw a faint grid."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25, linewidth=0.5)


def svg_panel(axes: Axes, alt: str, prefix: str, title: str = "", note: str = "") -> Panel:
    """The figure of `axes` as inline SVG; `prefix` keeps its ids apart from those of every other figure."""
    return Panel(_svg(_figure(axes), alt, prefix), title, note)


def png_panel(axes: Axes, alt: str, title: str = "", note: str = "") -> Panel:
    """The figure of `axes` as a PNG inside the page, for drawings of many marks."""
    figure = _figure(axes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    width, height = (round(72 * inches) for inches in figure.get_size_inches())
    image = ElementTree.Element("img", {"alt": alt, "width": str(width), "height": str(height)})
    image.set("src", f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}")
    return Panel(_markup(image), title, note)


def _figure(axes: Axes) -> Figure:
    from matplotlib.figure import Figure

    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    return figure


def _svg(figure: Figure, alt: str, prefix: str) -> Markup:
    """SVG for an HTML page: no namespaces, no style sheet of its own, and only the ids that are referred to."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rsplit("}")[-1] in ("metadata", "style"):
                parent.remove(child)
    elements = list(root.iter())
    referred = {name for element in elements for value in element.attrib.items() for name in _references(*value)}
    for element in elements:
        element.tag = element.tag.rsplit("}")[-1]
        element.attrib = {
            name.rsplit("}")[-1]: _rewritten(name, value, prefix)
            for name, value in element.attrib.items()
            if name != "id" or value in referred
        }
        if element.tag != "text":
            element.text = None
        element.tail = None
    box = root.get("viewBox", "")
    root.attrib = {"viewBox": box, "role": "img", "aria-label": alt}
    return _markup(root)


def _references(name: str, value: str) -> list[str]:
    """Ids that an attribute refers to."""
    return [value.removeprefix("#")] if name.endswith("href") else re.findall(r"url\(#([\w-]+)\)", value)


def _rewritten(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return f"{prefix}-{value}"
    if name in ("d", "x", "y"):
        return re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.2f}", value).replace(" \n", " ")
    for reference in _references(name, value):
        value = value.replace(f"#{reference}", f"#{prefix}-{reference}")
    return value


def _markup(element: ElementTree.Element) -> Markup:
    from markupsafe import Markup

    return Markup(ElementTree.tostring(element, encoding="unicode"))
