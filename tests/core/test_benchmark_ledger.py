"""The file in which benchmarks keep the figures of single runs: rows are added and replaced, never lost."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "ledger.py"
KEY = ("data", "seed")


@pytest.fixture(scope="module")
def ledger() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ledger", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rows_are_added_and_replaced_and_read_as_they_were(ledger: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "new" / "figures.csv"
    first = [{"data": "B", "seed": 1, "fid": 0.25, "version": "0.14.0"}, {"data": "A", "seed": 0, "cas": 1.0}]
    assert ledger.kept(path, first, KEY) == [first[1], first[0]]
    assert path.read_text() == "data,seed,cas,fid,version\nA,0,1,,\nB,1,,0.25,0.14.0\n"
    again = {"data": "B", "seed": 1, "fid": 1 / 3}
    ledger.kept(path, [again, {"data": "B", "seed": 0, "fid": 2.0}], KEY)
    rows = ledger.kept(path, [], KEY)
    assert [(row["data"], row["seed"]) for row in rows] == [("A", 0), ("B", 0), ("B", 1)]
    assert rows[2] == {"data": "B", "seed": 1, "fid": 0.333333}, "the whole row is replaced"


def test_without_new_rows_the_file_is_only_read(ledger: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "figures.csv"
    assert ledger.kept(path, [], KEY) == []
    assert not path.exists()
    path.write_text("data,seed,fid\nB,10,1\nA,2,0.1234567\n")
    before = path.read_bytes()
    assert ledger.kept(path, [], KEY) == [
        {"data": "A", "seed": 2, "fid": 0.1234567},
        {"data": "B", "seed": 10, "fid": 1},
    ]
    assert path.read_bytes() == before


def test_without_a_file_rows_are_sorted(ledger: ModuleType) -> None:
    rows = [{"data": "B", "seed": 0}, {"data": "A", "seed": 0}]
    assert ledger.kept(None, rows, KEY) == rows[::-1]


def test_a_finished_run_is_read_if_it_is_what_is_asked_for(ledger: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    assert ledger.finished(path, {"steps": 3}) is None
    path.write_text('{"asked": {"steps": 3}, "fid": 1.5}')
    assert ledger.finished(path, {"steps": 3})["fid"] == 1.5
    with pytest.raises(SystemExit, match=r"result\.json: that run had other settings; allowed: another --work"):
        ledger.finished(path, {"steps": 4})
