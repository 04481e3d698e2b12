"""Save and load models: safetensors weights beside a JSON that a person can read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from timeloom.errors import InputError
from timeloom.files import read_json, replacing, write_json

FORMAT = 9
WEIGHTS, CARD = "model.safetensors", "config.json"


def fingerprint(model: nn.Module) -> str:
    """First 16 hex digits of the SHA-256 over the names, shapes and bytes of a model's state."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def save_model(folder: Path, model: nn.Module, card: dict[str, Any]) -> None:
    """Write weights and card (kind, configuration, what the model knows of its data) into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with writing_weights(folder) as temporary:
        save_file({name: t.detach().cpu().contiguous().clone() for name, t in model.state_dict().items()}, temporary)
    write_json(folder / CARD, {"format": FORMAT, **card, "fingerprint": fingerprint(model)})


@contextmanager
def writing_weights(folder: Path) -> Iterator[Path]:
    """As `replacing` the weights of a model, for safetensors, to which a full disk is no OSError.

    Raises:
        InputError: they cannot be written.
    """
    with replacing(folder / WEIGHTS) as temporary:
        try:
            yield temporary
        except SafetensorError as error:
            raise InputError(f"{folder / WEIGHTS}: cannot be written: {error}") from None


def read_card(folder: Path, kind: str) -> dict[str, Any]:
    """Read and check the card of a model.

    Raises:
        InputError: no such checkpoint, another kind of model, or a format this version does not know.
    """
    if not (folder / CARD).exists():
        raise InputError(f"{folder}: no {kind} checkpoint here ({CARD} is missing)")
    card = read_json(folder / CARD)
    if card.get("kind") != kind:
        raise InputError(f"{folder / CARD}: kind = {card.get('kind')!r}, expected {kind!r}")
    if card.get("format") != FORMAT:
        raise InputError(
            f"{folder / CARD}: checkpoint format {card.get('format')!r}, this version reads {FORMAT}; train it "
            "again or install the version that wrote it"
        )
    return card


@contextmanager
def rebuilding(folder: Path) -> Iterator[None]:
    """Build a model from its card: leaves the global random state alone, and blames the card for what does not fit.

    Raises:
        InputError: the card lacks an entry or holds an impossible one.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    except InputError as error:
        raise InputError(f"{folder / CARD}: {error}") from None
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / CARD}: damaged, an entry is missing or of the wrong kind ({error})") from None


def load_weights(folder: Path, model: nn.Module, card: dict[str, Any]) -> None:
    """Fill a model with the weights of a checkpoint, checked against the card's fingerprint.

    Raises:
        InputError: the weights are missing, cut short, of another shape, or not those the card was written for.
    """
    path = folder / WEIGHTS
    try:
        with safe_open(path, framework="pt"):
            pass
        state: dict[str, Tensor] = load_file(path)
        model.load_state_dict(state)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: damaged or cut short ({' '.join(str(error).split())})") from None
    except RuntimeError:
        raise InputError(f"{path}: the weights do not fit the model that {CARD} describes") from None
    if fingerprint(model) != card.get("fingerprint"):
        raise InputError(f"{path}: not the weights that {folder / CARD} was written for (fingerprints differ)")
