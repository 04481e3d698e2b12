"""Commands about encoders that are used by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from timeloom.cli.app import (
    Data,
    Out,
    Overwrite,
    Resume,
    Seed,
    Window,
    app,
    interruptible,
    listed,
    load_data,
    note_new_run,
)


@app.command("train-encoder")
def train_encoder(
    data: Data,
    out: Out,
    encoder: Annotated[
        str, typer.Option("--encoder", help="which: ts2vec, timedrl, fei, rocket, catch22, or fcn, which needs labels")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="a setting of the encoder, such as steps=50; may be repeated"),
    ] = None,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    window: Window = None,
) -> None:
    """Train an encoder: a vector for each series, to classify, search or compare with."""
    source = load_data(data, window)
    # torch takes seconds to import: a path that is not there is told at once
    from timeloom.progress import RichProgress
    from timeloom.stages import train_encoder as stage

    config = stage.build(encoder, overrides or (), seed)
    note_new_run(out, resume)
    with interruptible(out, stage.CHECKPOINT):
        record = stage.run(source, config, out, resume=resume, overwrite=overwrite, progress=RichProgress())
    print(f"{encoder:<10} {record['seconds']:7.1f} s")
    print(out)


@app.command("benchmark-encoders")
def benchmark_encoders(
    task: Annotated[str, typer.Option("--task", help="classification, forecasting or anomaly")],
    data: Annotated[
        list[str],
        typer.Option("--data", help="labelled data to classify, one long series to forecast; may be repeated"),
    ],
    encoders: Annotated[list[str], typer.Option("--encoders", help="which, such as ts2vec,rocket; may be repeated")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="ENCODER.KEY=VALUE", help="a setting, such as ts2vec.steps=50; may be repeated"),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="trainings of each encoder")] = 3,
    control: Annotated[bool, typer.Option("--control/--no-control", help="with each encoder untrained")] = True,
    horizon: Annotated[
        list[str] | None,
        typer.Option("--horizon", help="steps ahead to forecast, such as 24,48; the published five unless given"),
    ] = None,
    univariate: Annotated[bool, typer.Option("--univariate", help="forecast the last column alone")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="JSON file to write, with every seed's figures; after each training")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
    window: Window = None,
) -> None:
    """Measure what encoders are good for, beside their untrained selves: mean and deviation over the seeds."""
    from json import dumps

    from timeloom.data import load_long
    from timeloom.errors import InputError
    from timeloom.files import check_folder, write_json
    from timeloom.progress import RichProgress
    from timeloom.stages import benchmark_encoders as stage
    from timeloom.stages.encoder_forecasting import ForecastConfig

    if out is not None:
        check_folder(out.parent)
        if out.is_dir():
            raise InputError(f"--out {out}: is a folder, expected a JSON file")
    compared = stage.methods(task, listed(encoders) or [], overrides or (), control)
    if task != "forecasting" and (horizon or univariate):
        raise InputError(f"{'--horizon' if horizon else '--univariate'}: is of forecasting, the task is {task}")
    forecast = ForecastConfig.parse({"horizons": listed(horizon), "univariate": univariate})
    sources = [load_long(name) if task == "forecasting" else load_data(name, window) for name in data]

    def written(found: list[stage.Result]) -> dict[str, Any]:
        return {"task": task, "results": [result._asdict() for result in found]}

    found = stage.run(
        task,  # type: ignore[arg-type]
        sources,
        compared,
        n_seeds=seeds,
        forecast=forecast,
        keep=lambda found: None if out is None else write_json(out, written(found)),
        progress=RichProgress(),
    )
    print(dumps(written(found)) if json else stage.table(found))
