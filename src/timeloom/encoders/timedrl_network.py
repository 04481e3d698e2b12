"""The network of TimeDRL: patches and a learned first token through a small transformer encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

Drop = Callable[[Tensor], Tensor]
EXPANSION = 4


@dataclass(frozen=True)
class Patches:
    """Stretches of series as tokens.

    Attributes:
        values: (B, P, W), filled where missing.
        observed: boolean (B, P, W).
    """

    values: Tensor
    observed: Tensor

    @classmethod
    def cut(cls, series: Tensor, observed: Tensor, length: int, stride: int, independent: bool) -> Patches:
        """Patches of series (N, C, T): W = C * length, or, with channels `independent`, B = N * C and W = length."""
        values, seen = series.unfold(2, length, stride), observed.unfold(2, length, stride)
        if independent:
            return cls(values.flatten(0, 1), seen.flatten(0, 1))
        return cls(values.transpose(1, 2).flatten(2), seen.transpose(1, 2).flatten(2))


@dataclass(frozen=True)
class Embeddings:
    """What the network says: of each whole `instance` (B, D), and of each patch, `timestamp` (B, P, D)."""

    instance: Tensor
    timestamp: Tensor


class AttentionBlock(nn.Module):
    """Pre-norm self-attention and feed-forward layer, each beside a residual path."""

    def __init__(self, dims: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(dims), nn.LayerNorm(dims)
        self.qkv, self.out = nn.Linear(dims, 3 * dims), nn.Linear(dims, dims)
        self.feed = nn.Sequential(nn.Linear(dims, EXPANSION * dims), nn.GELU(), nn.Linear(EXPANSION * dims, dims))

    def forward(self, x: Tensor, seen: Tensor, drop: Drop) -> Tensor:
        """(B, S, D) to the same shape; only the tokens `seen` (B, 1, 1, S) are attended to."""
        q, k, v = self.qkv(self.norm_1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        x = x + drop(self.out(attended.transpose(1, 2).flatten(2)))
        return x + drop(self.feed(self.norm_2(x)))


class TimeDRLNetwork(nn.Module):
    """A learned token before the patches, one linear embedding for all, learned positions, attention blocks.

    The first token comes out as the instance embedding, the others as those of their patches: two levels that are not
    pooled from each other. Patches without any observed value are not attended to.

    Args:
        width: values of a patch.
        n_patches: patches of a series.
        dims: width of the embeddings, a multiple of `heads`.
        layers: attention blocks.
        heads: attention heads.
    """

    def __init__(self, width: int, n_patches: int, dims: int, layers: int, heads: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(width) * 0.02)
        self.embed = nn.Linear(width, dims)
        self.position = nn.Parameter(torch.randn(1 + n_patches, dims) * 0.02)
        self.blocks = nn.ModuleList(AttentionBlock(dims, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(dims)

    def forward(self, patches: Patches, drop: Drop = lambda x: x) -> Embeddings:
        """Embeddings of patches; `drop` is the dropout of the embedded tokens and of every residual branch."""
        n_cases = len(patches.values)
        tokens = torch.cat([self.first.expand(n_cases, 1, -1), patches.values], dim=1)
        seen = functional.pad(patches.observed.any(dim=2), (1, 0), value=True)[:, None, None]
        x = drop(self.embed(tokens) + self.position)
        for block in self.blocks:
            x = block(x, seen, drop)
        x = self.norm(x)
        return Embeddings(instance=x[:, 0], timestamp=x[:, 1:])


class TimeDRLHeads(nn.Module):
    """What is needed in training only: patches from their embeddings, and an instance from its other view."""

    def __init__(self, width: int, dims: int) -> None:
        super().__init__()
        narrow = max(dims // 2, 1)
        self.rebuild = nn.Linear(dims, width)
        self.predict = nn.Sequential(
            nn.Linear(dims, narrow), nn.BatchNorm1d(narrow), nn.ReLU(), nn.Linear(narrow, dims)
        )
