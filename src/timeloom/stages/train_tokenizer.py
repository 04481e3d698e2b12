"""Stage 1: train the tokenizer on series."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from timeloom.data import Dataset, Scaler
from timeloom.data.missing import fill_missing
from timeloom.data.spec import DataSpec
from timeloom.progress import Progress, silent
from timeloom.tokenizer.tokenizer import Tokenizer, TokenizerConfig
from timeloom.training import Batch, OptimConfig, TrainerConfig, fit

FOLDER = "tokenizer"


class TokenizerTraining(OptimConfig):
    """Optimisation of stage 1."""

    steps: int = Field(default=1500, ge=1)
    lr: float = Field(default=2e-3, gt=0)


@dataclass(frozen=True)
class TokenizerTask:
    """What the engine trains in stage 1."""

    config: TokenizerConfig
    spec: DataSpec

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each term of the tokenizer's loss."""
        return self.config.term_weights()

    def build(self) -> Tokenizer:
        """A fresh tokenizer."""
        return Tokenizer(self.config, self.spec)

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The tokenizer's terms; they need no randomness of their own."""
        return dict(model(batch["scaled"], batch.get("observed")).terms)


def describe(data: Dataset) -> DataSpec:
    """What the checkpoints will remember of the training split."""
    scaler = Scaler.fit(data.X_train)
    counts = None
    if data.y_train is not None and data.classes is not None:
        counts = tuple(int((data.y_train == label).sum()) for label in data.classes)
    return DataSpec(
        name=data.name,
        fingerprint=data.fingerprint,
        n_train=len(data.X_train),
        n_channels=data.n_channels,
        length=data.length,
        mean=tuple(scaler.mean.tolist()),
        std=tuple(scaler.std.tolist()),
        classes=data.classes,
        class_counts=counts,
    )


def run(
    data: Dataset,
    config: TokenizerConfig,
    training: TokenizerTraining,
    trainer: TrainerConfig,
    out: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    progress: Progress = silent,
) -> dict[str, float]:
    """Train on the training split and write `out/tokenizer`.

    Returns:
        seconds and steps, for the run's record.
    """
    start = time.perf_counter()
    spec = describe(data)
    task = TokenizerTask(config.resolve(spec), spec)
    filled, observed = fill_missing(data.X_train)
    batch = {"scaled": torch.from_numpy(Scaler(np.array(spec.mean), np.array(spec.std)).transform(filled))}
    if not observed.all():
        batch["observed"] = torch.from_numpy(observed)
    result = fit("tokenizer", task, batch, training, trainer, out, seed=seed, resume=resume, progress=progress)
    with torch.random.fork_rng(devices=[]):
        tokenizer = task.build()
    tokenizer.load_state_dict(result.state)
    tokenizer.save_pretrained(out / FOLDER)
    return {"seconds": time.perf_counter() - start, "steps": training.steps}
