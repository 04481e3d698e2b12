"""Feature extractors for series: every encoder is fitted once and then maps (N, C, T) to features (N, D)."""

from __future__ import annotations

from pathlib import Path

from timeloom.checkpoint import CARD
from timeloom.encoders.catch22 import Catch22
from timeloom.encoders.fcn import FCN
from timeloom.encoders.fei import FEI
from timeloom.encoders.rocket import Rocket
from timeloom.encoders.storage import FOLDER, StoredEncoder, encoder_folder
from timeloom.encoders.timedrl import TimeDRL
from timeloom.encoders.ts2vec import TS2Vec
from timeloom.errors import InputError
from timeloom.files import read_json

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


__all__ = [
    "ENCODERS",
    "FCN",
    "FEI",
    "FOLDER",
    "Catch22",
    "Rocket",
    "StoredEncoder",
    "TS2Vec",
    "TimeDRL",
    "load_encoder",
]
