"""The configuration of a whole run: one section a stage, and the presets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from timeloom.config import Frozen, merge_all, parse_override, read_yaml
from timeloom.errors import InputError
from timeloom.prior.decoding import SamplingConfig
from timeloom.prior.prior import PriorConfig
from timeloom.stages.train_prior import PriorTraining
from timeloom.stages.train_tokenizer import TokenizerTraining
from timeloom.tokenizer.config import TokenizerConfig
from timeloom.training import TrainerConfig

PRESETS = ("smoke", "small", "base")
DEFAULT_PRESET = "small"


class RunConfig(Frozen):
    """Everything that decides what a training run does.

    Attributes:
        seed: source of all randomness.
        tokenizer: shape of stage 1's model.
        tokenizer_training: its optimisation.
        prior: shape of stage 2's model.
        prior_training: its optimisation.
        sampling: default decoding of this run.
        trainer: the engine.
    """

    seed: int = Field(default=0, ge=0, lt=2**32)
    tokenizer: TokenizerConfig = TokenizerConfig()
    tokenizer_training: TokenizerTraining = TokenizerTraining()
    prior: PriorConfig = PriorConfig()
    prior_training: PriorTraining = PriorTraining()
    sampling: SamplingConfig = SamplingConfig()
    trainer: TrainerConfig = TrainerConfig()


def preset_path(name: str) -> Path:
    """Where a preset's YAML lies: inside the installed package, or in the checkout.

    Raises:
        InputError: there is no such preset.
    """
    if name not in PRESETS:
        raise InputError(f"preset = {name!r}: must be one of {', '.join(PRESETS)}")
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "configs", package.parents[1] / "configs"):
        if (folder / f"{name}.yaml").exists():
            return folder / f"{name}.yaml"
    raise InputError(f"preset {name!r}: {name}.yaml is missing from this installation; install timeloom again")


def build(
    preset: str = DEFAULT_PRESET,
    files: Sequence[Path] = (),
    overrides: Iterable[str] = (),
    values: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> RunConfig:
    """Lay a preset, files, nested values, `a.b=c` overrides and a seed over each other, in this order.

    Raises:
        InputError: an unknown key or preset, a wrong type, or an impossible value.
    """
    layers = [read_yaml(preset_path(preset)), *map(read_yaml, files), dict(values or {})]
    layers += [parse_override(text) for text in overrides]
    if seed is not None:
        layers.append({"seed": seed})
    return RunConfig.parse(merge_all(layers))
