"""Train an encoder by itself, in a run folder of its own: `encoder/` and `run.json`."""

from __future__ import annotations

import inspect
import platform
import shutil
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self, get_type_hints

from pydantic import Field, create_model, model_validator

from timeloom import __version__
from timeloom.config import Frozen, merge_all, parse_override
from timeloom.data import Dataset
from timeloom.data.channels import count_channels
from timeloom.encoders import ENCODERS, FOLDER, AnyEncoder, load_encoder
from timeloom.errors import InputError
from timeloom.files import read_json, write_json
from timeloom.progress import Progress, silent
from timeloom.stages.train import RECORD, STAGES, check_way

CHECKPOINT = f"{FOLDER}-last.ckpt"  # of a training that was cut short
# what says how long an encoder trains; 0 leaves it as it was drawn
STEPS = "steps"
MAY_BE_ZERO = {"seed", STEPS, "segments"}


class EncoderConfig(Frozen):
    """Which encoder, with which settings.

    Attributes:
        encoder: a key of `ENCODERS`.
        seed: source of all randomness, for the encoders that have any.
        settings: the other arguments of the encoder's constructor that differ from its defaults.
    """

    encoder: str
    seed: int = Field(default=0, ge=0, lt=2**32)
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.encoder not in ENCODERS:
            raise InputError(f"encoder = {self.encoder!r}: must be one of {', '.join(ENCODERS)}")
        if "seed" in self.settings:
            raise InputError(f"seed = {self.settings['seed']!r}: is no setting of its own; allowed: --seed")
        _settings_model(self.encoder).parse(self.settings)
        return self

    def make(self) -> AnyEncoder:
        """The encoder, not fitted."""
        cls = ENCODERS[self.encoder]
        settings = _settings_model(self.encoder).parse(self.settings).model_dump(exclude_unset=True)
        if "seed" in inspect.signature(cls).parameters:
            settings["seed"] = self.seed
        return cls(**settings)

    def untrained(self) -> EncoderConfig | None:
        """The control: the same encoder with no step of training; None for an encoder that does not train."""
        if STEPS not in inspect.signature(ENCODERS[self.encoder]).parameters:
            return None
        return self.model_copy(update={"settings": {**self.settings, STEPS: 0}})


def build(encoder: str, overrides: Iterable[str] = (), seed: int = 0) -> EncoderConfig:
    """The configuration of `key=value` overrides.

    Raises:
        InputError: an unknown encoder or key, a wrong type, or a number that is too small.
    """
    settings = merge_all(map(parse_override, overrides))
    own = settings.pop(encoder, {})  # `ts2vec.steps=50`, as benchmarks have it, is as good as `steps=50`
    settings |= own if isinstance(own, dict) else {encoder: own}
    return EncoderConfig.parse({"encoder": encoder, "seed": seed, "settings": settings})


def _settings_model(encoder: str) -> type[Frozen]:
    """The arguments of an encoder's constructor, checked like any other configuration."""
    cls = ENCODERS[encoder]
    hints = get_type_hints(cls.__init__)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        counts = isinstance(parameter.default, int) and not isinstance(parameter.default, bool)
        least = 1 if counts and parameter.default > 0 and name not in MAY_BE_ZERO else 0
        number = counts or isinstance(parameter.default, float) or name in MAY_BE_ZERO
        fields[name] = (hints[name], Field(default=parameter.default, ge=least) if number else parameter.default)
    return create_model(f"{cls.__name__}Settings", __base__=Frozen, **fields)


def run(
    data: Dataset,
    config: EncoderConfig,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Fit the encoder to the training split and keep it in `out/encoder` and its record in `out/run.json`.

    Args:
        data: its training split is learned, with its labels where the encoder takes any.
        config: what to do.
        out: the run folder.
        resume: go on with a training that was cut short; a finished one is left as it is.
        overwrite: replace the encoder that an earlier run left there, once the new one is trained.
        progress: told the step and the loss.

    Returns:
        The record.

    Raises:
        InputError: `out` holds a run already, or one that does not fit to be resumed, or the encoder cannot learn from
            the data (no labels, too short, ...).
    """
    _check_out(out, resume, overwrite)
    begun = (out / CHECKPOINT).exists()  # after the encoder that may be there, which it is to replace
    if resume and begun and not config.untrained():
        raise InputError(f"--resume {out}: holds the training of an encoder, {config.encoder} has none to go on with")
    if resume and not begun and (out / FOLDER).exists():
        return _finished(out, config, data)
    if not resume:
        (out / CHECKPOINT).unlink(missing_ok=True)
    start = time.perf_counter()
    fitted = fit(config, data, checkpoint=out / CHECKPOINT, progress=progress)
    seconds = time.perf_counter() - start
    _replace(out / FOLDER, fitted)
    record = {
        "timeloom": __version__,
        "data": {"name": data.name, "fingerprint": data.fingerprint, "notes": list(data.notes)},
        "encoder": config.model_dump(mode="json"),
        "shape": [data.n_channels, data.length],
        "n_train": len(data.X_train),
        "seconds": seconds,
        "versions": {"python": platform.python_version(), **{p: version(p) for p in ("torch", "numpy")}},
    }
    write_json(out / RECORD, record)
    (out / CHECKPOINT).unlink(missing_ok=True)
    return record


def _replace(folder: Path, fitted: AnyEncoder) -> None:
    """Save an encoder in place of what is there, which stays until the new one is written."""
    new, old = (folder.with_name(f".{folder.name}-{part}") for part in ("new", "old"))
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    try:
        fitted.save(new)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def fit(
    config: EncoderConfig, data: Dataset, *, checkpoint: Path | None = None, progress: Progress = silent
) -> AnyEncoder:
    """The encoder, fitted to the training split; one that trains keeps its state in `checkpoint` and goes on from it.

    Raises:
        InputError: it cannot learn from these data, or the checkpoint does not belong to them.
    """
    encoder = config.make()
    kept: dict[str, Any] = {"checkpoint": checkpoint} if config.untrained() else {}
    try:
        return encoder.fit(data.X_train, data.y_train, progress=progress, **kept)
    except InputError as error:
        raise InputError(f"{data.name}, encoder {config.encoder}: {error}") from None


def load(run: Path) -> AnyEncoder:
    """The encoder of a run folder.

    Raises:
        InputError: it is missing or damaged.
    """
    if not (run / FOLDER).exists():
        if (run / CHECKPOINT).exists():
            raise InputError(
                f"{run}: its training was cut short; `timeloom train-encoder DATA --out {run} --resume` goes on with it"
            )
        raise InputError(f"{run}: holds no {FOLDER}; `timeloom train-encoder DATA --out {run}` makes one")
    return load_encoder(run / FOLDER)


def facts(run: Path) -> dict[str, str]:
    """What a person wants to know of an encoder's run, by name.

    Raises:
        InputError: its record is missing or damaged.
    """
    record = read_json(run / RECORD)
    try:
        data, config = record["data"], record["encoder"]
        made = EncoderConfig.parse(config).make().settings
        settings = ", ".join(f"{name} {value}" for name, value in made.items() if name != "seed")
        versions = {"timeloom": record["timeloom"], **record["versions"]}
        return {
            "data": f"{data['name']}, {record['n_train']} training series, fingerprint {data['fingerprint']}",
            "series": f"{count_channels(record['shape'][0])}, {record['shape'][1]} time points",
            "encoder": config["encoder"],
            "settings": settings,
            "training": f"{record['seconds']:.0f} s",
            "seed": str(config["seed"]),
            "versions": ", ".join(f"{name} {value}" for name, value in versions.items()),
        }
    except (KeyError, TypeError, IndexError, AttributeError, ValueError):
        raise InputError(f"{run / RECORD}: damaged, or not the record of an encoder's run") from None


def _finished(out: Path, config: EncoderConfig, data: Dataset) -> dict[str, Any]:
    """The record of a run that has nothing left to do."""
    record = read_json(out / RECORD)
    try:
        same = record["data"]["fingerprint"] == data.fingerprint and EncoderConfig.parse(record["encoder"]) == config
    except (KeyError, TypeError):
        raise InputError(f"{out / RECORD}: damaged, or not the record of an encoder's run") from None
    if not same:
        raise InputError(f"--resume {out}: holds an encoder of other data or settings; --overwrite replaces it")
    return record


def _check_out(out: Path, resume: bool, overwrite: bool) -> None:
    check_way(out, resume, overwrite)
    generator = [name for name in STAGES if (out / name).exists()]
    if generator:
        raise InputError(f"--out {out}: holds a generator's {generator[0]}; allowed: a folder of its own")
    if resume or overwrite:
        return
    if (out / FOLDER).exists():
        raise InputError(f"--out {out}: holds an {FOLDER} already; --overwrite replaces it")
    if (out / CHECKPOINT).exists():
        raise InputError(f"--out {out}: holds a training that was cut short; --resume goes on, --overwrite begins anew")
