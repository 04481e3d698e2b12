"""What the parser of a format hands on, and the cells that all text formats share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from timeloom.errors import InputError

_MISSING_VALUES = frozenset({"?", "nan", "na", "n/a", "null", "none"})


@dataclass(frozen=True)
class RawSeries:
    """Unchecked content of one file: `(X, y)` of each split, remarks, channels' names, metadata of synthetic ones."""

    train: tuple[Any, Any]
    test: tuple[Any, Any] | None = None
    notes: tuple[str, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)
    channels: Any = None


def read_text(path: Path) -> str:
    """Content of a UTF-8 text file, a byte order mark removed.

    Raises:
        InputError: If it is not UTF-8 text.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start} is not UTF-8 text; if this is a {path.suffix} file, save it as UTF-8"
        ) from None


def is_missing(cell: str) -> bool:
    """Whether a cell marks a missing value: empty, ?, NaN, NA, N/A, null, none, in any case."""
    text = cell.strip()
    return not text or text.lower() in _MISSING_VALUES


def to_number(cell: str) -> float | None:
    """The number in a cell, NaN if it is missing, None if it is something else."""
    if is_missing(cell):
        return float("nan")
    # Python reads 1_000 as a number, no data format does.
    if "_" in cell:
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def to_numbers(cells: Sequence[str]) -> np.ndarray | int:
    """Numbers (len(cells),) float64, NaN where missing; or the index of the first cell that is no number."""
    try:
        if not any("_" in cell for cell in cells):
            return np.array([float(cell) for cell in cells])
    except ValueError:
        pass
    numbers = np.empty(len(cells))
    for i, cell in enumerate(cells):
        number = to_number(cell)
        if number is None:
            return i
        numbers[i] = number
    return numbers
