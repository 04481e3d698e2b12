"""Series to frames and back: exact at every length, linear, and split into bands that share no bin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from timeloom.errors import InputError
from timeloom.tokenizer.front import FRONTS, FrontConfig, PatchFront, STFTFront


def series(batch: int, channels: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, channels, length, generator=torch.Generator().manual_seed(seed))


def stft(channels: int, length: int, **settings: Any) -> STFTFront:
    return STFTFront(FrontConfig(**settings).resolve(length), channels, length)


@pytest.mark.parametrize("length", [8, 9, 15, 16, 17, 31, 140, 151])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bands", [(), (1,), (1, 3)])
def test_the_round_trip_is_exact(length: int, channels: int, bands: tuple[int, ...]) -> None:
    front, x = stft(channels, length, bands=bands), series(2, channels, length)
    frames = front(x)
    assert len(frames) == len(bands) + 1
    for band, features in zip(frames, front.band_features, strict=True):
        assert band.shape == (2, features, front.n_frames)
    torch.testing.assert_close(front.inverse(frames), x, atol=2e-5, rtol=0)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_the_round_trip_is_exact_for_any_window_and_hop(data: st.DataObject) -> None:
    length = data.draw(st.integers(8, 90), "length")
    n_fft = 2 * data.draw(st.integers(2, min(length, 32) // 2), "half n_fft")
    hop = data.draw(st.integers(1, n_fft // 4), "hop")
    bins = n_fft // 2
    bands = tuple(sorted(data.draw(st.sets(st.integers(1, bins), max_size=2), "bands")))
    channels = data.draw(st.integers(1, 3), "channels")
    front, x = stft(channels, length, n_fft=n_fft, hop=hop, bands=bands), series(1, channels, length)
    torch.testing.assert_close(front.inverse(front(x)), x, atol=1e-4, rtol=0)


def faint(batch: int, channels: int, length: int) -> torch.Tensor:
    """A walk: the power of a bin falls with the square of its frequency."""
    return series(batch, channels, length).cumsum(-1)


def powers(front: STFTFront, x: torch.Tensor) -> torch.Tensor:
    """Mean power (C, F) of each bin."""
    (frames,) = front(x)
    return frames.unflatten(1, (front.n_channels, 2, -1)).square().sum(2).mean(dim=(0, 3))


def test_gains_bring_the_bins_to_one_power_as_far_as_they_are_told() -> None:
    x = faint(50, 2, 64) * torch.tensor([1.0, 100.0])[:, None]
    plain = powers(stft(2, 64), x)
    assert plain.max() > 100 * plain.min()
    for share in (0.0, 0.5, 1.0):
        front = stft(2, 64, equalize=share)
        front.fit(x)
        found = powers(front, x)
        torch.testing.assert_close(found.sum(dim=1), plain.sum(dim=1))
        shape, wanted = found / found[:, :1], (plain / plain[:, :1]) ** (1 - share)
        torch.testing.assert_close(shape, wanted, rtol=1e-4, atol=0)
        torch.testing.assert_close(front.inverse(front(x)), x, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(front.plain(x)[0], stft(2, 64)(x)[0])


def test_gains_of_silence_and_of_rounding_stay_finite() -> None:
    x = torch.zeros(4, 2, 64)
    x[:, 1] = 3.0  # all of its power is in the lowest bins
    front = stft(2, 64, equalize=1.0)
    front.fit(x)
    assert front.gain[0].unique().tolist() == [1.0]
    assert torch.isfinite(front.gain).all()
    assert front.gain[1].max() <= 100 * front.gain[1].min() * 1.001
    torch.testing.assert_close(front.inverse(front(x)), x, atol=1e-4, rtol=0)


@pytest.mark.parametrize("length", [33, 40])
def test_each_band_alone_adds_up_to_the_whole(length: int) -> None:
    front, x = stft(2, length, bands=(1, 4)), series(2, 2, length)
    frames = front(x)
    alone = [
        front.inverse([band if i == kept else torch.zeros_like(band) for i, band in enumerate(frames)])
        for kept in range(3)
    ]
    assert all(part.abs().max() > 0.05 for part in alone)
    torch.testing.assert_close(sum(alone), x, atol=2e-5, rtol=0)


def test_a_band_holds_its_own_bins_only() -> None:
    length, n_fft = 64, 16
    front = stft(1, length, n_fft=n_fft, hop=4, bands=(1, 4))
    for cycles, band in ((0, 0), (2, 1), (6, 2)):  # the Hann window leaks one bin to each side
        wave = np.cos(2 * np.pi * cycles * np.arange(length) / n_fft)
        frames = front(torch.tensor(wave, dtype=torch.float32)[None, None])
        energy = [float(f[..., 3:-3].square().sum()) for f in frames]  # away from the zero padding
        share = energy[band] / sum(energy)
        assert share > (0.5 if band == 0 else 0.99), (cycles, energy)


def test_frames_are_the_windowed_fourier_sums() -> None:
    front, x = stft(1, 40, n_fft=8, hop=2), series(1, 1, 40)
    window = np.sin(np.pi * np.arange(8) / 8) ** 2
    window /= np.sqrt((window**2).sum())
    padded = np.pad(x[0, 0].double().numpy(), 4)
    expected = np.stack([np.fft.rfft(padded[2 * w : 2 * w + 8] * window) for w in range(21)], axis=1)
    frames = front(x)[0][0].numpy()  # real parts of 5 bins, then imaginary parts
    np.testing.assert_allclose(frames[:5], expected.real, atol=1e-5)
    np.testing.assert_allclose(frames[5:], expected.imag, atol=1e-5)


def test_channels_do_not_mix() -> None:
    front, x = stft(3, 30, bands=(2,)), series(1, 3, 30)
    changed = x.clone()
    changed[:, 1] += 1
    for before, after in zip(front(x), front(changed), strict=True):
        moved = (before != after).any(dim=-1)[0].reshape(3, -1).any(dim=1)
        assert moved.tolist() == [False, True, False]


def test_white_noise_keeps_its_scale_in_the_frames() -> None:
    frames = stft(1, 4000, n_fft=16, hop=4)(series(4, 1, 4000))[0]
    inner = frames.reshape(4, 2, 9, -1)[:, :, 1:8]  # bins with a real and an imaginary part
    assert inner.square().sum(dim=1).mean().item() == pytest.approx(1.0, rel=0.05)


@settings(deadline=None, max_examples=30)
@given(length=st.integers(1, 70), channels=st.integers(1, 3), patch=st.integers(1, 80))
def test_patches_come_back_exactly(length: int, channels: int, patch: int) -> None:
    front, x = PatchFront(FrontConfig(kind="patch", patch=patch), channels, length), series(2, channels, length)
    (frames,) = front(x)
    assert frames.shape == (2, front.band_features[0], front.n_frames)
    assert front.n_frames == -(-length // min(patch, length))
    assert torch.equal(front.inverse([frames]), x)


def test_a_patch_holds_consecutive_values() -> None:
    (frames,) = PatchFront(FrontConfig(kind="patch", patch=3), 1, 7)(torch.arange(7.0)[None, None])
    assert frames[0].T.tolist() == [[0, 1, 2], [3, 4, 5], [6, 0, 0]]


def test_auto_values_follow_the_length() -> None:
    assert (FrontConfig().resolve(16).n_fft, FrontConfig().resolve(16).hop) == (16, 4)
    assert (FrontConfig().resolve(15).n_fft, FrontConfig().resolve(15).hop) == (8, 2)
    assert (FrontConfig().resolve(255).n_fft, FrontConfig().resolve(255).hop) == (16, 4)
    assert (FrontConfig().resolve(256).n_fft, FrontConfig().resolve(256).hop) == (32, 8)
    assert FrontConfig(n_fft=16).resolve(256).n_fft == 16
    assert FrontConfig(n_fft=6).resolve(50).hop == 1
    resolved = FrontConfig(n_fft=12, hop=3, bands=(1,)).resolve(50)
    assert resolved.resolve(50) == resolved


@pytest.mark.parametrize(
    ("settings", "length", "expected"),
    [
        ({"n_fft": 7}, 30, "n_fft = 7: must be even"),
        ({"n_fft": 2}, 30, "n_fft = 2: must be even, at least 4"),
        ({"n_fft": 32}, 31, "n_fft = 32: must be even, at least 4 and at most the series length 31"),
        ({}, 7, "n_fft = 8: must be even, at least 4 and at most the series length 7"),
        ({"n_fft": 8, "hop": 5}, 30, "hop = 5: must be 1 to n_fft / 4 = 2"),
        ({"n_fft": 8, "hop": 0}, 30, "hop = 0: must be 1 to n_fft / 4 = 2"),
        ({"n_fft": 8, "bands": (3, 2)}, 30, r"bands = \(3, 2\): edges must increase within 1..4"),
        ({"n_fft": 8, "bands": (2, 2)}, 30, "edges must increase"),
        ({"n_fft": 8, "bands": (0,)}, 30, r"bands = \(0,\): edges must increase"),
        ({"n_fft": 8, "bands": (5,)}, 30, r"bands = \(5,\): edges must increase"),
        ({"kind": "patch", "bands": (1,)}, 30, r"bands = \(1,\): time patches have no frequency bands"),
    ],
)
def test_an_impossible_front_names_key_value_and_limit(settings: dict[str, Any], length: int, expected: str) -> None:
    with pytest.raises(InputError, match=expected) as error:
        FrontConfig(**settings).resolve(length)
    assert str(error.value).startswith("tokenizer.front.")


@pytest.mark.parametrize("kind", list(FRONTS))
def test_every_front_passes_gradients_back(kind: str) -> None:
    config = FrontConfig(kind=kind).resolve(21)  # type: ignore[arg-type]
    front, x = FRONTS[kind](config, 2, 21), series(1, 2, 21).requires_grad_()
    front.inverse(front(x)).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.ones_like(x), atol=1e-4, rtol=0)
