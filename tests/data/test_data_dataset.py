"""The data set object and the validation that every series passes."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import numpy as np
import pytest

from timeloom.data import Dataset, check_series
from timeloom.data.dataset import build_dataset
from timeloom.errors import InputError


def series(n: int = 6, channels: int = 2, length: int = 9) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, channels, length)).astype(np.float32)


def spoiled(place: Any, value: float) -> np.ndarray:
    X: np.ndarray = series().astype(np.float64)
    X[place] = value
    return X


Y = np.array([0, 0, 1, 1, 2, 2])


def test_flat_series_get_one_channel_and_float32() -> None:
    X, y = check_series(np.arange(24).reshape(3, 8), None, "set")
    assert X.shape == (3, 1, 8)
    assert X.dtype == np.float32
    assert y is None
    np.testing.assert_array_equal(X[1, 0], np.arange(8, 16))


def test_missing_values_and_a_constant_channel_are_allowed() -> None:
    X = spoiled((slice(None), 1), 3.0)
    X[0, 0, :8] = np.nan
    checked, _ = check_series(X, Y, "set")
    assert np.isnan(checked).sum() == 8


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.array([1, 1, -1, -1, 2, 2], dtype=np.int8), [1, 1, -1, -1, 2, 2]),
        (np.array([True, True, False, False, True, True]), [1, 1, 0, 0, 1, 1]),
        (np.array([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], dtype=np.float32), [1, 1, 2, 2, 3, 3]),
        (np.array([0.5, 0.5, 2.0, 2.0, 2.0, 2.0]), ["0.5", "0.5", "2.0", "2.0", "2.0", "2.0"]),
        (["1", "1", "2", "2", "10", "10"], [1, 1, 2, 2, 10, 10]),
        (["1.0", "1.0", "2.0", "2.0", "1.0000000e+01", "1.0000000e+01"], [1, 1, 2, 2, 10, 10]),
        (["1", "1", "a", "a", "a", "a"], ["1", "1", "a", "a", "a", "a"]),
        (["1", "1", "01", "01", "2", "2"], ["1", "1", "01", "01", "2", "2"]),
        (["007", "007", "010", "010", "12", "12"], ["007", "007", "010", "010", "12", "12"]),
        (["1_0", "1_0", "2", "2", "2", "2"], ["1_0", "1_0", "2", "2", "2", "2"]),
        ([" up", "up ", "down", "down", "up", "up"], ["up", "up", "down", "down", "up", "up"]),
        (np.array(["a", "a", 2, 2, 2, 2], dtype=object), ["a", "a", "2", "2", "2", "2"]),
    ],
)
def test_labels_become_integers_where_they_are_and_text_elsewhere(given: Any, expected: list[Any]) -> None:
    _, y = check_series(series(), given, "set")
    assert y is not None
    assert y.dtype == np.int64 if isinstance(expected[0], int) else y.dtype.kind == "U"
    assert y.tolist() == expected


RAGGED = np.empty(3, dtype=object)
RAGGED[:] = [np.zeros((1, length)) for length in (9, 12, 10)]


@pytest.mark.parametrize(
    ("X", "y", "facts"),
    [
        (np.full((4, 9), "a"), None, ["type", "numbers are needed"]),
        (series().astype(complex), None, ["complex"]),
        ([[1.0] * 8, [*([1.0] * 7), "tall"]], None, ["<U", "numbers are needed"]),
        (np.array([[1.0] * 8, [*([1.0] * 7), "tall"]], dtype=object), None, ["'tall'", "numbers are needed"]),
        (np.zeros(9), None, ["1 dimensions", "(n, channels, T)"]),
        (np.zeros((2, 2, 2, 9)), None, ["4 dimensions"]),
        (series(n=1), None, ["1 series", "at least 2"]),
        (np.zeros((4, 0, 9)), None, ["no channel"]),
        (series(length=7), None, ["length 7", "at least 8"]),
        (series(length=1), None, ["length 1", "at least 8"]),
        (spoiled((2, 1, 4), np.inf), None, ["infinite", "series 2, channel 1, time point 4"]),
        (spoiled((3, 0, 8), -np.inf), None, ["infinite", "series 3, channel 0, time point 8"]),
        (spoiled((2, 1, 4), 1e39), None, ["1e+39", "series 2, channel 1, time point 4", "float32"]),
        (spoiled(3, np.nan), None, ["series 3", "no value"]),
        (spoiled((slice(None), 1), np.nan), None, ["channel 1", "no value"]),
        (RAGGED, None, ["3 lengths", "from 9 to 12"]),
        ([np.zeros(9), np.zeros(12)], None, ["2 lengths", "from 9 to 12"]),
        ([np.zeros((1, 9)), np.zeros((2, 9))], None, ["(1, 9)", "(2, 9)"]),
        (series(), Y[:5], ["5 labels", "6 series"]),
        (series(), Y[:, None], ["labels have 2 dimensions"]),
        (series(), [0.0, 0.0, np.nan, 1.0, 1.0, 1.0], ["label of series 2", "missing"]),
        (series(), ["a", "a", "a", "b", "", "b"], ["label of series 4", "missing"]),
        (series(), ["a", "a", "a", "b", "NaN", "b"], ["label of series 4", "'NaN'"]),
        (series(), np.array(["a", None, "a", "b", "b", "b"], dtype=object), ["label of series 1", "missing"]),
        (series(), [0, 0, 0, 0, 7, 0], ["class 7", "1 series", "at least 2"]),
    ],
)
def test_bad_series_are_refused_in_one_line(X: Any, y: Any, facts: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        check_series(X, y, "where.npz")
    message = str(caught.value)
    assert "\n" not in message
    for fact in ["where.npz", *facts]:
        assert fact in message


def test_one_series_and_one_member_pass_where_one_is_enough() -> None:
    X, y = check_series(series(n=1), ["a"], "synthetic", min_per_class=1)
    assert X.shape == (1, 2, 9)
    assert y is not None
    assert y.tolist() == ["a"]
    with pytest.raises(InputError, match="0 series; at least 1"):
        check_series(np.zeros((0, 1, 9)), None, "synthetic", min_per_class=1)


def test_properties_of_a_set() -> None:
    labelled = Dataset("set", series(), np.array(["b", "a", "b", "a", "b", "a"]), None, None)
    assert (labelled.n_channels, labelled.length, labelled.classes) == (2, 9, ("a", "b"))
    classes = Dataset("set", series(), Y[::-1], None, None).classes
    assert classes == (0, 1, 2)
    assert classes is not None
    assert all(type(c) is int for c in classes)
    assert Dataset("set", series(), None, None, None).classes is None


def test_fingerprint_of_known_data_never_changes() -> None:
    # Checkpoints carry it: a change here makes every one of them refuse its data.
    X = np.arange(32, dtype=np.float32).reshape(2, 2, 8)
    digest = hashlib.sha256(b"(2, 2, 8)" + struct.pack("<32f", *range(32)) + b"int(2,)" + b"3\x004").hexdigest()
    assert Dataset("set", X, np.array([3, 4]), None, None).fingerprint == digest[:16] == "5d6aa1180d0265c2"


def test_fingerprint_ignores_what_does_not_change_the_data() -> None:
    X = series()
    X[0, 0, 0] = np.nan
    base = Dataset("set", X, Y, None, None).fingerprint
    other_nan = X.copy()
    other_nan.view(np.uint32)[0, 0, 0] = 0xFFC00001
    assert np.isnan(other_nan[0, 0, 0])
    same = [
        Dataset("other name", X, Y.astype(np.int16), X[:2], Y[:2], ("a note",)),
        Dataset("set", other_nan, Y, None, None),
        Dataset("set", np.asfortranarray(X), Y, None, None),
    ]
    assert {d.fingerprint for d in same} == {base}
    wide = Dataset("set", X, Y.astype("<U1"), None, None).fingerprint
    assert wide == Dataset("set", X, Y.astype("<U30"), None, None).fingerprint


def test_fingerprint_changes_with_the_data() -> None:
    X, changed = series(), series()
    changed[5, 1, 8] = np.nextafter(changed[5, 1, 8], np.float32(9))
    variants = [
        Dataset("set", X, Y, None, None),
        Dataset("set", X, None, None, None),
        Dataset("set", X, Y[::-1], None, None),
        Dataset("set", X, Y.astype("<U1"), None, None),
        Dataset("set", changed, Y, None, None),
        Dataset("set", X.reshape(6, 1, 18), Y, None, None),
    ]
    assert len({d.fingerprint for d in variants}) == len(variants)


def test_a_missing_test_split_is_held_out_by_class_and_noted() -> None:
    y = np.repeat(np.array(["a", "b"]), [40, 10])
    whole = Dataset("set", series(n=50), y, None, None, ("first note",))
    split = whole.with_test_split()
    assert split.X_test is not None
    assert split.y_test is not None
    assert split.y_test.tolist() == ["a"] * 8 + ["b"] * 2
    together = np.concatenate([split.X_train, split.X_test])
    assert sorted(map(bytes, together)) == sorted(map(bytes, whole.X_train))
    assert split.notes == ("first note", "no test split in the data: 20 % were held out, seed 0")
    again = whole.with_test_split()
    np.testing.assert_array_equal(again.X_train, split.X_train)
    assert split.with_test_split(0.5) is split


def test_some_classes_can_be_taken_from_both_splits() -> None:
    y = np.array([1, 2, 3, 1, 2, 3, 1, 2, 3, 1])
    whole = Dataset("set", series(10), y, None, None).with_test_split(0.4)
    part = whole.of_classes(["3", 1])
    assert part.name == "set, class 1, 3"
    assert part.classes == (1, 3)
    assert part.X_test is not None
    assert part.rows is not None
    for X, labels, rows in ((part.X_train, part.y_train, part.rows[0]), (part.X_test, part.y_test, part.rows[1])):
        np.testing.assert_array_equal(labels, y[rows])
        np.testing.assert_array_equal(X, series(10)[rows])
    assert sorted(np.concatenate(part.rows)) == np.flatnonzero(y != 2).tolist()


def test_a_class_that_a_split_lacks_is_told() -> None:
    labelled = Dataset("set", series(4), np.array(["a", "a", "b", "b"]), series(2), np.array(["a", "a"]))
    with pytest.raises(InputError, match="unknown class 'c'; known classes: a, b"):
        labelled.of_classes(["c"])
    with pytest.raises(InputError, match="set: no test series of class b"):
        labelled.of_classes(["b"])
    with pytest.raises(InputError, match="set: has no labels"):
        Dataset("set", series(4), None, None, None).of_classes(["a"])


def test_remarks_are_of_the_training_split_alone() -> None:
    X = series(10)
    X[:, 1] = 3.0
    data = Dataset("gaps", X, None, None, None)
    kept = data.with_test_split().rows[0]  # type: ignore[index]
    X[kept[0], 0, :2] = np.nan
    X[np.setdiff1d(np.arange(10), kept), 0, :5] = np.nan
    whole = build_dataset("gaps", (X, None), None, (), ("gaps", "gaps"))
    assert "12 of 180 training values are missing (6.7 %)" in whole.notes
    split = whole.with_test_split().notes
    assert [note for note in split if "missing" in note] == ["2 of 144 training values are missing (1.4 %)"]
    assert len([note for note in split if "constant" in note]) == 1


def test_a_long_series_read_as_many_short_ones_is_told_of_windows() -> None:
    for long in (np.zeros((500, 3)), np.zeros(500)):
        with pytest.raises(InputError, match="--window LENGTH cuts it into windows"):
            check_series(long, None, "long")


def test_a_set_without_labels_is_held_out_too() -> None:
    split = Dataset("set", series(n=10), None, None, None).with_test_split(0.3)
    assert split.X_test is not None
    assert (len(split.X_train), len(split.X_test)) == (7, 3)
    assert split.y_train is None
    assert split.y_test is None


def test_two_series_without_a_test_split_are_told_what_is_missing() -> None:
    with pytest.raises(InputError, match=r"pair: has 2 series and no test split.*allowed: at least 3"):
        Dataset("pair", series(n=2), None, None, None).with_test_split()
