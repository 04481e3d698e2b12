"""The Lightning module and callbacks: everything that a step changes is inside the module's state."""

from __future__ import annotations

import copy
import logging
import math
import time
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from timeloom.muon import Muon
from timeloom.progress import Progress
from timeloom.training.batches import Batch, Rows, StepBatches, as_is, step_seed
from timeloom.training.config import OptimConfig, TrainerConfig
from timeloom.training.task import Judging, Stopping, Task, combine

# the layers whose weights Muon moves
HIDDEN = (nn.Linear, nn.Conv1d, nn.ConvTranspose1d)


def hush() -> None:
    """Keep the engine's advice (loader workers, log folders, old names in torch) from the user, who can do nothing."""
    warnings.filterwarnings("ignore", module="lightning.*")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


class TrainingModule(L.LightningModule):
    def __init__(
        self,
        task: Task,
        data: Batch,
        optim: OptimConfig,
        engine: TrainerConfig,
        seed: int,
        judging: Judging | None,
        snapshots: tuple[int, ...],
        stopping: Stopping | None,
    ) -> None:
        super().__init__()
        self.task, self.data, self.optim, self.engine, self.seed = task, data, optim, engine, seed
        self.judging, self.snapshots, self.stopping = judging, snapshots, stopping
        self.earlier, self.begun = 0.0, time.perf_counter()
        self.kept = nn.ModuleList()
        self.model: nn.Module | None = None
        self.average: nn.Module | None = None
        self.best: nn.Module | None = None
        self.best_loss: Tensor
        self.best_step: Tensor
        self.register_buffer("finished", torch.tensor(False))
        self.finished: Tensor
        self.register_buffer("stopped", torch.tensor(False))
        self.stopped: Tensor

    def setup(self, stage: str) -> None:
        """A spawned worker has the default warnings, loggers and threads again."""
        if self.trainer.world_size > 1:
            hush()
            if self.engine.threads is not None:
                torch.set_num_threads(self.engine.threads)

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
        self.kept.extend(copy.deepcopy(self.model).requires_grad_(False) for _ in self.snapshots)
        if self.engine.compile:
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
        return DataLoader(Rows(self.data), batch_sampler=batches, collate_fn=as_is)

    def configure_optimizers(self) -> Any:
        """Muon or AdamW; no decay on vectors nor on codebooks (an unused code would drift to zero)."""
        assert self.model is not None
        hidden = [module.weight for module in self.model.modules() if isinstance(module, HIDDEN)]
        chosen = {id(weight) for weight in hidden if self.optim.optimizer == "muon"}
        named = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        matrices = [p for _, p in named if id(p) in chosen]
        decayed = [p for name, p in named if id(p) not in chosen and p.ndim >= 2 and "codebook" not in name]
        plain = [p for name, p in named if p.ndim < 2 or "codebook" in name]
        groups = [
            {
                "params": matrices,
                "weight_decay": self.optim.weight_decay,
                "lr": self.optim.matrix_lr,
                "orthogonal": True,
            },
            {"params": decayed, "weight_decay": self.optim.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        optimizer = Muon([g for g in groups if g["params"]], lr=self.optim.lr, fused=self._fused())
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _fused(self) -> bool:
        """The one-kernel AdamW is faster, and cannot scale or clip the gradients of 16-bit training."""
        return self.trainer.precision == "32-true"

    def _rate(self, step: int) -> float:
        warm = min(1.0, (step + 1) / max(self.optim.warmup, 1))
        return warm * (0.55 + 0.45 * math.cos(math.pi * min(step / self.optim.steps, 1.0)))

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make the step's randomness (dropout, revived codes) a function of the step alone."""
        seed = step_seed(self.seed, self.trainer.global_step, self.trainer.global_rank)
        # not torch.manual_seed: it keeps a stack trace for every kind of device that is not there, a millisecond a step
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step's loss."""
        assert self.model is not None
        step = self.trainer.global_step
        generator = torch.Generator(self.device).manual_seed(step_seed(self.seed + 1, step, self.trainer.global_rank))
        terms = self.task.loss(self.model, batch, generator)
        loss = combine(terms, self.task.weights)
        if (step + 1) % self.engine.log_every == 0 and self.trainer.logger is not None:
            self.log_dict({"loss": loss.detach(), **{k: v.detach() for k, v in terms.items()}})
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then average, then judge: all before the engine may write a checkpoint, so that resuming is exact."""
        super().optimizer_step(*args, **kwargs)
        step = self.trainer.global_step + 1
        if self.average is not None:
            _follow(self.average, self.model, min(self.optim.average, step / (step + 10)))
        if step in self.snapshots:
            self.kept[self.snapshots.index(step)].load_state_dict(self._shown.state_dict())
        if self.judging is not None and (step % self.judging.every == 0 or step == self.optim.steps):
            self._judge(step)
        if self.stopping is not None and step in self.stopping.steps:
            enough = self.trainer.is_global_zero and self.stopping.enough(self._shown.state_dict())
            self.stopped.fill_(self.trainer.strategy.broadcast(enough))
            self.trainer.should_stop = self.trainer.should_stop or bool(self.stopped)

    @property
    def _shown(self) -> nn.Module:
        """What is judged and kept: the average, if there is one."""
        shown = self.model if self.average is None else self.average
        assert shown is not None
        return shown

    @torch.no_grad()
    def _judge(self, step: int) -> None:
        assert self.judging is not None
        assert self.best is not None
        candidate = self._shown
        was_training = candidate.training
        candidate.eval()
        generator = torch.Generator(self.device).manual_seed(self.seed)  # the same masks at every look
        batch = {name: tensor.to(self.device) for name, tensor in self.judging.batch.items()}
        weights = self.task.weights
        names = weights.keys() if self.judging.terms is None else self.judging.terms
        counted = {name: weights[name] for name in names}
        losses = []
        for part in [batch] * self.judging.repeats:
            terms = self.task.loss(candidate, part, generator)
            losses.append(combine({name: terms[name] for name in names}, counted))
        # one process decides for all: two machines might not round alike
        loss = self.trainer.strategy.broadcast(torch.stack(losses).mean().double())
        candidate.train(was_training)
        if loss < self.best_loss:
            self.best.load_state_dict(candidate.state_dict())
            self.best_loss.copy_(loss)
            self.best_step.fill_(step)
        elif self._out_of_patience(step):
            self.trainer.should_stop = True

    def _out_of_patience(self, step: int) -> bool:
        judging = self.judging
        return judging is not None and step - int(self.best_step) >= judging.patience * judging.every

    def on_train_start(self) -> None:
        """Start the clock; a run that was cut short between its last look and its end has no step left."""
        self.begun = time.perf_counter()
        self.trainer.should_stop = bool(self.stopped) or self._out_of_patience(self.trainer.global_step)

    @property
    def why_stopped(self) -> str:
        """Why there were no more steps, for the progress bar."""
        if self.stopping is not None and self.stopped:
            return self.stopping.reason
        return f"no gain since {int(self.best_step)}"

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep how long it took so far."""
        checkpoint["seconds"] = self.earlier + time.perf_counter() - self.begun

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Read how long it took before."""
        self.earlier = float(checkpoint.get("seconds", 0.0))

    def on_train_end(self) -> None:
        """Mark the state, which is written next, as one that needs no further step."""
        self.finished.fill_(True)


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module | None, decay: float) -> None:
    assert model is not None
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
        mine.copy_(theirs)


class Report(L.Callback):
    def __init__(self, stage: str, progress: Progress, steps: int) -> None:
        self.stage, self.progress, self.every = stage, progress, max(steps // 200, 1)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        if trainer.is_global_zero and step % self.every == 0 and step < trainer.max_steps:
            self.progress(self.stage, step, trainer.max_steps, f"loss {float(outputs['loss']):.4f}")

    def on_train_end(self, trainer: Any, module: Any) -> None:
        if trainer.is_global_zero:
            step = trainer.global_step
            early = "" if step == trainer.max_steps else f"stopped at step {step}: {module.why_stopped}"
            self.progress(self.stage, trainer.max_steps, trainer.max_steps, early)


class Final(L.Callback):
    """Leave the last state on disk: the one place from which every kind of run hands its result over."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_fit_end(self, trainer: Any, module: Any) -> None:
        trainer.save_checkpoint(self.path)
        if isinstance(trainer.logger, WandbLogger):
            trainer.logger.experiment.finish()  # else the next training would be logged as more of this one
