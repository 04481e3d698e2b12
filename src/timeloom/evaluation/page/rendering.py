"""From a template and plain values to a file."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timeloom.evaluation.exhibits import Exhibits
from timeloom.evaluation.page.figures import Picture
from timeloom.evaluation.page.tables import FAMILIES, interval, number
from timeloom.files import replacing

if TYPE_CHECKING:
    from markupsafe import Markup

GRADES = {"good": "Good", "borderline": "Borderline", "bad": "Bad", "unknown": "Unknown"}


def write_rendered(path: str | os.PathLike[str], template: str, **values: Any) -> None:
    """Fill a template of this folder and put it in place whole or not at all; all values are escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, interval=interval, breakable=_breakable)
    environment.globals.update(grades=GRADES, families=FAMILIES)
    page = environment.get_template(template).render(**values)
    with replacing(Path(path)) as temporary:
        temporary.write_text(page + "\n", encoding="utf-8")


def _breakable(name: str) -> Markup:
    """A name that may break into lines after each underscore."""
    from markupsafe import Markup, escape

    return escape(name).replace("_", Markup("_<wbr>"))


def with_remark(picture: Picture, exhibits: Exhibits) -> Picture:
    """`picture` with what the protocol has to say of it: the reason why it is missing, or one more note."""
    remark = exhibits.notes.get(picture.key)
    if remark is None:
        return picture
    if picture.missing is not None:
        return replace(picture, missing=remark)
    return replace(picture, notes=[*picture.notes, remark])
