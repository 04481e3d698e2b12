"""Names of channels: read from every format that has them, written, and checked where series come together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from timeloom.data import load, read, read_series, write_series
from timeloom.data.channels import channel_names, channel_title, check_channels, count_channels
from timeloom.errors import InputError

X = np.arange(4 * 2 * 8, dtype=np.float32).reshape(4, 2, 8)
NAMED = ("pulse", "body temp, °C")


def table(names: list[str], values: np.ndarray) -> str:
    """A .csv of series (n, C, T) whose columns are in the order of `names`, each `channel_t<time>`."""
    channels = list(dict.fromkeys(name.rpartition("_t")[0] for name in names))
    rows = [
        ",".join(f"{row[channels.index(name.rpartition('_t')[0]), int(name.rpartition('_t')[2])]:g}" for name in names)
        for row in values
    ]
    return "\n".join([",".join(names), *rows]) + "\n"


@pytest.mark.parametrize("names", [None, ["c0", "c1"], ["C1", "C2"], np.array(["0", "1"]), [b"1", b"2"]])
def test_names_that_only_count_are_none(names: object) -> None:
    assert channel_names(names, 2, "x") is None


@pytest.mark.parametrize("names", [[" a", "b "], [b"a", b"b"], np.array(["a", "b"])])
def test_names_are_texts_without_blanks_around(names: object) -> None:
    assert channel_names(names, 2, "x") == ("a", "b")


def test_names_that_skip_a_number_are_names() -> None:
    assert channel_names(["c0", "c2"], 2, "x") == ("c0", "c2")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], r"x: names of channels are \(1,\) <U1; allowed: \(2,\) texts"),
        ("ab", r"\(\) <U2"),
        ([1, 2], r"\(2,\) int64"),
        ([["a", "b"]], r"\(1, 2\)"),
        (["a", " a"], "a, a; allowed: one each, all different"),
        (["a", " "], "allowed: one each, all different"),
    ],
)
def test_names_that_fit_no_channels_are_refused(names: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        channel_names(names, 2, "x")


def test_what_pictures_and_lines_call_channels() -> None:
    assert [channel_title(None, 1, 2), channel_title(None, 0, 1), channel_title(NAMED, 0, 2)] == [
        "channel 1",
        "",
        "pulse",
    ]
    assert [count_channels(n) for n in (1, 2)] == ["1 channel", "2 channels"]


def test_only_names_that_differ_are_refused() -> None:
    for found, known in ((None, NAMED), (NAMED, None), (None, None), (list(NAMED), NAMED)):
        check_channels(found, known, "new.csv", "old")
    for found in (NAMED[::-1], ("pulse", "rate")):
        with pytest.raises(InputError, match=r"new.csv: channels are called .*; allowed: pulse, body temp.* as in old"):
            check_channels(found, NAMED, "new.csv", "old")


@pytest.mark.parametrize("turned", [False, True])
def test_columns_of_a_table_name_channels_in_order_of_appearance(tmp_path: Path, turned: bool) -> None:
    names = [f"{channel}_t{t}" for t in range(8) for channel in ("rate", "acc_x")]
    names = names[:2] + names[:1:-1] if turned else names  # times in any order
    (tmp_path / "a.csv").write_text(table(names, X))
    data = read(tmp_path / "a.csv")
    assert data.channels == ("rate", "acc_x")
    np.testing.assert_array_equal(data.X_train, X)


def test_one_channel_may_have_a_name_and_numbers_are_none(tmp_path: Path) -> None:
    for title, channels in (("load", ("load",)), ("c0", None)):
        (tmp_path / "a.csv").write_text(table([f"{title}_t{t}" for t in range(8)], X[:, :1]))
        assert read(tmp_path / "a.csv").channels == channels
        np.testing.assert_array_equal(read(tmp_path / "a.csv").X_train, X[:, :1])


def test_a_few_columns_that_end_so_by_chance_are_time_points(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a_t1,b_t2,c,d,e,f,g,h\n" + "1,2,3,4,5,6,7,8\n" * 3)
    data = read(tmp_path / "a.csv")
    assert data.channels is None
    assert data.X_train[0, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_named_channel_without_one_of_the_times_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a_t0,a_t1,b_t0\n1,2,3\n")
    with pytest.raises(InputError, match="column b_t1 is missing"):
        read(tmp_path / "a.csv")


def test_archives_of_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=X, channels=NAMED)
    np.savez(tmp_path / "b.npz", X_train=X, X_test=X[:1], channels=NAMED)
    assert read(tmp_path / "a.npz").channels == read(tmp_path / "b.npz").channels == NAMED
    assert read(tmp_path / "b.npz").with_test_split().channels == NAMED
    assert read(tmp_path / "a.npz").with_test_split().channels == NAMED
    np.savez(tmp_path / "c.npz", X=X, channels=NAMED[:1])
    with pytest.raises(InputError, match=r"c.npz: names of channels are \(1,\)"):
        read(tmp_path / "c.npz")


def test_windows_of_a_long_series(tmp_path: Path) -> None:
    values = X.transpose(0, 2, 1).reshape(-1, 2)
    np.savez(tmp_path / "a.npz", values=values, columns=NAMED)
    rows = "\n".join(f"2020-01-{i + 1:02},{a:g},{b:g}" for i, (a, b) in enumerate(values[:20]))
    for name, header, channels in (
        ("b.csv", "date,HUFL,OT", ("HUFL", "OT")),
        ("c.csv", "date,a,a", None),
        ("d.csv", "date,0,1", None),
    ):
        (tmp_path / name).write_text(f"{header}\n{rows}\n")
        assert load(tmp_path / name, window=8).channels == channels
    (tmp_path / "e.csv").write_text(rows)
    assert load(tmp_path / "e.csv", window=8).channels is None
    assert load(tmp_path / "a.npz", window=8).channels == NAMED
    np.savez(tmp_path / "f.npz", values=values, columns=["a", "b", "c"])
    with pytest.raises(InputError, match=r"names of channels are \(3,\)"):
        load(tmp_path / "f.npz", window=8)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    y = np.array(["a", "a", "b", "b"])
    for name in ("new.csv", "new.npz"):
        write_series(tmp_path / name, X, y, {"seed": 3}, NAMED)
        found, labels, meta = read_series(tmp_path / name)
        np.testing.assert_array_equal(found, X)
        assert labels is not None
        assert labels.tolist() == y.tolist()
        assert meta["channels"] == list(NAMED)
        assert read(tmp_path / name).channels == NAMED
    assert json.loads(str(np.load(tmp_path / "new.npz")["meta"])) == {"seed": 3, "channels": list(NAMED)}
    write_series(tmp_path / "plain.csv", X)
    assert "channels" not in read_series(tmp_path / "plain.csv")[2]


def test_a_test_split_with_the_channels_in_another_order_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "Body_TRAIN.csv", X, channels=["a", "b"])
    write_series(tmp_path / "Body_TEST.csv", X, channels=["b", "a"])
    with pytest.raises(InputError, match=r"Body_TEST.csv: channels are called b, a; allowed: a, b, in this order"):
        read(tmp_path / "Body_TRAIN.csv")
    for split, names in (("TRAIN", ["a", "b"]), ("TEST", [1, 2])):
        np.savez(tmp_path / f"Body_{split}.npz", X=X, channels=names)
    with pytest.raises(InputError, match=r"Body_TEST.npz: names of channels are \(2,\) int64"):
        read(tmp_path / "Body_TRAIN.npz")


def test_remarks_use_the_name(tmp_path: Path) -> None:
    still = X.copy()
    still[:, 1] = 4
    np.savez(tmp_path / "a.npz", X=still, channels=["pulse", "valve"])
    assert "constant in the training split: channel valve" in read(tmp_path / "a.npz").notes
