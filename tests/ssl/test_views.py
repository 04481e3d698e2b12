"""Views: shapes, seeds, and what each may change in a series and what it may not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from timeloom.ssl import views, views_frequency
from timeloom.ssl.resampling import read_at
from timeloom.ssl.views import VIEWS, make_views

LINEAR_IN_X = sorted(VIEWS.keys() - {"gauss", "slope"})


def noise(batch: int = 16, channels: int = 3, length: int = 33, seed: int = 3) -> Tensor:
    return torch.randn(batch, channels, length, generator=torch.Generator().manual_seed(seed))


def seen(name: str, x: Tensor, seed: int = 0) -> Tensor:
    return VIEWS[name](x, torch.Generator().manual_seed(seed))


def ramp(batch: int, length: int) -> Tensor:
    return torch.linspace(0, 1, length).expand(batch, 1, length)


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("length", [8, 9, 15, 16, 17, 33, 96, 257])
def test_a_view_is_another_series_of_the_same_shape(name: str, length: int) -> None:
    x = noise(length=length)
    before = x.clone()
    made = seen(name, x)
    assert made.shape == x.shape
    assert made.dtype == x.dtype
    assert made.isfinite().all()
    assert not torch.equal(made, x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", VIEWS)
def test_the_generator_decides_everything_and_the_global_state_is_left_alone(name: str) -> None:
    x, state, numpy_state = noise(), torch.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
    first = seen(name, x)
    torch.manual_seed(99)
    second = seen(name, x)
    torch.set_rng_state(state)
    assert torch.equal(first, second)
    assert not torch.equal(first, seen(name, x, seed=1))
    third = seen(name, x)
    assert torch.equal(torch.get_rng_state(), state)
    assert repr(np.random.get_state()) == numpy_state  # noqa: NPY002
    assert torch.equal(first, third)


@pytest.mark.parametrize("name", VIEWS)
def test_series_are_changed_each_in_its_own_way(name: str) -> None:
    made = seen(name, noise(1, 1).expand(16, 1, 33))
    assert len({tuple(row.flatten().tolist()) for row in made}) >= 2


@pytest.mark.parametrize("name", LINEAR_IN_X)
def test_views_that_add_nothing_scale_with_the_series(name: str) -> None:
    x, y = noise(), noise(seed=4)
    torch.testing.assert_close(seen(name, 2 * x - y), 2 * seen(name, x) - seen(name, y), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["slice", "crop", "flip", "mask", "block", "band", "phase"])
def test_channels_share_what_happens_to_time_and_frequency(name: str) -> None:
    made = seen(name, noise(channels=1).repeat(1, 3, 1))
    torch.testing.assert_close(made[:, 0], made[:, 1])
    torch.testing.assert_close(made[:, 0], made[:, 2])


@settings(deadline=None, max_examples=25)
@given(length=st.integers(8, 70), seed=st.integers(0, 1000))
def test_slicing_keeps_all_values_and_moves_whole_pieces(length: int, seed: int) -> None:
    time = torch.arange(length).float().expand(5, 2, length)
    made = seen("slice", time, seed)
    assert torch.equal(made.sort(dim=2).values, time)
    assert torch.equal(made[:, 0], made[:, 1])
    breaks = (made[:, 0].diff(dim=1) != 1).sum(dim=1)
    assert (breaks <= 3).all()


def test_all_orders_of_pieces_occur() -> None:
    time = torch.arange(32).float().expand(4000, 1, 32)
    made = seen("slice", time)[:, 0]
    unchanged = (made == time[:, 0]).all(dim=1).float().mean()
    assert 1 / 24 - 0.015 < unchanged < 1 / 24 + 0.015
    starts = torch.bincount(made[:, 0].long(), minlength=32)
    assert (starts > 0).all()


def test_a_warped_ramp_shows_a_stretched_window_between_fixed_ends() -> None:
    length = 201
    made = views.window_warp(ramp(300, length), torch.Generator().manual_seed(0))[:, 0]
    torch.testing.assert_close(made[:, 0], torch.zeros(300))
    torch.testing.assert_close(made[:, -1], torch.ones(300), atol=1e-4, rtol=0)
    pace = made.diff(dim=1) * (length - 1)
    assert (pace > 0).all()
    # outside the window time runs (0.6 + 0.4 s) times as fast, inside as fast as that divided by s
    outside = torch.where(pace[:, 0] > pace[:, -1], pace[:, 0], pace[:, -1])
    scale = (outside - 0.6) / 0.4
    inside = pace.median(dim=1).values
    assert (scale[scale > 1.05] < 2.01).all()
    for row, s, fast in zip(pace, scale, outside, strict=True):
        if s > 1.05:
            slow = (row - fast / s).abs() < 0.05
            share = s * 0.4 / (0.6 + 0.4 * s)
            assert abs(slow.float().mean() - share) < 0.02
    assert inside.min() > 0.5


def test_warping_scales_each_channel_by_about_a_fifth() -> None:
    factors = seen("warp", torch.ones(3000, 2, 16))
    torch.testing.assert_close(factors, factors[..., :1].expand_as(factors))
    assert not torch.equal(factors[:, 0], factors[:, 1])
    assert factors[..., 0].mean().item() == pytest.approx(1, abs=0.02)
    assert factors[..., 0].std().item() == pytest.approx(0.2, abs=0.02)


def test_noise_has_the_published_strength() -> None:
    difference = seen("gauss", noise(200)) - noise(200)
    assert difference.std().item() == pytest.approx(0.05, rel=0.05)
    assert difference.mean().abs() < 0.002


def test_a_crop_is_a_stretch_of_the_series() -> None:
    made = seen("crop", ramp(500, 65))[:, 0]
    torch.testing.assert_close(made.diff(n=2, dim=1), torch.zeros(500, 63), atol=1e-5, rtol=0)
    start, end = made[:, 0], made[:, -1]
    assert start.min() >= 0
    assert end.max() <= 1 + 1e-6
    assert (end - start).min() >= 0.6 - 1e-5
    assert (end - start).max() > 0.95
    assert start.max() > 0.3


def test_half_of_the_series_run_backwards() -> None:
    x = noise(400)
    made = seen("flip", x)
    turned = (made == x.flip(-1)).flatten(1).all(dim=1)
    kept = (made == x).flatten(1).all(dim=1)
    assert (turned ^ kept).all()
    assert 0.4 < turned.float().mean() < 0.6


def test_a_slope_is_a_straight_line_through_the_middle() -> None:
    line = seen("slope", noise(2000, 2)) - noise(2000, 2)
    torch.testing.assert_close(line.diff(n=2, dim=2), torch.zeros(2000, 2, 31), atol=1e-5, rtol=0)
    torch.testing.assert_close(line[..., 0], -line[..., -1], atol=1e-5, rtol=0)
    assert line[..., -1].std().item() == pytest.approx(0.3, rel=0.05)


def test_magnitudes_follow_a_natural_cubic_spline_through_four_knots() -> None:
    curve = seen("magnitude", torch.ones(2000, 2, 31), seed=5)
    knots = curve[..., [0, 10, 20, 30]]
    assert knots.mean().item() == pytest.approx(1, abs=0.01)
    assert knots.std().item() == pytest.approx(0.2, rel=0.05)
    third = curve[..., :11].double().diff(n=3, dim=2)  # one cubic between two knots
    torch.testing.assert_close(third, third[..., :1].expand_as(third), atol=1e-5, rtol=0)
    assert curve.diff(n=2, dim=2)[..., [0, -1]].abs().mean() < 0.3 * curve.diff(n=2, dim=2)[..., 9].abs().mean()


@pytest.mark.parametrize("length", [8, 15, 16, 33, 97])
def test_the_spectrum_of_the_frequency_views_is_inverted_exactly(length: int) -> None:
    x = noise(length=length)
    made = views_frequency.to_series(views_frequency.to_spectrum(x), length)
    torch.testing.assert_close(made, x, atol=1e-5, rtol=0)


def test_turning_phases_keeps_magnitudes_and_the_real_bins() -> None:
    spectrum = views_frequency.to_spectrum(noise())
    turned = views_frequency.turned(spectrum, torch.Generator().manual_seed(0))
    torch.testing.assert_close(turned.abs(), spectrum.abs())
    assert torch.equal(turned[:, :, [0, -1]], spectrum[:, :, [0, -1]])
    angle = torch.angle(turned / spectrum)[:, :, 1:-1]
    torch.testing.assert_close(angle, angle[:, :1, :, :1].expand_as(angle), atol=1e-3, rtol=0)
    assert 0.3 < angle.std() < 0.7


@pytest.mark.parametrize("name", ["mask", "block", "band", "phase"])
def test_frequency_views_keep_most_of_a_series_and_add_no_energy(name: str) -> None:
    x = noise(300, 1, 64)
    made = seen(name, x)
    energy = made.square().mean() / x.square().mean()
    assert 0.5 < energy <= 1.02
    assert ((made - x).square().mean() / x.square().mean()) < 0.6


def test_a_silent_band_is_never_the_mean_and_a_pure_tone_can_vanish() -> None:
    level = seen("band", torch.full((40, 1, 64), 3.0))
    assert level[..., 16:48].mean().item() == pytest.approx(3, abs=0.3)
    tone = torch.sin(2 * torch.pi * 4.5 / 16 * torch.arange(64)).expand(300, 1, 64)
    left = seen("band", tone)[..., 8:56].square().mean(dim=2)[:, 0] / 0.5
    assert left.min() < 0.2
    assert left.max() > 0.9


def test_a_constant_gap_of_zeros_stays_silent() -> None:
    for name in VIEWS.keys() - {"gauss", "slope"}:
        assert not seen(name, torch.zeros(4, 2, 20)).any(), name


def test_reading_between_time_points_is_linear_and_held_at_the_ends() -> None:
    x = torch.tensor([[[1.0, 3.0, 7.0]]])
    found = read_at(x, torch.tensor([[-5.0, 0.0, 0.5, 1.0, 1.75, 2.0, 9.0]]))
    assert found.flatten().tolist() == pytest.approx([1, 1, 2, 3, 6, 7, 7])


def test_views_are_composed_in_order_with_one_generator() -> None:
    x = noise()
    for names in itertools.permutations(("slope", "slice")):
        generator = torch.Generator().manual_seed(0)
        expected = VIEWS[names[1]](VIEWS[names[0]](x, generator), generator)
        assert torch.equal(make_views(names)(x, torch.Generator().manual_seed(0)), expected)
