"""Data sets by name, and the one door for paths and names."""

from __future__ import annotations

from pathlib import Path

import aeon.datasets
import numpy as np
import pytest

from timeloom.data import available, load, load_named
from timeloom.errors import InputError

CARRIED = Path(aeon.datasets.__file__).parent / "data"


def test_a_named_set_is_no_long_series() -> None:
    with pytest.raises(InputError, match="GunPoint: is a set of series, no long one; leave out --window"):
        load("GunPoint", window=16)


def test_every_available_name_loads_offline_with_both_splits() -> None:
    names = available()
    assert {"ItalyPowerDemand", "GunPoint", "ArrowHead", "BasicMotions", "JapaneseVowels"} <= set(names)
    for name in names:
        data = load_named(name)
        assert data.name == name
        assert data.X_test is not None
        assert data.X_train.shape[1:] == data.X_test.shape[1:]
        assert data.classes is not None
        assert len(data.classes) >= 2


def test_a_regression_set_is_not_offered() -> None:
    assert (CARRIED / "Covid3Month").is_dir()
    assert "Covid3Month" not in available()


def test_italy_power_demand_has_its_published_shape() -> None:
    data = load("ItalyPowerDemand")
    assert data.X_train.shape == (67, 1, 24)
    assert data.X_test is not None
    assert data.X_test.shape == (1029, 1, 24)
    assert data.classes == (1, 2)


def test_a_set_of_unequal_length_comes_in_its_equal_length_version_with_a_note() -> None:
    data = load("JapaneseVowels")
    assert data.X_train.shape == (270, 12, 25)
    assert "JapaneseVowels_eq" in data.notes[0]


def test_name_and_file_give_the_same_series() -> None:
    named, from_file = load("GunPoint"), load(CARRIED / "GunPoint" / "GunPoint_TRAIN.ts")
    assert named.fingerprint == from_file.fingerprint
    assert named.X_test is not None
    assert from_file.X_test is not None
    np.testing.assert_array_equal(named.X_test, from_file.X_test)


def test_an_unknown_name_lists_what_loads_and_where_to_get_others() -> None:
    with pytest.raises(InputError) as caught:
        load("gunpiont")
    message = str(caught.value)
    assert "\n" not in message
    for fact in (
        "'gunpiont'",
        "did you mean GunPoint",
        "ItalyPowerDemand",
        "timeseriesclassification.com",
        "_TRAIN.ts",
    ):
        assert fact in message


@pytest.mark.parametrize("source", ["nowhere.csv", "./nowhere", Path("nowhere"), "x" * 300 + ".npz"])
def test_what_looks_like_a_file_is_never_taken_for_a_name(source: str | Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load(source)


def test_a_name_wins_over_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "GunPoint").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "b_TRAIN.csv").touch()
    (tmp_path / "mine" / "a_TEST.csv").touch()
    assert load("GunPoint").name == "GunPoint"
    with pytest.raises(InputError, match=r"folder; give a file in it, for example b_TRAIN\.csv"):
        load("mine")


def test_a_name_without_suffix_can_be_a_file_and_is_then_told_the_suffixes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "series").write_text("1,2")
    with pytest.raises(InputError, match=r"suffix 'none' is not known; allowed: \.npz, \.npy, \.csv"):
        load("series")
