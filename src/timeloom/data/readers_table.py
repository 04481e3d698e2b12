"""Reading .csv and .tsv tables: one series a row."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timeloom.data.raw import RawSeries, read_text, to_number, to_numbers
from timeloom.errors import InputError

LABEL_COLUMNS = ("label", "class", "target", "y")
_UNNAMED = "the first column has no name: taken as row numbers and left out"
_NUMBERED = re.compile(r"(.*?)(\d+)")
_CHANNEL = re.compile(r"c\d+", re.IGNORECASE)
CHANNEL_TIME = re.compile(r"(.+)_t(\d+)", re.IGNORECASE)
TIME_COLUMNS = frozenset({"date", "datetime", "time", "timestamp", "timestamps", "index", ""})
COMMA = " (a decimal comma? a point is needed)"
_COMMA = re.compile(r"[+-]?\d+,\d+")
_DECIMAL = re.compile(r"[+-]?\d*[.,]\d+(e[+-]?\d+)?", re.IGNORECASE)
_Rows = list[tuple[int, list[str]]]


@dataclass(frozen=True)
class _Layout:
    """Where the label and the values stand in a row, the shape (C, T) of its values, and what channels are called."""

    label: int | None
    values: list[int]
    shape: tuple[int, int]
    notes: tuple[str, ...] = ()
    channels: tuple[str, ...] | None = None


def read_csv(path: Path) -> RawSeries:
    """A table with one series a row, with or without a header.

    With a header, a column called label, class, target or y (any case) holds the labels; columns called
    `{channel}_t{time}`, as c0_t0 or pulse_t0, give several channels; all others are the time points of one, in order.
    Without a header every column is a time point. An empty cell, nan or NA is a missing value.

    Raises:
        InputError: If a row has another length than the first or a cell is not a number; line and column are named.
    """
    return _read_table(path, label_first=False)


def read_tsv(path: Path) -> RawSeries:
    """A table in the style of the UCR archive: separated by tabs, the label first; a header is read as in a .csv.

    Raises:
        InputError: As `read_csv`.
    """
    return _read_table(path, label_first=True)


def _read_table(path: Path, label_first: bool) -> RawSeries:
    rows = table_rows(path, "\t" if label_first else None)
    head = rows[0][1]
    values = head[1 if label_first else 0 :]
    if any(to_number(cell) is None for cell in values):
        _check_header(path, *rows[0])
        layout, body, names = _layout(path, head), rows[1:], head
    elif len(rows) > 1 and label_first and head[0].strip().lower() in LABEL_COLUMNS and _counts_columns(values):
        layout, body, names = _layout(path, head), rows[1:], head
    elif len(rows) > 1 and not label_first and _counts_columns(head):
        layout, body, names = _numbered(head), rows[1:], head
    else:
        layout, body, names = _headless(path, head, label_first), rows, [str(i + 1) for i in range(len(head))]
    if not body:
        raise InputError(f"{path}: no series below the header; one series a row is needed")
    X = np.empty((len(body), len(layout.values)))
    for i, (line, cells) in enumerate(body):
        X[i] = _values(path, line, cells, layout, names)
    y = None if layout.label is None else [cells[layout.label] for _, cells in body]
    return RawSeries((X.reshape(len(body), *layout.shape), y), notes=layout.notes, channels=layout.channels)


def table_rows(path: Path, delimiter: str | None = None) -> _Rows:
    """Rows of a table with their line numbers, blank ones left out; None finds the delimiter: `;`, tab or comma.

    Raises:
        InputError: no row, rows of unequal width, or a quote that does not end.
    """
    text = read_text(path)
    if delimiter is None:
        first = text.lstrip().partition("\n")[0]
        delimiter = next((d for d in (";", "\t") if d in first), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: _Rows = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num} cannot be read as a table: {error}") from None
    if not rows:
        raise InputError(f"{path}: file holds no rows")
    width = len(rows[0][1])
    for line, cells in rows:
        if len(cells) != width:
            raise InputError(
                f"{path}: line {line} has {len(cells)} cells; the first row has {width}, all rows need that"
            )
    return rows


def _check_header(path: Path, line: int, head: list[str]) -> None:
    """Refuse a first row that is no header, but values of which one cannot be read: it would be lost in silence."""
    if any(cell.strip().lower() in LABEL_COLUMNS for cell in head):
        return
    decimal = next((cell for cell in head if _DECIMAL.fullmatch(cell.strip())), None)
    if decimal is not None:
        place, odd = next((i, cell) for i, cell in enumerate(head) if to_number(cell) is None)
        raise InputError(
            f"{path}: line {line}, column {place + 1}: {odd!r} is not a number, and {decimal!r} beside it no name of a "
            "column; empty, nan or NA marks a missing value" + (COMMA if _COMMA.fullmatch(odd.strip()) else "")
        )


def _counts_columns(head: list[str]) -> bool:
    """Whether a row is 0, 1, 2, ..., perhaps after an empty cell: what data frames write for columns without names."""
    names = head if head[0].strip() else head[1:]
    return len(names) > 1 and names == [str(i) for i in range(len(names))]


def _numbered(head: list[str]) -> _Layout:
    indexed = not head[0].strip()
    values = list(range(int(indexed), len(head)))
    notes = ("the first row counts the columns: read as a header", *((_UNNAMED,) if indexed else ()))
    return _Layout(None, values, (1, len(values)), notes)


def _headless(path: Path, head: list[str], label_first: bool) -> _Layout:
    values = list(range(int(label_first), len(head)))
    if not values:
        raise InputError(
            f"{path}: the first row is {head[0][:40]!r}, without a tab; tabs part the columns of a .tsv file"
        )
    return _Layout(0 if label_first else None, values, (1, len(values)))


def _layout(path: Path, head: list[str]) -> _Layout:
    names = [name.strip() for name in head]
    repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if repeated is not None:
        raise InputError(f"{path}: column {repeated!r} occurs twice in the header; names must differ")
    labels = [i for i, name in enumerate(names) if name.lower() in LABEL_COLUMNS]
    if len(labels) > 1:
        both = " and ".join(repr(names[i]) for i in labels)
        raise InputError(
            f"{path}: columns {both} could each be the label; one of {', '.join(LABEL_COLUMNS)} is allowed"
        )
    values = [i for i in range(len(names)) if i not in labels]
    notes: tuple[str, ...] = ()
    if values and not names[values[0]]:
        values, notes = values[1:], (_UNNAMED,)
    if not values:
        raise InputError(f"{path}: no column of values in the header; time points are needed beside the label")
    label = labels[0] if labels else None
    matches = {i: CHANNEL_TIME.fullmatch(names[i]) for i in values}
    grid = {(_channel(m[1]), int(m[2])): i for i, m in matches.items() if m}
    numbered = all(_CHANNEL.fullmatch(channel) for channel, _ in grid)
    # other columns may end in _t1 by chance
    if not grid or (not numbered and 2 * len(grid) <= len(values)):
        _check_one_series(path, [names[i] for i in values])
        return _Layout(label, values, (1, len(values)), notes)
    if len(grid) < len(values):
        odd = next(names[i] for i in values if i not in grid.values())
        raise InputError(f"{path}: column {odd!r} is not <channel>_t<time>, or a second one of its place")
    channels = list(dict.fromkeys(channel for channel, _ in grid))
    if numbered:
        channels.sort(key=lambda channel: int(channel[1:]))
    times = sorted({time for _, time in grid})
    for key in ((c, t) for c in channels for t in times):
        if key not in grid:
            raise InputError(f"{path}: column {key[0]}_t{key[1]} is missing; each channel needs the same time points")
    places, shape = [grid[c, t] for c in channels for t in times], (len(channels), len(times))
    return _Layout(label, places, shape, notes, tuple(channels))


def _channel(name: str) -> str:
    """What a channel is called; c0, C0 and c00 are one."""
    return f"c{int(name[1:])}" if _CHANNEL.fullmatch(name) else name.strip()


def _check_one_series(path: Path, names: list[str]) -> None:
    """Refuse a stray column, such as an id, among columns that are plainly numbered time points."""
    numbered = [match[1] for name in names if (match := _NUMBERED.fullmatch(name))]
    common = max(set(numbered), key=numbered.count, default=None)
    strays = [n for n in names if not ((match := _NUMBERED.fullmatch(n)) and match[1] == common)]
    if strays and len(strays) < len(names) / 4:
        raise InputError(
            f"{path}: column {strays[0]!r} is not numbered like the other time points; remove it, or call it "
            f"{LABEL_COLUMNS[0]!r} if it holds the labels"
        )


def _values(path: Path, line: int, cells: list[str], layout: _Layout, names: list[str]) -> np.ndarray:
    picked = [cells[i] for i in layout.values]
    numbers = to_numbers(picked)
    if isinstance(numbers, int):
        name = names[layout.values[numbers]].strip()
        hint = "" if layout.label is not None else f" (a label column is called {', '.join(LABEL_COLUMNS)})"
        if name.lower() in TIME_COLUMNS:
            hint = " (one long series, a row a time point? then --window LENGTH cuts it)"
        elif _COMMA.fullmatch(picked[numbers].strip()):
            hint = COMMA
        raise InputError(f"{path}: line {line}, column {name!r}: {picked[numbers]!r} is not a number{hint}")
    return numbers
