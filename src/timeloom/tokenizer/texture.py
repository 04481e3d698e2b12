"""Texture: the noise around a reconstruction, which a decoder that minimises squared error smooths away."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

MOST_LOG_RATIO = 4.0
TINY, JITTER = 1e-12, 1e-4
LEAST_LEVEL = 1e-8
# a frame with less of its window on observed values says nothing
LEAST_SHARE = 0.1


def power(frames: Tensor, n_channels: int, parts: int) -> Tensor:
    """Squared magnitude (B, C F, W) of frames (B, C parts F, W), `parts` being 2 for complex frames and 1 for real."""
    return rearrange(frames, "b (c p f) w -> b c p f w", c=n_channels, p=parts).square().sum(2).flatten(1, 2)


def shaped(white: Tensor, variance: Tensor, n_channels: int, parts: int) -> Tensor:
    """Frames of white noise of variance 1 (B, C parts F, W), given the variances (B, C F, W) in every bin and frame."""
    split = rearrange(white, "b (c p f) w -> b c p f w", c=n_channels, p=parts)
    deviation = rearrange(variance.sqrt(), "b (c f) w -> b c 1 f w", c=n_channels)
    return rearrange(split * deviation, "b c p f w -> b (c p f) w")


def whole(powers: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Powers (B, n_powers, W) as if all of each frame's window lay on observed values, and 1 for each that counts.

    Args:
        powers: of residuals that are 0 where nothing was observed.
        share: (B or 1, n_powers, W), of the front end's `covered`.
    """
    counted = (share >= LEAST_SHARE).float().expand_as(powers)
    return counted * powers / share.clamp(min=LEAST_SHARE), counted


def mean_level(powers: Tensor, counted: Tensor) -> Tensor:
    """The mean (n_powers, 1), above 0, of the powers (B, n_powers, W) that count."""
    total = counted.sum(dim=(0, 2)).clamp(min=1)
    return ((powers * counted).sum(dim=(0, 2)) / total).clamp(min=LEAST_LEVEL)[:, None]


def _rows(frames: Tensor, n_channels: int, parts: int, n_mixed: int) -> Tensor:
    """Frames (B, C parts F, W) as (B, n_mixed, rest, W), where n_mixed is C or, of real frames, C F."""
    bins = n_mixed // n_channels
    return rearrange(frames, "b (c p g f) w -> b (c g) (p f) w", c=n_channels, p=parts, g=bins)


def mixed(white: Tensor, mixing: Tensor, n_channels: int, parts: int) -> Tensor:
    """Frames of white noise (B, C parts F, W) correlated by the matrix mixing (M, M), M being C, or C F if parts is 1.

    Rows of `mixing` have norm 1, so the variance stays 1.
    """
    rows = torch.einsum("ij,bjrw->birw", mixing, _rows(white, n_channels, parts, len(mixing)))
    bins = len(mixing) // n_channels
    return rearrange(rows, "b (c g) (p f) w -> b (c p g f) w", c=n_channels, p=parts, g=bins)


def mixing_of(frames: Tensor, n_channels: int, parts: int, n_mixed: int) -> Tensor:
    """The matrix (n_mixed, n_mixed) by which `mixed` gives white noise the correlations of frames (B, C parts F, W).

    Cholesky factor of their correlation matrix, each frame's bins scaled to one mean power first, so that a loud bin
    says no more than a quiet one.
    """
    rows = _rows(frames, n_channels, parts, n_mixed).double()
    rows = rows / rows.square().mean(dim=(0, 3), keepdim=True).sqrt().clamp(min=TINY)
    covariance = torch.einsum("birw,bjrw->ij", rows, rows) / (rows.numel() / n_mixed)
    factor = torch.linalg.cholesky(covariance + JITTER * torch.eye(n_mixed, dtype=torch.double, device=rows.device))
    return (factor / factor.norm(dim=1, keepdim=True)).float()


class Texture(nn.Module):
    """Variance of the residual in every channel, bin and frame, given the decoder's last hidden states.

    A convolution gives the logarithm of the ratio to `level`, the mean over a data set. It is trained with the
    tokenizer by `nll`, so that tokens say how loud the noise is that they cannot say, and once more after it, by
    residuals that stand still; an untrained one says `level` everywhere, and that is 0 at first.
    What is lost of several channels is rarely independent: `mixing` correlates the noise, see `mixing_of`.

    Args:
        hidden: channels of the decoder.
        n_powers: channels times bins.
        n_mixed: what is correlated: channels, or channels times bins.
    """

    def __init__(self, hidden: int, n_powers: int, n_mixed: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(hidden, n_powers, 3, padding=1)
        nn.init.zeros_(self.conv.weight)
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)
        self.register_buffer("level", torch.zeros(n_powers, 1))
        self.register_buffer("mixing", torch.eye(n_mixed))
        self.level: Tensor
        self.mixing: Tensor

    def forward(self, features: Tensor) -> Tensor:
        """Variances (B, n_powers, W) of hidden states (B, hidden, W)."""
        return self._log_ratio(features).exp() * self.level

    def nll(self, features: Tensor, powers: Tensor, counted: Tensor, level: Tensor) -> Tensor:
        """Mean negative log-likelihood of residual powers (B, n_powers, W), if they are Gaussian, up to a constant.

        Args:
            features: the decoder's hidden states (B, hidden, W).
            powers: of the residual's frames, see `whole`.
            counted: 1 for each that counts, else 0.
            level: (n_powers, 1), above 0; what the network's ratio is the ratio to.
        """
        log_ratio = self._log_ratio(features)
        each = powers / level * torch.exp(-log_ratio) + log_ratio
        return (each * counted).sum() / counted.sum().clamp(min=1)

    def _log_ratio(self, features: Tensor) -> Tensor:
        """Bounded, for the prior may put tokens together that training never saw."""
        return self.conv(features).clamp(-MOST_LOG_RATIO, MOST_LOG_RATIO)
