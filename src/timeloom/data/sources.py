"""One door for data: a path or a name."""

from __future__ import annotations

import os
from pathlib import Path

from timeloom.data.dataset import Dataset
from timeloom.data.named import available, load_named
from timeloom.data.readers import read, read_windows
from timeloom.errors import InputError


def load(source: str | Path, window: int | None = None) -> Dataset:
    """Data set of a file, or of a name that loads offline.

    A `Path`, anything with a suffix or a folder in it, and anything that exists is a file; the rest is a name. A name
    wins over a folder called the same. With a `window` the file holds one long series, which is cut into all its
    windows of that length.

    Raises:
        InputError: As `read` and `load_named`, and a window for a name.
    """
    path = Path(source)
    looks_like_file = isinstance(source, Path) or path.suffix != "" or "/" in str(source) or os.path.isfile(path)
    if window is not None:
        if not looks_like_file and str(source) in available():
            raise InputError(f"{source}: is a set of series, no long one; leave out --window, or give a file of one")
        return read_windows(path, window)
    if looks_like_file or (os.path.isdir(path) and str(source) not in available()):
        return read(path)
    return load_named(str(source))
