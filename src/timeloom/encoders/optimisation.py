"""The loop that trains encoders, and what it needs: batches, initial weights, dropout, a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import index
from typing import Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from timeloom.encoders.inputs import check_count, check_setting
from timeloom.encoders.resuming import EVERY, Checkpoint
from timeloom.errors import InputError
from timeloom.progress import Progress
from timeloom.threads import cpu_threads

Device = Literal["auto", "cpu", "cuda"]
Network = TypeVar("Network", bound=nn.Module)

# Of every encoder's training, whatever the machine has: another number of threads sums in another order, and the same
# seed would give another encoder. The batches are so small that more threads spend their time waiting for each other;
# cores are put to use by training several encoders at once.
TRAINING_THREADS = 1
REPORT_EVERY = 10


@dataclass(frozen=True)
class Budget:
    """How an encoder is trained.

    Attributes:
        steps: optimisation steps, at least 0; none leave the initial weights: the control beside a trained encoder.
        batch_size: series a step.
        lr: learning rate of AdamW.

    Raises:
        InputError: a number that is too small.
    """

    steps: int
    batch_size: int
    lr: float

    def __post_init__(self) -> None:
        check_count("steps", self.steps, 0)
        check_count("batch_size", self.batch_size, 1)
        check_setting("lr", self.lr, self.lr > 0, "above 0")


def default_steps(n_values: int) -> int:
    """Optimisation steps for a training set of that many values: 200 up to 100 000, then 600, as TS2Vec published."""
    return 200 if n_values <= 100_000 else 600


class RowBatches:
    """Endless batches of min(batch_size, n) row numbers, cut from one permutation of `n` after another.

    Args:
        n: number of rows.
        batch_size: rows of a batch.
        generator: draws the permutations.
        across: batches run across the permutations' borders, and no row is left out; else the rest of a permutation is,
            so that no row is twice in a batch: a contrastive loss would have to tell it from itself.
    """

    def __init__(self, n: int, batch_size: int, generator: torch.Generator, *, across: bool = False) -> None:
        self.n, self.size, self.generator = n, min(batch_size, n), generator
        self.used = n if across else n - n % self.size
        self.left = torch.empty(0, dtype=torch.int64)

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        while len(self.left) < self.size:
            self.left = torch.cat([self.left, torch.randperm(self.n, generator=self.generator)[: self.used]])
        rows, self.left = self.left[: self.size], self.left[self.size :]
        return rows

    def state(self) -> dict[str, Tensor]:
        """What `restore` needs to draw the batches that follow."""
        return {"left": self.left.clone(), "generator": self.generator.get_state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on where `state` was taken."""
        self.left = state["left"]
        self.generator.set_state(state["generator"])


def optimise(
    modules: nn.Module,
    loss_of: Callable[[Tensor], Tensor],
    batches: RowBatches,
    budget: Budget,
    *,
    name: str,
    progress: Progress,
    after_step: Callable[[int], object] = lambda step: None,
    optimizer: torch.optim.Optimizer | None = None,
    rate: Callable[[int], float] = lambda step: 1.0,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Lower a loss; a training that was cut short and goes on ends with the same weights.

    Args:
        modules: all that a step changes; the parameters that require a gradient are trained.
        loss_of: the loss, a scalar, of the series with these row numbers; its randomness is that of the batches'
            generator.
        batches: which series a step sees.
        budget: steps and learning rate.
        name: of the encoder, for the progress report.
        progress: told the loss.
        after_step: called with the number of steps done.
        optimizer: AdamW unless given.
        rate: share of the learning rate, given the number of steps done.
        checkpoint: kept every `EVERY` steps and at the end; where there is one already, training goes on from it.

    Raises:
        InputError: the checkpoint is damaged, or that of another training; or a weight is no longer finite at the end.
    """
    trained = [parameter for parameter in modules.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=budget.lr, fused=True) if optimizer is None else optimizer
    peaks = [group["lr"] for group in optimizer.param_groups]
    # `enabled` is off unless given
    how = {"enabled": torch.backends.cudnn.enabled, "deterministic": True, "benchmark": False}
    with cpu_threads(TRAINING_THREADS), torch.backends.cudnn.flags(**how):
        for step in range(_restored(modules, optimizer, batches, checkpoint) + 1, budget.steps + 1):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * rate(step - 1)
            loss = loss_of(next(batches))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            after_step(step)
            if checkpoint is not None and (step % EVERY == 0 or step == budget.steps):
                state = {"modules": modules.state_dict(), "optimizer": optimizer.state_dict()}
                checkpoint.write({"step": step, "batches": batches.state(), **state})
            if step % REPORT_EVERY == 0 or step == budget.steps:
                progress(f"train {name}", step, budget.steps, f"loss {loss.item():.3f}")
    if not all(bool(parameter.isfinite().all()) for parameter in trained):
        raise InputError(f"lr is {budget.lr}: the training of {name} came to no finite weights; allowed: a smaller one")


def _restored(
    modules: nn.Module, optimizer: torch.optim.Optimizer, batches: RowBatches, checkpoint: Checkpoint | None
) -> int:
    """The number of steps done already; everything stands where it stood then."""
    state = None if checkpoint is None else checkpoint.read()
    if state is None:
        return 0
    modules.load_state_dict(state["modules"])
    optimizer.load_state_dict(state["optimizer"])
    batches.restore(state["batches"])
    return int(state["step"])


@torch.no_grad()
def measure_norms(network: nn.Module, series: Tensor, batch_size: int, generator: torch.Generator) -> None:
    """Give the batch norms of a network the mean statistics of batches of series (n, C, T), in place of 0 and 1.

    Without them an untrained network would be a weaker control than random weights are: on two small sets most of what
    training seemed to gain was these statistics.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's word for the plain mean over batches
    network.train()
    batches = RowBatches(len(series), batch_size, generator)
    with cpu_threads(TRAINING_THREADS):
        for _ in range(len(series) // min(batch_size, len(series))):
            network(series[next(batches)])
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def dropout(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """`x` with that share of its values set to 0 and the others grown to make up for it.

    The random numbers come from a generator on the CPU: those of `nn.Dropout` would be drawn from the global state.
    """
    return x * (torch.rand(x.shape, generator=generator) >= share).to(x.device) / (1 - share)


def generator_of(seed: int) -> torch.Generator:
    """Random numbers of this seed, drawn on the CPU whatever the device."""
    return torch.Generator().manual_seed(index(seed))


@contextmanager
def initial_weights(seed: int) -> Iterator[None]:
    """Networks built inside get the weights of this seed; the global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(index(seed))
        yield


def reading_device(name: str) -> torch.device:
    """The device of that name, the CPU where it has no GPU: what a GPU has trained can be read anywhere."""
    return chosen_device("auto" if name == "cuda" else name)


def chosen_device(name: str) -> torch.device:
    """The device of that name; "auto" takes a GPU where there is one.

    Raises:
        InputError: an unknown name, or a GPU where there is none.
    """
    check_setting("device", name, name in get_args(Device), f"one of {', '.join(get_args(Device))}")
    has_gpu = torch.cuda.is_available()
    check_setting("device", name, name != "cuda" or has_gpu, "auto or cpu, as PyTorch sees no GPU here")
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")


@contextmanager
def lent_to(device: torch.device, network: Network) -> Iterator[Network]:
    """The network on a device, back on the CPU afterwards: a fitted encoder can be saved and read anywhere."""
    try:
        yield network.to(device)
    finally:
        network.to("cpu")
