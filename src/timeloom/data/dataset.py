"""A labelled set of time series with its splits, and the one validation that every series passes."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from timeloom.data.channels import channel_names, check_channels
from timeloom.data.splits import match_label_type, ordered_holdout, stratified_holdout
from timeloom.errors import InputError

MIN_LENGTH = 8
LONG_SERIES = "; if this is one long series, a row a time point, --window LENGTH cuts it into windows"
HOLDOUT_SEED = 0
_INTEGER = re.compile(r"[+-]?\d+(\.0*)?([eE][+-]?\d+)?")
_PADDED = re.compile(r"[+-]?0\d")
_MISSING_LABELS = frozenset({"", "?", "nan", "none"})


@dataclass(frozen=True, eq=False)
class Dataset:
    """A set of time series, checked.

    Attributes:
        name: Name of the set, for reports.
        X_train: float32 (n, C, T), in the units of the source; NaN marks a missing value.
        y_train: Labels (n,), int64 or str, or None.
        X_test: float32 (m, C, T), or None.
        y_test: Labels (m,), or None.
        decisions: Sentences about what was decided on reading.
        ordered: The series are overlapping windows of one long series, in order of time.
        rows: Where the training and the test series stood before they were parted, (n,) and (m,); None if they came so.
        channels: Names of the C channels, or None.
    """

    name: str
    X_train: np.ndarray
    y_train: np.ndarray | None
    X_test: np.ndarray | None
    y_test: np.ndarray | None
    decisions: tuple[str, ...] = ()
    ordered: bool = False
    rows: tuple[np.ndarray, np.ndarray] | None = None
    channels: tuple[str, ...] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know: the decisions, and which training values are missing or constant."""
        return (*self.decisions, *_remarks(self.X_train, self.channels))

    @property
    def n_channels(self) -> int:
        """Number of channels C."""
        return int(self.X_train.shape[1])

    @property
    def length(self) -> int:
        """Number of time points T."""
        return int(self.X_train.shape[2])

    @property
    def classes(self) -> tuple[int | str, ...] | None:
        """The labels of the training split, each once, sorted; None without labels."""
        return None if self.y_train is None else tuple(np.unique(self.y_train).tolist())

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 over shape, values and labels of the training split.

        It does not depend on the width of the label type, the byte order or the bit pattern of NaN.
        """
        digest = hashlib.sha256(repr(self.X_train.shape).encode())
        values = np.where(np.isnan(self.X_train), np.float32(np.nan), self.X_train)
        digest.update(np.ascontiguousarray(values, dtype="<f4").tobytes())
        if self.y_train is not None:
            kind = "int" if self.y_train.dtype.kind in "iu" else "str"
            digest.update(f"{kind}{self.y_train.shape}".encode())
            digest.update("\0".join(str(label) for label in self.y_train.tolist()).encode())
        return digest.hexdigest()[:16]

    def with_test_split(self, share: float = 0.2) -> Dataset:
        """The same data set if it has a test split, else one with `share` of each class held out (seed 0, noted).

        Of ordered windows the last ones are held out, and those that overlap with them are left out.

        Raises:
            InputError: If `share` is not between 0 and 1, fewer than 3 series, or nothing can be held out.
        """
        if self.X_test is not None:
            return self
        if len(self.X_train) < 3:
            raise InputError(
                f"{self.name}: has {len(self.X_train)} series and no test split, for which at least one is held out; "
                "allowed: at least 3, or data with a test split"
            )
        if self.ordered:
            kept, held = ordered_holdout(len(self.X_train), share, gap=self.length - 1)
            note = f"the last {share * 100:g} % of the windows were held out, those that overlap with them left out"
        else:
            kept, held = stratified_holdout(self.y_train, len(self.X_train), share, HOLDOUT_SEED)
            note = f"no test split in the data: {share * 100:g} % were held out, seed {HOLDOUT_SEED}"
        X_train = self.X_train[kept]
        _refuse_all_missing(X_train, f"{self.name}, without the series that are held out")
        return dataclasses.replace(
            self,
            X_train=X_train,
            y_train=None if self.y_train is None else self.y_train[kept],
            X_test=self.X_train[held],
            y_test=None if self.y_train is None else self.y_train[held],
            decisions=(*self.decisions, note),
            rows=(kept, held),
        )

    def of_classes(self, labels: Sequence[int | str]) -> Dataset:
        """The series of these classes alone, of both splits; the name says which.

        Raises:
            InputError: If the data has no labels, no such class, or no test series of these classes.
        """
        if self.classes is None or self.y_train is None:
            raise InputError(f"{self.name}: has no labels, so that no class can be told apart")
        wanted = np.unique(match_label_type(list(labels), self.classes))
        named = f"class {', '.join(str(label) for label in wanted)}"
        kept = np.isin(self.y_train, wanted)
        parts: dict[str, Any] = {"X_train": self.X_train[kept], "y_train": self.y_train[kept]}
        if self.X_test is not None:
            held = np.zeros(len(self.X_test), bool) if self.y_test is None else np.isin(self.y_test, wanted)
            if self.y_test is None or not held.any():
                raise InputError(f"{self.name}: no test series of {named}")
            parts |= {"X_test": self.X_test[held], "y_test": self.y_test[held]}
            if self.rows is not None:
                parts["rows"] = (self.rows[0][kept], self.rows[1][held])
        return dataclasses.replace(self, name=f"{self.name}, {named}", **parts)


def build_dataset(
    name: str,
    train: tuple[Any, Any],
    test: tuple[Any, Any] | None,
    notes: Sequence[str],
    where: tuple[str, str],
    channels: tuple[object, object] = (None, None),
) -> Dataset:
    """Checked data set of raw `(X, y)` splits.

    Args:
        name: Name of the set.
        train: Series and labels (or None) to learn from.
        test: The same of the test split, or None.
        notes: What was decided on reading.
        where: What messages call the training and the test split.
        channels: Names of the channels in the training and the test split, or None.

    Raises:
        InputError: If a split fails `check_series`, the test split does not fit the training split, or the names do
            not fit the channels or each other.
    """
    X_train, y_train = check_series(*train, where=where[0])
    X_test, y_test = None, None
    if test is not None:
        X_test, y_test = check_series(*test, where=where[1], min_per_class=1)
        if X_test.shape[1:] != X_train.shape[1:]:
            raise InputError(
                f"{where[1]}: series of the test split have (channels, length) {X_test.shape[1:]};"
                f" those of the training split have {X_train.shape[1:]}"
            )
        y_test = _fit_test_labels(y_train, y_test, test[1], where[1])
    names, test_names = (channel_names(of, X_train.shape[1], at) for of, at in zip(channels, where, strict=True))
    check_channels(test_names, names, where[1], where[0])
    return Dataset(name, X_train, y_train, X_test, y_test, tuple(notes), channels=names)


def check_series(X: Any, y: Any, where: str, min_per_class: int = 2) -> tuple[np.ndarray, np.ndarray | None]:
    """Series as float32 (n, C, T) and labels as int64 or str (n,), after every check that data can fail.

    A channel may be constant and single values may be missing (NaN).

    Args:
        X: (n, T) or (n, C, T), anything numeric; (n, T) has one channel.
        y: Labels (n,), or None. Integers, booleans, integral floats and strings that all write an integer become
            int64, all others str.
        where: File or data set, named first in every message.
        min_per_class: Least number of series in all, and of each class: 2 to learn from, 1 for a test split or a
            synthetic set.

    Raises:
        InputError: One line that names `where`, the fault, its place (counted from 0) and what is needed.
    """
    values = _numeric(X, where)
    if values.ndim not in (2, 3):
        long = LONG_SERIES if values.ndim == 1 else ""
        raise InputError(f"{where}: series have {values.ndim} dimensions; (n, T) or (n, channels, T) is needed{long}")
    if values.ndim == 2:
        values = values[:, None, :]
    n, channels, length = values.shape
    if n < min_per_class:
        raise InputError(f"{where}: {n} series; at least {min_per_class} needed")
    if channels == 0:
        raise InputError(f"{where}: series have no channel; at least 1 is needed")
    if length < MIN_LENGTH:
        turned = "; an array is (n, channels, T): is this one (n, T, channels)?" if channels >= MIN_LENGTH else ""
        hint = LONG_SERIES if n >= MIN_LENGTH and channels == 1 else turned
        raise InputError(f"{where}: series have length {length}; at least {MIN_LENGTH} time points are needed{hint}")
    values = _finite(values, where)
    _refuse_all_missing(values, where)
    return values, None if y is None else _check_labels(y, n, where, min_per_class)


def _numeric(X: Any, where: str) -> np.ndarray:
    if isinstance(X, list | tuple) or (isinstance(X, np.ndarray) and X.dtype == object):
        X = _stack(list(X), where)
    values = np.asarray(X)
    if values.dtype.kind not in "biuf":
        raise InputError(f"{where}: series have type {values.dtype}; numbers are needed")
    return values


def _stack(cases: list[Any], where: str) -> np.ndarray:
    try:
        arrays = [np.asarray(case) for case in cases]
    except ValueError:
        raise InputError(f"{where}: the channels of a series have several lengths; one length is needed") from None
    lengths = {a.shape[-1] for a in arrays if a.ndim}
    if len(lengths) > 1:
        raise InputError(ragged_message(where, lengths))
    try:
        stacked = np.stack(arrays) if arrays else np.zeros((0, 1, MIN_LENGTH))
    except ValueError:
        shapes = sorted({a.shape for a in arrays})
        raise InputError(f"{where}: series have shapes {shapes[0]} and {shapes[-1]}; one shape is needed") from None
    if stacked.dtype != object:
        return stacked
    try:
        return stacked.astype(np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{where}: series hold {_odd_one(stacked)!r}; numbers are needed") from None


def _odd_one(values: np.ndarray) -> Any:
    for value in values.ravel().tolist():
        try:
            float(value)
        except (TypeError, ValueError):
            return value
    return None


def ragged_message(where: str, lengths: set[int]) -> str:
    """The line a user reads whose series differ in length."""
    return (
        f"{where}: series have {len(lengths)} lengths, from {min(lengths)} to {max(lengths)} time points;"
        " one length is needed: cut them or fill them up with NaN"
    )


def _finite(values: np.ndarray, where: str) -> np.ndarray:
    infinite = np.isinf(values)
    if infinite.any():
        raise InputError(
            f"{where}: infinite value at {_place(infinite)} ({int(infinite.sum())} in all);"
            " finite numbers are needed, NaN marks a missing value"
        )
    with np.errstate(over="ignore"):
        cast = values.astype(np.float32)
    infinite = np.isinf(cast)
    if infinite.any():
        worst = values[infinite][0]
        raise InputError(f"{where}: {worst:g} at {_place(infinite)} is beyond the float32 range of +-3.4e38")
    return cast


def _place(found: np.ndarray) -> str:
    series, channel, time = (int(i) for i in np.argwhere(found)[0])
    return f"series {series}, channel {channel}, time point {time}"


def _refuse_all_missing(X: np.ndarray, where: str) -> None:
    missing = np.isnan(X)
    channels = np.flatnonzero(missing.all(axis=(0, 2)))
    if channels.size:
        raise InputError(f"{where}: channel {channels[0]} has no value in any series; remove it")
    series = np.flatnonzero(missing.all(axis=(1, 2)))
    if series.size:
        raise InputError(f"{where}: series {series[0]} has no value ({series.size} such series in all); remove it")


def _check_labels(y: Any, n: int, where: str, min_per_class: int) -> np.ndarray:
    labels = _clean_labels(y, where)
    if len(labels) != n:
        raise InputError(f"{where}: {len(labels)} labels for {n} series; one label for each series is needed")
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < min_per_class:
        rare = int(np.argmin(counts))
        raise InputError(
            f"{where}: class {classes[rare]} has {counts[rare]} series; each class needs at least {min_per_class}"
        )
    return labels


def _clean_labels(y: Any, where: str) -> np.ndarray:
    labels = np.asarray(y)
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8")
    if labels.ndim != 1:
        raise InputError(
            f"{where}: labels have {labels.ndim} dimensions; a list of one label for each series is needed"
        )
    if labels.dtype.kind == "f":
        if np.isnan(labels).any():
            raise InputError(_missing_label(where, int(np.isnan(labels).argmax()), "nan"))
        integral = bool(np.all(np.isfinite(labels) & (np.mod(labels, 1) == 0) & (np.abs(labels) < 2**53)))
        return labels.astype(np.int64) if integral else labels.astype(np.str_)
    if labels.dtype.kind in "biu":
        return labels.astype(np.int64)
    texts = [str(label).strip() for label in labels.tolist()]
    for row, text in enumerate(texts):
        if text.lower() in _MISSING_LABELS:
            raise InputError(_missing_label(where, row, text))
    return _as_integers(texts)


def _missing_label(where: str, row: int, text: str) -> str:
    return f"{where}: the label of series {row} is missing ({text!r}); each series needs a label, or none has one"


def _as_integers(texts: list[str]) -> np.ndarray:
    """int64 if every text writes an integer and no two classes fall together, else the texts; 007 is a name."""
    distinct = set(texts)
    if all(_INTEGER.fullmatch(text) and not _PADDED.match(text) for text in distinct):
        numbers = {text: float(text) for text in distinct}
        whole = all(number.is_integer() and abs(number) < 2**53 for number in numbers.values())
        if whole and len(set(numbers.values())) == len(distinct):
            return np.array([int(numbers[text]) for text in texts], dtype=np.int64)
    return np.array(texts, dtype=np.str_)


def _fit_test_labels(
    y_train: np.ndarray | None, y_test: np.ndarray | None, raw_test: Any, where: str
) -> np.ndarray | None:
    if (y_train is None) != (y_test is None):
        missing = "training" if y_train is None else "test"
        raise InputError(f"{where}: the {missing} split has no labels, the other one has; give both or neither")
    if y_train is None or y_test is None:
        return None
    if y_train.dtype.kind == "U" and y_test.dtype.kind != "U":
        # A test split of "1" and "2" reads as integers although the training split also has a class "a".
        y_test = np.char.strip(np.asarray(raw_test).astype(np.str_))
    unknown = np.setdiff1d(y_test, y_train)
    if unknown.size:
        known = ", ".join(str(c) for c in np.unique(y_train)[:20])
        raise InputError(f"{where}: class {unknown[0]} is not in the training split; its classes: {known}")
    return y_test


def _remarks(X: np.ndarray, channels: tuple[str, ...] | None) -> list[str]:
    remarks = []
    missing = int(np.isnan(X).sum())
    if missing:
        remarks.append(f"{missing} of {X.size} training values are missing ({100 * missing / X.size:.2g} %)")
    filled = np.where(np.isnan(X), np.inf, X).min(axis=(0, 2)), np.where(np.isnan(X), -np.inf, X).max(axis=(0, 2))
    constant = np.flatnonzero(filled[0] == filled[1]).tolist()
    if constant:
        names = ", ".join(str(c) if channels is None else channels[c] for c in constant)
        remarks.append(f"constant in the training split: channel {names}")
    return remarks
