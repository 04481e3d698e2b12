"""Draw what the views of the self-supervised losses do to series of a data set."""

from __future__ import annotations

from pathlib import Path

from timeloom.data import Dataset
from timeloom.evaluation.page.figures import save_png
from timeloom.evaluation.views_sheet import views_sheet
from timeloom.files import check_suffix


def run(data: Dataset, out: Path, *, seed: int = 0) -> None:
    """Draw every view of three training series, drawn by the seed, into the PNG file `out`.

    Raises:
        InputError: `out` is no `.png` file, or cannot be written.
    """
    check_suffix(out, (".png",))
    save_png(views_sheet(data.X_train, seed=seed, channels=data.channels), out)
