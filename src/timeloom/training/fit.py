"""Run the engine (Lightning) on a task and hand back the state to keep.

A run that was killed and resumed gives the same weights as one that was not: batches and seeds are pure functions of
(seed, step, rank), and everything that a step changes is inside the module's state. Lightning is imported when training
begins, for it takes seconds to load.
"""

from __future__ import annotations

import os
import signal
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from timeloom.errors import InputError
from timeloom.progress import Progress, silent
from timeloom.threads import cpu_threads
from timeloom.training.batches import Batch
from timeloom.training.config import OptimConfig, TrainerConfig
from timeloom.training.task import Judging, Stopping, Task

if TYPE_CHECKING:
    from lightning import Trainer

    from timeloom.training.module import TrainingModule


@dataclass(frozen=True)
class FitResult:
    """What training leaves.

    Attributes:
        state: the state of the model: the best judged one, else the average, else the last.
        best_step: step of the best judged state, None without judging.
        best_loss: its loss.
        snapshots: the state (the average, if there is one) at each step that was asked for, up to the last step.
    """

    state: dict[str, Tensor]
    best_step: int | None
    best_loss: float | None
    snapshots: tuple[dict[str, Tensor], ...] = ()


def _logger(config: TrainerConfig, folder: Path, stage: str) -> Any:
    if config.logger == "none":
        return False
    from lightning.pytorch import loggers

    if config.logger == "csv":
        _set_aside(folder / "logs" / stage / "metrics.csv")
        return loggers.CSVLogger(folder, name="logs", version=stage)
    try:
        if config.logger == "tensorboard":
            return loggers.TensorBoardLogger(folder, name="logs", version=stage)
        return loggers.WandbLogger(name=stage, save_dir=folder, project="timeloom")
    except (ImportError, ModuleNotFoundError):
        raise InputError(
            f"trainer.logger = {config.logger}: not installed; pip install 'timeloom[{config.logger}]'"
        ) from None


def _set_aside(log: Path) -> None:
    """Keep the rows of a training that goes on under `metrics-1.csv`, ...: the logger would delete them."""
    from lightning.pytorch.utilities import rank_zero_only

    if log.exists() and getattr(rank_zero_only, "rank", 0) == 0:
        taken = len(list(log.parent.glob(f"{log.stem}-*.csv")))
        log.rename(log.with_name(f"{log.stem}-{taken + 1}.csv"))


def check_processes(optim: OptimConfig, config: TrainerConfig) -> None:
    """Refuse batches that cannot be parted among the processes.

    Raises:
        InputError: they cannot.
    """
    world = config.devices * config.num_nodes
    if optim.batch_size % world:
        raise InputError(f"batch_size = {optim.batch_size}: must be a multiple of the {world} processes")


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
    snapshots: tuple[int, ...] = (),
    stopping: Stopping | None = None,
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
        snapshots: steps whose states are kept beside it, ascending.
        stopping: what may end the training early.
        resume: go on from the last checkpoint in `folder`, if there is one.
        progress: told the step and the loss.

    Raises:
        InputError: a setting that this machine cannot run, or a damaged checkpoint.
    """
    from timeloom.training.module import TrainingModule, hush

    last = folder / f"{stage}-last.ckpt"
    check_processes(optim, trainer_config)
    if not resume:
        last.unlink(missing_ok=True)
        for log in (folder / "logs" / stage).glob("metrics*.csv"):
            log.unlink(missing_ok=True)
    module = TrainingModule(task, data, optim, trainer_config, seed, judging, snapshots, stopping)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), cpu_threads(trainer_config.threads):
        hush()
        if not (last.exists() and bool(_read(last)["state_dict"]["finished"])):
            trainer = _trainer(stage, optim, trainer_config, folder, last, progress)
            _run(trainer, module, last if last.exists() else None)
    result = _result(_read(last), snapshots, judged=judging is not None, averaged=bool(optim.average))
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()  # every process of a cluster reads the file before one of them removes it
    if result.best_step == 0 or not all(t.isfinite().all() for t in result.state.values()):
        last.unlink(missing_ok=True)  # every process of a cluster comes by here
        raise InputError(f"{stage}: training diverged, its loss is not finite; lower {stage}_training.lr = {optim.lr}")
    return result


def seconds_spent(folder: Path, stage: str) -> float:
    """How long the trainings of a stage have taken that can be gone on with in a run folder.

    Raises:
        InputError: a damaged checkpoint.
    """
    return sum(float(_read(path).get("seconds", 0.0)) for path in folder.glob(f"{stage}*-last.ckpt"))


def _run(trainer: Trainer, module: TrainingModule, checkpoint: Path | None) -> None:
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
) -> Trainer:
    from lightning import Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    from timeloom.training.module import Final, Report

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
        return Trainer(
            accelerator=_accelerator(config),
            devices=config.devices,
            num_nodes=config.num_nodes,
            strategy="auto" if alone else ("ddp" if external else "ddp_spawn"),
            precision=config.precision,
            max_steps=optim.steps,
            max_epochs=-1,
            gradient_clip_val=optim.clip,
            logger=_logger(config, folder, stage),
            log_every_n_steps=config.log_every,
            callbacks=[Report(stage, progress, optim.steps), keep, Final(last)],
            use_distributed_sampler=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=0,
        )
    except MisconfigurationException as error:
        raise InputError(f"trainer: {' '.join(str(error).split())}") from None


def _accelerator(config: TrainerConfig) -> str:
    """The engine's name for it; left to choose, it would take a Mac's GPU, which has no numbers of 64 bits."""
    found = "cuda" if torch.cuda.is_available() else "cpu"
    return {"auto": found, "gpu": "cuda", "cpu": "cpu"}[config.accelerator]


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # a cut or foreign file fails in many ways, all of them the file's
        raise InputError(
            f"{path}: damaged, cannot go on from it ({type(error).__name__}); train without --resume"
        ) from None


def _result(checkpoint: dict[str, Any], snapshots: tuple[int, ...], *, judged: bool, averaged: bool) -> FitResult:
    state = checkpoint["state_dict"]
    prefix = "best." if judged else ("average." if averaged else "model.")

    def under(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}

    reached = [place for place, step in enumerate(snapshots) if step <= checkpoint["global_step"]]
    kept = tuple(under(f"kept.{place}.") for place in reached)
    if not judged:
        return FitResult(under(prefix), None, None, kept)
    return FitResult(under(prefix), int(state["best_step"]), float(state["best_loss"]), kept)
