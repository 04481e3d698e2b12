"""Save and load models: safetensors weights beside a JSON that a person can read."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from timeloom.errors import InputError

FORMAT = 6
WEIGHTS, CARD = "model.safetensors", "config.json"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` that becomes `path` if the block succeeds and vanishes if it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp makes the file private, the final one is an ordinary file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_folder(out: Path) -> None:
    """Refuse what cannot become a folder, before any work.

    Raises:
        InputError: it is a file.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, expected a folder")


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write readable JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: the file is missing, cut short, or no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: damaged, not readable as JSON ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: damaged, expected a JSON object")
    return values


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
    with replacing(folder / WEIGHTS) as temporary:
        save_file({name: t.detach().cpu().contiguous().clone() for name, t in model.state_dict().items()}, temporary)
    write_json(folder / CARD, {"format": FORMAT, **card, "fingerprint": fingerprint(model)})


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
