"""The map of values that gives made series the distribution of real ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from core_helpers import fitted_tokenizer, spec, tokenizer_config
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from timeloom.tokenizer.marginals import Marginals
from timeloom.tokenizer.tokenizer import Tokenizer


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def fitted(made: Tensor, real: Tensor) -> Marginals:
    marginals = Marginals(made.shape[1])
    marginals.fit(made, real)
    return marginals


def test_before_a_fit_nothing_changes() -> None:
    x = draws(2, 3, 5)
    assert torch.equal(Marginals(3)(x), x)


def test_each_channel_is_mapped_to_its_own_distribution() -> None:
    made = draws(500, 2, 40)
    real = torch.stack([draws(500, 40, seed=1).exp(), 3 - 2 * draws(500, 40, seed=2)], dim=1)
    found = fitted(made, real)(draws(500, 2, 40, seed=3))
    levels = torch.linspace(0.02, 0.98, 25)
    for channel in range(2):
        wanted = real[:, channel].flatten().quantile(levels)
        torch.testing.assert_close(found[:, channel].flatten().quantile(levels), wanted, atol=0.1, rtol=0.05)


def test_equal_distributions_are_left_alone() -> None:
    x = draws(300, 1, 50)
    torch.testing.assert_close(fitted(x, x)(x), x, atol=1e-5, rtol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 60))
def test_the_map_is_monotone_and_stays_in_the_range_of_the_real(seed: int, channels: int, n: int) -> None:
    made, real = draws(n, channels, 4, seed=seed).round(decimals=1), draws(n, channels, 7, seed=seed + 1).square()
    x = torch.linspace(-100, 100, 501).expand(1, channels, 501)
    found = fitted(made, real)(x)
    assert (found.diff(dim=2) >= 0).all()
    low, high = real.amin(dim=(0, 2)), real.amax(dim=(0, 2))
    torch.testing.assert_close(found[0, :, 0], low)
    torch.testing.assert_close(found[0, :, -1], high)


def test_many_equal_values_and_a_constant_channel() -> None:
    real = torch.cat([torch.zeros(90, 1, 10), torch.ones(10, 1, 10)])
    found = fitted(draws(100, 1, 10), real)(draws(200, 1, 10, seed=1))
    assert (found == 0).float().mean().item() == pytest.approx(0.9, abs=0.03)
    constant = torch.full((5, 1, 8), 2.0)
    assert torch.equal(fitted(constant, constant)(constant), constant)
    assert fitted(draws(5, 1, 8), constant)(draws(3, 1, 8)).unique().tolist() == [2.0]


def test_they_are_part_of_the_checkpoint(tmp_path: Path) -> None:
    model = fitted_tokenizer(tokenizer_config(), spec(2))
    model.marginals.fit(draws(20, 2, 32), draws(20, 2, 32, seed=1).abs())
    model.save_pretrained(tmp_path)
    tokens = model.encode(model.unscale(draws(3, 2, 32)))
    twin = Tokenizer.from_pretrained(tmp_path)
    first, second = (of.decode(tokens, torch.Generator().manual_seed(0)) for of in (model, twin))
    assert torch.equal(first, second)
    assert (model.scale(first) > -1e-4).all()
