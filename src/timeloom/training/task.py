"""What the engine is given: a task, and how its best state is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from timeloom.training.batches import Batch


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
        terms: names of the loss terms that count; None is all of them.
    """

    batch: Batch
    every: int
    repeats: int = 1
    patience: int = 1_000_000
    terms: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Stopping:
    """An end of training before its last step: a small picklable object.

    Attributes:
        steps: after which it is asked.
        enough: told the state of the model (the average, if there is one); true ends the training.
        reason: for the progress bar.
    """

    steps: tuple[int, ...]
    enough: Callable[[dict[str, Tensor]], bool]
    reason: str


def combine(terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Weighted sum of loss terms; a term without a weight, or a weight without a term, is a bug."""
    assert terms.keys() == weights.keys(), f"terms {sorted(terms)} and weights {sorted(weights)} differ"
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
