"""Names of channels: read with the data, kept in checkpoints, written with samples and drawn in pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from timeloom.errors import InputError

_NUMBER = re.compile(r"c?(\d+)", re.IGNORECASE)


def channel_names(names: object, n_channels: int, where: str) -> tuple[str, ...] | None:
    """The names of all channels; None where there are none, or they only count the channels (`c0, c1, ...`).

    Raises:
        InputError: not a text for each channel, an empty one, or one that occurs twice.
    """
    if names is None:
        return None
    given = np.asarray(names)
    if given.shape != (n_channels,) or given.dtype.kind not in "US":
        raise InputError(f"{where}: names of channels are {given.shape} {given.dtype}; allowed: ({n_channels},) texts")
    found = tuple(name.strip() for name in given.astype(np.str_).tolist())
    if "" in found or len(set(found)) < n_channels:
        raise InputError(f"{where}: names of channels are {', '.join(found)}; allowed: one each, all different")
    return None if _counts(found) else found


def _counts(names: Sequence[str]) -> bool:
    """Whether names are only numbers: 0, 1, 2, ... or c0, c1, c2, ..., from 0 or from 1."""
    numbers = [int(match[1]) for name in names if (match := _NUMBER.fullmatch(name))]
    return any(numbers == list(range(first, first + len(names))) for first in (0, 1))


def count_channels(n_channels: int) -> str:
    """How many channels, in words."""
    return f"{n_channels} channel{'s' * (n_channels != 1)}"


def channel_title(names: Sequence[str] | None, channel: int, n_channels: int) -> str:
    """What pictures call a channel: its name, else its number; an only one without a name is not called anything."""
    if names is not None:
        return names[channel]
    return f"channel {channel}" if n_channels > 1 else ""


def check_channels(found: Sequence[str] | None, known: Sequence[str] | None, where: str, of: str) -> None:
    """Refuse series whose channels have other names, or another order, than those that they go with.

    Raises:
        InputError: both have names, and they differ.
    """
    if found is not None and known is not None and tuple(found) != tuple(known):
        raise InputError(
            f"{where}: channels are called {', '.join(found)}; allowed: {', '.join(known)}, in this order, as in {of}"
        )
