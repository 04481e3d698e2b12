"""Commands that measure synthetic series."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timeloom.cli.app import Cache, Data, Seed, Window, app, encoder_cache, listed, load_data
from timeloom.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from timeloom.data import Dataset


@app.command()
def evaluate(
    data: Data,
    synthetic: Annotated[Path, typer.Argument(help="file of synthetic series, from any generator")],
    out: Annotated[Path, typer.Option("--out", help="folder for report.html, report.json and samples.png")],
    protocol: Annotated[
        str, typer.Option("--protocol", help="honest (every measure), or the published ones: ucr, windows")
    ] = "honest",
    label: Annotated[
        list[str] | None, typer.Option("--label", help="only this class, of both; may be repeated")
    ] = None,
    metrics: Annotated[
        list[str] | None, typer.Option("--metrics", help="only these, such as fid_rocket,cas (names: see the README)")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="trainings of each encoder (3; protocol ucr 1, windows 5)")
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="run folder that made the series: adds the measures of tokens")
    ] = None,
    page: Annotated[bool, typer.Option("--page/--no-page", help="draw report.html, which takes some seconds")] = True,
    window: Window = None,
    cache: Cache = True,
    seed: Seed = 0,
) -> None:
    """Measure synthetic series against real ones, beside honest floors."""
    from timeloom.files import check_folder

    check_folder(out)
    real = load_data(data, window, split=protocol != "windows")
    X, y = _synthetic(synthetic, real)
    # torch takes seconds to import: a path that is not there is told at once
    from timeloom.progress import RichProgress
    from timeloom.stages import evaluate as stage

    models = None if run is None else stage.Models.load(run)
    report = stage.run(
        real,
        X,
        y,
        out,
        protocol=protocol,  # type: ignore[arg-type]
        labels=label,
        metrics=listed(metrics),
        n_seeds=seeds,
        seed=seed,
        models=models,
        cache=encoder_cache(cache),
        name=str(synthetic),
        page=page,
        progress=RichProgress(),
    )
    print(report.table())
    written = {stage.PAGE: page, stage.REPORT: True, stage.PICTURE: report.exhibits is not None}
    print("\n" + ", ".join(str(out / name) for name, made in written.items() if made))


@app.command()
def compare(
    data: Data,
    synthetic: Annotated[list[Path], typer.Argument(help="files of synthetic series, one a generator")],
    out: Annotated[Path, typer.Option("--out", help="folder for comparison.html and a report for each file")],
    metrics: Annotated[
        list[str] | None, typer.Option("--metrics", help="only these, such as fid_rocket,cas (names: see the README)")
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", help="trainings of each encoder (3)")] = None,
    window: Window = None,
    cache: Cache = True,
    seed: Seed = 0,
) -> None:
    """Measure several generators' series side by side."""
    from timeloom.files import check_folder

    check_folder(out)
    names = [path.stem for path in synthetic]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"two files are called {twice[0]}: a report is named after its file; rename one of them")
    real = load_data(data, window)
    generators = {path.stem: _synthetic(path, real) for path in synthetic}
    # torch takes seconds to import: a path that is not there is told at once
    from timeloom.progress import RichProgress
    from timeloom.stages import evaluate as stage

    reports = stage.compare(
        real,
        generators,
        out,
        metrics=listed(metrics),
        n_seeds=seeds,
        seed=seed,
        cache=encoder_cache(cache),
        progress=RichProgress(),
    )
    print(stage.comparison_table(reports))
    print(f"\n{out / stage.COMPARISON}, and a report in {out}/NAME for each")


def _synthetic(path: Path, real: Dataset) -> tuple[NDArray, NDArray | None]:
    from timeloom.data import read_series
    from timeloom.data.channels import check_channels

    X, y, meta = read_series(path)
    check_channels(meta.get("channels"), real.channels, str(path), real.name)
    return X, y
