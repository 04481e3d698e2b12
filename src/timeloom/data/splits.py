"""Deterministic splits and label lists that respect class proportions."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from timeloom.errors import InputError

MOST_CLASSES_LISTED = 20


def stratified_holdout(y: np.ndarray | None, n: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices that stay for training and indices that are held out, drawn class by class.

    Of a class with `n_c` members, `share * n_c` (rounded to the nearest, halves up) are held out, but one always
    stays. If that holds out nothing, one member of each of the largest classes is, of as many as make up the share.

    Args:
        y: Labels (n,), or None: all series are then one class.
        n: Number of series, at least 2.
        share: Share to hold out, between 0 and 1, both excluded.
        seed: Seed of the draw; the same seed gives the same indices.

    Returns:
        `(train, held)`: int64 arrays, sorted, disjoint; together they are `0 .. n-1`.

    Raises:
        InputError: If `share` or `n` is out of range, `y` has another length than `n`, or every class has one member.
    """
    if not 0.0 < share < 1.0:
        raise InputError(f"share to hold out is {share}; it must be above 0 and below 1")
    if n < 2:
        raise InputError(f"{n} series cannot be split; at least 2 are needed")
    if y is not None and len(y) != n:
        raise InputError(f"{len(y)} labels for {n} series; one label for each series is needed")
    rng = np.random.default_rng(seed)
    codes = np.zeros(n, dtype=np.int64) if y is None else np.unique(y, return_inverse=True)[1].reshape(-1)
    members = [rng.permutation(np.flatnonzero(codes == c)) for c in range(int(codes.max()) + 1)]
    counts = [min(int(np.floor(share * len(m) + 0.5)), len(m) - 1) for m in members]
    if sum(counts) == 0:
        largest = sorted((c for c, m in enumerate(members) if len(m) > 1), key=lambda c: -len(members[c]))
        if not largest:
            raise InputError(f"nothing can be held out: each of the {len(members)} classes has one series")
        for c in largest[: max(1, round(share * n))]:
            counts[c] = 1
    held = np.sort(np.concatenate([m[:count] for m, count in zip(members, counts, strict=True)]))
    return np.setdiff1d(np.arange(n), held), held


def ordered_holdout(n: int, share: float, gap: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the first series to train on and of the last ones to hold out, `gap` series between them dropped.

    Raises:
        InputError: If `share` is out of range, or fewer than 2 series would be left on either side.
    """
    if not 0.0 < share < 1.0:
        raise InputError(f"share to hold out is {share}; it must be above 0 and below 1")
    held = round(share * n)
    kept = n - held - gap
    if min(held, kept) < 2:
        raise InputError(
            f"{n} windows of length {gap + 1} cannot be split; a longer series or shorter windows are needed"
        )
    return np.arange(kept), np.arange(n - held, n)


def blocked_holdout(n: int, most: float, gap: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Indices of n ordered series to train on and of about `most` to hold out in blocks, `gap` left out around each.

    At most 5 blocks, spread evenly, the last one at the end: of windows one would know its overlapping neighbours. The
    gaps take at most a quarter of the series; None where even one block's would be more, or nothing would be left.
    """
    n_blocks = min(5, n // (8 * gap)) if gap else 5
    size = int(most) // max(n_blocks, 1)
    if n_blocks < 1 or size < 1:
        return None
    stops = np.linspace(0, n, n_blocks + 1).round().astype(np.int64)[1:]
    held = np.concatenate([np.arange(stop - size, stop) for stop in stops])
    near = np.concatenate([np.arange(stop - size - gap, stop + gap) for stop in stops])
    kept = np.setdiff1d(np.arange(n), near)
    return (kept, held) if len(kept) > 1 else None


def evenly_spaced(n: int, most: int) -> np.ndarray:
    """Indices (int64) of all of n things, or of `most` of them, spread evenly: files are often sorted by class."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))


def proportional_labels(y: np.ndarray, n: int) -> np.ndarray:
    """`n` labels in the class proportions of `y`, by largest remainder: nothing is drawn at random.

    Args:
        y: Labels (m,), at least one.
        n: Number of labels wanted, 0 or more.

    Returns:
        Labels (n,) of the type of `y`, sorted by class. The count of a class differs from its exact share of `n` by
        less than 1; equal remainders go to the class that sorts first.

    Raises:
        InputError: If `n` is negative or `y` is empty.
    """
    if n < 0:
        raise InputError(f"number of labels is {n}; it must be 0 or more")
    if len(y) == 0:
        raise InputError("class proportions need at least one label; there is none")
    classes, sizes = np.unique(y, return_counts=True)
    # Integers: a float quota such as 0.1 * 30 = 3.0000000000000004 would leave a remainder that is not there.
    counts, remainders = np.divmod(sizes.astype(np.int64) * n, len(y))
    first = np.argsort(-remainders, kind="stable")[: n - int(counts.sum())]
    counts[first] += 1
    return np.repeat(classes, counts)


def match_label_type(labels: Any, classes: Sequence[int | str]) -> np.ndarray:
    """Labels as a user wrote them (`"3"`, `3`, `"walking"`), as the data set's own labels.

    A label stands for the class of the same text; failing that, of the same number (`"3.0"`, `"03"`), or of the same
    text in another case, if only one class fits.

    Args:
        labels: One label or a sequence of them, strings or integers.
        classes: All classes of the data set, all int or all str.

    Returns:
        Labels (n,) as int64 or str.

    Raises:
        InputError: If a label is not a class; it lists the classes (at most 20) and the closest one.
    """
    wanted = np.atleast_1d(np.asarray(labels)).tolist()
    known: dict[str, int | str] = {str(c): c for c in classes}
    matched = {label: _match(label, known) for label in dict.fromkeys(wanted)}
    dtype = np.dtype(np.int64) if all(isinstance(c, int | np.integer) for c in classes) else np.asarray(classes).dtype
    return np.array([matched[label] for label in wanted], dtype=dtype)


def _match(label: Any, known: dict[str, int | str]) -> int | str:
    # classes of truth values are read as 0 and 1
    text = str(int(label) if isinstance(label, bool) else label).strip()
    if text in known:
        return known[text]
    same_number = [c for c in known.values() if isinstance(c, int | np.integer) and _number(text) == c]
    same_letters = [c for name, c in known.items() if name.casefold() == text.casefold()]
    for candidates in (same_number, same_letters):
        if len(candidates) == 1:
            return candidates[0]
    names = list(known)
    close = difflib.get_close_matches(text, names, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    more = f" and {len(names) - MOST_CLASSES_LISTED} more" if len(names) > MOST_CLASSES_LISTED else ""
    raise InputError(f"unknown class {text!r}; known classes: {', '.join(names[:MOST_CLASSES_LISTED])}{more}{hint}")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
