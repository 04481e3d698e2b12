"""The glue to the training engine: batches, seeds, averages, checkpoints. It knows no model by name."""

from timeloom.training.batches import Batch, StepBatches, step_seed
from timeloom.training.config import OptimConfig, TrainerConfig
from timeloom.training.fit import FitResult, check_processes, fit, seconds_spent
from timeloom.training.task import Judging, Stopping, Task, combine

__all__ = [
    "Batch",
    "FitResult",
    "Judging",
    "OptimConfig",
    "StepBatches",
    "Stopping",
    "Task",
    "TrainerConfig",
    "check_processes",
    "combine",
    "fit",
    "seconds_spent",
    "step_seed",
]
