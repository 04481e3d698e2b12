"""The command line: arguments to configuration to one stage. The only place that prints to the user or exits."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timeloom.errors import InputError

if TYPE_CHECKING:
    from timeloom.data import Dataset
    from timeloom.evaluation import EncoderCache

# everything heavy is imported inside the commands: --help answers at once
app = typer.Typer(
    help="Learn a data set of time series and make new ones that cannot be told from the real ones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Data = Annotated[
    str, typer.Argument(help="name of a data set (see `timeloom datasets`) or a file: .npz .npy .csv .tsv .ts .arff")
]
Run = Annotated[Path, typer.Argument(help="run folder of `timeloom train`")]
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


@app.command()
def train(
    data: Data,
    out: Out,
    preset: Preset = "small",
    config: ConfigFile = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    window: Window = None,
) -> None:
    """Train the tokenizer, then the prior."""
    _train(("tokenizer", "prior"), data, out, preset, config, overrides, seed, resume, overwrite, window)


@app.command("train-tokenizer")
def train_tokenizer(
    data: Data,
    out: Out,
    preset: Preset = "small",
    config: ConfigFile = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    window: Window = None,
) -> None:
    """Train the tokenizer alone (stage 1)."""
    _train(("tokenizer",), data, out, preset, config, overrides, seed, resume, overwrite, window)


@app.command("train-prior")
def train_prior(
    data: Data,
    out: Out,
    preset: Preset = "small",
    config: ConfigFile = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    window: Window = None,
) -> None:
    """Train the prior on a run folder's tokenizer (stage 2)."""
    _train(("prior",), data, out, preset, config, overrides, seed, resume, overwrite, window)


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
) -> None:
    """Make synthetic series."""
    from timeloom.config import merge
    from timeloom.data import check_writable_suffix, write_series
    from timeloom.prior.decoding import SamplingConfig
    from timeloom.progress import RichProgress
    from timeloom.stages import sample as stage
    from timeloom.stages.train import saved_config

    check_writable_suffix(out)
    tokenizer, prior = stage.load(run)
    given = {
        "steps": steps,
        "temperature": temperature,
        "choice_temperature": choice_temperature,
        "guidance_scale": guidance,
    }
    base = saved_config(run).sampling.model_dump()
    config = SamplingConfig.parse(merge(base, {k: v for k, v in given.items() if v is not None}))
    made = stage.run(
        tokenizer, prior, n, config, labels=label, match_labels=match_labels, seed=seed, progress=RichProgress()
    )
    write_series(out, made.X, made.y, made.meta)
    print(f"{len(made.X)} series of {made.X.shape[1]} channel(s) and {made.X.shape[2]} time points: {out}")


@app.command()
def evaluate(
    data: Data,
    synthetic: Annotated[Path, typer.Argument(help="file of synthetic series, from any generator")],
    out: Annotated[Path, typer.Option("--out", help="folder for report.html, report.json and samples.png")],
    protocol: Annotated[
        str, typer.Option("--protocol", help="honest (every measure), or the published ones: ucr, windows")
    ] = "honest",
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
    from timeloom.data import read_series
    from timeloom.progress import RichProgress
    from timeloom.stages import evaluate as stage

    real = _load(data, window, split=protocol != "windows")
    X, y, _ = read_series(synthetic)
    models = None if run is None else stage.Models.load(run)
    report = stage.run(
        real,
        X,
        y,
        out,
        protocol=protocol,  # type: ignore[arg-type]
        metrics=_listed(metrics),
        n_seeds=seeds,
        seed=seed,
        models=models,
        cache=_cache(cache),
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
    from timeloom.data import read_series
    from timeloom.progress import RichProgress
    from timeloom.stages import evaluate as stage

    names = [path.stem for path in synthetic]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"two files are called {twice[0]}: a report is named after its file; rename one of them")
    real = _load(data, window)
    generators = {path.stem: read_series(path)[:2] for path in synthetic}
    reports = stage.compare(
        real,
        generators,
        out,
        metrics=_listed(metrics),
        n_seeds=seeds,
        seed=seed,
        cache=_cache(cache),
        progress=RichProgress(),
    )
    print(stage.comparison_table(reports))
    print(f"\n{out / stage.COMPARISON}, and a report in {out}/NAME for each")


@app.command()
def encode(
    run: Run,
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="file to write: .npz (X_train, y_train, X_test, y_test)")],
    kind: Annotated[
        str, typer.Option("--kind", help="tokens, codes (a vector for each cell), pooled (a vector for each series)")
    ] = "pooled",
    window: Window = None,
) -> None:
    """Write what a run's tokenizer makes of series, as arrays."""
    from timeloom.progress import RichProgress
    from timeloom.stages import encode as stage

    tokenizer = stage.load(run)
    arrays = stage.run(tokenizer, _load(data, window), kind, out, progress=RichProgress())  # type: ignore[arg-type]
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
    found = stage.run(tokenizer, _load(data, window), n_seeds=seeds, progress=RichProgress())
    if json:
        print(dumps({name: of._asdict() for name, of in found.items()}))
        return
    print("accuracy on the test split from pooled codes, ± deviation over the draws")
    for name, of in found.items():
        print(f"{name:<10} {100 * of.mean:5.1f} % ± {100 * of.std:.1f}")


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
    found = stage.run(tokenizer, _load(data, window), out, level=level, progress=RichProgress())
    for name, of in found.items():
        use = f"{of.used} of {of.codebook_size} codes used, perplexity {of.perplexity:.1f}"
        print(f"{name}: {use}, mean |cosine| of used codes {of.cosine:.3f}")
    print(out)


@app.command()
def info(run: Run) -> None:
    """Tell what a checkpoint is: data, classes, shapes, levels, sizes, versions."""
    from timeloom.stages import sample as stage
    from timeloom.stages.train import facts, read_record

    tokenizer, prior = stage.load(run)
    for name, value in facts(tokenizer, prior, read_record(run)).items():
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


def _listed(names: list[str] | None) -> list[str] | None:
    return None if names is None else [part.strip() for name in names for part in name.split(",") if part.strip()]


def _cache(kept: bool) -> EncoderCache:
    from timeloom.evaluation.cache import EncoderCache, default_folder

    return EncoderCache(default_folder() if kept else None)


def _load(source: str, window: int | None = None, split: bool = True) -> Dataset:
    from timeloom import data

    loaded = data.load(source, window)
    if split:
        loaded = loaded.with_test_split()
    for note in loaded.notes:
        print(f"{loaded.name}: {note}", file=sys.stderr)
    return loaded


def _train(
    stages: tuple[str, ...],
    source: str,
    out: Path,
    preset: str,
    config_files: list[Path] | None,
    overrides: list[str] | None,
    seed: int,
    resume: bool,
    overwrite: bool,
    window: int | None,
) -> None:
    from timeloom.progress import RichProgress
    from timeloom.stages import run_config
    from timeloom.stages import train as stage

    if resume and overwrite:
        raise InputError(
            "--resume and --overwrite: one goes on with the run, the other throws it away; give one of them"
        )
    config = run_config.build(preset, config_files or (), overrides or (), seed=seed)
    data = _load(source, window)
    try:
        record = stage.run(
            data, config, out, stages=stages, resume=resume, overwrite=overwrite, progress=RichProgress()
        )
    except KeyboardInterrupt:
        print(f"interrupted; the same command with --resume goes on from the last checkpoint in {out}", file=sys.stderr)
        raise typer.Exit(130) from None
    for name in stages:
        done = record["stages"][name]
        best = f", best at step {done['best_step']}" if "best_step" in done else ""
        print(f"{name:<10} {done['seconds']:7.1f} s, {done['steps']} steps{best}")
    print(f"{out}" + ("" if "prior" in record["stages"] else ": next, timeloom train-prior with the same arguments"))


def main() -> None:
    """Run the command line; what the user can mend is one line and exit status 2."""
    try:
        app()
    except (InputError, OSError) as error:
        print(f"timeloom: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
