"""Both training stages in a row, in a run folder that remembers what was done.

A run folder holds `tokenizer/`, `prior/`, `logs/` and `run.json` (configuration, data, times, versions).
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from timeloom import __version__
from timeloom.checkpoint import CARD, fingerprint
from timeloom.data import Dataset
from timeloom.data.channels import count_channels
from timeloom.data.spec import DataSpec
from timeloom.errors import InputError
from timeloom.files import check_folder, read_json, write_json
from timeloom.prior.decoding import SamplingConfig
from timeloom.prior.prior import Prior, check_guidance
from timeloom.progress import Progress, silent
from timeloom.stages import train_prior, train_tokenizer
from timeloom.stages.run_config import RunConfig
from timeloom.tokenizer.networks import parameter_count
from timeloom.tokenizer.tokenizer import Tokenizer
from timeloom.training import check_processes, seconds_spent

RECORD = "run.json"
TOKENIZER_SECTIONS = ("tokenizer", "tokenizer_training")
STAGES = (train_tokenizer.FOLDER, train_prior.FOLDER)


def run(
    data: Dataset,
    config: RunConfig,
    out: Path,
    *,
    stages: Sequence[str] = STAGES,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train the stages in order and keep the record in `out/run.json`.

    Args:
        data: its training split is learned.
        config: what to do.
        out: the run folder.
        stages: `tokenizer`, `prior`, or both.
        resume: go on with an interrupted run; finished stages are left as they are.
        overwrite: throw away what these stages left in `out` before.
        progress: told the step and the loss.

    Returns:
        The record.

    Raises:
        InputError: `out` holds a run already, or one that does not fit to be resumed.
    """
    unknown = set(stages) - set(STAGES)
    if unknown or not stages:
        raise InputError(f"stages = {list(stages)}: expected one or both of {list(STAGES)}")
    stages = [stage for stage in STAGES if stage in stages]
    check_way(out, resume, overwrite)
    if train_tokenizer.FOLDER not in stages:
        train_prior.matching_tokenizer(data, out)
    else:
        spec = train_tokenizer.describe(data)
        train_tokenizer.check_batch(config.tokenizer, spec, config.tokenizer_training, config.trainer)
        check_processes(config.tokenizer_training, config.trainer)
        config.tokenizer.resolve(spec)
    if train_prior.FOLDER in stages:
        check_processes(config.prior_training, config.trainer)
        if config.sampling.guidance_scale != "auto":
            n_classes = len(data.classes or ())
            check_guidance(config.sampling.guidance_scale, n_classes, config.prior.label_drop)
    record = _open(data, config, out, stages, resume, overwrite)
    shared = {"seed": config.seed, "resume": resume, "progress": progress}
    for stage in stages:
        # one that was cut short between its model and its record is done again, from its last checkpoint
        if resume and stage in record["stages"] and (out / stage / CARD).exists():
            continue
        earlier = seconds_spent(out, stage)
        if stage == train_tokenizer.FOLDER:
            figures = train_tokenizer.run(
                data,
                config.tokenizer,
                config.tokenizer_training,
                config.trainer,
                out,
                **shared,  # type: ignore[arg-type]
            )
        else:
            figures = train_prior.run(
                data,
                config.prior,
                config.prior_training,
                config.trainer,
                _sampling(config, record),
                out,
                **shared,  # type: ignore[arg-type]
            )
        record["stages"][stage] = {**figures, "seconds": earlier + float(figures["seconds"])}
        write_json(out / RECORD, record)
        for checkpoint in out.glob(f"{stage}*-last.ckpt"):
            checkpoint.unlink(missing_ok=True)  # the stage is done: nothing is left to resume
    return record


def _sampling(config: RunConfig, record: dict[str, Any]) -> SamplingConfig:
    """The settings that decoding is chosen with: an amount of texture that was given for stage 1 stays."""
    given = record["config"]["tokenizer_training"]["texture"]
    if given == "auto" or config.sampling.texture != "auto":
        return config.sampling
    return config.sampling.model_copy(update={"texture": given})


def kept_steps(figures: dict[str, Any]) -> int | None:
    """After how many steps a stage's weights were kept, by its figures in the record; None where it was the last.

    Of the prior's states one was chosen; the tokenizer keeps its best, or as many steps on all series.
    """
    return figures.get("trained_steps", figures.get("best_step"))


def _training_facts(figures: dict[str, Any]) -> str:
    kept = kept_steps(figures)
    return f"{figures['seconds']:.0f} s" + (f", kept after {kept} of {figures['steps']} steps" if kept else "")


def check_way(out: Path, resume: bool, overwrite: bool) -> None:
    """Refuse what no training can begin with.

    Raises:
        InputError: `out` is a file, or it is both to be gone on with and to be thrown away.
    """
    if resume and overwrite:
        raise InputError("--resume and --overwrite: one goes on with the run, the other replaces it; give one of them")
    check_folder(out)


def saved_sampling(out: Path) -> SamplingConfig:
    """How a run decodes unless told otherwise; its settings of training may be those of another version.

    Raises:
        InputError: `run.json` is missing, damaged, or of a version that decoded in another way.
    """
    config = read_record(out)["config"]
    try:
        return SamplingConfig.parse(config["sampling"])
    except (KeyError, TypeError):
        raise InputError(f"{out / RECORD}: damaged, its config has no sampling") from None
    except InputError as error:
        raise InputError(f"{out / RECORD}: {error}; train it again or install the version that wrote it") from None


def read_record(out: Path) -> dict[str, Any]:
    """What `run.json` remembers of a run.

    Raises:
        InputError: it is missing or damaged, or the run is that of an encoder.
    """
    record = read_json(out / RECORD)
    if "encoder" in record:
        raise InputError(f"{out}: is the run of an encoder, as {RECORD} says; allowed: the run of a generator")
    missing = {"timeloom", "config", "data", "stages", "versions"} - record.keys()
    if missing:
        raise InputError(f"{out / RECORD}: damaged, it lacks {', '.join(sorted(missing))}")
    return record


def facts(tokenizer: Tokenizer, prior: Prior | None, record: dict[str, Any]) -> dict[str, str]:
    """What a person wants to know of a run, by name; its prior may not be trained yet."""
    spec, layout = tokenizer.spec, tokenizer.layout
    classes = (
        "none"
        if spec.classes is None
        else ", ".join(f"{label} ({count})" for label, count in zip(spec.classes, spec.class_counts or (), strict=True))
    )
    cells = " + ".join(map(str, layout.grids))
    stages = record["stages"].items()
    return {
        "data": f"{spec.name}, {spec.n_train} training series, fingerprint {spec.fingerprint}",
        "series": _series_facts(spec),
        "samples": _samples_facts(spec),
        "classes": classes,
        "front end": tokenizer.front.describe(),
        "grids": f"{cells} cells, {layout.levels} level(s), {layout.codebook_size} codes each",
        "self-supervised": tokenizer.config.ssl.describe(),
        "tokenizer": f"{parameter_count(tokenizer):,} parameters, fingerprint {tokenizer.fingerprint}",
        **_prior_facts(tokenizer, prior),
        "training": ", ".join(f"{name} {_training_facts(figures)}" for name, figures in stages),
        "seed": str(record["config"]["seed"]),
        "versions": ", ".join(f"{k} {v}" for k, v in {"timeloom": record["timeloom"], **record["versions"]}.items()),
    }


def _series_facts(spec: DataSpec) -> str:
    names = "" if spec.channels is None else f" ({', '.join(spec.channels)})"
    return f"{count_channels(spec.n_channels)}{names}, {spec.length} time points"


def _samples_facts(spec: DataSpec) -> str:
    known = {"mean": spec.own_mean, "deviation": spec.own_std}
    shared = [name for name, of in known.items() if any(value is not None for value in of or ())]
    also = f", and with the {' and '.join(shared)} that every training series has" if shared else ""
    return f"within the range of the training values{also}"


def _prior_facts(tokenizer: Tokenizer, prior: Prior | None) -> dict[str, str]:
    if prior is None:
        return {"prior": "not trained yet"}
    decoding = prior.decoding.model_dump()
    texture = decoding.pop("texture")
    amount = float(tokenizer.texture_amount) if texture == "auto" else texture
    drawn = "as Gaussian noise" if tokenizer.flow is None else "drawn by the residual flow"
    return {
        "prior": f"{parameter_count(prior):,} parameters, fingerprint {fingerprint(prior)}",
        "texture": f"{amount:.0%} of what reconstruction smooths away, {drawn}",
        "decoding": ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in decoding.items()),
    }


def _open(
    data: Dataset, config: RunConfig, out: Path, stages: Sequence[str], resume: bool, overwrite: bool
) -> dict[str, Any]:
    wanted = config.model_dump(mode="json")
    before = read_record(out) if (out / RECORD).exists() else None
    if resume and before is not None:
        _check_same(before, wanted, data, out, stages)
        return before
    begun = [stage for stage in stages if (out / stage).exists() or list(out.glob(f"{stage}*-last.ckpt"))]
    if begun and not overwrite:
        way = "its run.json is missing, so only --overwrite helps" if resume else "--resume goes on with it"
        raise InputError(f"--out {out}: holds a {begun[0]} already; {way}, --overwrite replaces it")
    # a prior is worth nothing without the tokenizer that it was trained on
    for stage in STAGES[STAGES.index(stages[0]) :] if begun else ():
        shutil.rmtree(out / stage, ignore_errors=True)
        for checkpoint in out.glob(f"{stage}*-last.ckpt"):
            checkpoint.unlink(missing_ok=True)
    record: dict[str, Any] = {
        "timeloom": __version__,
        "data": {"name": data.name, "fingerprint": data.fingerprint, "notes": list(data.notes)},
        "config": wanted,
        "stages": {},
        "versions": {"python": platform.python_version(), **{p: version(p) for p in ("torch", "lightning", "numpy")}},
    }
    if before is not None and train_tokenizer.FOLDER not in stages:
        record["stages"] = {k: v for k, v in before["stages"].items() if k not in stages}
        for section in TOKENIZER_SECTIONS:  # what the tokenizer was made with, not what is asked now
            record["config"][section] = before["config"][section]
    write_json(out / RECORD, record)
    return record


def _check_same(
    before: dict[str, Any], wanted: dict[str, Any], data: Dataset, out: Path, stages: Sequence[str]
) -> None:
    if before["data"]["fingerprint"] != data.fingerprint:
        raise InputError(
            f"--resume {out}: was trained on {before['data']['name']}, which is other data than {data.name}"
        )
    for key, old, new in _differences(before["config"], wanted):
        section = key.partition(".")[0]
        finished = section in TOKENIZER_SECTIONS and train_tokenizer.FOLDER not in stages
        if section != "trainer" and not finished:
            raise InputError(
                f"--resume {out}: {key} was {old!r} when the run began and is {new!r} now; keep it the same"
            )


def _differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(name), new.get(name), f"{key}.{name}" if key else name)
    elif old != new:
        yield key, old, new
