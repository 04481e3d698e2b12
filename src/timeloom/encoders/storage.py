"""Encoders on disk: a folder with a JSON that a person can read and a safetensors file of arrays."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from timeloom.checkpoint import CARD, FORMAT, WEIGHTS, read_card, rebuilding, replacing, write_json
from timeloom.encoders.estimator import Estimator
from timeloom.encoders.inputs import check_fitted
from timeloom.errors import InputError

Arrays = dict[str, NDArray[Any]]
# Of every encoder's training, whatever the machine has: another number of threads sums in another order, and the same
# seed would give another encoder. The batches are so small that more threads spend their time waiting for each other;
# cores are put to use by training several encoders at once.
TRAINING_THREADS = 1


class StoredEncoder(Estimator):
    """An encoder that can be saved and loaded; what `fit` learned goes through `_state` and `_restore`."""

    @abstractmethod
    def _state(self) -> tuple[dict[str, Any], Arrays]:
        """What was learned: JSON values and named arrays."""

    @abstractmethod
    def _restore(self, values: dict[str, Any], arrays: Arrays) -> None:
        """Take what `_state` gave into an encoder of the same settings."""

    def save(self, folder: str | Path) -> None:
        """Write the fitted encoder into `folder`, made if missing.

        Raises:
            InputError: the encoder has not been fitted.
        """
        check_fitted(self)
        values, arrays = self._state()
        folder = Path(folder)
        with replacing(folder / WEIGHTS) as temporary:
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)
            digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        card = {"format": FORMAT, "kind": self.kind, "settings": self.settings, "state": values, "sha256": digest}
        write_json(folder / CARD, card)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The encoder that `save` wrote into `folder`; it encodes bit for bit as the one that was saved.

        Raises:
            InputError: no encoder is there, or another kind of encoder, or its files are damaged.
        """
        folder = Path(folder)
        card = read_card(folder, cls.kind)
        arrays = _read_arrays(folder, card.get("sha256"))
        with rebuilding(folder):
            encoder = cls(**card["settings"])
            try:
                encoder._restore(card["state"], arrays)
            except RuntimeError:
                raise InputError(f"the arrays in {WEIGHTS} do not fit these settings") from None
        return encoder


def _read_arrays(folder: Path, digest: object) -> Arrays:
    path = folder / WEIGHTS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise InputError(f"{path}: damaged, or not the arrays that {folder / CARD} was written for (SHA-256 differs)")
    return load_file(path)
