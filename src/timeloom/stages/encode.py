"""Read out a trained tokenizer: what it makes of series, as arrays for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from timeloom.data import Dataset, atomic_file, check_series
from timeloom.data.missing import fill_missing
from timeloom.errors import InputError
from timeloom.progress import Progress, silent
from timeloom.stages import train_tokenizer
from timeloom.tokenizer.tokenizer import Tokenizer

Kind = Literal["tokens", "codes", "pooled"]
KINDS: tuple[Kind, ...] = get_args(Kind)
BATCH_SIZE = 256


def load(run: Path) -> Tokenizer:
    """Read the tokenizer of a run folder; a prior need not be there.

    Raises:
        InputError: it is missing or damaged.
    """
    if not run.exists():
        raise InputError(f"{run}: no such run; `timeloom train DATA --out {run}` makes it")
    if not (run / train_tokenizer.FOLDER).exists():
        raise InputError(f"{run}: is no run folder, it holds no {train_tokenizer.FOLDER}; `timeloom train` makes one")
    return Tokenizer.from_pretrained(run / train_tokenizer.FOLDER)


def encode(tokenizer: Tokenizer, X: np.ndarray, kind: Kind = "pooled", *, progress: Progress = silent) -> NDArray:
    """What the tokenizer makes of series (n, C, T) in the data's unit, NaN allowed; it is left as it was.

    Returns:
        `tokens`: int64 (n, S, levels), the cells of all grids one after another. `codes`: float32 (n, S, D), the code
        vector of each cell, summed over the levels. `pooled`: float32 (n, 2 D grids), each grid's code vectors
        averaged and maximised over its cells.

    Raises:
        InputError: an unknown kind, or series of other channels or length than the tokenizer's.
    """
    if kind not in KINDS:
        raise InputError(f"kind = {kind!r}: must be one of {', '.join(KINDS)}")
    (series, _), spec = check_series(X, None, "series", 1), tokenizer.spec
    if series.shape[1:] != (spec.n_channels, spec.length):
        raise InputError(
            f"series have {series.shape[1]} channel(s) and length {series.shape[2]}; "
            f"this run's tokenizer takes {spec.n_channels} and {spec.length}"
        )
    read = {"tokens": lambda tokens: tokens, "codes": tokenizer.codes_of, "pooled": tokenizer.pool}[kind]
    found = []
    for part in torch.from_numpy(fill_missing(series)[0]).split(BATCH_SIZE):
        found.append(read(tokenizer.encode(part)))
        progress("encode", sum(map(len, found)), len(series))
    return torch.cat(found).numpy()


def run(
    tokenizer: Tokenizer, data: Dataset, kind: Kind, out: Path, *, progress: Progress = silent
) -> dict[str, NDArray]:
    """Encode every split of the data and write them, with their labels, under the names that data sets have.

    Returns:
        What was written: `X_train`, and `y_train`, `X_test`, `y_test` where the data have them.

    Raises:
        InputError: `out` is no .npz, or `encode` cannot take the data.
    """
    if out.suffix.lower() != ".npz":
        raise InputError(f"{out}: suffix {out.suffix or 'none'!r} cannot be written; allowed: .npz")
    arrays = {}
    for split in ("train", "test"):
        X, y = getattr(data, f"X_{split}"), getattr(data, f"y_{split}")
        if X is not None:
            arrays[f"X_{split}"] = encode(tokenizer, X, kind, progress=progress)
        if y is not None:
            arrays[f"y_{split}"] = y
    with atomic_file(out) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return arrays
