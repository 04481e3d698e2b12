"""Time warps: what they may change in a series and what they may not."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from timeloom.data.warping import WAVES, time_warp


def warped(x: Tensor, strength: float = 0.05, seed: int = 0) -> Tensor:
    return time_warp(x, strength, torch.Generator().manual_seed(seed))


def noise(batch: int = 4, channels: int = 2, length: int = 33) -> Tensor:
    return torch.randn(batch, channels, length, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("length", [2, 8, 33, 256])
def test_a_strength_of_zero_changes_nothing(length: int) -> None:
    x = noise(length=length)
    torch.testing.assert_close(warped(x, 0.0), x, atol=5e-4, rtol=0)  # places are float32


@settings(deadline=None, max_examples=30)
@given(strength=st.floats(0, 2), seed=st.integers(0, 1000), length=st.integers(2, 60))
def test_values_stay_within_the_range_of_each_channel(strength: float, seed: int, length: int) -> None:
    x = noise(length=length)
    made = warped(x, strength, seed)
    assert made.shape == x.shape
    assert made.dtype == x.dtype
    assert (made <= x.amax(2, keepdim=True) + 1e-5).all()
    assert (made >= x.amin(2, keepdim=True) - 1e-5).all()


def test_constant_series_stay_constant() -> None:
    levels = torch.tensor([-3.0, 0.0, 7.5])[:, None, None]
    torch.testing.assert_close(warped(levels.expand(3, 2, 20), 0.5), levels.expand(3, 2, 20))


def test_a_ramp_shows_the_distorted_time_axis() -> None:
    """A ramp from -1 to 1 is its own time axis; the formula is written out here a second time."""
    length, strength = 101, 0.05
    time = torch.linspace(-1, 1, length)
    made = warped(time.expand(3, 1, length), strength, seed=5)
    generator = torch.Generator().manual_seed(5)
    shift = torch.zeros(3, length)
    for k in range(1, WAVES + 1):
        amplitude, phase = torch.randn(3, 1, generator=generator), torch.rand(3, 1, generator=generator)
        shift += amplitude / k * torch.sin(k * math.pi * time / 2 + 2 * math.pi * phase)
    torch.testing.assert_close(made[:, 0], (time + strength * shift).clamp(-1, 1), atol=1e-5, rtol=0)


def test_beyond_the_ends_the_end_values_are_held() -> None:
    ends = torch.zeros(50)
    ends[0], ends[-1] = -5.0, 7.0
    x = torch.stack([torch.linspace(-1, 1, 50), ends]).expand(200, 2, 50)
    place, made = warped(x, 1.0).unbind(1)
    for end, value in ((-1, -5.0), (1, 7.0)):
        beyond = place == end
        assert 0.05 < beyond.float().mean() < 0.95  # a warp as strong as this leaves the axis
        assert (made[beyond] == value).all()


def test_the_generator_decides_and_each_series_has_a_warp_of_its_own() -> None:
    x = noise(1).expand(4, -1, -1)
    made = warped(x, seed=1)
    assert torch.equal(made, warped(x, seed=1))
    assert not torch.allclose(made, warped(x, seed=2))
    assert not torch.allclose(made[0], made[1])


def test_all_channels_of_a_series_are_warped_alike() -> None:
    x = noise(4, 1)
    made = warped(torch.cat([x, 2 * x - 3], dim=1))
    torch.testing.assert_close(made[:, 1], 2 * made[:, 0] - 3, atol=1e-5, rtol=1e-5)


def test_a_stronger_warp_moves_more_and_a_small_one_little() -> None:
    ramp = torch.linspace(-1, 1, 100).expand(500, 1, 100)
    small, large = ((warped(ramp, strength) - ramp).abs().mean() for strength in (0.02, 0.1))
    assert 0.002 < small < 0.03
    assert 3 < large / small < 6  # five, but for what is held at the ends


def test_the_series_that_came_in_is_left_alone() -> None:
    x = noise()
    before = x.clone()
    warped(x, 0.5)
    assert torch.equal(x, before)
