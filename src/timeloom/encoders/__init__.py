"""Feature extractors for series: every encoder is fitted once and then maps (N, C, T) to features (N, D)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.encoders.fcn import FCN
from timeloom.encoders.rocket import Rocket
from timeloom.progress import Progress, silent


class Encoder(Protocol):
    """What an encoder can do, in the manner of scikit-learn."""

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, *, progress: Progress = silent) -> Encoder:
        """Learn from series (N, C, T) and, where the encoder needs them, labels (N,); returns itself."""
        ...

    def encode(self, X: ArrayLike, batch_size: int = 256) -> NDArray[np.float32]:
        """Features (N, D) of series (N, C, T); those of a series do not depend on its batch."""
        ...


ENCODERS: dict[str, type[FCN] | type[Rocket]] = {"fcn": FCN, "rocket": Rocket}

__all__ = ["ENCODERS", "FCN", "Encoder", "Rocket"]
