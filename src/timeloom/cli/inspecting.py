"""Commands that only read: a run, its codes, the data sets at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from timeloom.cli.app import AnyRun, Data, Replace, Run, Seed, Window, app, load_data


@app.command()
def encode(
    run: AnyRun,
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="file to write: .npz (X_train, y_train, X_test, y_test)")],
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            help="of a generator: tokens, codes (a vector for each cell), pooled (a vector for each series; the "
            "default); of an encoder: series (a vector for each, the default), timestamp (one for each time point; "
            "timedrl: for each patch)",
        ),
    ] = None,
    window: Window = None,
    overwrite: Replace = False,
) -> None:
    """Write what a run's tokenizer or encoder makes of series, as arrays."""
    from timeloom.files import check_free
    from timeloom.progress import RichProgress
    from timeloom.stages import encode as stage

    check_free(out, overwrite)
    model = stage.load_any(run)
    arrays = stage.run(model, load_data(data, window), kind, out, progress=RichProgress())
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    print(f"{out}: {shapes}")


@app.command()
def probe(
    run: Run,
    data: Data,
    seeds: Annotated[int, typer.Option("--seeds", help="draws of the training series")] = 3,
    json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
    window: Window = None,
) -> None:
    """Measure how much of the classes can be read from a run's codes."""
    from json import dumps

    from timeloom.progress import RichProgress
    from timeloom.stages import encode
    from timeloom.stages import probe as stage

    tokenizer = encode.load(run)
    found = stage.run(tokenizer, load_data(data, window), n_seeds=seeds, progress=RichProgress())
    if json:
        print(dumps({name: of._asdict() for name, of in found.items()}))
        return
    print(
        "accuracy on the test split from pooled codes; chance is the most frequent class"
        + (f"; ± deviation over {seeds} draws of four fifths of the training series" if seeds > 1 else "")
    )
    for name, of in found.items():
        print(f"{name:<10} {100 * of.mean:5.1f} %" + (f" ± {100 * of.std:.1f}" if seeds > 1 else ""))


@app.command()
def codebook(
    run: Run,
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="folder for the pictures")],
    level: Annotated[int, typer.Option("--level", help="residual level of the codes")] = 0,
    window: Window = None,
) -> None:
    """Draw a run's codes: where they lie, how often they are used, by which classes and next to which."""
    from timeloom.progress import RichProgress
    from timeloom.stages import encode
    from timeloom.stages import study_codebook as stage

    tokenizer = encode.load(run)
    found = stage.run(tokenizer, load_data(data, window), out, level=level, progress=RichProgress())
    for name, of in found.items():
        use = f"{of.used} of {of.codebook_size} codes used, perplexity {of.perplexity:.1f}"
        print(f"{name}: {use}, mean |cosine| of used codes {of.cosine:.3f}")
    print(out)


@app.command()
def views(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="picture to write: .png")],
    seed: Seed = 0,
    window: Window = None,
) -> None:
    """Draw what each view that `--set tokenizer.ssl.views=...` can name does to three of the training series."""
    from timeloom.stages import show_views as stage

    stage.run(load_data(data, window), out, seed=seed)
    print(out)


@app.command()
def info(run: AnyRun) -> None:
    """Tell what a checkpoint is: data, classes, shapes, levels, sizes, versions."""
    from timeloom.stages import encode, sample, train_encoder
    from timeloom.stages.train import STAGES, facts, read_record

    if (run / train_encoder.FOLDER).exists():
        known = train_encoder.facts(run)
    else:
        tokenizer, prior = sample.load(run) if (run / STAGES[1]).exists() else (encode.load(run), None)
        known = facts(tokenizer, prior, read_record(run))
    for name, value in known.items():
        print(f"{name:<20} {value}")


@app.command()
def datasets() -> None:
    """List the data sets that load by name without a network, and how to get others."""
    from timeloom.data import available

    names = available()
    if names:
        print("By name, without a network (they come with aeon):")
        for name in names:
            print(f"  {name}")
    else:
        print("No data sets by name: pip install 'timeloom[aeon]' brings some.")
    print(
        "\nOthers: download the archive of a set from timeseriesclassification.com, unpack it, and give the path of\n"
        "its NAME_TRAIN.ts; the NAME_TEST.ts beside it is found. Your own data: .npz .npy .csv .tsv .ts .arff."
    )
