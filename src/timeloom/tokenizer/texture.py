"""Texture: the noise around a reconstruction, which a decoder that minimises squared error smooths away."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

MOST_LOG_RATIO = 4.0


def power(frames: Tensor, n_channels: int, parts: int) -> Tensor:
    """Squared magnitude (B, C F, W) of frames (B, C parts F, W), `parts` being 2 for complex frames and 1 for real."""
    return rearrange(frames, "b (c p f) w -> b c p f w", c=n_channels, p=parts).square().sum(2).flatten(1, 2)


def shaped(white: Tensor, variance: Tensor, n_channels: int, parts: int) -> Tensor:
    """Frames of white noise of variance 1 (B, C parts F, W), given the variances (B, C F, W) in every bin and frame."""
    split = rearrange(white, "b (c p f) w -> b c p f w", c=n_channels, p=parts)
    deviation = rearrange(variance.sqrt(), "b (c f) w -> b c 1 f w", c=n_channels)
    return rearrange(split * deviation, "b c p f w -> b (c p f) w")


class Texture(nn.Module):
    """Variance of the residual in every channel, bin and frame, given the decoder's last hidden states.

    A convolution gives the logarithm of the ratio to `level`, the mean over a data set. It is trained after the
    tokenizer, which it does not change, by `nll`; an untrained one says `level` everywhere, and that is 0 at first.

    Args:
        hidden: channels of the decoder.
        n_powers: channels times bins.
    """

    def __init__(self, hidden: int, n_powers: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(hidden, n_powers, 3, padding=1)
        nn.init.zeros_(self.conv.weight)
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)
        self.requires_grad_(False)  # no part of the tokenizer's own training
        self.register_buffer("level", torch.zeros(n_powers, 1))
        self.level: Tensor

    def forward(self, features: Tensor) -> Tensor:
        """Variances (B, n_powers, W) of hidden states (B, hidden, W)."""
        return self._log_ratio(features).exp() * self.level

    def nll(self, features: Tensor, powers: Tensor) -> Tensor:
        """Mean negative log-likelihood of residual powers (B, n_powers, W), if they are Gaussian, up to a constant."""
        log_ratio = self._log_ratio(features)
        return (powers / self.level * torch.exp(-log_ratio) + log_ratio).mean()

    def _log_ratio(self, features: Tensor) -> Tensor:
        """Bounded, for the prior may put tokens together that training never saw."""
        return self.conv(features).clamp(-MOST_LOG_RATIO, MOST_LOG_RATIO)
