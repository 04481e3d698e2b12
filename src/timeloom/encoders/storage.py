"""Encoders on disk: a folder with a JSON that a person can read and a safetensors file of arrays."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch import nn

from timeloom.checkpoint import CARD, FORMAT, WEIGHTS, read_card, rebuilding, writing_weights
from timeloom.encoders.estimator import Estimator
from timeloom.encoders.inputs import check_fitted
from timeloom.errors import InputError
from timeloom.files import check_folder, read_json, write_json

FOLDER = "encoder"  # in a run folder
Arrays = dict[str, NDArray[Any]]
Network = TypeVar("Network", bound=nn.Module)


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
            InputError: the encoder has not been fitted, or the folder is a file or holds another kind of model.
        """
        check_fitted(self)
        (values, arrays), settings = self._state(), _plain(self.settings)
        folder = Path(folder)
        check_folder(folder)
        if (there := _kind_in(folder)) not in (None, self.kind):
            raise InputError(f"{folder}: holds a {there}; allowed: a folder of its own")
        with writing_weights(folder) as temporary:
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)
            digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        card = {"format": FORMAT, "kind": self.kind, "settings": settings, "state": values, "sha256": digest}
        write_json(folder / CARD, card)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The encoder that `save` wrote into `folder`; it encodes bit for bit as the one that was saved.

        The run folder of `timeloom train-encoder` will do, too.

        Raises:
            InputError: no encoder is there, or another kind of encoder, or its files are damaged.
        """
        folder = encoder_folder(folder)
        card = read_card(folder, cls.kind)
        arrays = _read_arrays(folder, card.get("sha256"))
        with rebuilding(folder):
            encoder = cls(**card["settings"])
            encoder._check_settings()
            try:
                encoder._restore(card["state"], arrays)
            except RuntimeError:
                raise InputError(f"the arrays in {WEIGHTS} do not fit these settings") from None
            encoder._learned()
        return encoder


def encoder_folder(folder: str | Path) -> Path:
    """Where the encoder is: the folder itself, or `encoder` in the run folder that it is."""
    folder = Path(folder)
    return folder / FOLDER if (folder / FOLDER / CARD).exists() else folder


def _kind_in(folder: Path) -> str | None:
    """The kind of model in a folder; None of an empty one, and of a card that nobody can read."""
    try:
        return str(read_json(folder / CARD).get("kind"))
    except InputError:
        return None


def _plain(value: Any) -> Any:
    """Settings as JSON knows them: a search over np.arange leaves numpy's numbers."""
    if isinstance(value, dict):
        return {name: _plain(of) for name, of in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(of) for of in value]
    return value.item() if isinstance(value, np.generic) else value


def arrays_of(network: nn.Module) -> Arrays:
    """Weights and buffers of a network on the CPU, by name."""
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def filled(network: Network, arrays: Arrays) -> Network:
    """The network with the weights and buffers that `arrays_of` gave, to be read and not trained."""
    network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return network.eval().requires_grad_(False)


def _read_arrays(folder: Path, digest: object) -> Arrays:
    path = folder / WEIGHTS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise InputError(f"{path}: damaged, or not the arrays that {folder / CARD} was written for (SHA-256 differs)")
    return load_file(path)
