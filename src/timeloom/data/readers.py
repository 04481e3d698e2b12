"""Reading series from files: `read(path)` for every format by its suffix."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from timeloom.data.channels import channel_names
from timeloom.data.dataset import Dataset, build_dataset, check_series
from timeloom.data.raw import RawSeries
from timeloom.data.readers_archive import read_arff, read_ts
from timeloom.data.readers_table import read_csv, read_tsv
from timeloom.data.windows import LONG_SUFFIXES, check_order, cut_windows, read_long
from timeloom.errors import InputError

_SPLIT_KEYS = ("X_train", "y_train", "X_test", "y_test", "channels")
_PLAIN_KEYS = ("X", "y", "channels", "meta")
_EXPECTED = "X and y, or X_train, y_train, X_test and y_test (labels and test split may be left out)"
_STEM = re.compile(r"(.+)_(train|test)", re.IGNORECASE)


def read(path: str | Path) -> Dataset:
    """Data set from a .npz, .npy, .csv, .tsv, .ts or .arff file.

    If the file is called `NAME_TRAIN` and has no test split, `NAME_TEST` beside it is the test split.

    Raises:
        InputError: One line that names the file and what is wrong with it.
    """
    path = Path(path)
    raw = _read_raw(path)
    test, notes, where_test, test_channels = raw.test, list(raw.notes), f"{path}, test split", None
    match = _STEM.fullmatch(path.stem)
    if match and match[2].lower() == "test":
        notes.append(f"{path.name} is the test split of its data set: all its series were read for training")
    elif match and test is None:
        sibling = _test_sibling(path, match[1])
        if sibling is None:
            notes.append(f"no {match[1]}_TEST{path.suffix} beside the file: there is no test split")
        else:
            other = _read_raw(sibling)
            test, where_test, test_channels = other.train, str(sibling), other.channels
            notes.append(f"test split read from {sibling.name}")
    name, where = match[1] if match else path.stem, (str(path), where_test)
    return build_dataset(name, raw.train, test, notes, where, (raw.channels, test_channels))


def read_series(path: str | Path) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any]]:
    """Series (n, C, T) float32, labels or None, and metadata of a synthetic file or of any file `read` knows.

    Only .npz files carry metadata; `channels` in it are the names of the channels, of a .csv as well, where they have
    names.

    Raises:
        InputError: As `read`, but a class, or the file, may have a single series; and a file of two splits.
    """
    raw = _read_raw(Path(path))
    if raw.test is not None:
        raise InputError(f"{path}: holds two splits, X_train and X_test; which is meant? write it as X, with y")
    X, y = check_series(*raw.train, where=str(path), min_per_class=1)
    names = channel_names(raw.channels, X.shape[1], str(path))
    meta = {key: value for key, value in raw.meta.items() if key != "channels"}
    return X, y, meta if names is None else {**meta, "channels": list(names)}


def read_npy(path: Path) -> RawSeries:
    """An array (n, T) or (n, C, T) without labels.

    Raises:
        InputError: If the file is damaged or holds Python objects.
    """
    loaded = _load(path)
    if not isinstance(loaded, np.ndarray):
        raise InputError(f"{path}: this is an .npz archive; rename it to {path.stem}.npz")
    return RawSeries((loaded, None))


def read_npz(path: Path) -> RawSeries:
    """Arrays `X`, `y` or `X_train`, `y_train`, `X_test`, `y_test`, and `channels`; a synthetic file also has `meta`.

    Raises:
        InputError: If the file is damaged, holds Python objects, or its keys are not those.
    """
    loaded = _load(path)
    if isinstance(loaded, np.ndarray):
        raise InputError(f"{path}: this is a single array, not an .npz archive; rename it to {path.stem}.npy")
    with loaded:
        keys = list(loaded.files)
        if "values" in keys and "X" not in keys and "X_train" not in keys:
            raise InputError(_one_long_series(path, _member(path, loaded, "values").shape))
        series, allowed = ("X_train", _SPLIT_KEYS) if "X_train" in keys else ("X", _PLAIN_KEYS)
        if series not in keys or not set(keys) <= set(allowed):
            raise InputError(f"{path}: found arrays {', '.join(keys) or 'none'}; expected {_EXPECTED}")
        if "y_test" in keys and "X_test" not in keys:
            raise InputError(f"{path}: y_test without X_test; expected {_EXPECTED}")
        arrays = {key: _member(path, loaded, key) for key in keys}
    if series == "X":
        meta = _meta(path, arrays.get("meta"))
        return RawSeries(
            (arrays["X"], arrays.get("y")), meta=meta, channels=arrays.get("channels", meta.get("channels"))
        )
    test = (arrays["X_test"], arrays.get("y_test")) if "X_test" in arrays else None
    return RawSeries((arrays["X_train"], arrays.get("y_train")), test, channels=arrays.get("channels"))


READERS: dict[str, Callable[[Path], RawSeries]] = {
    ".npz": read_npz,
    ".npy": read_npy,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".ts": read_ts,
    ".arff": read_arff,
}
READABLE_SUFFIXES = tuple(READERS)


def read_windows(path: str | Path, length: int) -> Dataset:
    """Data set of all windows of one long series, in order of time: a .npz with `values`, a .npy or a .csv.

    Raises:
        InputError: One line that names the file and what is wrong with it.
    """
    path = Path(path)
    values, _, names = read_long_file(path)
    X = cut_windows(values, length, str(path))
    note = f"{len(X)} windows of length {length}, one starting at every time point"
    data = build_dataset(path.stem, (X, None), None, [note], (str(path), str(path)), (names, None))
    return dataclasses.replace(data, ordered=True)


def read_long_file(path: Path) -> tuple[np.ndarray, np.ndarray | None, object]:
    """Values (T, C) of one long series, the array `timestamps` of a .npz that has one, and the names of its columns.

    Raises:
        InputError: One line that names the file and what is wrong with it.
    """
    suffix = _checked_suffix(path, LONG_SUFFIXES)
    content = None if suffix == ".csv" else _load(path)
    try:
        values, names = read_long(path, content)
        if isinstance(content, np.lib.npyio.NpzFile) and "timestamps" in content.files:
            times = np.asarray(content["timestamps"])
            if times.dtype.kind == "M":
                check_order(path, times)
            return values, times, names
        return values, None, names
    except InputError:
        raise
    except Exception as error:
        raise InputError(_damaged(path, error, ", array values")) from None
    finally:
        if isinstance(content, np.lib.npyio.NpzFile):
            content.close()


def _read_raw(path: Path) -> RawSeries:
    suffix = _checked_suffix(path, READABLE_SUFFIXES)
    try:
        return READERS[suffix](path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _checked_suffix(path: Path, allowed: tuple[str, ...]) -> str:
    if os.path.isdir(path):
        inside = sorted((p.name for p in path.iterdir() if p.suffix.lower() in READERS), key=_train_first)
        hint = f", for example {inside[0]}" if inside else ""
        raise InputError(f"{path}: this is a folder; give a file in it{hint}")
    if not os.path.exists(path):
        raise InputError(f"{path}: no such file")
    suffix = path.suffix.lower()
    if suffix not in allowed:
        raise InputError(f"{path}: suffix {suffix or 'none'!r} is not known; allowed: {', '.join(allowed)}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: file is empty")
    return suffix


def _train_first(name: str) -> tuple[bool, str]:
    return "_train." not in name.lower(), name


def _test_sibling(path: Path, stem: str) -> Path | None:
    wanted = f"{stem}_test{path.suffix}".casefold()
    return next((p for p in sorted(path.parent.iterdir()) if p.name.casefold() == wanted), None)


def _load(path: Path) -> Any:
    # From memory: numpy leaves the file open when it finds a damaged archive in it.
    content = io.BytesIO(path.read_bytes())
    try:
        return np.load(content, allow_pickle=False)
    except Exception as error:  # numpy promises no list of what a damaged file raises
        raise InputError(_damaged(path, error)) from None


def _member(path: Path, archive: Any, key: str) -> np.ndarray:
    try:
        return np.asarray(archive[key])
    except Exception as error:
        raise InputError(_damaged(path, error, f", array {key}")) from None


def _damaged(path: Path, error: Exception, part: str = "") -> str:
    if "allow_pickle" in str(error):
        return f"{path}{part}: holds Python objects (pickle) or is no numpy file; save plain arrays of numbers or text"
    return f"{path}{part}: file is damaged or cut short ({type(error).__name__}); write or download it again"


def _one_long_series(path: Path, shape: tuple[int, ...]) -> str:
    return (
        f"{path}: holds one long series 'values' of shape {shape} (time points, channels);"
        " --window LENGTH cuts it into windows"
    )


def _meta(path: Path, array: np.ndarray | None) -> dict[str, Any]:
    if array is None:
        return {}
    try:
        meta = json.loads(str(array))
    except json.JSONDecodeError:
        meta = None
    if not isinstance(meta, dict):
        raise InputError(f"{path}: array meta is {str(array)[:40]!r}; a JSON object is expected")
    return meta
