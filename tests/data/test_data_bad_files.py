"""Every bad file gets one line that names the file and the fault."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from timeloom.data import read, read_series, write_series
from timeloom.errors import InputError

ROW = "1,2,3,4,5,6,7,8"
TS = "@problemName x\n@timeStamps false\n@classLabel true a b\n@data\n"
ARFF = "@relation x\n" + "".join(f"@attribute a{i} numeric\n" for i in range(8)) + "@attribute c {a,b}\n@data\n"
RELATIONAL = "@relation x\n@attribute r relational\n@attribute a0 numeric\n@end r\n@attribute c {a,b}\n@data\n"
X = np.random.default_rng(0).normal(size=(6, 2, 9))
Y = [0, 0, 1, 1, 2, 2]


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


BAD: list[tuple[str, bytes | str, list[str]]] = [
    ("a.npz", b"", ["file is empty"]),
    ("a.csv", "", ["file is empty"]),
    ("a.xlsx", "x", ["suffix '.xlsx'", ".npz, .npy, .csv, .tsv, .ts, .arff"]),
    ("a.npz", npz(X=X)[:200], ["damaged or cut short"]),
    ("a.npz", npz(X=X)[: len(npz(X=X)) - 5], ["damaged or cut short"]),
    ("a.npz", npz(X=X).replace(X[:1, :1, :4].tobytes(), b"\0" * 32, 1), ["array X", "damaged"]),
    ("a.npz", zipped("X.npy", b"\x93NUMPY"), ["array X", "damaged"]),
    ("a.npz", zipped("X", b"text"), ["type"]),
    ("a.npz", b"hello", ["holds Python objects (pickle) or is no numpy file"]),
    ("a.npz", npz(X=np.array([{}], dtype=object)), ["array X", "Python objects"]),
    ("a.npz", npy(X), ["single array", "a.npy"]),
    ("a.npy", npz(X=X), ["archive", "a.npz"]),
    ("a.npy", npy(X)[:300], ["damaged or cut short"]),
    ("a.npy", npy(X).replace(b"(6, 2, 9)", b"(6, 2, 9", 1), ["damaged or cut short"]),
    ("a.npy", npy(np.array([[1], [2, 3]], dtype=object)), ["Python objects"]),
    ("a.npz", npz(values=X[0].T, columns=["a", "b"]), ["one long series", "(9, 2)", "windows"]),
    ("a.npz", npz(data=X, target=Y), ["found arrays data, target", "expected X and y, or X_train, y_train, X_test"]),
    ("a.npz", npz(X=X, labels=Y), ["found arrays X, labels"]),
    ("a.npz", npz(X=X, y_train=Y), ["found arrays X, y_train"]),
    ("a.npz", npz(), ["found arrays none"]),
    ("a.npz", npz(X_train=X, y_test=Y), ["y_test without X_test"]),
    ("a.npz", npz(X=X, meta="{"), ["array meta", "JSON object"]),
    ("a.npz", npz(X=X, meta="[1]"), ["array meta", "JSON object"]),
    ("a.npz", npz(X_train=X, X_test=X[:, :1]), ["test split", "(1, 9)", "(2, 9)"]),
    ("a.npz", npz(X_train=X, X_test=X[:, :, 1:]), ["test split", "(2, 8)", "(2, 9)"]),
    ("a.npz", npz(X_train=X, y_train=Y, X_test=X), ["the test split has no labels"]),
    ("a.npz", npz(X_train=X, X_test=X, y_test=Y), ["the training split has no labels"]),
    ("a.npz", npz(X_train=X, y_train=Y, X_test=X, y_test=[0, 0, 1, 1, 2, 9]), ["class 9", "0, 1, 2"]),
    ("a.npz", npz(X=X, y=Y[:5]), ["5 labels for 6 series"]),
    ("a.npz", npz(X=X, y=[0, 0, 1, 1, 1, 2]), ["class 2 has 1 series", "at least 2"]),
    ("a.csv", b"\xff\xfe1\x00,\x002\x00", ["byte 0 is not UTF-8"]),
    ("a.csv", "\n \n", ["no rows"]),
    ("a.csv", f'{ROW}\n1,2,"3,4\n', ["line 2", "cannot be read as a table"]),
    ("a.csv", f"{ROW}\n{ROW}\n1,2,3\n", ["line 3 has 3 cells", "8"]),
    ("a.csv", f"{ROW}\n{ROW},9\n", ["line 2 has 9 cells"]),
    ("a.csv", f"{ROW}\n1,2,three,4,5,6,7,8\n", ["line 2", "column '3'", "'three' is not a number"]),
    ("a.csv", f"{ROW}\n1,2,1_0,4,5,6,7,8\n", ["'1_0' is not a number"]),
    ("a.csv", f"date,b,c,d,e,f,g,h\n{ROW}\n2020-01-01,2,3,4,5,6,7,8\n", ["line 3", "column 'date'", "'2020-01-01'"]),
    ("a.csv", f"walk,{ROW}\nrun,{ROW}\n", ["column 'walk' is not numbered like", "call it 'label'"]),
    ("a.csv", f"0.5,-,3,4,5,6,7,8\n{ROW}\n{ROW}\n", ["line 1, column 2", "'-' is not a number", "'0.5' beside it"]),
    ("a.csv", '"0,5","1,5",3,4,5,6,7,8\n', ["line 1, column 1", "'0,5' is not a number", "a point is needed"]),
    ("a.csv", "a;b;c;d;e;f;g;h\n1;2;3;4;5;6;7;8,5\n", ["line 2, column 'h'", "'8,5'", "a decimal comma?"]),
    ("a.csv", "date,a,b\n2020-01-01,1,2\n", ["line 2, column 'date'", "--window LENGTH cuts it"]),
    ("a.ts", "@\n", ["no @data line"]),
    ("a.npz", npz(X=X, y=[0, 0, 0, 1e20, 1e20, 2e20]), ["class 2e+20 has 1 series"]),
    ("a.csv", "a,b,c,d,e,f,g,h\n", ["no series below the header"]),
    ("a.csv", "label\na\na\n", ["no column of values"]),
    ("a.csv", f"a,b,c,d,e,f,g,h,b\n{ROW},9\n", ["column 'b' occurs twice"]),
    ("a.csv", f"a,b,c,d,e,f,g,h,y,Label\n{ROW},1,1\n", ["'y' and 'Label'"]),
    ("a.csv", "c0_t0,c0_t1,c1_t0\n1,2,3\n", ["column c1_t1 is missing"]),
    ("a.csv", "c0_t0,c0_t1,id\n1,2,3\n", ["column 'id' is not <channel>_t<time>"]),
    ("a.csv", "c0_t0,c0_t1,c0_t01\n1,2,3\n", ["a second one of its place"]),
    ("a.csv", f"{ROW}\n", ["1 series", "at least 2"]),
    ("a.csv", "1,2,3\n4,5,6\n", ["length 3", "at least 8"]),
    ("a.csv", f"{ROW}\n1,2,inf,4,5,6,7,8\n", ["infinite", "series 1, channel 0, time point 2"]),
    ("a.csv", f"{ROW}\n1,2,1e39,4,5,6,7,8\n", ["1e+39", "float32"]),
    ("a.csv", f"label,a,b,c,d,e,f,g,h\na,{ROW}\n,{ROW}\na,{ROW}\n", ["label of series 1 is missing"]),
    ("a.csv", f"label,a,b,c,d,e,f,g,h\na,{ROW}\na,,,,,,,,\n", ["series 1 has no value"]),
    ("a.tsv", f"1,{ROW}\n1,{ROW}\n", ["without a tab"]),
    ("a.tsv", f"1\t{ROW}\n1\t{ROW}x\n".replace(",", "\t"), ["line 2", "'8x'"]),
    ("a.ts", f"{ROW}:a\n", ["no @data line"]),
    ("a.ts", TS, ["no series after @data"]),
    ("a.ts", TS.replace("Stamps false", "Stamps true") + "(0,1):a", ["@timeStamps"]),
    ("a.ts", f"{TS}{ROW}:a\n{ROW}\n", ["line 6", "a label but no values"]),
    ("a.ts", f"{TS}{ROW}:a\n{ROW}:{ROW}:a\n", ["line 6 has 2 channels", "the first series has 1"]),
    ("a.ts", f"{TS}{ROW}:1,2,3:a\n", ["line 5", "channel 1 has 3 values, channel 0 has 8"]),
    ("a.ts", f"{TS}{ROW}:a\n{ROW},9,10:a\n{ROW},9:a\n", ["3 lengths", "from 8 to 10"]),
    ("a.ts", f"{TS}{ROW}:a\n1,2,x,4:a\n", ["line 6, channel 0, time point 2", "'x'"]),
    ("a.arff", "@relation x\n@data\n1,2\n", ["no @attribute lines"]),
    ("a.arff", ARFF.replace("@data", ""), ["no @data line"]),
    ("a.arff", ARFF.replace("a3 numeric", "a3 string") + f"{ROW},a\n", ["attribute 'a3' is 'string'"]),
    ("a.arff", f"{ARFF}{ROW},a\n{ROW}\n", ["line 13 has 8 values", "9 attributes"]),
    ("a.arff", ARFF + "{0 1, 8 a}\n", ["line 12", "sparse"]),
    ("a.arff", f"{ARFF}1,2,x,4,5,6,7,8,a\n", ["line 12", "time point 2", "'x'"]),
    ("a.arff", f"{RELATIONAL}{ROW},a\n", ["line 7", "not a quoted series, then the class"]),
    ("a.arff", f"{RELATIONAL}'{ROW}'\n", ["line 7", "not a quoted series, then the class"]),
    ("a.arff", f"{RELATIONAL}'{ROW}',a\n'{ROW}\\n{ROW}',a\n", ["line 8 has 2 channels"]),
]


@pytest.mark.parametrize(("name", "content", "facts"), BAD, ids=[f"{i}-{case[0]}" for i, case in enumerate(BAD)])
def test_bad_files_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes | str, facts: list[str]) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    message = refusal(path)
    assert message.startswith(str(path))
    for fact in facts:
        assert fact in message


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert refusal(tmp_path / "a.npz").endswith("no such file")
    assert "this is a folder" in refusal(tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="file permissions do not bind this user")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(ROW)
    (tmp_path / "a.csv").chmod(0)
    assert "cannot be read: Permission denied" in refusal(tmp_path / "a.csv")


def test_a_fault_in_the_test_file_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "a_TRAIN.csv").write_text(f"{ROW}\n{ROW}\n")
    (tmp_path / "a_TEST.csv").write_text("1,2,3\n")
    assert refusal(tmp_path / "a_TRAIN.csv").startswith(f"{tmp_path / 'a_TEST.csv'}: series have length 3")
    (tmp_path / "a_TEST.csv").write_text(f"{ROW},9\n")
    message = refusal(tmp_path / "a_TRAIN.csv")
    assert message.startswith(str(tmp_path / "a_TEST.csv"))
    assert "(1, 9)" in message


def test_synthetic_series_in_two_splits_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "both.npz", X_train=X, X_test=X[:2])
    assert len(read(tmp_path / "both.npz").X_train) == len(X)
    with pytest.raises(InputError, match=r"both\.npz: holds two splits, X_train and X_test; which is meant"):
        read_series(tmp_path / "both.npz")


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_random_damage_never_escapes_as_another_error(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole{suffix}"
    write_series(whole, X, np.array(Y), {"seed": 0})
    content = whole.read_bytes()
    rng = np.random.default_rng(0)
    refusals = []
    for trial in range(300):
        damaged = bytearray(content)
        if trial % 3 == 0:
            del damaged[int(rng.integers(1, len(damaged))) :]
        else:
            for place in rng.integers(0, min(len(damaged), 300 if trial % 3 == 1 else len(damaged)), size=3):
                damaged[place] = int(rng.integers(256))
        path = tmp_path / f"damaged{suffix}"
        path.write_bytes(damaged)
        try:
            read_series(path)
        except InputError as error:
            refusals.append(str(error))
    assert len(refusals) > 100
    assert not any("\n" in message for message in refusals)
