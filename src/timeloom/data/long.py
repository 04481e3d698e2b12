"""One long series as it is: its values and, where the file has them, its times."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timeloom.data.readers import read_long_file
from timeloom.errors import InputError


@dataclass(frozen=True, eq=False)
class LongSeries:
    """One long series, oldest values first.

    Attributes:
        name: of the file.
        values: float32 (T, C), finite.
        timestamps: datetime64 (T,), or None.
    """

    name: str
    values: NDArray[np.float32]
    timestamps: NDArray[np.datetime64] | None = None

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 over shape, values and times."""
        digest = hashlib.sha256(f"{self.values.shape}".encode() + np.ascontiguousarray(self.values, "<f4").tobytes())
        if self.timestamps is not None:
            digest.update(self.timestamps.astype("datetime64[s]").astype("<i8").tobytes())
        return digest.hexdigest()[:16]


def load_long(path: str | Path) -> LongSeries:
    """The long series of a .npz (`values`, and `timestamps` if there are any), .npy or .csv file.

    A missing value takes the last one before it (the first one after it, at the beginning): a forecaster must not see
    the future by it.

    Raises:
        InputError: as `read_windows`, a channel without any value, or times of another number.
    """
    path = Path(path)
    values, times, _ = read_long_file(path)
    series = np.asarray(values, dtype=np.float32)
    if series.ndim != 2 or 0 in series.shape:
        raise InputError(f"{path}: shape {series.shape}; allowed: (time points, channels), one long series")
    if np.isinf(series).any():
        raise InputError(f"{path}: infinite at time {int(np.argwhere(np.isinf(series))[0, 0])}; allowed: finite or NaN")
    if np.isnan(series).all(axis=0).any():
        raise InputError(f"{path}: channel {int(np.isnan(series).all(axis=0).argmax())} has no value at all")
    if times is not None and (times.shape != (len(series),) or times.dtype.kind != "M"):
        raise InputError(f"{path}: timestamps are {times.shape} {times.dtype}; allowed: one datetime64 a row")
    return LongSeries(path.stem, _carried_forward(series), times)


def calendar(timestamps: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Where each time (T,) lies in its hour, day, week, month and year, (T, 7).

    Minute, hour, day of the week (Monday is 0), day of the month, day of the year, month, ISO week.
    """
    minutes, days = timestamps.astype("datetime64[m]"), timestamps.astype("datetime64[D]")
    months, years = timestamps.astype("datetime64[M]"), timestamps.astype("datetime64[Y]")
    since = days.astype(np.int64)
    weekday = (since + 3) % 7  # 1970 began on a Thursday
    # a week belongs to the year of its Thursday
    thursday = (since - weekday + 3).astype("datetime64[D]")
    week = (thursday - thursday.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) // 7 + 1
    columns = [
        (minutes - timestamps.astype("datetime64[h]").astype("datetime64[m]")).astype(np.int64),
        (timestamps.astype("datetime64[h]") - days.astype("datetime64[h]")).astype(np.int64),
        weekday,
        (days - months.astype("datetime64[D]")).astype(np.int64) + 1,
        (days - years.astype("datetime64[D]")).astype(np.int64) + 1,
        (months - years.astype("datetime64[M]")).astype(np.int64) + 1,
        week,
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def _carried_forward(series: NDArray[np.float32]) -> NDArray[np.float32]:
    known = ~np.isnan(series)
    rows = np.arange(len(series))[:, None]
    last = np.maximum.accumulate(np.where(known, rows, -1), axis=0)
    source = np.where(last < 0, known.argmax(axis=0), last)
    return np.take_along_axis(series, source, axis=0)
