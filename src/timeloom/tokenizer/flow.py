"""The residual flow: draws what a reconstruction leaves out, as it is, where Gaussian noise would only be as loud."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DILATIONS = (1, 2, 4, 8, 16, 1)
# hidden channels for one channel of the data, for each further one, and at most
HIDDEN, HIDDEN_EACH, MOST_HIDDEN = 32, 2, 96
WAVES = 16
# times at which the network is looked at in sampling, twice but for the last; near the end what is small is settled
TIMES = (0.0, 0.4, 0.7, 0.9, 1.0)
# time points of all series that are drawn at once: what is in between stays in a CPU's cache
AT_ONCE = 8192
LEAST_SCALE = 1e-6


class FlowBlock(nn.Module):
    """x + f(x, time), f a dilated convolution that time scales and shifts; it starts as the identity."""

    def __init__(self, hidden: int, dilation: int) -> None:
        super().__init__()
        self.wide = nn.Conv1d(hidden, hidden, 3, padding=dilation, dilation=dilation)
        self.narrow = nn.Conv1d(hidden, hidden, 1)
        self.time = nn.Linear(2 * WAVES, 2 * hidden)
        for layer in (self.narrow, self.time):
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, waves: Tensor) -> Tensor:
        """(B, D, T) and waves of time (B, 2 WAVES) to (B, D, T)."""
        scale, shift = self.time(waves)[:, :, None].chunk(2, dim=1)
        return x + self.narrow(F.gelu(self.wide(F.gelu(x)) * (1 + scale) + shift))


class ResidualFlow(nn.Module):
    """Draws the residual (B, C, T) of reconstructions (B, C, T), both scaled, by flow matching.

    A network gives the velocity at which white noise at time 0 becomes, along straight lines, the residual at time 1,
    in units of its own deviation (Lipman et al. 2023, "Flow matching for generative modeling", eq. 23 with sigma 0).
    It sees the reconstruction, so that what is left out may be anything that the reconstruction tells: a step that was
    rounded off, a plateau that ripples, noise that is louder here than there. It sees no further than `reach` time
    points, and nothing of tokens: a network that did would soon know the training series by heart.

    Args:
        n_channels: C.
    """

    # what an output depends on, in time points to either side
    reach = 2 + sum(DILATIONS)

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        hidden = min(HIDDEN + HIDDEN_EACH * (n_channels - 1), MOST_HIDDEN)
        self.stem = nn.Conv1d(2 * n_channels, hidden, 3, padding=1)
        self.blocks = nn.ModuleList(FlowBlock(hidden, dilation) for dilation in DILATIONS)
        self.head = nn.Conv1d(hidden, n_channels, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)
        self.register_buffer("scale", torch.ones(n_channels, 1))
        frequencies = math.pi * torch.logspace(0, 4, WAVES, base=math.e)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.scale: Tensor
        self.frequencies: Tensor

    def fit_scale(self, residual: Tensor, observed: Tensor | None = None) -> None:
        """Take the deviation of each channel from residuals (N, C, T), of which only what was `observed` counts."""
        seen = torch.ones_like(residual) if observed is None else observed.float()
        power = (residual.square() * seen).sum(dim=(0, 2)) / seen.sum(dim=(0, 2)).clamp(min=1)
        self.scale.copy_(power.sqrt().clamp(min=LEAST_SCALE)[:, None])

    def velocity(self, x: Tensor, recon: Tensor, time: Tensor) -> Tensor:
        """Velocity (B, C, T) at x (B, C, T), beside the reconstruction (B, C, T), at times (B,) in 0 to 1."""
        waves = time[:, None] * self.frequencies
        waves = torch.cat([waves.sin(), waves.cos()], dim=1)
        hidden = self.stem(torch.cat([x, recon], dim=1))
        for block in self.blocks:
            hidden = block(hidden, waves)
        return self.head(F.gelu(hidden))

    def loss(self, residual: Tensor, recon: Tensor, counted: Tensor, time: Tensor, noise: Tensor) -> Tensor:
        """Mean squared error of the velocity.

        Args:
            residual: (B, C, T), scaled.
            recon: the reconstructions (B, C, T) that leave it out.
            counted: (B, C, T), 1 where the error counts, else 0.
            time: (B,) in 0 to 1.
            noise: (B, C, T), white.
        """
        goal = residual / self.scale
        at = time[:, None, None]
        error = self.velocity((1 - at) * noise + at * goal, recon, time) - (goal - noise)
        return (error.square() * counted).sum() / counted.sum().clamp(min=1)

    @torch.no_grad()
    def draw(self, recon: Tensor, generator: torch.Generator) -> Tensor:
        """Residuals (B, C, T), scaled, of reconstructions (B, C, T): Heun's method, its last step Euler's.

        Euler's alone, or fewer steps, give residuals that are too quiet.
        """
        noise = torch.randn(recon.shape, generator=generator, device=recon.device)
        few = max(1, AT_ONCE // recon.shape[2])
        return self.scale * torch.cat(
            [self._carried(*of) for of in zip(noise.split(few), recon.split(few), strict=True)]
        )

    def _carried(self, x: Tensor, recon: Tensor) -> Tensor:
        for start, end in pairwise(TIMES):
            now, step = torch.full((len(x),), start, device=x.device), end - start
            velocity = self.velocity(x, recon, now)
            if end < 1:
                velocity = (velocity + self.velocity(x + step * velocity, recon, now + step)) / 2
            x = x + step * velocity
        return x
