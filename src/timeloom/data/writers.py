"""Writing series to files, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from timeloom.errors import InputError
from timeloom.files import check_suffix, replacing

WRITABLE_SUFFIXES = (".npz", ".npy", ".csv")


def check_writable_suffix(path: str | Path) -> None:
    """Refuse a path whose format cannot be written, before any work is done for it.

    Raises:
        InputError: If the suffix is not .npz, .npy or .csv.
    """
    check_suffix(Path(path), WRITABLE_SUFFIXES)


def write_series(
    path: str | Path,
    X: np.ndarray,
    y: np.ndarray | None = None,
    meta: dict[str, Any] | None = None,
    channels: Sequence[str] | None = None,
) -> None:
    """Write series, and labels and metadata where the format has a place for them; same input, same bytes.

    .npz holds `X` float32 (n, C, T), `y` and `meta` (JSON text); .npy holds `X` alone; .csv has the columns `label`
    (only with labels) and `{channel}_t{time}`, an empty cell is NaN. float32 survives each of them exactly.
    A missing folder is made. The file appears under its name only when it is complete.

    Args:
        path: Where to; an existing file is replaced.
        X: (n, C, T) or (n, T).
        y: Labels (n,), in the user's own type.
        meta: Anything JSON can hold.
        channels: Names of the channels, for `meta` and the header of a .csv; None calls them c0, c1, ...

    Raises:
        InputError: If the suffix is not known, shapes do not fit, or the file cannot be written.
    """
    path = Path(path)
    check_writable_suffix(path)
    X = np.ascontiguousarray(X, dtype=np.float32)
    X = X[:, None, :] if X.ndim == 2 else X
    if X.ndim != 3:
        raise InputError(f"{path}: series have {X.ndim} dimensions; (n, T) or (n, channels, T) is needed")
    if y is not None and len(y) != len(X):
        raise InputError(f"{path}: {len(y)} labels for {len(X)} series; one label for each series is needed")
    labels = None if y is None else np.asarray(y)
    if labels is not None and labels.dtype == object:
        # numpy would pickle objects.
        labels = labels.astype(np.str_)
    named = {} if channels is None else {"channels": list(channels)}
    text = json.dumps({**(meta or {}), **named}, sort_keys=True)
    with replacing(path) as temporary, temporary.open("wb") as file:
        if path.suffix.lower() == ".npy":
            np.save(file, X, allow_pickle=False)
        elif path.suffix.lower() == ".csv":
            file.write(_csv_text(X, labels, channels).encode())
        else:
            arrays: dict[str, Any] = {"X": X, "y": labels, "meta": np.array(text)}
            np.savez(file, **{key: array for key, array in arrays.items() if array is not None})


def _csv_text(X: np.ndarray, y: np.ndarray | None, channels: Sequence[str] | None) -> str:
    n, n_channels, length = X.shape
    titles = [f"c{c}" for c in range(n_channels)] if channels is None else channels
    names = [f"{title}_t{t}" for title in titles for t in range(length)]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names if y is None else ["label", *names])
    for i, row in enumerate(X.reshape(n, -1).tolist()):
        # Nine digits tell any two float32 apart.
        cells = ["" if value != value else f"{value:.9g}" for value in row]
        writer.writerow(cells if y is None else [y[i], *cells])
    return buffer.getvalue()
