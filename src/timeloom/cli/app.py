"""The application, its arguments that several commands share, and what turns them into objects."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timeloom import __version__

if TYPE_CHECKING:
    from timeloom.data import Dataset
    from timeloom.evaluation import EncoderCache

# everything heavy is imported inside the commands: --help answers at once
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"timeloom {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Learn a data set of time series and make new ones like it."""


Data = Annotated[
    str, typer.Argument(help="name of a data set (see `timeloom datasets`) or a file: .npz .npy .csv .tsv .ts .arff")
]
Run = Annotated[Path, typer.Argument(help="run folder of `timeloom train`")]
AnyRun = Annotated[Path, typer.Argument(help="run folder of `timeloom train` or `timeloom train-encoder`")]
Out = Annotated[Path, typer.Option("--out", help="run folder to write")]
Preset = Annotated[
    str, typer.Option("--preset", help="smoke (seconds), small (minutes on a laptop), base (longer, or a GPU)")
]
ConfigFile = Annotated[list[Path] | None, typer.Option("--config", help="YAML laid over the preset; may be repeated")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="one setting, such as prior_training.steps=500; may be repeated"),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="source of all randomness")]
TrainSeed = Annotated[
    int | None, typer.Option("--seed", min=0, help="source of all randomness (that of the configuration, or 0)")
]
Resume = Annotated[bool, typer.Option("--resume", help="go on with an interrupted run")]
Window = Annotated[
    int | None,
    typer.Option("--window", metavar="LENGTH", help="DATA is one long series: cut it into all windows of this length"),
]
Cache = Annotated[
    bool,
    typer.Option("--cache/--no-cache", help="keep trained encoders in the user's cache folder for the next report"),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace what an earlier run left in --out")]
Replace = Annotated[bool, typer.Option("--overwrite", help="replace the file, if there is one")]


def listed(names: list[str] | None) -> list[str] | None:
    """Values of an option that may be repeated, or hold several with commas between."""
    return None if names is None else [part.strip() for name in names for part in name.split(",") if part.strip()]


@contextmanager
def interruptible(out: Path, *kept: str) -> Iterator[None]:
    """End at Ctrl-C with exit status 130 and the word on whether a training left what it keeps in `out` (patterns)."""
    try:
        yield
    except KeyboardInterrupt:
        found = any(any(out.glob(pattern)) for pattern in kept)
        way = f"--resume, in place of any --overwrite, goes on from the last checkpoint in {out}"
        print(f"interrupted; {way if found else 'nothing was kept yet, the same command begins anew'}", file=sys.stderr)
        raise typer.Exit(130) from None


def note_new_run(out: Path, resume: bool) -> None:
    """Say it when there is nothing to go on from: the path may be mistyped."""
    if resume and not out.exists():
        print(f"{out}: no such run to resume; it begins anew", file=sys.stderr)


def encoder_cache(kept: bool) -> EncoderCache:
    """Where trained encoders are kept, if at all."""
    from timeloom.evaluation.cache import EncoderCache, default_folder

    return EncoderCache(default_folder() if kept else None)


def load_data(source: str, window: int | None = None, split: bool = True) -> Dataset:
    """The data set, with a test split unless told otherwise; what was decided on reading goes to standard error."""
    from timeloom import data

    loaded = data.load(source, window)
    if split:
        loaded = loaded.with_test_split()
    for note in loaded.notes:
        print(f"{loaded.name}: {note}", file=sys.stderr)
    return loaded
