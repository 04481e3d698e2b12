"""Reading the formats of the time series archives: .ts (sktime, aeon) and .arff (Weka)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from timeloom.data.dataset import ragged_message
from timeloom.data.raw import RawSeries, read_text, to_numbers
from timeloom.errors import InputError

_ATTRIBUTE = re.compile(r"@attribute\s+('[^']*'|\"[^\"]*\"|\S+)\s+(.+)", re.IGNORECASE)
_NUMERIC = ("numeric", "real", "integer")


def read_ts(path: Path) -> RawSeries:
    """A .ts file: a header of @ lines, then one series a line, channels parted by `:`, the label last.

    Whether lines end in a label is taken from @classLabel, shape and channels from the lines themselves.

    Raises:
        InputError: If the header has no @data, the file has time stamps, or a line does not fit the others.
    """
    lines = read_text(path).splitlines()
    header, body = split_header(path, lines)
    if header.get("timestamps", "") == "true":
        raise InputError(f"{path}: @timeStamps is true; only series without time stamps can be read")
    regression = header.get("targetlabel", "").startswith("true")
    ends_in_label = regression or not header.get("classlabel", "true").startswith("false")
    cases, labels = [], []
    for number, line in body:
        channels = line.split(":")
        if ends_in_label:
            labels.append(channels.pop())
        cases.append(_case(path, number, channels))
    X = _stack(path, cases, [number for number, _ in body])
    if regression:
        return RawSeries((X, None), notes=("the targets in the file are numbers, not classes: read without labels",))
    return RawSeries((X, labels if ends_in_label else None))


def split_header(path: Path, lines: list[str]) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """Header of a .ts or .arff file as `{key: value}` in lower case, and its data lines with their line numbers.

    Raises:
        InputError: If there is no @data line.
    """
    header: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip().lower()
        if text.startswith("@data"):
            return header, list(_data_lines(lines, number))
        if text.startswith("@"):
            key, *value = text[1:].split(None, 1) or [""]
            header[key] = "".join(value)
    raise InputError(f"{path}: no @data line; a {path.suffix} file needs a header that ends in @data")


def read_arff(path: Path) -> RawSeries:
    """An .arff file: numeric attributes and a nominal class last, or one relational attribute and the class.

    In the relational form (several channels) each case is a quoted string with a line `\\n` for each channel.
    Without a nominal attribute at the end, the series have no labels.

    Raises:
        InputError: If the header has no @data, an attribute is of another kind, or a row does not fit the others.
    """
    lines = read_text(path).splitlines()
    body = split_header(path, lines)[1]
    form = _arff_form(path, lines)
    cases, labels = [], []
    for number, line in body:
        channels, label = _arff_row(path, number, line, form)
        cases.append(_case(path, number, channels))
        labels.append(label)
    X = _stack(path, cases, [number for number, _ in body])
    return RawSeries((X, labels if form.has_class else None))


def _data_lines(lines: list[str], start: int) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines[start:], start=start + 1):
        text = line.strip()
        if text and text[0] not in "#%":
            yield number, text


def _case(path: Path, line: int, channels: list[str]) -> np.ndarray:
    """One series (C, T) from the comma-separated text of its channels."""
    if not channels:
        raise InputError(f"{path}: line {line} has a label but no values")
    rows = []
    for channel, text in enumerate(channels):
        cells = text.split(",")
        numbers = to_numbers(cells)
        if isinstance(numbers, int):
            raise InputError(
                f"{path}: line {line}, channel {channel}, time point {numbers}: {cells[numbers]!r} is not a number"
            )
        rows.append(numbers)
        if len(numbers) != len(rows[0]):
            raise InputError(
                f"{path}: line {line}: channel {channel} has {len(numbers)} values, channel 0 has {len(rows[0])};"
                " the channels of a series need one length"
            )
    return np.stack(rows)


def _stack(path: Path, cases: list[np.ndarray], lines: list[int]) -> np.ndarray:
    if not cases:
        raise InputError(f"{path}: no series after @data; one series a line is needed")
    for case, line in zip(cases, lines, strict=True):
        if len(case) != len(cases[0]):
            raise InputError(f"{path}: line {line} has {len(case)} channels, the first series has {len(cases[0])}")
    lengths = {case.shape[1] for case in cases}
    if len(lengths) > 1:
        raise InputError(ragged_message(str(path), lengths))
    return np.stack(cases)


@dataclass(frozen=True)
class _ArffForm:
    relational: bool
    has_class: bool
    width: int


def _arff_form(path: Path, lines: list[str]) -> _ArffForm:
    """What a row holds, from the @attribute lines; those inside a relational attribute do not count."""
    kinds: list[tuple[str, str]] = []
    inside = False
    for line in lines:
        text = line.strip()
        if text.lower().startswith("@data"):
            break
        inside = inside and not text.lower().startswith("@end")
        match = _ATTRIBUTE.fullmatch(text)
        if match and not inside:
            kinds.append((match[1].strip("'\""), match[2].strip().lower()))
            inside = kinds[-1][1] == "relational"
    has_class = bool(kinds) and kinds[-1][1].startswith("{")
    values = kinds[:-1] if has_class else kinds
    if not values:
        raise InputError(f"{path}: no @attribute lines for values; numeric attributes are needed")
    relational = values[0][1] == "relational" and len(values) == 1
    for name, kind in values:
        if not relational and not kind.startswith(_NUMERIC):
            raise InputError(
                f"{path}: attribute {name!r} is {kind[:40]!r}; numeric attributes with the class last"
                " or one relational attribute are needed"
            )
    return _ArffForm(relational, has_class, len(values) + has_class)


def _arff_row(path: Path, line: int, text: str, form: _ArffForm) -> tuple[list[str], Any]:
    if text.startswith("{"):
        raise InputError(f"{path}: line {line} is in the sparse form {{index value}}; plain rows are needed")
    if form.relational:
        quoted = re.fullmatch(r"(['\"])([^'\"]*)\1(?:\s*,\s*(.*))?", text)
        if quoted is None or (quoted[3] is None) == form.has_class:
            raise InputError(f"{path}: line {line} is not a quoted series" + ", then the class" * form.has_class)
        return quoted[2].split("\\n"), (quoted[3] or "").strip(" '\"")
    cells = text.split(",")
    if len(cells) != form.width:
        raise InputError(f"{path}: line {line} has {len(cells)} values; the header has {form.width} attributes")
    label = cells.pop().strip(" '\"") if form.has_class else None
    return [",".join(cells)], label
