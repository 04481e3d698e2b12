"""Writing series: exact, deterministic, whole or not at all."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from timeloom.data import check_writable_suffix, read_series, write_series
from timeloom.errors import InputError
from timeloom.files import replacing

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)
SERIES = arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(8, 10)), elements=FINITE)
WORDS = st.text("abcXYZ ,;\"'é\n", min_size=1, max_size=6).map(lambda s: f"w{s}w")


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(X=SERIES, data=st.data(), suffix=st.sampled_from([".npz", ".csv"]))
def test_series_and_labels_come_back_exactly(tmp_path: Path, X: np.ndarray, data: st.DataObject, suffix: str) -> None:
    # The first value of a series stays: a series without any value is refused on reading.
    holes = data.draw(arrays(np.bool_, X.shape))
    holes[:, :, 0] = False
    X = np.where(holes, np.float32(np.nan), X)
    kind: Any = data.draw(st.sampled_from([st.integers(-9, 9), WORDS, None]))
    y = None if kind is None else np.array(data.draw(st.lists(kind, min_size=len(X), max_size=len(X))))
    path = tmp_path / f"series{suffix}"
    write_series(path, X, y)
    X_read, y_read, _ = read_series(path)
    np.testing.assert_array_equal(X_read, X)
    np.testing.assert_array_equal(np.signbit(X_read[~holes]), np.signbit(X[~holes]))
    if y is None:
        assert y_read is None
    else:
        assert y_read is not None
        assert y_read.tolist() == y.tolist()


def test_npz_holds_plain_arrays_and_readable_metadata(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(4, 2, 9))
    meta = {"seed": 3, "source": "GunPoint", "nested": {"β": [1.5, None]}}
    write_series(tmp_path / "a.npz", X, np.array(["up", "down", "up", "up"]), meta)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as loaded:
        assert sorted(loaded.files) == ["X", "meta", "y"]
        assert loaded["X"].dtype == np.float32
        assert json.loads(str(loaded["meta"])) == meta
    assert read_series(tmp_path / "a.npz")[2] == meta


def test_npy_holds_the_series_alone(tmp_path: Path) -> None:
    X = np.arange(16, dtype=np.float64).reshape(2, 8)
    write_series(tmp_path / "a.npy", X, np.array([0, 1]))
    loaded = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, X[:, None])


def test_csv_text_is_as_documented(tmp_path: Path) -> None:
    X = np.array([[[0.1, np.nan], [-3, 1e-40]], [[2.5, 1e30], [0, 7]]], dtype=np.float32)
    write_series(tmp_path / "a.csv", X, np.array(["b", "a,c"]))
    assert (tmp_path / "a.csv").read_text() == (
        'label,c0_t0,c0_t1,c1_t0,c1_t1\nb,0.100000001,,-3,9.9999461e-41\n"a,c",2.5,1.00000002e+30,0,7\n'
    )
    write_series(tmp_path / "b.csv", X)
    assert (tmp_path / "b.csv").read_text().splitlines()[0] == "c0_t0,c0_t1,c1_t0,c1_t1"


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".csv", ".NPZ"])
def test_same_input_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    X = np.random.default_rng(0).normal(size=(4, 2, 9))
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    write_series(first, X, np.array([1, 2, 1, 2]), {"b": 1, "a": 2})
    os.utime(first, (0, 0))
    write_series(second, np.asfortranarray(X), np.array([1, 2, 1, 2]), {"a": 2, "b": 1})
    assert first.read_bytes() == second.read_bytes()
    # A zip archive that carried the time of writing would not have this date.
    if suffix.lower() == ".npz":
        assert {info.date_time for info in zipfile.ZipFile(first).infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_object_labels_are_never_pickled(tmp_path: Path) -> None:
    write_series(tmp_path / "a.npz", np.zeros((2, 8)), np.array(["a", "b"], dtype=object))
    _, y, _ = read_series(tmp_path / "a.npz")
    assert y is not None
    assert y.tolist() == ["a", "b"]


def test_missing_folders_are_made_and_files_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "a.npy"
    write_series(path, np.zeros((2, 8)))
    write_series(path, np.ones((3, 8)))
    assert read_series(path)[0].shape == (3, 1, 8)
    assert [p.name for p in path.parent.iterdir()] == ["a.npy"]


def test_a_reader_of_the_old_file_never_sees_the_new_one_half_written(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    with path.open() as reader:
        write_series(path, np.zeros((2, 8)))
        assert reader.read() == "old"


@pytest.mark.parametrize("name", ["a.ts", "a.arff", "a.tsv", "a", "a.npz.gz"])
def test_formats_that_are_not_written_are_refused_before_anything_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"cannot be written; allowed: \.npz, \.npy, \.csv"):
        check_writable_suffix(name)
    with pytest.raises(InputError, match="cannot be written"):
        write_series(tmp_path / "folder" / name, np.zeros((2, 8)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("X", "y", "fact"),
    [(np.zeros(8), None, "1 dimensions"), (np.zeros((2, 8)), np.array([1]), "1 labels for 2 series")],
)
def test_shapes_that_do_not_fit_leave_nothing(tmp_path: Path, X: np.ndarray, y: Any, fact: str) -> None:
    with pytest.raises(InputError, match=fact):
        write_series(tmp_path / "a.npz", X, y)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_write_keeps_the_old_file_and_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")

    def interrupted() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half of the new")
            raise error

    with pytest.raises(error):
        interrupted()
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]
    assert path.read_text() == "old"


def test_a_target_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.npz").mkdir()
    for path in (tmp_path / "file" / "a.npz", tmp_path / "folder.npz", tmp_path / ("x" * 300 + ".npz")):
        with pytest.raises(InputError) as caught:
            write_series(path, np.zeros((2, 8)))
        assert str(caught.value).startswith(f"{path}: cannot be written")
        assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.npz"]
