"""Draw what the views of the self-supervised losses do to series of a data set."""

from __future__ import annotations

from pathlib import Path

from timeloom.data import Dataset
from timeloom.errors import InputError
from timeloom.evaluation.page.figures import drawing_style
from timeloom.evaluation.views_sheet import views_sheet
from timeloom.files import replacing


def run(data: Dataset, out: Path, *, seed: int = 0) -> None:
    """Draw every view of three training series, drawn by the seed, into the PNG file `out`.

    Raises:
        InputError: `out` is no `.png` file, or cannot be written.
    """
    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: suffix {out.suffix or 'none'!r} cannot be written; allowed: .png")
    figure = views_sheet(data.X_train, seed=seed)
    with drawing_style(), replacing(out) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
