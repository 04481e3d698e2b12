"""How a stage is optimised, and where and how the engine runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from timeloom.config import Frozen


class OptimConfig(Frozen):
    """How one stage is optimised (linear warm-up, cosine decay to a tenth).

    Attributes:
        steps: optimiser steps.
        batch_size: series a step, over all processes together.
        lr: peak learning rate.
        optimizer: `adamw`, or `muon`, in which the matrices of linear layers and convolutions step along their
            orthogonalised momentum (see `Muon`) and AdamW moves the rest.
        matrix_lr: peak learning rate of these matrices.
        weight_decay: on matrices only.
        warmup: steps of linear warm-up.
        clip: largest gradient norm.
        average: memory of the running average of the weights (EMA); 0 is off.
    """

    steps: int = Field(ge=1)
    batch_size: int = Field(default=32, ge=1)
    lr: float = Field(gt=0)
    optimizer: Literal["adamw", "muon"] = "adamw"
    matrix_lr: float = Field(default=4e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: int = Field(default=50, ge=0)
    clip: float = Field(default=1.0, gt=0)
    average: float = Field(default=0.0, ge=0, lt=1)


class TrainerConfig(Frozen):
    """Where and how the engine runs.

    Attributes:
        accelerator: `auto` takes a GPU (CUDA, or ROCm) if there is one, and the CPU where there is none, as on a Mac.
        devices: processes on this machine, one a device.
        num_nodes: machines (start every one with the cluster's launcher, such as torchrun or srun).
        precision: as Lightning names it.
        compile: compile the model's step with torch.compile: slow to start, faster from then on.
        logger: `csv`, `tensorboard`, `wandb`, or `none`.
        log_every: steps between two log lines.
        checkpoint_every: steps between two checkpoints that `--resume` can go on from.
        threads: CPU threads of each process; null leaves PyTorch's choice. A second one trains series of some hundred
            time points up to 1.5 times as fast on cores with nothing else to do, short series hardly faster, and on
            busy cores far slower than one.
    """

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = Field(default=1, ge=1)
    num_nodes: int = Field(default=1, ge=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    compile: bool = False
    logger: Literal["csv", "tensorboard", "wandb", "none"] = "csv"
    log_every: int = Field(default=50, ge=1)
    checkpoint_every: int = Field(default=250, ge=1)
    threads: int | None = Field(default=1, ge=1)
