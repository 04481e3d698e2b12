"""The convolutional encoder and decoder between frames and cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def halvings(n_frames: int, width: int) -> list[int]:
    """Frame counts from `n_frames` down to the cell count whose ratio to the wanted `width` is nearest to 1.

    Each entry is half of the one before, rounded up; the last is the number of cells.
    """
    widths = [n_frames]
    while widths[-1] > 1:
        half = -(-widths[-1] // 2)
        if half < width and width / half > widths[-1] / width:
            break
        widths.append(half)
    return widths


class ResidualBlock(nn.Module):
    """x + f(x), f two convolutions without a norm; the second starts at zero, so a deep stack starts as identity."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GELU(),
            nn.Conv1d(channels, channels, 3, padding=1),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Conv1d(channels, channels, 1),
        )
        nn.init.zeros_(self.body[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.body[-1].bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, W) to the same shape."""
        return x + self.body(x)


def _blocks(channels: int, n: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels, dropout) for _ in range(n)))


class Encoder(nn.Module):
    """Frames (B, features, W) to latents (B, D, cells): strided convolutions with residual blocks between them."""

    def __init__(self, features: int, hidden: int, dim: int, widths: list[int], blocks: int, dropout: float) -> None:
        super().__init__()
        self.stem = nn.Conv1d(features, hidden, 3, padding=1)
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv1d(hidden, hidden, 4, stride=2), _blocks(hidden, blocks, dropout)) for _ in widths[1:]
        )
        self.blocks = _blocks(hidden, blocks, dropout)
        self.head = nn.Conv1d(hidden, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Encode; each halving pads so that W becomes ceil(W / 2)."""
        x = self.blocks(self.stem(x))
        for stage in self.down:
            x = stage(F.pad(x, (1, 1 + x.shape[-1] % 2)))
        return self.head(x)


class Decoder(nn.Module):
    """Latents (B, D, cells) to frames (B, features, W): the encoder's mirror, landing exactly on its frame counts."""

    def __init__(self, features: int, hidden: int, dim: int, widths: list[int], blocks: int, dropout: float) -> None:
        super().__init__()
        self.targets = list(reversed(widths[:-1]))
        self.stem = nn.Conv1d(dim, hidden, 3, padding=1)
        self.blocks = _blocks(hidden, blocks, dropout)
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose1d(hidden, hidden, 4, stride=2, padding=1), _blocks(hidden, blocks, dropout))
            for _ in self.targets
        )
        self.head = nn.Conv1d(hidden, features, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Decode to frames."""
        return self.head(self.features(z))

    def features(self, z: Tensor) -> Tensor:
        """Hidden states (B, hidden, W); each doubling yields 2 W frames, of which the encoder had 2 W or 2 W - 1."""
        x = self.blocks(self.stem(z))
        for stage, width in zip(self.up, self.targets, strict=True):
            x = stage(x)[..., :width]
        return x


def parameter_count(module: nn.Module) -> int:
    """Number of trained values in a module."""
    return sum(torch.numel(p) for p in module.parameters() if p.requires_grad)
