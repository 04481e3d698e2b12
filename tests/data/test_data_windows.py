"""One long series cut into windows: every file it may come in, what is refused, and splits that share no time point."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timeloom.data import Dataset, load
from timeloom.data.readers import read_windows
from timeloom.data.splits import ordered_holdout
from timeloom.data.windows import cut_windows
from timeloom.errors import InputError

LONG = np.stack([np.arange(20.0), 100 + np.arange(20.0) ** 2], axis=1)  # 20 time points, 2 channels


def write_csv(folder: Path, header: str | None, dates: bool = False) -> Path:
    rows = [f"{a:g},{b:g}" for a, b in LONG]
    if dates:
        rows = [f"2020-01-{i + 1:02},{row}" for i, row in enumerate(rows)]
    path = folder / "long.csv"
    path.write_text("\n".join(rows if header is None else [header, *rows]) + "\n", encoding="utf-8")
    return path


def expected_windows(values: np.ndarray, length: int) -> np.ndarray:
    return np.array([values[i : i + length].T for i in range(len(values) - length + 1)], dtype=np.float32)


# ---- cutting


def test_a_window_starts_at_every_time_point() -> None:
    windows = cut_windows(np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0]]), 3)
    assert windows.tolist() == [[[1, 2, 3], [10, 20, 30]], [[2, 3, 4], [20, 30, 40]]]


@pytest.mark.parametrize("length", [0, -1, 20, 21])
def test_a_window_must_be_shorter_than_the_series(length: int) -> None:
    with pytest.raises(InputError, match=f"^long: 20 time points, --window {length}; allowed: a window shorter"):
        cut_windows(LONG, length, "long")


def test_an_array_of_three_dimensions_is_no_long_series() -> None:
    with pytest.raises(InputError, match=r"shape \(2, 3, 20\); allowed: \(time points, channels\)"):
        cut_windows(np.zeros((2, 3, 20)), 8)


# ---- files


def test_numpy_files_of_one_and_several_channels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", values=LONG)
    np.save(tmp_path / "b.npy", LONG)
    np.save(tmp_path / "c.npy", LONG[:, 0])
    for name, values in (("a.npz", LONG), ("b.npy", LONG), ("c.npy", LONG[:, :1])):
        data = load(tmp_path / name, window=8)
        np.testing.assert_array_equal(data.X_train, expected_windows(values, 8))
        assert (data.name, data.y_train, data.X_test, data.ordered) == (name[0], None, None, True)
        assert data.notes == ("13 windows of length 8, one starting at every time point",)


@pytest.mark.parametrize(
    ("header", "dates"),
    [(None, False), ("a,b", False), (None, True), ("date,a,b", True), ("Timestamp ,a,b", True)],
)
def test_tables_with_and_without_header_and_dates(tmp_path: Path, header: str | None, dates: bool) -> None:
    data = read_windows(write_csv(tmp_path, header, dates), 8)
    np.testing.assert_array_equal(data.X_train, expected_windows(LONG, 8))


@pytest.mark.parametrize(
    ("header", "dates"),
    [("date,0,1", True), ("date,2019,2020", True), ("index,0", False), (",0", False), ("day,0,1", True)],
)
def test_a_header_of_numbers_is_known_by_its_time_column(tmp_path: Path, header: str, dates: bool) -> None:
    data = read_windows(write_csv(tmp_path, header, dates), 8)
    kept = LONG if dates else LONG[:, 1:]
    np.testing.assert_array_equal(data.X_train, expected_windows(kept, 8))


@pytest.mark.parametrize("text", ["{0};{1}", "{0}\t{1}", "\n{0},{1}\n , \n"])
def test_dialects_read_alike(tmp_path: Path, text: str) -> None:
    (tmp_path / "long.csv").write_text("\n".join(text.format(*row) for row in LONG))
    np.testing.assert_array_equal(read_windows(tmp_path / "long.csv", 8).X_train, expected_windows(LONG, 8))


def test_a_first_row_of_a_date_and_counting_values_is_data(tmp_path: Path) -> None:
    rows = [f"2020-01-{i + 1:02},{i},{i + 1}" for i in range(12)]
    (tmp_path / "long.csv").write_text("\n".join(rows))
    assert read_windows(tmp_path / "long.csv", 8).X_train[0, :, 0].tolist() == [0, 1]


def test_a_column_of_values_may_be_called_index(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_text("price,index\n" + "\n".join(f"{a},{b}" for a, b in LONG))
    np.testing.assert_array_equal(read_windows(tmp_path / "long.csv", 8).X_train, expected_windows(LONG, 8))


def test_a_long_series_read_without_a_window_is_told_so(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", values=LONG)
    with pytest.raises(InputError, match=r"one long series 'values' of shape \(20, 2\).*--window"):
        load(tmp_path / "a.npz")


def test_missing_values_stay_missing(tmp_path: Path) -> None:
    values = LONG.copy()
    values[4, 1] = np.nan
    np.save(tmp_path / "a.npy", values)
    (tmp_path / "b.csv").write_text("\n".join(f"{a:g},{'' if np.isnan(b) else f'{b:g}'}" for a, b in values))
    for name in ("a.npy", "b.csv"):
        data = read_windows(tmp_path / name, 8)
        np.testing.assert_array_equal(data.X_train, expected_windows(values, 8))
        assert any("values are missing" in note for note in data.notes)


# ---- what is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "file is empty"),
        ("\n\n", "file holds no rows"),
        ("1,2\n3\n", "line 2 has 1 cells; the first row has 2"),
        ("a,b\n1,2\n3,x\n", "row 2, column 'b' holds 'x'; numbers are needed"),
        ("date\n" + "2020-01-01\n" * 9, "no channel"),
        ("a,b\n", "0 time points"),
        ("target,a,b\nfaulty,1,2\n", "row 1, column 'target' holds 'faulty'.*a row a series"),
        ("a,Label\n1,0\n2,1\n", "column 'Label' would become a channel.*a row a series"),
        ("p_t0,p_t1,q_t0\n1,0,2\n2,1,3\n", "columns 'p_t0' to 'q_t0' are time points of a row a series"),
        (
            "date,a\n2020-01-02,1\n2020-01-03,2\n2020-01-01,3\n",
            "row 3 is of 2020-01-01T00:00:00, before the row above it",
        ),
    ],
)
def test_faulty_tables_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "long.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: .*({message})"):
        read_windows(path, 8)


# the clock goes back an hour, the time does not
SUMMER_TIME = [f"2020-10-25T02:{i:02}:00+02:00" for i in range(10)] + [
    f"2020-10-25T02:{i:02}:00+01:00" for i in range(10)
]


def test_equal_and_unreadable_times_and_a_column_y_are_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    for times in (["2020-01-01"] * 20, ["13.1.2020", "12.1.2020"] * 10, SUMMER_TIME, [*map(str, range(20))]):
        path.write_text("time,y\n" + "".join(f"{time},{i}\n" for i, time in enumerate(times)))
        assert read_windows(path, 8).X_train.shape == (13, 1, 8)


def test_faulty_arrays_and_files_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", series=LONG)
    np.savez(tmp_path / "labels.npz", values=LONG, y=np.arange(20) % 2)
    times = np.arange("2020-01-01", "2020-01-21", dtype="datetime64[D]")
    np.savez(tmp_path / "back.npz", values=LONG, timestamps=times[::-1])
    np.savez(tmp_path / "fine.npz", values=LONG, timestamps=times)
    assert len(read_windows(tmp_path / "fine.npz", 8).X_train) == 13
    np.save(tmp_path / "text.npy", np.array(["a"] * 20))
    (tmp_path / "long.ts").write_text("1,2,3")
    for name, message in (
        ("other.npz", "the array 'values'; found series"),
        ("labels.npz", "array 'y' beside 'values': labels of time points are not learned"),
        ("back.npz", "row 2 is of 2020-01-19, before the row above it"),
        ("text.npy", "numbers are needed"),
        ("long.ts", "suffix '.ts' is not known; allowed: .npz, .npy, .csv"),
        ("none.npy", "no such file"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path / name))}: .*{message}"):
            read_windows(tmp_path / name, 8)


def test_python_objects_in_an_archive_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", values=np.array([1, "a", None], dtype=object))
    with pytest.raises(InputError, match=r"a\.npz.*Python objects"):
        read_windows(tmp_path / "a.npz", 8)


def test_a_window_is_no_shorter_than_any_other_series(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", LONG)
    with pytest.raises(InputError, match="length 7; at least 8 time points"):
        read_windows(tmp_path / "a.npy", 7)


# ---- splits in time


@settings(deadline=None, max_examples=60)
@given(n=st.integers(20, 400), share=st.floats(0.05, 0.95), length=st.integers(1, 12))
def test_first_and_last_windows_never_touch_one_time_point(n: int, share: float, length: int) -> None:
    try:
        kept, held = ordered_holdout(n, share, gap=length - 1)
    except InputError:
        assert min(round(share * n), n - round(share * n) - length + 1) < 2
        return
    assert kept.tolist() == list(range(len(kept)))
    assert held.tolist() == list(range(n - round(share * n), n))
    assert kept[-1] + length == held[0]  # the last time point known is the one before the first held out


@pytest.mark.parametrize(("n", "share", "message"), [(20, 0.0, "is 0.0"), (20, 1.0, "is 1.0"), (20, 0.2, "20 windows")])
def test_an_impossible_ordered_split_is_refused(n: int, share: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ordered_holdout(n, share, gap=15)


def test_held_out_windows_share_no_time_point_with_training_windows(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(100.0))
    data = read_windows(tmp_path / "a.npy", 16).with_test_split(0.2)
    assert data.X_test is not None
    assert len(data.X_test) == 17  # a fifth of 85
    assert data.X_test[0, 0, 0] == data.X_train.max() + 1
    assert data.X_test.max() == 99
    assert "overlap" in data.notes[-1]


def test_other_series_are_held_out_at_random() -> None:
    X = np.arange(40, dtype=np.float32)[:, None, None] + np.zeros((1, 1, 8), dtype=np.float32)
    data = Dataset("x", X, None, None, None).with_test_split(0.2)
    assert data.X_test is not None
    assert len(data.X_train) + len(data.X_test) == 40
    assert data.X_test.min() < data.X_train.max()
