"""The networks of FEI: a residual convolutional encoder, its slow copy, prompts for masks, and two predictors."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

STEM_KERNEL, KERNEL = 7, 3


class ResidualUnit(nn.Module):
    """Two convolutions that halve the time beside a projection that does so too, then GELU."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.convolved = nn.Sequential(
            nn.Conv1d(width_in, width_out, KERNEL, stride=2, padding=KERNEL // 2, bias=False),
            nn.BatchNorm1d(width_out),
            nn.GELU(),
            nn.Conv1d(width_out, width_out, KERNEL, padding=KERNEL // 2, bias=False),
            nn.BatchNorm1d(width_out),
        )
        self.shortcut = nn.Sequential(
            nn.Conv1d(width_in, width_out, 1, stride=2, bias=False), nn.BatchNorm1d(width_out)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, T) to (B, width_out, ceil(T / 2))."""
        return functional.gelu(self.convolved(x) + self.shortcut(x))


class FEINetwork(nn.Module):
    """Series (B, C, T) to embeddings (B, D): a convolution, one residual unit for each width, the mean over time."""

    def __init__(self, n_channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        units = (ResidualUnit(before, after) for before, after in pairwise(widths))
        self.layers = nn.Sequential(
            nn.Conv1d(n_channels, widths[0], STEM_KERNEL, padding=STEM_KERNEL // 2, bias=False),
            nn.BatchNorm1d(widths[0]),
            nn.GELU(),
            *units,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (B, D) of scaled series (B, C, T)."""
        return self.layers(x).mean(dim=2)


class FEIInference(nn.Module):
    """What is needed in training only, around an encoder that it shares.

    The encoder's embeddings are mapped into a space of half their width, where all is inferred. `slow`, encoder and
    map, follows `fast` as a moving average.

    Args:
        network: the encoder that is trained.
        width: D, of its embeddings.
        n_bins: frequencies of a series, T // 2 + 1.
    """

    def __init__(self, network: FEINetwork, width: int, n_bins: int) -> None:
        super().__init__()
        space = max(width // 2, 1)
        self.fast = nn.Sequential(network, nn.Linear(width, space))
        self.slow = copy.deepcopy(self.fast).requires_grad_(False)
        self.prompts = nn.Parameter(torch.randn(n_bins, space))
        self.infer_embedding, self.infer_mask = _predictor(space), _predictor(space)

    def prompt(self, keep: Tensor) -> Tensor:
        """What stands for masks (B, F), False where a frequency is masked: the sum of its vectors over sqrt(count)."""
        masked = (~keep).to(self.prompts.dtype)
        return masked @ self.prompts / masked.sum(dim=1, keepdim=True).clamp(min=1).sqrt()

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Move the slow copy: `momentum` of what it was, the rest of the fast one."""
        for slow, fast in zip(self.slow.parameters(), self.fast.parameters(), strict=True):
            slow.lerp_(fast, 1 - momentum)


def _predictor(width: int) -> nn.Sequential:
    narrow = max(width // 2, 1)
    return nn.Sequential(nn.Linear(width, narrow), nn.GELU(), nn.Linear(narrow, width))


def mask_frequencies(series: Tensor, keep: Tensor) -> Tensor:
    """Series (B, C, T) without the frequencies where `keep` (B, T // 2 + 1) is False, the same in every channel."""
    return torch.fft.irfft(torch.fft.rfft(series, dim=2) * keep.unsqueeze(1), n=series.shape[2], dim=2)


def draw_masks(n_cases: int, n_bins: int, most: float, generator: torch.Generator) -> Tensor:
    """Boolean (B, F), False at random frequencies: a share of them that is drawn from U(0, most) for each series.

    At least one is masked, as nothing could be inferred otherwise, and one is kept.
    """
    shares = torch.rand(n_cases, 1, generator=generator) * most
    n_masked = (shares * n_bins).long().clamp(1, max(n_bins - 1, 1))
    ranks = torch.rand(n_cases, n_bins, generator=generator).argsort(dim=1).argsort(dim=1)
    return ranks >= n_masked
