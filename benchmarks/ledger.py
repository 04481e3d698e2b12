"""Figures of single runs in a CSV file, a row a run: tables can be made again, and grow, without the runs' folders."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from timeloom.files import read_json, replacing

DIGITS = 6  # significant ones, of each figure
Row = dict[str, Any]


def kept(path: Path | None, rows: Iterable[Row], key: tuple[str, ...]) -> list[Row]:
    """`rows` and those of the file `path`, sorted by `key`; if there are new ones, the file then holds them all.

    A row takes the place of the one with the same key.
    """
    new = list(rows)
    by_key = {tuple(str(row[of]) for of in key): row for row in [*_read(path), *new]}
    found = [by_key[of] for of in sorted(by_key)]
    if path is not None and new:
        columns = list(dict.fromkeys([*key, *(column for row in found for column in row)]))
        with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as lines:
            writer = csv.DictWriter(lines, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows([{of: _rounded(value) for of, value in row.items()} for row in found])
    return found


def finished(path: Path, asked: Row) -> Row | None:
    """What the file of a finished run holds, None if there is no such file.

    Raises:
        SystemExit: the run is not what is `asked` for now.
    """
    if not path.exists():
        return None
    found = read_json(path)
    if found.get("asked") != asked:
        raise SystemExit(f"{path}: that run had other settings; allowed: another --work, or without that file")
    return dict(found)


def version(folder: Path) -> str:
    """The version of timeloom that trained the run in `folder`."""
    return str(read_json(folder / "run.json")["timeloom"])


def spread(values: list[float], digits: int) -> str:
    """The mean of some runs, and their deviation if there are several."""
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"


def _read(path: Path | None) -> list[Row]:
    if path is None or not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as lines:
        return [{of: _value(text) for of, text in row.items() if text} for row in csv.DictReader(lines)]


def _value(text: str) -> str | int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _rounded(value: Any) -> Any:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else value
