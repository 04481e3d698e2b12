"""Views that change the short-time spectrum of series: its cells, blocks, bands and phases.

The spectrum has 9 frequency bins (5 for series shorter than 16) and a frame for every 4 (2) time points. What is taken
out of a spectrum leaks back in part from its neighbours when the frames are added up to a series.
"""

from __future__ import annotations

import torch
from torch import Tensor

N_FFT, SHORT_N_FFT = 16, 8
CELLS, BLOCK, BAND = 0.1, 0.3, 0.25
ANGLE = 0.5


def mask(x: Tensor, generator: torch.Generator) -> Tensor:
    """Cells of the spectrum of series (B, C, T) are silenced, each with probability 0.1."""
    spectrum = to_spectrum(x)
    drawn = torch.rand(len(x), 1, *spectrum.shape[2:], generator=generator, device=x.device)
    return to_series(spectrum * (drawn >= CELLS), x.shape[-1])


def block(x: Tensor, generator: torch.Generator) -> Tensor:
    """A block of 0.3 of the bins and 0.3 of the frames of the spectrum of series (B, C, T) is silenced."""
    spectrum = to_spectrum(x)
    bins, frames = spectrum.shape[2:]
    inside = (
        _stretch(len(x), bins, BLOCK, generator, x)[:, :, None] & _stretch(len(x), frames, BLOCK, generator, x)[:, None]
    )
    return to_series(spectrum * ~inside[:, None], x.shape[-1])


def band(x: Tensor, generator: torch.Generator) -> Tensor:
    """A quarter of the bins, neighbours, are silenced in all frames of series (B, C, T); never the mean (bin 0)."""
    spectrum = to_spectrum(x)
    inside = _stretch(len(x), spectrum.shape[2] - 1, BAND, generator, x)
    kept = torch.cat([torch.ones_like(inside[:, :1]), ~inside], dim=1)
    return to_series(spectrum * kept[:, None, :, None], x.shape[-1])


def phase(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each bin of series (B, C, T) is turned by an angle of its own (see `turned`)."""
    return to_series(turned(to_spectrum(x), generator), x.shape[-1])


def turned(spectrum: Tensor, generator: torch.Generator) -> Tensor:
    """A spectrum (B, C, F, W) whose bins are turned by N(0, 0.5^2) radians each, in all frames alike.

    Magnitudes are kept. The first and the last bin of a real series are real, and are left as they are.
    """
    angle = ANGLE * torch.randn(len(spectrum), 1, spectrum.shape[2], 1, generator=generator, device=spectrum.device)
    angle[:, :, [0, -1]] = 0
    return spectrum * torch.polar(torch.ones_like(angle), angle).to(spectrum.dtype)


def to_spectrum(x: Tensor) -> Tensor:
    """The short-time Fourier transform of series (B, C, T) as complex (B, C, F, W)."""
    n_fft = _n_fft(x.shape[-1])
    window = torch.hann_window(n_fft, dtype=x.dtype, device=x.device)
    flat = torch.stft(x.flatten(0, 1), n_fft, n_fft // 4, window=window, pad_mode="constant", return_complex=True)
    return flat.unflatten(0, x.shape[:2])


def to_series(spectrum: Tensor, length: int) -> Tensor:
    """The inverse of `to_spectrum`, (B, C, length)."""
    n_fft = _n_fft(length)
    window = torch.hann_window(n_fft, dtype=spectrum.real.dtype, device=spectrum.device)
    flat = torch.istft(spectrum.flatten(0, 1), n_fft, n_fft // 4, window=window, length=length)
    return flat.unflatten(0, spectrum.shape[:2])


def _n_fft(length: int) -> int:
    return N_FFT if length >= N_FFT else SHORT_N_FFT


def _stretch(batch: int, n: int, share: float, generator: torch.Generator, x: Tensor) -> Tensor:
    """Booleans (B, n), true on a stretch of about `share` n neighbours at a random place, at least one."""
    size = max(1, round(share * n))
    start = torch.randint(n - size + 1, (batch, 1), generator=generator, device=x.device)
    place = torch.arange(n, device=x.device)
    return (place >= start) & (place < start + size)
