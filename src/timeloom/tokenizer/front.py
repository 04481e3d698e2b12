"""Time series to frames and back: the STFT front end, and plain time patches to compare it with."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from timeloom.config import Frozen
from timeloom.errors import InputError

AUTO_N_FFT = 16
LONG, LONG_N_FFT = 256, 32
# a bin with a smaller share of the strongest one's power is not raised further: it may be rounding
FAINTEST = 1e-4


class FrontConfig(Frozen):
    """How a series becomes frames.

    Attributes:
        kind: `stft` (short-time Fourier transform) or `patch` (plain pieces of time).
        n_fft: window length in time points, even; `auto` is 16; 8 for series shorter than 16, 32 from
            256 time points on.
        hop: time points between frames; `auto` is a quarter of n_fft.
        bands: inner edges, in frequency bins, that part the bins into bands, lowest first; each band gets a grid of its
            own. Empty is one band; (1,) parts the mean from the rest.
        patch: time points in a patch (`kind` patch only).
        equalize: how far the bins, whose powers fall by orders of magnitude in most series, are brought to one power
            in the training series (`kind` stft only): 0 leaves them as they are, 1 makes them alike. Encoder and loss
            see no more of a faint bin than its power allows, classifiers do.
    """

    kind: Literal["stft", "patch"] = "stft"
    n_fft: Literal["auto"] | int = "auto"
    hop: Literal["auto"] | int = "auto"
    bands: tuple[int, ...] = ()
    patch: int = Field(default=8, ge=1)
    equalize: float = Field(default=0.5, ge=0, le=1)

    def resolve(self, length: int) -> FrontConfig:
        """Fill in every `auto` for series of `length` time points.

        Raises:
            InputError: a window longer than the series, an odd window, a hop that is too wide, or band edges that do
                not increase within 1..n_fft/2.
        """
        if self.kind == "patch":
            if self.bands:
                raise InputError(f"tokenizer.front.bands = {self.bands}: time patches have no frequency bands")
            return self
        auto = LONG_N_FFT if length >= LONG else AUTO_N_FFT if length >= AUTO_N_FFT else 8
        n_fft = auto if self.n_fft == "auto" else self.n_fft
        hop = self.hop if self.hop != "auto" else max(n_fft // 4, 1)
        if n_fft < 4 or n_fft % 2 or n_fft > length:
            raise InputError(
                f"tokenizer.front.n_fft = {n_fft}: must be even, at least 4 and at most the series length {length}"
            )
        if not 1 <= hop <= n_fft // 4:  # at n_fft / 2 the last points hang on the window's rim: their inverse is noise
            raise InputError(f"tokenizer.front.hop = {hop}: must be 1 to n_fft / 4 = {n_fft // 4}")
        edges = (0, *self.bands, n_fft // 2 + 1)
        if any(a >= b for a, b in pairwise(edges)):
            raise InputError(f"tokenizer.front.bands = {self.bands}: edges must increase within 1..{n_fft // 2}")
        return self.model_copy(update={"n_fft": n_fft, "hop": hop})


class STFTFront(nn.Module):
    """One-sided STFT, Hann window, centred; real and imaginary parts of every channel and bin stacked as features.

    The window is scaled to unit energy, so a coefficient has about the scale of the series. The inverse is exact for
    every length, odd ones too, because it is told the length (Griffin and Lim 1984, least-squares overlap-add).
    Every channel and bin has a gain, 1 until `fit` is called.
    """

    def __init__(self, config: FrontConfig, n_channels: int, length: int) -> None:
        super().__init__()
        assert isinstance(config.n_fft, int), "resolve the config first"
        assert isinstance(config.hop, int), "resolve the config first"
        self.n_fft, self.hop, self.equalize = config.n_fft, config.hop, config.equalize
        self.n_channels, self.length = n_channels, length
        self.edges = (0, *config.bands, self.n_fft // 2 + 1)
        self.n_frames = length // self.hop + 1
        self.band_features = [2 * n_channels * (b - a) for a, b in pairwise(self.edges)]
        self.parts = 2  # real and imaginary
        # frames overlap, so noise mixed across bins would not be a series' any more
        self.n_mixed = n_channels
        window = torch.hann_window(self.n_fft)
        self.register_buffer("window", window / window.square().sum().sqrt(), persistent=False)
        self.register_buffer("gain", torch.ones(n_channels, 1, self.n_fft // 2 + 1, 1))
        self.window: Tensor
        self.gain: Tensor

    def fit(self, x: Tensor) -> None:
        """Set the gains by series (B, C, T): powers to the power of -`equalize`; a channel's mean power stays."""
        power = self._parts(x).square().sum(dim=2, keepdim=True).mean(dim=(0, 4)).unsqueeze(-1)
        strongest = power.amax(dim=2, keepdim=True)
        raised = torch.where(strongest > 0, power.clamp(min=FAINTEST * strongest), 1).pow(-self.equalize)
        whole = torch.where(strongest > 0, power, 1)
        self.gain.copy_((raised * whole.sum(2, keepdim=True) / (raised * whole).sum(2, keepdim=True)).sqrt())

    def describe(self) -> str:
        """One line for people."""
        return f"STFT, window {self.n_fft}, hop {self.hop}, {self.n_frames} frames, {len(self.band_features)} band(s)"

    def forward(self, x: Tensor) -> list[Tensor]:
        """Transform series (B, C, T) to one array of frames (B, 2 C F_band, W) for each band."""
        return self._split(self._parts(x) * self.gain)

    def plain(self, x: Tensor) -> list[Tensor]:
        """The frames without the gains: white noise stays white."""
        return self._split(self._parts(x))

    def covered(self, seen: Tensor) -> list[Tensor]:
        """Share (B, C F_band, W), 0 to 1, of each frame's power that white noise has where values are seen (B, C, T).

        A frame at an end hangs over it, and hears less; one over missing values, too.
        """
        padded = F.pad(seen.float(), (self.n_fft // 2, self.n_fft // 2))
        share = padded.unfold(2, self.n_fft, self.hop) @ self.window.square()
        return [share.repeat_interleave(b - a, dim=1) for a, b in pairwise(self.edges)]

    def _parts(self, x: Tensor) -> Tensor:
        """The spectrum (B, C, 2, F, W), real and imaginary."""
        flat = rearrange(x, "b c t -> (b c) t")
        spectrum = torch.stft(flat, self.n_fft, self.hop, window=self.window, pad_mode="constant", return_complex=True)
        return rearrange(torch.view_as_real(spectrum), "(b c) f w ri -> b c ri f w", c=self.n_channels)

    def _split(self, parts: Tensor) -> list[Tensor]:
        return [rearrange(parts[..., a:b, :], "b c ri f w -> b (c ri f) w") for a, b in pairwise(self.edges)]

    def inverse(self, bands: list[Tensor]) -> Tensor:
        """Transform the frames of all bands back to series (B, C, T)."""
        split = [rearrange(band, "b (c ri f) w -> b c ri f w", c=self.n_channels, ri=2) for band in bands]
        parts = rearrange(torch.cat(split, dim=3) / self.gain, "b c ri f w -> (b c) f w ri")
        # a real series has real DC and Nyquist bins; irfft ignores their imaginary part
        spectrum = torch.view_as_complex(parts.float().contiguous())
        flat = torch.istft(spectrum, self.n_fft, self.hop, window=self.window, length=self.length)
        return rearrange(flat, "(b c) t -> b c t", c=self.n_channels)


class PatchFront(nn.Module):
    """Plain pieces of time, the last one padded with zeros; all channels of a piece are its features."""

    def __init__(self, config: FrontConfig, n_channels: int, length: int) -> None:
        super().__init__()
        self.patch = min(config.patch, length)
        self.n_channels, self.length = n_channels, length
        self.n_frames = -(-length // self.patch)
        self.band_features = [n_channels * self.patch]
        self.parts = 1
        self.n_mixed = n_channels * self.patch

    def fit(self, x: Tensor) -> None:
        """Nothing: pieces of time have one power."""

    def describe(self) -> str:
        """One line for people."""
        return f"time patches of {self.patch}, {self.n_frames} frames"

    def forward(self, x: Tensor) -> list[Tensor]:
        """Cut series (B, C, T) into one array of frames (B, C P, W)."""
        padded = F.pad(x, (0, self.n_frames * self.patch - self.length))
        return [rearrange(padded, "b c (w p) -> b (c p) w", p=self.patch)]

    def plain(self, x: Tensor) -> list[Tensor]:
        """The same: there are no gains."""
        return self(x)

    def covered(self, seen: Tensor) -> list[Tensor]:
        """1 where a value of a piece (B, C P, W) is seen (B, C, T), else 0."""
        return self(seen.float())

    def inverse(self, bands: list[Tensor]) -> Tensor:
        """Join frames to series (B, C, T)."""
        joined = rearrange(bands[0].float(), "b (c p) w -> b c (w p)", c=self.n_channels)
        return joined[..., : self.length]


FRONTS: dict[str, type[STFTFront] | type[PatchFront]] = {"stft": STFTFront, "patch": PatchFront}
