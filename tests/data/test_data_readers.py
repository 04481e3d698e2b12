"""Reading every format: aeon's own loaders are the reference for the archive's formats."""

from __future__ import annotations

from pathlib import Path

import aeon.datasets
import numpy as np
import pytest
from aeon.datasets import load_from_arff_file, load_from_ts_file, load_from_tsv_file

from timeloom.data import read, read_series

CARRIED = Path(aeon.datasets.__file__).parent / "data"
HEADER = "@problemName x\n@timeStamps false\n@univariate true\n@equalLength true\n@classLabel true a b\n@data\n"
ROW = "1,2,3,4,5,6,7,8"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def lower(labels: np.ndarray) -> list[str]:
    return [str(label).lower() for label in labels]


@pytest.mark.parametrize(
    "file",
    [
        "GunPoint/GunPoint_TRAIN.ts",
        "ItalyPowerDemand/ItalyPowerDemand_TEST.ts",
        "ArrowHead/ArrowHead_TRAIN.ts",
        "BasicMotions/BasicMotions_TRAIN.ts",
        "JapaneseVowels/JapaneseVowels_eq_TRAIN.ts",
        "GunPoint/GunPoint_TRAIN.tsv",
        "ArrowHead/ArrowHead_TRAIN.tsv",
        "GunPoint/GunPoint_TRAIN.arff",
        "ArrowHead/ArrowHead_TRAIN.arff",
        "BasicMotions/BasicMotions_TRAIN.arff",
    ],
)
def test_archive_files_read_as_aeon_reads_them(file: str) -> None:
    path = CARRIED / file
    reference = {".ts": load_from_ts_file, ".tsv": load_from_tsv_file, ".arff": load_from_arff_file}[path.suffix]
    X, y = reference(str(path))
    data = read(path)
    np.testing.assert_array_equal(data.X_train, X.astype(np.float32))
    assert data.y_train is not None
    # aeon writes class names in lower case.
    assert lower(data.y_train) == lower(y)


def test_train_file_brings_the_test_file_beside_it() -> None:
    data = read(CARRIED / "BasicMotions" / "BasicMotions_TRAIN.ts")
    X, y = load_from_ts_file(str(CARRIED / "BasicMotions" / "BasicMotions_TEST.ts"))
    assert data.name == "BasicMotions"
    assert data.X_test is not None
    assert data.y_test is not None
    np.testing.assert_array_equal(data.X_test, X.astype(np.float32))
    assert lower(data.y_test) == lower(y)
    assert data.classes == ("Badminton", "Running", "Standing", "Walking")
    assert "test split read from BasicMotions_TEST.ts" in data.notes


def test_pairs_are_found_in_any_case_and_their_absence_is_noted(tmp_path: Path) -> None:
    train = write(tmp_path, "my_train.csv", f"{ROW}\n{ROW}\n")
    data = read(train)
    assert data.X_test is None
    assert data.notes == ("no my_TEST.csv beside the file: there is no test split",)
    test = write(tmp_path, "my_Test.CSV", "8,7,6,5,4,3,2,1\n")
    data = read(train)
    assert data.X_test is not None
    np.testing.assert_array_equal(data.X_test, [[[8, 7, 6, 5, 4, 3, 2, 1]]])
    write(tmp_path, "my_Test.CSV", f"{ROW}\n{ROW}\n{ROW}")
    alone = read(test)
    assert alone.name == "my"
    assert alone.X_test is None
    assert "my_Test.CSV is the test split" in alone.notes[0]


def test_npz_with_splits_keeps_its_labels(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(6, 3, 10))
    y = np.array([-1, 1, -1, 1, 1, -1], dtype=np.int32)
    np.savez(tmp_path / "set.NPZ.npz", X_train=X, y_train=y, X_test=X[:1], y_test=y[:1])
    data = read(tmp_path / "set.NPZ.npz")
    np.testing.assert_array_equal(data.X_train, X.astype(np.float32))
    assert data.y_train is not None
    assert data.y_train.tolist() == y.tolist()
    assert data.y_test is not None
    assert data.y_test.tolist() == [-1]
    assert data.name == "set.NPZ"


def test_npz_in_short_form_and_npy(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(6, 10)).astype(np.float32)
    np.savez(tmp_path / "a.npz", X=X)
    np.save(tmp_path / "a.npy", X)
    (tmp_path / "b.NPY").write_bytes((tmp_path / "a.npy").read_bytes())
    for name in ("a.npz", "a.npy", "b.NPY"):
        data = read(tmp_path / name)
        np.testing.assert_array_equal(data.X_train, X[:, None])
        assert data.y_train is None
        assert data.X_test is None


def test_test_labels_take_the_type_of_the_training_labels(tmp_path: Path) -> None:
    X = np.zeros((4, 8)) + np.arange(8)
    np.savez(tmp_path / "a.npz", X_train=X, y_train=["1", "1", "a", "a"], X_test=X[:2], y_test=["1", "1"])
    data = read(tmp_path / "a.npz")
    assert data.classes == ("1", "a")
    assert data.y_test is not None
    assert data.y_test.tolist() == ["1", "1"]


def test_csv_with_named_channels_in_any_order(tmp_path: Path) -> None:
    names = [f"c{c}_t{t}" for t in reversed(range(8)) for c in (1, 0)]
    rows = [[str(100 * i + 10 * int(name[1]) + int(name[4])) for name in names] for i in range(4)]
    labels = ["up", "down", "up", "down"]
    lines = [",".join([*names[:5], "Class", *names[5:]])]
    lines += [",".join([*row[:5], label, *row[5:]]) for row, label in zip(rows, labels, strict=True)]
    data = read(write(tmp_path, "a.csv", "\n".join(lines)))
    expected = np.array([[[100 * i + 10 * c + t for t in range(8)] for c in (0, 1)] for i in range(4)])
    np.testing.assert_array_equal(data.X_train, expected)
    assert data.y_train is not None
    assert data.y_train.tolist() == labels


@pytest.mark.parametrize("label", ["label", "CLASS", "Target", "y"])
def test_csv_label_columns(tmp_path: Path, label: str) -> None:
    text = f"a,b,c,d,e,f,g,h,{label}\n{ROW},1\n{ROW},1\n"
    data = read(write(tmp_path, "a.csv", text))
    assert data.classes == (1,)
    np.testing.assert_array_equal(data.X_train[1, 0], np.arange(1, 9))


@pytest.mark.parametrize(
    "text",
    [
        f"{ROW}\n{ROW}\n",
        f"\ufeff{ROW}\r\n{ROW}\r\n",
        f"\n{ROW}\n\n{ROW}",
        f"{ROW}\n{ROW}\n".replace(",", ";"),
        f"{ROW}\n{ROW}\n".replace(",", "\t"),
        f"{ROW}\n{ROW}\n".replace(",", " , "),
        f"t1,t2,t3,t4,t5,t6,t7,t8\n{ROW}\n{ROW}\n",
        f"0,1,2,3,4,5,6,7\n{ROW}\n{ROW}\n",
        f",0,1,2,3,4,5,6,7,\n0,{ROW},\n1,{ROW},\n".replace(",\n", "\n"),
        f'"t1",t2,t3,t4,t5,t6,t7,t8\n"1",2,3,4,5,6,7,8\n{ROW}\n',
    ],
)
def test_csv_dialects_read_alike(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode())
    data = read(path)
    np.testing.assert_array_equal(data.X_train, np.tile(np.arange(1, 9), (2, 1))[:, None])


def test_a_lone_row_that_counts_is_data(tmp_path: Path) -> None:
    X, _, _ = read_series(write(tmp_path, "a.csv", "0,1,2,3,4,5,6,7\n"))
    np.testing.assert_array_equal(X, np.arange(8)[None, None])


@pytest.mark.parametrize("mark", ["", " ", "nan", "NaN", "NA", "n/a", "null", "?"])
def test_csv_missing_values(tmp_path: Path, mark: str) -> None:
    data = read(write(tmp_path, "a.csv", f"{ROW}\n1,2,3,{mark},5,6,7,8\n"))
    assert np.isnan(data.X_train[1, 0, 3])
    assert np.isnan(data.X_train).sum() == 1
    assert data.notes == ("1 of 16 training values are missing (6.2 %)",)


def test_a_constant_channel_is_noted(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(4, 3, 8))
    X[:, 1] = 5
    X[0, 1, 0] = np.nan
    np.save(tmp_path / "a.npy", X)
    assert "constant in the training split: channel 1" in read(tmp_path / "a.npy").notes


def test_tsv_with_header_names_its_label(tmp_path: Path) -> None:
    text = f"t1,t2,t3,t4,t5,t6,t7,t8,label\n{ROW},a\n{ROW},a\n".replace(",", "\t")
    assert read(write(tmp_path, "a.tsv", text)).classes == ("a",)


def test_tsv_as_data_frames_write_it(tmp_path: Path) -> None:
    text = f"label,0,1,2,3,4,5,6,7\n1,{ROW}\n1,{ROW}\n".replace(",", "\t")
    assert (len(read(write(tmp_path, "a.tsv", text)).X_train), read(write(tmp_path, "a.tsv", text)).classes) == (
        2,
        (1,),
    )


def test_labels_of_bytes_are_text(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.random.default_rng(0).normal(size=(4, 8)), y=np.array([b"a", b"a", b"b", b"b"]))
    assert read(tmp_path / "a.npz").classes == ("a", "b")


def test_tsv_labels_may_be_words(tmp_path: Path) -> None:
    text = f"walk,{ROW}\nwalk,{ROW}\n".replace(",", "\t")
    data = read(write(tmp_path, "a.tsv", text))
    assert data.classes == ("walk",)
    assert data.length == 8


def test_ts_missing_values_comments_and_case_of_labels(tmp_path: Path) -> None:
    text = f"# comment\n%also\n{HEADER}{ROW}:Run\n\n1,?,3,NaN,5,6,7,8:Run\n"
    data = read(write(tmp_path, "a.ts", text))
    assert data.classes == ("Run",)
    np.testing.assert_array_equal(data.X_train[1, 0], [1, np.nan, 3, np.nan, 5, 6, 7, 8])


def test_ts_without_labels_and_with_regression_targets(tmp_path: Path) -> None:
    bare = HEADER.replace("true a b", "false")
    data = read(write(tmp_path, "a.ts", f"{bare}{ROW}:{ROW}\n{ROW}:{ROW}\n"))
    assert data.X_train.shape == (2, 2, 8)
    assert data.y_train is None
    regression = read(CARRIED / "Covid3Month" / "Covid3Month_TRAIN.ts")
    assert regression.y_train is None
    assert regression.X_train.shape == (140, 1, 84)
    assert "not classes" in regression.notes[0]


def test_arff_without_a_class(tmp_path: Path) -> None:
    attributes = "".join(f"@attribute 'a {i}' NUMERIC\n" for i in range(8))
    data = read(write(tmp_path, "a.arff", f"% c\n@relation x\n{attributes}@data\n{ROW}\n1,?,3,4,5,6,7,8\n"))
    assert data.y_train is None
    assert np.isnan(data.X_train[1, 0, 1])


def test_arff_class_names_may_be_quoted(tmp_path: Path) -> None:
    head = "@relation x\n@attribute r relational\n@attribute a real\n@end r\n@attribute c {'slow walk',run}\n@data\n"
    body = f"'{ROW}\\n{ROW}','slow walk'\n'{ROW}\\n{ROW}', 'slow walk'\n"
    data = read(write(tmp_path, "a.arff", head + body))
    assert data.classes == ("slow walk",)
    assert data.X_train.shape == (2, 2, 8)


def test_read_series_takes_the_training_split_and_any_format(tmp_path: Path) -> None:
    X, y, meta = read_series(CARRIED / "GunPoint" / "GunPoint_TRAIN.ts")
    data = read(CARRIED / "GunPoint" / "GunPoint_TRAIN.ts")
    np.testing.assert_array_equal(X, data.X_train)
    assert y is not None
    assert data.y_train is not None
    np.testing.assert_array_equal(y, data.y_train)
    assert meta == {}
    X, y, _ = read_series(write(tmp_path, "one.csv", ROW))
    assert X.shape == (1, 1, 8)
    assert y is None
