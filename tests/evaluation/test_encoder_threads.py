"""Encoders train on one thread, whatever the machine has, and leave the number as they found it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from timeloom.encoders import FCN, FEI, TimeDRL, TS2Vec


@pytest.fixture(params=[2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Another number of threads than one."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", [FCN, TS2Vec, TimeDRL, FEI])
def test_training_takes_one_thread_and_gives_the_others_back(
    threads: int, sines: Callable, kind: type[FCN | TS2Vec | TimeDRL | FEI]
) -> None:
    X, y = sines(24, seed=0)
    seen = []
    fitted = kind(steps=2).fit(X, y, progress=lambda *told: seen.append(torch.get_num_threads()))
    assert seen == [1]
    assert torch.get_num_threads() == threads
    torch.set_num_threads(1)
    np.testing.assert_array_equal(fitted.encode(X), kind(steps=2).fit(X, y).encode(X))
