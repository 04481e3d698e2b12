"""The file that a training of an encoder can go on from after it was cut short."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from timeloom import __version__
from timeloom.encoders.estimator import Estimator
from timeloom.errors import InputError
from timeloom.files import replacing

EVERY = 50  # steps, a second or a few of them: writing the file takes some milliseconds


@dataclass(frozen=True)
class Checkpoint:
    """Where the state of a training is kept, and what it belongs to.

    Attributes:
        path: the file; it need not be there yet.
        training: the settings and a digest of the series, without which no state means anything; values as text.
    """

    path: Path
    training: dict[str, str]

    @classmethod
    def of(cls, path: str | Path | None, encoder: Estimator, *arrays: NDArray[Any]) -> Checkpoint | None:
        """The file of this encoder's training on these arrays, wherever it is computed; None without a path."""
        if path is None:
            return None
        settings = {name: str(value) for name, value in encoder.settings.items() if name != "device"}
        digest = hashlib.sha256()
        for array in arrays:
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(array.tobytes())
        training = {"encoder": encoder.kind, **settings, "series": digest.hexdigest()[:16], "version": __version__}
        return cls(Path(path), training)

    def read(self) -> dict[str, Any] | None:
        """What `write` kept; None before the first time.

        Raises:
            InputError: the file is damaged, or that of other settings or series.
        """
        if not self.path.exists():
            return None
        try:
            content = dict(torch.load(self.path, map_location="cpu", weights_only=True))
            before, state = dict(content["training"]), dict(content["state"])
        except Exception as error:  # a cut or foreign file fails in many ways, all of them the file's
            raise InputError(f"{self.path}: damaged, cannot go on from it ({type(error).__name__})") from None
        for name, now in self.training.items():
            if before.get(name) != now:
                raise InputError(
                    f"{self.path}: was begun with {name} = {before.get(name)}, now it is {now}; keep it the same, or "
                    "delete the file to begin anew"
                )
        return state

    def write(self, state: dict[str, Any]) -> None:
        """Keep a state in place of the one before, whole or not at all."""
        with replacing(self.path) as temporary:
            torch.save({"training": self.training, "state": state}, temporary)
