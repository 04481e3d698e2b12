"""Commands about encoders that are used by themselves."""

from __future__ import annotations

from typing import Annotated

import typer

from timeloom.cli.app import Data, Out, Overrides, Overwrite, Seed, Window, app, load_data


@app.command("train-encoder")
def train_encoder(
    data: Data,
    out: Out,
    encoder: Annotated[
        str, typer.Option("--encoder", help="which, such as ts2vec or rocket; a wrong name is answered with all")
    ],
    overrides: Overrides = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    window: Window = None,
) -> None:
    """Train an encoder: a vector for each series, to classify, search or compare with."""
    from timeloom.progress import RichProgress
    from timeloom.stages import train_encoder as stage

    config = stage.build(encoder, overrides or (), seed)
    record = stage.run(load_data(data, window), config, out, overwrite=overwrite, progress=RichProgress())
    print(f"{encoder:<10} {record['seconds']:7.1f} s")
    print(out)
