"""Feature extractors for series: every encoder is fitted once and then maps (N, C, T) to features (N, D)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.checkpoint import CARD
from timeloom.encoders.catch22 import Catch22
from timeloom.encoders.fcn import FCN
from timeloom.encoders.fei import FEI
from timeloom.encoders.rocket import Rocket
from timeloom.encoders.storage import FOLDER, encoder_folder
from timeloom.encoders.timedrl import TimeDRL
from timeloom.encoders.ts2vec import TS2Vec
from timeloom.errors import InputError
from timeloom.files import read_json
from timeloom.progress import Progress, silent


class Encoder(Protocol):
    """What an encoder can do, in the manner of scikit-learn."""

    kind: ClassVar[str]

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that make another encoder of the same settings, not fitted."""
        ...

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, *, progress: Progress = silent) -> Encoder:
        """Learn from series (N, C, T) and, where the encoder needs them, labels (N,); returns itself."""
        ...

    def encode(self, X: ArrayLike, batch_size: int = 256) -> NDArray[np.float32]:
        """Features (N, D) of series (N, C, T); those of a series do not depend on its batch."""
        ...

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """`encode` under the name that scikit-learn calls."""
        ...

    def fit_transform(self, X: ArrayLike, y: ArrayLike | None = None, **fit_params: Any) -> NDArray[np.float32]:
        """Features (N, D) of the series that it is fitted on."""
        ...

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings by name."""
        ...

    def set_params(self, **settings: Any) -> Self:
        """Change settings, for the next `fit`; returns itself."""
        ...

    def save(self, folder: str | Path) -> None:
        """Write the fitted encoder into a folder, as JSON and safetensors."""
        ...

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The encoder that `save` wrote; it encodes bit for bit as the one that was saved."""
        ...


AnyEncoder = Catch22 | FCN | FEI | Rocket | TS2Vec | TimeDRL
ENCODERS: dict[str, type[AnyEncoder]] = {cls.kind: cls for cls in (FCN, Rocket, TS2Vec, Catch22, TimeDRL, FEI)}


def load_encoder(folder: str | Path) -> AnyEncoder:
    """The encoder of any kind that `save` wrote into `folder`, or `timeloom train-encoder` into a run folder.

    Raises:
        InputError: no encoder is there, one of an unknown kind, or its files are damaged.
    """
    card = encoder_folder(folder) / CARD
    kind = read_json(card).get("kind")
    if not isinstance(kind, str) or kind not in ENCODERS:
        raise InputError(f"{card}: kind = {kind!r}; allowed: {', '.join(ENCODERS)}")
    return ENCODERS[kind].load(folder)


__all__ = ["ENCODERS", "FCN", "FEI", "FOLDER", "Catch22", "Encoder", "Rocket", "TS2Vec", "TimeDRL", "load_encoder"]
