"""Which series a step sees, and its seeds: pure functions of (seed, step, rank)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

Batch = dict[str, Tensor]


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


class Rows(Dataset[Batch]):
    """Tensors of equal length, read a whole batch at a time."""

    def __init__(self, tensors: Batch) -> None:
        self.tensors = tensors

    def __getitems__(self, rows: list[int]) -> Batch:
        index = torch.tensor(rows)
        return {name: tensor[index] for name, tensor in self.tensors.items()}


def as_is(batch: Any) -> Any:
    return batch
