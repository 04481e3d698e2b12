"""Files that are whole or not there, and folders that are checked before any work."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from timeloom.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` that becomes `path` if the block succeeds and vanishes if it does not.

    Raises:
        InputError: the folder or the file cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)  # mkstemp makes the file private, the final one is an ordinary file
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        # after a good replace there is nothing left under this name
        with suppress(OSError):
            if temporary is not None:
                temporary.unlink()


def check_suffix(path: Path, allowed: Sequence[str]) -> None:
    """Refuse a path whose format cannot be written, before any work.

    Raises:
        InputError: its suffix is none of those that are allowed.
    """
    if path.suffix.lower() not in allowed:
        raise InputError(f"{path}: suffix {path.suffix or 'none'!r} cannot be written; allowed: {', '.join(allowed)}")


def check_free(path: Path, overwrite: bool) -> None:
    """Refuse to replace a file, before any work, unless that is wanted.

    Raises:
        InputError: it exists.
    """
    if path.exists() and not overwrite:
        raise InputError(f"--out {path}: exists already; --overwrite replaces it")


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
