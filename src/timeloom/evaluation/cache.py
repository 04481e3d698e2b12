"""Fitted encoders that need not be fitted again: kept by data, settings and seed."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from timeloom import __version__
from timeloom.encoders import StoredEncoder, load_encoder
from timeloom.errors import InputError
from timeloom.evaluation.workers import Workers
from timeloom.files import replacing
from timeloom.progress import Progress, silent

FOLDER_VARIABLE = "TIMELOOM_CACHE"
AnyEncoder = TypeVar("AnyEncoder", bound=StoredEncoder)


def default_folder() -> Path:
    """`$TIMELOOM_CACHE`, or `timeloom/` in the user's cache folder (`$XDG_CACHE_HOME`, else `~/.cache`)."""
    if FOLDER_VARIABLE in os.environ:
        return Path(os.environ[FOLDER_VARIABLE])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "timeloom"


class EncoderCache:
    """Encoders fitted on the same series and labels with the same settings and seed are fitted once.

    Args:
        folder: where they are kept from one process to the next; None keeps them in memory only.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._kept: dict[str, StoredEncoder] = {}
        self._keys: dict[int, str] = {}
        self._outputs: dict[str, tuple[NDArray, ...]] = {}

    def fitted(
        self,
        encoder: AnyEncoder,
        X: NDArray,
        y: NDArray | None = None,
        *,
        workers: Workers | None = None,
        progress: Progress = silent,
    ) -> AnyEncoder:
        """`encoder.fit(X, y)`, or the one that was fitted so before. A damaged entry is fitted and written again.

        With workers, one whose training was started there is waited for.
        """
        key = _key(encoder, X, y)
        if not self._holds(key):
            # a copy: the caller's object may be fitted on other series next
            self._kept[key] = (
                copy.copy(encoder).fit(X, y, progress=progress)
                if workers is None
                else workers.train(key, encoder, X, y, progress)
            )
            self._write(key)
        found = self._kept[key]
        assert isinstance(found, type(encoder))
        self._keys[id(found)] = key
        return found

    def start(self, encoder: StoredEncoder, X: NDArray, y: NDArray | None, workers: Workers) -> None:
        """Let workers train what `fitted` will be asked for with the same arguments, unless it is kept already."""
        key = _key(encoder, X, y)
        if not self._holds(key):
            workers.start(key, encoder, X, y)

    def _holds(self, key: str) -> bool:
        if key not in self._kept and (found := self._read(key)) is not None:
            self._kept[key] = found
        return key in self._kept

    def outputs(
        self, encoder: StoredEncoder, function: Callable[[NDArray], tuple[NDArray, ...]], X: NDArray
    ) -> tuple[NDArray, ...]:
        """`function(X)` of an encoder that `fitted` returned, or what it gave before: for series of every report."""
        digest = hashlib.sha256(f"{function.__name__} {X.shape}".encode())
        digest.update(np.ascontiguousarray(X).data)
        name = f"{self._keys[id(encoder)]}/outputs-{digest.hexdigest()[:24]}.safetensors"
        if name not in self._outputs:
            self._outputs[name] = self._read_arrays(name) or self._compute(name, function, X)
        return self._outputs[name]

    def _read_arrays(self, name: str) -> tuple[NDArray, ...] | None:
        if self._folder is None or not (self._folder / name).exists():
            return None
        try:
            arrays = load_file(self._folder / name)
        except (SafetensorError, OSError):
            return None
        return tuple(arrays[str(i)] for i in range(len(arrays)))

    def _compute(
        self, name: str, function: Callable[[NDArray], tuple[NDArray, ...]], X: NDArray
    ) -> tuple[NDArray, ...]:
        arrays = function(X)
        if self._folder is not None:
            try:
                with replacing(self._folder / name) as temporary:
                    save_file({str(i): np.ascontiguousarray(array) for i, array in enumerate(arrays)}, temporary)
            except (SafetensorError, InputError):
                self._folder = None
        return arrays

    def _read(self, key: str) -> StoredEncoder | None:
        if self._folder is None or not (self._folder / key).exists():
            return None
        try:
            return load_encoder(self._folder / key)
        except InputError:
            return None

    def _write(self, key: str) -> None:
        if self._folder is not None:
            try:
                self._kept[key].save(self._folder / key)
            except (SafetensorError, InputError):
                # A full disk or a read-only home must not lose a report that needs no cache.
                self._folder = None


def _key(encoder: StoredEncoder, X: NDArray, y: NDArray | None) -> str:
    """Name of a fit: kind and settings of the encoder, version, series and labels."""
    digest = hashlib.sha256(f"{__version__} {encoder.settings} {X.shape} {None if y is None else y.tolist()}".encode())
    digest.update(np.ascontiguousarray(X).data)
    return f"{encoder.kind}-{digest.hexdigest()[:24]}"
