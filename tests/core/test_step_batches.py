"""Which series each step sees, and the seeds of its randomness: pure functions of (seed, step, rank)."""

from __future__ import annotations

from itertools import chain, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from timeloom.errors import InputError
from timeloom.training import OptimConfig, StepBatches, TrainerConfig, combine, step_seed

SIZES = {
    "n": st.integers(1, 30),
    "batch_size": st.integers(1, 40),
    "steps": st.integers(1, 12),
    "seed": st.integers(0, 9),
}


@settings(deadline=None, max_examples=60)
@given(**SIZES, start=st.integers(0, 12))
def test_starting_late_gives_the_tail_of_the_whole(n: int, batch_size: int, steps: int, seed: int, start: int) -> None:
    whole = list(StepBatches(n, batch_size, steps, seed))
    assert list(StepBatches(n, batch_size, steps, seed)) == whole
    assert list(StepBatches(n, batch_size, steps, seed, start=start)) == whole[start:]
    assert len(StepBatches(n, batch_size, steps, seed)) == len(whole) == steps


@settings(deadline=None, max_examples=60)
@given(**SIZES)
def test_each_epoch_is_a_permutation_and_epochs_follow_without_a_gap(
    n: int, batch_size: int, steps: int, seed: int
) -> None:
    batches = list(StepBatches(n, batch_size, steps, seed))
    assert all(len(batch) == batch_size for batch in batches)
    stream = list(chain.from_iterable(batches))
    for epoch in range(len(stream) // n):
        assert sorted(stream[epoch * n : (epoch + 1) * n]) == list(range(n))
    rest = stream[len(stream) // n * n :]
    assert len(set(rest)) == len(rest)


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 30), share=st.integers(1, 6), world=st.integers(1, 4), start=st.integers(0, 3))
def test_the_processes_part_the_batch_of_one(n: int, share: int, world: int, start: int) -> None:
    size = share * world
    alone = list(StepBatches(n, size, 6, 1, start=start))
    parts = [list(StepBatches(n, size, 6, 1, start=start, rank=r, world=world)) for r in range(world)]
    for step, batch in enumerate(alone):
        assert [parts[i % world][step][i // world] for i in range(size)] == batch
        assert all(len(part[step]) == share for part in parts)


def test_epochs_and_seeds_differ() -> None:
    first, second = list(StepBatches(50, 50, 2, 0))
    assert first != second
    assert first != next(iter(StepBatches(50, 50, 1, 1)))
    assert first != list(range(50))


def test_step_seeds_are_mixed_and_never_meet() -> None:
    seeds = [step_seed(*place) for place in product(range(3), range(40), range(4))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert step_seed(1, 2, 3) == step_seed(1, 2, 3)
    assert max(seeds) > 2**31  # not small numbers side by side


def test_terms_are_summed_with_their_weights() -> None:
    terms = {"a": torch.tensor(2.0), "b": torch.tensor(5.0)}
    assert combine(terms, {"b": 0.1, "a": 3.0}).item() == pytest.approx(6.5)


@pytest.mark.parametrize("weights", [{"a": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0}, {"a": 1.0, "c": 1.0}])
def test_a_term_without_a_weight_or_the_reverse_is_our_own_bug(weights: dict[str, float]) -> None:
    with pytest.raises(AssertionError, match=r"terms \['a', 'b'\] and weights"):
        combine({"a": torch.tensor(2.0), "b": torch.tensor(5.0)}, weights)


@pytest.mark.parametrize("values", [{"steps": 0, "lr": 1}, {"steps": 1, "lr": 0}, {"steps": 1, "lr": 1, "average": 1}])
def test_impossible_optimisation_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"(steps|lr|average) = (0|1)"):
        OptimConfig.parse(values)


def test_an_unknown_engine_setting_is_refused() -> None:
    with pytest.raises(InputError, match=r"accelerator = 'tpu': .*'auto', 'cpu' or 'gpu'"):
        TrainerConfig.parse({"accelerator": "tpu"})
