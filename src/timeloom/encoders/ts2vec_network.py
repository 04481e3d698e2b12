"""The network of TS2Vec: a projection of each time point, then dilated residual convolutions that keep the length."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

KERNEL = 3


class DilatedConv(nn.Module):
    """Same-length convolution of kernel 3 along time, (B, T, width_in) to (B, T, width_out).

    It runs as a two-dimensional one of height 1 in the channels-last layout, which is that of (B, T, width). Where
    the dilation reaches past both ends of the series the outer taps only ever meet padding, so the middle one alone
    gives the same sums: a third of the work.
    """

    def __init__(self, width_in: int, width_out: int, dilation: int) -> None:
        super().__init__()
        conv = nn.Conv1d(width_in, width_out, KERNEL)
        self.weight, self.bias = conv.weight, conv.bias
        self.dilation = dilation

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, T, width_in) to (B, T, width_out); zeros lie outside the series."""
        reach = self.dilation
        if reach >= x.shape[1]:
            return functional.linear(x, self.weight[:, :, KERNEL // 2], self.bias)
        maps, weight = x.transpose(1, 2).unsqueeze(2), self.weight.unsqueeze(2)
        convolved = functional.conv2d(maps, weight, self.bias, padding=(0, reach), dilation=(1, reach))
        return convolved.squeeze(2).transpose(1, 2)


class ResidualBlock(nn.Module):
    """GELU and convolution twice, added to the input, which is projected where `project` asks for it."""

    def __init__(self, width_in: int, width_out: int, dilation: int, project: bool) -> None:
        super().__init__()
        self.first = DilatedConv(width_in, width_out, dilation)
        self.second = DilatedConv(width_out, width_out, dilation)
        self.shortcut: nn.Module = nn.Linear(width_in, width_out) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, width_in) to (B, T, width_out)."""
        y = self.first(functional.gelu(x))
        return self.shortcut(x) + self.second(functional.gelu(y))


class TS2VecNetwork(nn.Module):
    """Representations of time points: projection to `hidden_dims`, then `depth` + 1 blocks of dilation 2^i.

    The last block widens to `output_dims`. Everything runs in the layout (B, T, width), so that no step copies to
    another one. The published dropout of the representations is left to the training loop, which owns the random
    numbers.
    """

    def __init__(self, n_channels: int, output_dims: int, hidden_dims: int, depth: int) -> None:
        super().__init__()
        self.project = nn.Linear(n_channels, hidden_dims)
        self.dilations = [2**i for i in range(depth + 1)]
        blocks = [ResidualBlock(hidden_dims, hidden_dims, dilation, project=False) for dilation in self.dilations[:-1]]
        self.blocks = nn.Sequential(*blocks, ResidualBlock(hidden_dims, output_dims, 2**depth, project=True))

    def forward(self, x: Tensor, keep: Tensor, wanted: slice = slice(None)) -> Tensor:
        """Representations (B, T, output_dims) of scaled series, or of the wanted time points only.

        Args:
            x: (B, T, C), NaN where missing; a time point with any NaN is masked.
            keep: boolean, broadcast to (B, T), False where a time point is masked: zeroed after the projection.
            wanted: time points to represent. The wide blocks, whose dilation outreaches the series and which see each
                time point alone, are spared the others.
        """
        kept = keep & ~x.isnan().any(dim=2)
        hidden = self.project(x.nan_to_num(nan=0.0)) * kept.unsqueeze(2)
        n_wide = sum(dilation >= x.shape[1] for dilation in self.dilations)
        n_narrow = len(self.blocks) - n_wide
        return self.blocks[n_narrow:](self.blocks[:n_narrow](hidden)[:, wanted])
