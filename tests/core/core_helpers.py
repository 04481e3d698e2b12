"""Tiny real objects that several core tests share (importable, so that spawned processes can unpickle them)."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from timeloom.data import Dataset
from timeloom.data.spec import DataSpec
from timeloom.stages import run_config
from timeloom.stages.run_config import RunConfig
from timeloom.stages.train_tokenizer import TokenizerTask
from timeloom.tokenizer.config import TokenizerConfig
from timeloom.tokenizer.tokenizer import Tokenizer
from timeloom.training import Batch

QUIET = ("trainer.logger=none", "trainer.accelerator=cpu", "trainer.threads=1")


def sines(n: int = 40, channels: int = 1, length: int = 32, seed: int = 0) -> Dataset:
    """Sines of two frequencies; three in five are labelled "fast", the others "slow"."""
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(n) % 5 < 3, "fast", "slow")
    pace = np.where(y == "fast", 0.8, 0.3)[:, None, None]
    phase = rng.uniform(0, 2 * np.pi, (n, channels, 1))
    X = 5 + 3 * np.sin(pace * np.arange(length) + phase) + rng.normal(0, 0.1, (n, channels, length))
    return Dataset("sines", X.astype(np.float32), y, None, None)


def smoke(*overrides: str, seed: int = 0) -> RunConfig:
    """The smoke preset without logs, on one CPU thread."""
    return run_config.build("smoke", overrides=[*QUIET, *overrides], seed=seed)


def spec(channels: int = 1, length: int = 32, n_train: int = 40) -> DataSpec:
    """Facts about an imagined data set whose scaler is not the identity."""
    return DataSpec(
        name="made up",
        fingerprint="0123456789abcdef",
        n_train=n_train,
        n_channels=channels,
        length=length,
        mean=tuple(float(c + 1) for c in range(channels)),
        std=tuple(float(c + 2) for c in range(channels)),
        classes=("a", "b"),
        class_counts=(n_train // 4, n_train - n_train // 4),
    )


def tokenizer_config(**sections: object) -> TokenizerConfig:
    """A small tokenizer without a self-supervised loss or that of classes; sections replace the defaults below."""
    small = {
        "hidden": 8,
        "blocks": 1,
        "quantizer": {"codebook_size": 8, "codebook_dim": 4},
        "ssl": {"loss": "none"},
    }
    weights = {"class_nll": 0.0, **sections.pop("weights", {})}  # type: ignore[call-overload]
    return TokenizerConfig.parse({**small, **sections, "weights": weights})


def fitted_tokenizer(config: TokenizerConfig, facts: DataSpec, seed: int = 0) -> Tokenizer:
    """A tokenizer whose codebook has seen a few batches of noise, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Tokenizer(config, facts).train()
        for _ in range(3):
            model(torch.randn(32, facts.n_channels, facts.length))
    return model.eval()


@functools.cache
def two_grids() -> Tokenizer:
    """A tokenizer of two grids of two levels, for series of two channels; shared, so only to be read."""
    levels = {"codebook_size": 8, "codebook_dim": 4, "levels": 2}
    return fitted_tokenizer(tokenizer_config(quantizer=levels, front={"bands": [2]}), spec(channels=2))


def two_splits() -> Dataset:
    """Sines of two channels for it, 40 to train on and 30 to test."""
    train, test = sines(40, channels=2), sines(30, channels=2, seed=1)
    return dataclasses.replace(train, X_test=test.X_train, y_test=test.y_train)


@dataclass(frozen=True)
class LineTask:
    """Least squares with a dropout layer: the smallest task whose steps use every source of randomness."""

    weight: float = 1.0
    terms: tuple[str, ...] = ("error",)

    @property
    def weights(self) -> dict[str, float]:
        """One weight a term."""
        return dict.fromkeys(self.terms, self.weight)

    def build(self) -> nn.Module:
        """A line behind a dropout layer."""
        return nn.Sequential(nn.Dropout(0.3), nn.Linear(3, 1))

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Squared error of the line on slightly noisy input."""
        noise = 0.1 * torch.randn(batch["x"].shape, generator=generator)
        return {"error": (model(batch["x"] + noise)[:, 0] - batch["y"]).square().mean()}


def line_data(n: int = 24) -> Batch:
    """Points of a known line."""
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(5))
    return {"x": x, "y": x @ torch.tensor([1.0, -2.0, 0.5])}


def enough_everywhere(state: dict[str, Tensor]) -> bool:
    """Ends a training (`Stopping.enough`) as soon as it is asked."""
    assert state
    return True


@dataclass(frozen=True)
class WatchedTokenizerTask(TokenizerTask):
    """The tokenizer's task, which also leaves each process's codebook and threads on disk after each step."""

    folder: Path = Path()

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The tokenizer's terms; the codebook after them goes to `folder/rank-R.pt`."""
        terms = super().loss(model, batch, generator)
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        (self.folder / f"threads-{rank}").write_text(str(torch.get_num_threads()))
        torch.save({k: v.clone() for k, v in model.state_dict().items()}, self.folder / f"rank-{rank}.pt")
        return terms


class Drifting(LineTask):
    """A model of one number that leaves its best value again: it walks from 0 upwards, the held-out optimum is 1."""

    def build(self) -> nn.Module:
        """A single weight of 0; a list of the values that were judged."""
        object.__setattr__(self, "judged", [])
        made = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(made.weight)
        return made

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Upwards without end in training, the distance from 1 in judging."""
        assert isinstance(model, nn.Linear)
        if model.training:
            return {"error": -model.weight.sum() + 0 * batch["x"].sum()}
        self.judged.append(model.weight.item())  # type: ignore[attr-defined]
        return {"error": (model.weight.sum() - 1).square()}
