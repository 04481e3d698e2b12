"""The glue to the training engine (Lightning): batches, seeds, averages, checkpoints. It knows no model by name.

A run that was killed and resumed gives the same weights as one that was not: batches and seeds are pure functions of
(seed, step, rank), and everything that a step changes is inside the module's state.
"""

from __future__ import annotations

import copy
import logging
import math
import os
import signal
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from timeloom.config import Frozen
from timeloom.errors import InputError
from timeloom.progress import Progress, silent

Batch = dict[str, Tensor]


class OptimConfig(Frozen):
    """How one stage is optimised (AdamW, linear warm-up, cosine decay to a tenth).

    Attributes:
        steps: optimiser steps.
        batch_size: series a step, over all processes together.
        lr: peak learning rate.
        weight_decay: AdamW's, on matrices only.
        warmup: steps of linear warm-up.
        clip: largest gradient norm.
        average: memory of the running average of the weights (EMA); 0 is off.
    """

    steps: int = Field(ge=1)
    batch_size: int = Field(default=32, ge=1)
    lr: float = Field(gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: int = Field(default=50, ge=0)
    clip: float = Field(default=1.0, gt=0)
    average: float = Field(default=0.0, ge=0, lt=1)


class TrainerConfig(Frozen):
    """Where and how the engine runs.

    Attributes:
        accelerator: `auto` takes a GPU if there is one.
        devices: processes on this machine, one a device.
        num_nodes: machines (start every one with the cluster's launcher, such as torchrun or srun).
        precision: as Lightning names it.
        compile: compile the model's step with torch.compile: slow to start, faster from then on.
        logger: `csv`, `tensorboard`, `wandb`, or `none`.
        log_every: steps between two log lines.
        checkpoint_every: steps between two checkpoints that `--resume` can go on from.
        threads: CPU threads of each process; null leaves PyTorch's choice.
    """

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = Field(default=1, ge=1)
    num_nodes: int = Field(default=1, ge=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    compile: bool = False
    logger: Literal["csv", "tensorboard", "wandb", "none"] = "csv"
    log_every: int = Field(default=50, ge=1)
    checkpoint_every: int = Field(default=250, ge=1)
    threads: int | None = Field(default=None, ge=1)


class Task(Protocol):
    """What is trained: a small picklable object."""

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each loss term."""

    def build(self) -> nn.Module:
        """Make the model; called once a process, with the seed set."""

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The unweighted terms of one batch."""


@dataclass(frozen=True)
class Judging:
    """Choice of the best weights by the loss on data that takes no part in the training.

    Attributes:
        batch: the held-out data.
        every: steps between two looks.
        repeats: passes over the data in each look, for a loss that is itself random.
        patience: looks without a better loss after which training stops.
    """

    batch: Batch
    every: int
    repeats: int = 1
    patience: int = 1_000_000


@dataclass(frozen=True)
class FitResult:
    """What training leaves.

    Attributes:
        state: the state of the model: the best judged one, else the average, else the last.
        best_step: step of the best judged state, None without judging.
        best_loss: its loss.
    """

    state: dict[str, Tensor]
    best_step: int | None
    best_loss: float | None


def combine(terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Weighted sum of loss terms; a term without a weight, or a weight without a term, is a bug."""
    assert terms.keys() == weights.keys(), f"terms {sorted(terms)} and weights {sorted(weights)} differ"
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


def step_seed(seed: int, step: int, rank: int) -> int:
    """A well-mixed seed for one step of one process."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])


class StepBatches(Sampler[list[int]]):
    """Which series each step sees: a pure function of (seed, step, rank).

    Shuffled passes over the data follow each other without a gap; process `rank` takes every `world`-th series.
    """

    def __init__(
        self, n: int, batch_size: int, steps: int, seed: int, *, start: int = 0, rank: int = 0, world: int = 1
    ):
        super().__init__()
        self.n, self.batch_size, self.steps, self.seed = n, batch_size, steps, seed
        self.start, self.rank, self.world = start, rank, world

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        epoch, shuffled = -1, np.empty(0, dtype=np.int64)
        for step in range(self.start, self.steps):
            batch = []
            for place in range(step * self.batch_size + self.rank, (step + 1) * self.batch_size, self.world):
                if place // self.n != epoch:
                    epoch = place // self.n
                    shuffled = np.random.default_rng([self.seed, epoch]).permutation(self.n)
                batch.append(int(shuffled[place % self.n]))
            yield batch


class _Rows(Dataset[Batch]):
    """Tensors of equal length, read a whole batch at a time."""

    def __init__(self, tensors: Batch) -> None:
        self.tensors = tensors

    def __getitems__(self, rows: list[int]) -> Batch:
        index = torch.tensor(rows)
        return {name: tensor[index] for name, tensor in self.tensors.items()}


def _as_is(batch: Any) -> Any:
    return batch


class _Module(L.LightningModule):
    def __init__(
        self,
        task: Task,
        data: Batch,
        optim: OptimConfig,
        judging: Judging | None,
        seed: int,
        compiled: bool,
        log_every: int,
    ) -> None:
        super().__init__()
        self.task, self.data, self.optim, self.judging, self.seed = task, data, optim, judging, seed
        self.compiled, self.log_every = compiled, log_every
        self.model: nn.Module | None = None
        self.average: nn.Module | None = None
        self.best: nn.Module | None = None
        self.best_loss: Tensor
        self.best_step: Tensor
        self.register_buffer("finished", torch.tensor(False))
        self.finished: Tensor

    def configure_model(self) -> None:
        """Build the model here: a process group exists by now, which the codebooks must see."""
        if self.model is not None:
            return
        torch.manual_seed(self.seed)
        self.model = self.task.build()
        if self.optim.average:
            self.average = copy.deepcopy(self.model).requires_grad_(False)
        if self.judging is not None:
            self.best = copy.deepcopy(self.model).requires_grad_(False)
            self.register_buffer("best_loss", torch.tensor(math.inf, dtype=torch.float64))
            self.register_buffer("best_step", torch.tensor(0))
        if self.compiled:
            self.model.compile()

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches from the step that the run stands at."""
        n = len(next(iter(self.data.values())))
        batches = StepBatches(
            n,
            self.optim.batch_size,
            self.optim.steps,
            self.seed,
            start=self.trainer.global_step,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
        )
        return DataLoader(_Rows(self.data), batch_sampler=batches, collate_fn=_as_is)

    def configure_optimizers(self) -> Any:
        """AdamW; no decay on vectors nor on codebooks (an unused code would drift to zero)."""
        assert self.model is not None
        named = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        decayed = [p for name, p in named if p.ndim >= 2 and "codebook" not in name]
        plain = [p for name, p in named if p.ndim < 2 or "codebook" in name]
        groups = [{"params": decayed, "weight_decay": self.optim.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=self.optim.lr, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        warm = min(1.0, (step + 1) / max(self.optim.warmup, 1))
        return warm * (0.55 + 0.45 * math.cos(math.pi * min(step / self.optim.steps, 1.0)))

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make the step's randomness (dropout, revived codes) a function of the step alone."""
        torch.manual_seed(step_seed(self.seed, self.trainer.global_step, self.trainer.global_rank))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step's loss."""
        assert self.model is not None
        step = self.trainer.global_step
        generator = torch.Generator(self.device).manual_seed(step_seed(self.seed + 1, step, self.trainer.global_rank))
        terms = self.task.loss(self.model, batch, generator)
        loss = combine(terms, self.task.weights)
        if (step + 1) % self.log_every == 0 and self.trainer.logger is not None:
            self.log_dict({"loss": loss.detach(), **{k: v.detach() for k, v in terms.items()}})
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then average, then judge: all before the engine may write a checkpoint, so that resuming is exact."""
        super().optimizer_step(*args, **kwargs)
        step = self.trainer.global_step + 1
        if self.average is not None:
            _follow(self.average, self.model, min(self.optim.average, step / (step + 10)))
        if self.judging is not None and (step % self.judging.every == 0 or step == self.optim.steps):
            self._judge(step)

    @torch.no_grad()
    def _judge(self, step: int) -> None:
        assert self.judging is not None
        assert self.model is not None
        assert self.best is not None
        candidate = self.average if self.average is not None else self.model
        was_training = candidate.training
        candidate.eval()
        generator = torch.Generator(self.device).manual_seed(self.seed)  # the same masks at every look
        batch = {name: tensor.to(self.device) for name, tensor in self.judging.batch.items()}
        losses = [
            combine(self.task.loss(candidate, part, generator), self.task.weights)
            for part in [batch] * self.judging.repeats
        ]
        loss = torch.stack(losses).mean().double()
        candidate.train(was_training)
        if loss < self.best_loss:
            self.best.load_state_dict(candidate.state_dict())
            self.best_loss.copy_(loss)
            self.best_step.fill_(step)
        elif step - int(self.best_step) >= self.judging.patience * self.judging.every:
            self.trainer.should_stop = True

    def on_train_end(self) -> None:
        """Mark the state, which is written next, as one that needs no further step."""
        self.finished.fill_(True)


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module | None, decay: float) -> None:
    assert model is not None
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
        mine.copy_(theirs)


class _Report(L.Callback):
    def __init__(self, stage: str, progress: Progress, steps: int) -> None:
        self.stage, self.progress, self.every = stage, progress, max(steps // 200, 1)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        if trainer.is_global_zero and step % self.every == 0 and step < trainer.max_steps:
            self.progress(self.stage, step, trainer.max_steps, f"loss {float(outputs['loss']):.4f}")

    def on_train_end(self, trainer: Any, module: Any) -> None:
        if trainer.is_global_zero:
            step = trainer.global_step
            early = (
                "" if step == trainer.max_steps else f"stopped at step {step}: no gain since {int(module.best_step)}"
            )
            self.progress(self.stage, trainer.max_steps, trainer.max_steps, early)


class _Final(L.Callback):
    """Leave the last state on disk: the one place from which every kind of run hands its result over."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_fit_end(self, trainer: Any, module: Any) -> None:
        trainer.save_checkpoint(self.path)


def _logger(config: TrainerConfig, folder: Path, stage: str) -> Any:
    if config.logger == "none":
        return False
    from lightning.pytorch import loggers

    if config.logger == "csv":
        return loggers.CSVLogger(folder, name="logs", version=stage)
    try:
        if config.logger == "tensorboard":
            return loggers.TensorBoardLogger(folder, name="logs", version=stage)
        return loggers.WandbLogger(name=stage, save_dir=folder, project="timeloom")
    except (ImportError, ModuleNotFoundError):
        raise InputError(
            f"trainer.logger = {config.logger}: not installed; pip install 'timeloom[{config.logger}]'"
        ) from None


def fit(
    stage: str,
    task: Task,
    data: Batch,
    optim: OptimConfig,
    trainer_config: TrainerConfig,
    folder: Path,
    *,
    seed: int,
    judging: Judging | None = None,
    resume: bool = False,
    progress: Progress = silent,
) -> FitResult:
    """Train a task and return the state to keep.

    Args:
        stage: name for logs, checkpoints and the progress bar.
        task: what is trained.
        data: tensors of equal first dimension; a batch is a choice of rows.
        optim: the optimisation.
        trainer_config: the engine.
        folder: where logs and checkpoints go.
        seed: source of all randomness.
        judging: how the best state is chosen.
        resume: go on from the last checkpoint in `folder`, if there is one.
        progress: told the step and the loss.

    Raises:
        InputError: a setting that this machine cannot run, or a damaged checkpoint.
    """
    last = folder / f"{stage}-last.ckpt"
    world = trainer_config.devices * trainer_config.num_nodes
    if optim.batch_size % world:
        raise InputError(f"batch_size = {optim.batch_size}: must be a multiple of the {world} processes")
    if not resume:
        last.unlink(missing_ok=True)
    module = _Module(task, data, optim, judging, seed, trainer_config.compile, trainer_config.log_every)
    previous_threads = torch.get_num_threads()
    with warnings.catch_warnings(), torch.random.fork_rng():
        # advice about data-loading workers and log folders, which does not apply to data held in memory
        warnings.filterwarnings("ignore", module="lightning.*")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        if trainer_config.threads is not None:
            torch.set_num_threads(trainer_config.threads)
        try:
            if not (last.exists() and bool(_read(last)["state_dict"]["finished"])):
                trainer = _trainer(stage, optim, trainer_config, folder, last, progress)
                _run(trainer, module, last if last.exists() else None)
        finally:
            torch.set_num_threads(previous_threads)
    return _result(_read(last), judged=judging is not None, averaged=bool(optim.average))


def _run(trainer: L.Trainer, module: _Module, checkpoint: Path | None) -> None:
    """Fit; an interrupt comes out as KeyboardInterrupt, where the engine would ignore further ones and exit."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


def _trainer(
    stage: str, optim: OptimConfig, config: TrainerConfig, folder: Path, last: Path, progress: Progress
) -> L.Trainer:
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    keep = ModelCheckpoint(
        dirpath=folder,
        filename=last.stem,
        every_n_train_steps=config.checkpoint_every,
        save_on_train_epoch_end=False,
        enable_version_counter=False,
    )
    # spawned workers keep this process single, so that what follows a stage runs once; a cluster's launcher has its own
    external = any(name in os.environ for name in ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS"))
    alone = config.devices * config.num_nodes == 1
    try:
        return L.Trainer(
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.num_nodes,
            strategy="auto" if alone else ("ddp" if external else "ddp_spawn"),
            precision=config.precision,
            max_steps=optim.steps,
            max_epochs=-1,
            gradient_clip_val=optim.clip,
            logger=_logger(config, folder, stage),
            log_every_n_steps=config.log_every,
            callbacks=[_Report(stage, progress, optim.steps), keep, _Final(last)],
            use_distributed_sampler=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=0,
        )
    except MisconfigurationException as error:
        raise InputError(f"trainer: {' '.join(str(error).split())}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # a cut or foreign file fails in many ways, all of them the file's
        raise InputError(
            f"{path}: damaged, cannot go on from it ({type(error).__name__}); train without --resume"
        ) from None


def _result(checkpoint: dict[str, Any], *, judged: bool, averaged: bool) -> FitResult:
    state = checkpoint["state_dict"]
    prefix = "best." if judged else ("average." if averaged else "model.")
    kept = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    if not judged:
        return FitResult(kept, None, None)
    return FitResult(kept, int(state["best_step"]), float(state["best_loss"]))
