"""One long series: missing values that look at the past only, and times of the calendar."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from timeloom.data import load_long
from timeloom.data.long import calendar
from timeloom.errors import InputError


def test_values_and_times_of_an_archive(tmp_path: Path) -> None:
    times = np.datetime64("2016-07-01T00:00:00") + np.arange(5) * np.timedelta64(1, "h")
    values = np.array([[np.nan, 1], [2, np.nan], [np.nan, np.nan], [4, 4], [5, 5]], dtype=np.float32)
    np.savez(tmp_path / "long.npz", values=values, columns=np.array(["a", "b"]), timestamps=times)
    found = load_long(tmp_path / "long.npz")
    assert found.name == "long"
    assert found.values.tolist() == [[2, 1], [2, 1], [2, 1], [4, 4], [5, 5]]
    assert found.timestamps is not None
    assert np.array_equal(found.timestamps, times)


def test_a_table_has_no_times_and_one_column_is_one_channel(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.arange(4.0))
    found = load_long(tmp_path / "one.npy")
    assert found.values.shape == (4, 1)
    assert found.timestamps is None


def test_the_calendar_agrees_with_the_standard_library() -> None:
    days = np.datetime64("1969-12-27") + np.arange(0, 30_000, 7.3) * np.timedelta64(86_400, "s").astype("m8[s]")
    for time, row in zip(days.astype(datetime), calendar(days.astype("datetime64[s]")), strict=True):
        of_year = time.timetuple().tm_yday
        wanted = [time.minute, time.hour, time.weekday(), time.day, of_year, time.month, time.isocalendar().week]
        assert row.tolist() == wanted, time


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"values": np.array([[1.0], [np.inf]])}, "infinite at time 1"),
        ({"values": np.array([[1.0, np.nan], [2.0, np.nan]])}, "channel 1 has no value at all"),
        (
            {"values": np.zeros((3, 1)), "timestamps": np.arange(3)},
            r"timestamps are \(3,\) int64; allowed: one datetime64",
        ),
        ({"X": np.zeros((3, 1))}, "found X"),
    ],
)
def test_what_is_no_long_series_is_refused(tmp_path: Path, arrays: dict, message: str) -> None:
    np.savez(tmp_path / "long.npz", **arrays)
    with pytest.raises(InputError, match=message):
        load_long(tmp_path / "long.npz")
