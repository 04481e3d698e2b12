"""Commands that train a generator and draw series from it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timeloom.cli.app import (
    ConfigFile,
    Data,
    Out,
    Overrides,
    Overwrite,
    Preset,
    Replace,
    Resume,
    Run,
    Seed,
    TrainSeed,
    Window,
    app,
    interruptible,
    load_data,
    note_new_run,
)

if TYPE_CHECKING:
    from timeloom.data import Dataset

# of a class with fewer series is said that they are few; so many classes are named
FEW, MOST_NAMED = 5, 5


def _trains(name: str, stages: tuple[str, ...], text: str) -> None:
    """Make the command `name`, which trains these stages."""

    @app.command(name, help=text)
    def train(
        data: Data,
        out: Out,
        preset: Preset = "small",
        config: ConfigFile = None,
        overrides: Overrides = None,
        seed: TrainSeed = None,
        resume: Resume = False,
        overwrite: Overwrite = False,
        window: Window = None,
    ) -> None:
        loaded = load_data(data, window)
        # torch takes seconds to import: a path that is not there is told at once
        from timeloom.progress import RichProgress
        from timeloom.stages import run_config
        from timeloom.stages import train as stage

        _note_few(loaded)
        settings = run_config.build(preset, config or (), overrides or (), seed=seed)
        before = stage.read_record(out)["stages"] if resume and (out / stage.RECORD).exists() else {}
        note_new_run(out, resume)
        with interruptible(out, "*-last.ckpt", "*/config.json"):
            record = stage.run(
                loaded, settings, out, stages=stages, resume=resume, overwrite=overwrite, progress=RichProgress()
            )
        for name in stages:
            done = record["stages"][name]
            kept = stage.kept_steps(done)
            print(f"{name:<10} {done['seconds']:7.1f} s" + (f", kept as it was after {kept} steps" if kept else ""))
        if all(before.get(name) == record["stages"][name] for name in stages):
            print("all of it was finished before; --overwrite begins anew")
        if preset == "smoke":
            print("preset smoke: shows that everything runs; its series look like nothing")
        hint = "" if "prior" in record["stages"] else ": next, timeloom train-prior with the same arguments"
        print(f"{out}{hint}")


_trains("train", ("tokenizer", "prior"), "Train the tokenizer, then the prior.")
_trains("train-tokenizer", ("tokenizer",), "Train the tokenizer alone (stage 1).")
_trains("train-prior", ("prior",), "Train the prior on a run folder's tokenizer (stage 2).")


def _note_few(data: Dataset) -> None:
    """Say which classes have so few series that what is made of them can hardly be new."""
    import numpy as np

    if data.y_train is None:
        return
    labels, counts = np.unique(data.y_train, return_counts=True)
    few = [f"{label} ({count})" for label, count in zip(labels, counts, strict=True) if count < FEW]
    if few:
        rest = f" and {len(few) - MOST_NAMED} more" if len(few) > MOST_NAMED else ""
        print(
            f"{data.name}: few training series of class {', '.join(few[:MOST_NAMED])}{rest}; what is made of so few is "
            "hardly new",
            file=sys.stderr,
        )


@app.command()
def sample(
    run: Run,
    out: Annotated[
        Path, typer.Option("--out", help="file to write: .npz (series, labels, how they were made), .npy or .csv")
    ],
    n: Annotated[int, typer.Option("--n", help="number of series")] = 1000,
    label: Annotated[list[str] | None, typer.Option("--label", help="only this class; may be repeated")] = None,
    match_labels: Annotated[
        bool, typer.Option("--match-labels", help="exactly the training data's class proportions")
    ] = False,
    seed: Seed = 0,
    steps: Annotated[int | None, typer.Option("--steps", help="decoding rounds")] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="of the tokens: below 1 is more typical, less varied")
    ] = None,
    choice_temperature: Annotated[
        float | None, typer.Option("--choice-temperature", help="randomness of the decoding order; 0 is greedy")
    ] = None,
    guidance: Annotated[
        float | None, typer.Option("--guidance", help="classifier-free guidance; above 1 is more typical of the class")
    ] = None,
    corrections: Annotated[
        int | None, typer.Option("--corrections", help="how often the least likely tokens are drawn anew")
    ] = None,
    texture: Annotated[
        float | None,
        typer.Option("--texture", help="how much of what reconstruction smooths away: 0 (none), 1 (all), up to 2"),
    ] = None,
    overwrite: Replace = False,
) -> None:
    """Make synthetic series."""
    from timeloom.config import merge
    from timeloom.data import check_writable_suffix, write_series
    from timeloom.data.channels import count_channels
    from timeloom.files import check_free
    from timeloom.prior.decoding import SamplingConfig
    from timeloom.progress import RichProgress
    from timeloom.stages import sample as stage
    from timeloom.stages.train import saved_sampling

    check_writable_suffix(out)
    check_free(out, overwrite)
    tokenizer, prior = stage.load(run)
    given = {
        "steps": steps,
        "temperature": temperature,
        "choice_temperature": choice_temperature,
        "guidance_scale": guidance,
        "corrections": corrections,
        "texture": texture,
    }
    base = saved_sampling(run).model_dump()
    config = SamplingConfig.parse(merge(base, {k: v for k, v in given.items() if v is not None}))
    made = stage.run(
        tokenizer, prior, n, config, labels=label, match_labels=match_labels, seed=seed, progress=RichProgress()
    )
    write_series(out, made.X, made.y, made.meta, tokenizer.spec.channels)
    print(f"{len(made.X)} series of {count_channels(made.X.shape[1])} and {made.X.shape[2]} time points: {out}")
