"""Data sets by name: those that the aeon package carries, loaded without a network."""

from __future__ import annotations

import difflib
import importlib.util
from pathlib import Path

from timeloom.data.dataset import Dataset, build_dataset
from timeloom.data.raw import read_text
from timeloom.data.readers_archive import split_header
from timeloom.errors import InputError


def available() -> list[str]:
    """Names of the classification sets that load offline, sorted; empty if aeon is not installed."""
    folder = _aeon_data()
    return [] if folder is None else sorted(p.name for p in folder.iterdir() if _variant(p) is not None)


def load_named(name: str) -> Dataset:
    """Data set that the aeon package carries, with the archive's own split and labels as aeon gives them (lower case).

    Of a set whose series differ in length the equal-length version is taken. Nothing is downloaded.

    Raises:
        InputError: If aeon is not installed, or carries no such set.
    """
    folder = _aeon_data()
    if folder is None:
        raise InputError(f"data set {name!r} by name needs aeon: pip install 'timeloom[aeon]', or give a file")
    names = available()
    if name not in names:
        raise InputError(_unknown(name, names))
    # aeon compiles with numba on import and takes seconds: only those who ask for a name should wait.
    from aeon.datasets import load_classification

    train, test = (
        load_classification(name, split, str(folder), load_equal_length=True, load_no_missing=False)
        for split in ("train", "test")
    )
    variant = _variant(folder / name)
    notes = (
        [] if variant == name else [f"the equal-length version {variant} was taken: series of {name} differ in length"]
    )
    return build_dataset(name, train, test, notes, (name, f"{name}, test split"))


def _aeon_data() -> Path | None:
    """The data folder of the installed aeon, found without importing it."""
    spec = importlib.util.find_spec("aeon")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "datasets" / "data"
    return folder if folder.is_dir() else None


def _variant(folder: Path) -> str | None:
    """Stem of the files to load, `NAME_eq` before `NAME`; None if it is no equal-length classification set."""
    for stem in (f"{folder.name}_eq", folder.name):
        train, test = (folder / f"{stem}_{split}.ts" for split in ("TRAIN", "TEST"))
        if not (train.is_file() and test.is_file()):
            continue
        header = split_header(train, read_text(train).splitlines())[0]
        if header.get("equallength", "true") == "true" and header.get("classlabel", "").startswith("true"):
            return stem
    return None


def _unknown(name: str, names: list[str]) -> str:
    lower = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), list(lower), n=2)
    hint = f" (did you mean {' or '.join(lower[c] for c in close)}?)" if close else ""
    return (
        f"no data set {name!r} comes with aeon{hint}; these load offline: {', '.join(names)};"
        f" for others download {name} from timeseriesclassification.com and give the path of {name}_TRAIN.ts"
    )
