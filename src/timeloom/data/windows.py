"""One long series, cut into windows."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from timeloom.data.raw import to_number
from timeloom.data.readers_table import CHANNEL_TIME, LABEL_COLUMNS, TIME_COLUMNS, table_rows
from timeloom.errors import InputError

LONG_SUFFIXES = (".npz", ".npy", ".csv")
DATE_COLUMNS = TIME_COLUMNS - {"index", ""}


def cut_windows(values: np.ndarray, length: int, where: str = "values") -> np.ndarray:
    """Windows (n - length + 1, C, length) of a series (n, C), one starting at every time point.

    Raises:
        InputError: not (time points, channels), or shorter than two windows.
    """
    if values.ndim != 2:
        raise InputError(f"{where}: shape {values.shape}; allowed: (time points, channels), one long series")
    if length < 1 or len(values) < length + 1:
        raise InputError(
            f"{where}: {len(values)} time points, --window {length}; allowed: a window shorter than the series"
        )
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(values, length, axis=0))


def read_long(path: Path, archive: object) -> tuple[np.ndarray, object]:
    """The one long series (n, C) of a file, and the names of its columns, or None.

    A .npz holds it as `values`, and the names as `columns` if there are any, a .npy as its array; a .csv has a row a
    time point and a column a channel, with or without a header; a column of dates is left out.

    Args:
        path: of the file.
        archive: what numpy read of a .npz or .npy, else None.

    Raises:
        InputError: no such array or a cell that is no number.
    """
    names: object = None
    if isinstance(archive, np.ndarray):
        values = archive
    elif archive is not None:
        files = list(getattr(archive, "files", []))
        if "values" not in files:
            raise InputError(f"{path}: a long series is the array 'values'; found {', '.join(files)}")
        labels = next((name for name in files if name.lower() in LABEL_COLUMNS), None)
        if labels is not None:
            raise InputError(
                f"{path}: array {labels!r} beside 'values': labels of time points are not learned; remove it"
            )
        values = np.asarray(archive["values"])  # type: ignore[index]
        names = np.asarray(archive["columns"]) if "columns" in files else None  # type: ignore[index]
    else:
        values, names = _read_csv(path)
    if values.dtype.kind not in "biuf":
        raise InputError(f"{path}: the series has type {values.dtype}; numbers are needed")
    return values[:, None] if values.ndim == 1 else values, names


def _names_the_time(row: list[str]) -> bool:
    """Whether a row of numbers is a header after all: by its time column, or as pandas numbers unnamed columns."""
    return row[0].strip().lower() in TIME_COLUMNS - {""} or _counts_values(row)


def _counts_values(row: list[str]) -> bool:
    """Whether a row is a name, or nothing, and then 0, 1, 2, ...; a date would have digits."""
    return not any(map(str.isdigit, row[0])) and [cell.strip() for cell in row[1:]] == [*map(str, range(len(row) - 1))]


def _holds_times(name: str, place: int) -> bool:
    """Whether a column is left out: it is called after times, or counts the rows and stands first."""
    return name.strip().lower() in (TIME_COLUMNS if place == 0 else DATE_COLUMNS)


def _refuse_series_and_labels(path: Path, names: list[str]) -> None:
    """Refuse columns that are called after labels (y and target may be values), or after time points of a channel."""
    label = next((name for name in names if name.strip().lower() in ("label", "class")), None)
    if label is not None:
        raise InputError(
            f"{path}: column {label!r} would become a channel of the long series; a row a series? then without "
            "--window; else remove the column, or call it otherwise"
        )
    if len(names) > 1 and all(CHANNEL_TIME.fullmatch(name.strip()) for name in names):
        raise InputError(
            f"{path}: columns {names[0]!r} to {names[-1]!r} are time points of a row a series; leave out --window"
        )


def _refuse_disorder(path: Path, cells: list[str]) -> None:
    """Refuse times that do not ascend, where numpy can read them: windows would be cut from rows out of order."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="no explicit representation of timezones")  # they are told in UTC
        try:
            times = np.array([cell.strip() for cell in cells], dtype="datetime64[s]")
        except ValueError:
            return
    check_order(path, times)


def check_order(path: Path, times: np.ndarray) -> None:
    """Refuse times (n,) that do not ascend.

    Raises:
        InputError: one is before the one above it.
    """
    back = np.flatnonzero(np.diff(times) < np.timedelta64(0))
    if back.size:
        raise InputError(
            f"{path}: row {back[0] + 2} is of {times[back[0] + 1]}, before the row above it; sort the rows by time"
        )


def _read_csv(path: Path) -> tuple[np.ndarray, list[str] | None]:
    rows = [cells for _, cells in table_rows(path)]
    named = _names_the_time(rows[0]) or any(to_number(cell) is None for cell in rows[0][1:] or rows[0])
    header = rows[0] if named else None
    body = rows[1:] if header is not None else rows
    names = header or [str(i) for i in range(len(rows[0]))]
    if header is not None:
        _refuse_series_and_labels(path, names)
    kept = [i for i, name in enumerate(names) if header is None or not _holds_times(name, i)]
    if body and to_number(body[0][0]) is None and (header is None or _counts_values(header)):
        kept = [i for i in kept if i > 0]
    dates = next((i for i, name in enumerate(names) if i not in kept and name.strip().lower() in DATE_COLUMNS), None)
    if dates is not None:
        _refuse_disorder(path, [row[dates] for row in body])
    values = np.empty((len(body), len(kept)))
    for n, row in enumerate(body):
        for place, i in enumerate(kept):
            number = to_number(row[i])
            if number is None:
                rows_are_series = any(name.strip().lower() in LABEL_COLUMNS for name in names)
                hint = (
                    "a row a series? then without --window"
                    if rows_are_series
                    else "a column of dates is left out when it is called date, time or timestamp"
                )
                raise InputError(
                    f"{path}: row {n + 1}, column {names[i]!r} holds {row[i][:40]!r}; numbers are needed ({hint})"
                )
            values[n, place] = number
    titles = [names[i].strip() for i in kept]
    distinct = header is not None and "" not in titles and len(set(titles)) == len(titles)
    return values, titles if distinct else None
