"""Read out a trained tokenizer or encoder: what it makes of series, as arrays for other programs."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from timeloom import encoders
from timeloom.data import Dataset, check_series
from timeloom.data.channels import check_channels, count_channels
from timeloom.data.missing import fill_missing
from timeloom.encoders import AnyEncoder
from timeloom.encoders.inputs import Level
from timeloom.errors import InputError
from timeloom.files import check_suffix, replacing
from timeloom.progress import Progress, silent
from timeloom.stages import train_encoder, train_tokenizer
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
    if (run / encoders.FOLDER).exists():
        raise InputError(f"{run}: holds an encoder, not a generator; `timeloom train` makes one")
    if not (run / train_tokenizer.FOLDER).exists():
        if any(run.glob(f"{train_tokenizer.FOLDER}*-last.ckpt")):
            raise InputError(f"{run}: its training was cut short; `timeloom train DATA --out {run} --resume` goes on")
        raise InputError(f"{run}: is no run folder, it holds no {train_tokenizer.FOLDER}; `timeloom train` makes one")
    return Tokenizer.from_pretrained(run / train_tokenizer.FOLDER)


def encode(tokenizer: Tokenizer, X: ArrayLike, kind: Kind = "pooled", *, progress: Progress = silent) -> NDArray:
    """What the tokenizer makes of series (n, C, T) or (n, T) in the data's unit, NaN allowed; it is left as it was.

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
            f"series have {count_channels(series.shape[1])} and length {series.shape[2]}; "
            f"this run's tokenizer takes {spec.n_channels} and {spec.length}"
        )
    read = {"tokens": lambda tokens: tokens, "codes": tokenizer.codes_of, "pooled": tokenizer.pool}[kind]
    found = []
    for part in torch.from_numpy(fill_missing(series, spec.mean)[0]).split(BATCH_SIZE):
        found.append(read(tokenizer.encode(part)))
        progress("encode", sum(map(len, found)), len(series))
    return torch.cat(found).numpy()


def encode_series(
    encoder: AnyEncoder, X: np.ndarray, kind: Level = "series", *, progress: Progress = silent
) -> NDArray[np.float32]:
    """What an encoder makes of series (n, C, T), NaN allowed.

    Returns:
        `series`: float32 (n, D), a vector for each series. `timestamp`: float32 (n, T, D), one for each time point,
        or patch.

    Raises:
        InputError: a kind that the encoder does not have, or series that it cannot take.
    """
    kinds = encoder_kinds(encoder)
    if kind not in kinds:
        raise InputError(f"kind = {kind!r}: {encoder.kind} does not have it; allowed: {', '.join(kinds)}")
    options: dict[str, Any] = {} if kind == "series" else {"level": kind}
    found = []
    for start in range(0, len(X), BATCH_SIZE):
        found.append(encoder.encode(X[start : start + BATCH_SIZE], **options))
        progress("encode", min(start + BATCH_SIZE, len(X)), len(X))
    return np.concatenate(found)


def encoder_kinds(encoder: AnyEncoder) -> tuple[Level, ...]:
    """Which kinds of features an encoder has."""
    return get_args(Level) if "level" in inspect.signature(encoder.encode).parameters else ("series",)


def load_any(run: Path) -> Tokenizer | AnyEncoder:
    """Read what a run folder can encode with: its tokenizer, or its encoder.

    Raises:
        InputError: neither is there, or it is damaged.
    """
    if not run.exists():
        raise InputError(f"{run}: no such run; `timeloom train` or `timeloom train-encoder` makes it")
    begun = (run / train_encoder.CHECKPOINT).exists()
    return train_encoder.load(run) if begun or (run / encoders.FOLDER).exists() else load(run)


def run(
    model: Tokenizer | AnyEncoder, data: Dataset, kind: str | None, out: Path, *, progress: Progress = silent
) -> dict[str, NDArray]:
    """Encode every split of the data and write them, with their labels, under the names that data sets have.

    Without a kind a tokenizer gives `pooled`, an encoder `series`: a vector for each series.

    Returns:
        What was written: `X_train`, and `y_train`, `X_test`, `y_test` where the data have them; `rows_train` and
        `rows_test`, places in the file, where it had no test split.

    Raises:
        InputError: `out` is no .npz, or the model cannot take the data.
    """
    check_suffix(out, (".npz",))
    if isinstance(model, Tokenizer):
        check_channels(data.channels, model.spec.channels, data.name, "the data of this run")
    arrays = {}
    for split in ("train", "test"):
        X, y = getattr(data, f"X_{split}"), getattr(data, f"y_{split}")
        if X is not None:
            arrays[f"X_{split}"] = _encoded(model, X, kind, progress)
        if y is not None:
            arrays[f"y_{split}"] = y
        if data.rows is not None:
            arrays[f"rows_{split}"] = data.rows[split == "test"]
    with replacing(out) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return arrays


def _encoded(model: Tokenizer | AnyEncoder, X: np.ndarray, kind: Any, progress: Progress) -> NDArray:
    if isinstance(model, Tokenizer):
        return encode(model, X, kind or "pooled", progress=progress)
    return encode_series(model, X, kind or "series", progress=progress)
