"""The bidirectional transformer: one position for each cell, one output head for each level."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from einops import rearrange
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from timeloom.config import Frozen
from timeloom.prior.masking import passes
from timeloom.tokenizer.tokenizer import TokenLayout

# learned features of a code vector
N_FEATURES = 64
# tokens for each code at which a token's own rows count for half
OWN_HALF = 150


class TransformerConfig(Frozen):
    """Size of the transformer.

    Attributes:
        dim: model width, a multiple of `heads`.
        layers: number of blocks.
        heads: attention heads.
        expansion: width of the feed-forward layer, in multiples of `dim`.
        dropout: share of activations dropped in training.
        own_rows: factor of what a token learns apart from its code vector, in the embedding and in the head; `auto` is
            `own_share` of the training tokens.
    """

    dim: int = Field(default=64, ge=1)
    layers: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    expansion: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    own_rows: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = "auto"

    @model_validator(mode="after")
    def _check(self) -> TransformerConfig:
        if self.dim % self.heads:
            raise ValueError(f"dim = {self.dim} is not a multiple of heads = {self.heads}")
        return self

    def resolve(self, tokens_per_code: float) -> TransformerConfig:
        """Fill in `auto` for so many training tokens for each code."""
        return self.model_copy(update={"own_rows": own_share(tokens_per_code)}) if self.own_rows == "auto" else self


class Block(nn.Module):
    """Pre-norm attention and feed-forward, each with a residual path (Xiong et al. 2020)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim = config.dim
        self.heads = config.heads
        self.norm_1, self.norm_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.feed = nn.Sequential(
            nn.Linear(dim, config.expansion * dim), nn.GELU(), nn.Linear(config.expansion * dim, dim)
        )
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, D) to the same shape."""
        q, k, v = rearrange(self.qkv(self.norm_1(x)), "b s (n h d) -> n b h s d", n=3, h=self.heads)
        attended = F.scaled_dot_product_attention(q, k, v)
        x = x + self.drop(self.out(rearrange(attended, "b h s d -> b s (h d)")))
        return x + self.drop(self.feed(self.norm_2(x)))


class CodeFeatures(nn.Module):
    """A code vector, and a learned function of it beside it: (..., D) to (..., width); nothing where D is 0."""

    def __init__(self, dim: int, n_features: int) -> None:
        super().__init__()
        self.width = dim + n_features if dim else 0
        layers = (nn.Linear(dim, n_features), nn.GELU(), nn.Linear(n_features, n_features)) if dim else ()
        self.learned = nn.Sequential(*layers)

    def forward(self, codes: Tensor) -> Tensor:
        """Features of codes, those that are learned behind the codes themselves."""
        return torch.cat([codes, self.learned(codes)], dim=-1) if self.width else codes


def own_share(tokens_per_code: float) -> float:
    """How much a token's own rows count where the training series hold so many tokens for each code.

    From 0 (what a code has in common with its neighbours is all that can be learned of it) to 1, half at `OWN_HALF`.
    Held-out likelihood is best with nothing of their own at 31 tokens a code, and with half of it or more at 209.
    """
    return 1 / (1 + (OWN_HALF / tokens_per_code) ** 2)


class TokenTransformer(nn.Module):
    """Tokens with holes, a class and a pass to logits.

    A cell enters as the sum of one embedding for each level, the mask id of a level having an embedding of its own;
    class, pass and position are added, and what is particular to the class in that cell: which tokens begin a series
    of a class is so learned without a detour over the blocks. The last class is the null class.

    A token's embedding, and its row of the head, is a linear map of features of the tokenizer's code vector plus a row
    of its own: what is learned of a code is so shared with the codes near to it. Rows of its own are what the prior
    learns by heart where a code is rare, so they count for as much as `config.own_rows` says.

    Args:
        config: its size; with code vectors `own_rows` must be a number.
        layout: grids, levels and codebook size of the tokens.
        n_classes: number of classes, 0 without labels.
        codes: (grids, levels, K, D) code vectors; None, or D of 0, leaves each token its own row alone.
    """

    def __init__(
        self, config: TransformerConfig, layout: TokenLayout, n_classes: int, codes: Tensor | None = None
    ) -> None:
        super().__init__()
        n_cells, rows = sum(layout.grids), layout.codebook_size + 1
        self.layout, self.order = layout, passes(layout)
        grid = torch.repeat_interleave(torch.arange(len(layout.grids)), torch.tensor(layout.grids))
        table = grid[:, None] * layout.levels + torch.arange(layout.levels)
        self.register_buffer("row", table * rows, persistent=False)
        self.row: Tensor
        self.embed = nn.Embedding(len(layout.grids) * layout.levels * rows, config.dim)
        self.position = nn.Parameter(torch.randn(n_cells, config.dim) * 0.02)
        self.pass_embed = nn.Embedding(len(self.order), config.dim)
        self.class_embed = nn.Embedding(n_classes + 1, config.dim)
        # without classes it would be the position once more; several processes wait for the gradient of each parameter
        rows = n_classes + 1 if n_classes else 0
        self.class_position = nn.Parameter(torch.zeros(rows, n_cells, config.dim), requires_grad=bool(rows))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)
        self.head_weight = nn.Parameter(torch.randn(len(self.order), layout.codebook_size, config.dim) * 0.02)
        self.head_bias = nn.Parameter(torch.zeros(len(self.order), layout.codebook_size))
        if codes is None:
            codes = torch.zeros(len(layout.grids), layout.levels, layout.codebook_size, 0)
        self.register_buffer("codes", codes.clone())
        self.codes: Tensor
        self.own_rows = config.own_rows if codes.shape[3] else 1.0
        assert self.own_rows != "auto", "resolve the config first"
        self.features = CodeFeatures(codes.shape[3], N_FEATURES)
        shape = (*codes.shape[:2], self.features.width, config.dim)
        self.embed_map = nn.Parameter(torch.randn(shape) * 0.3 / max(codes.shape[3], 1) ** 0.5)
        self.head_map = nn.Parameter(torch.randn(shape) * 0.02)
        for embedding in (self.embed, self.pass_embed, self.class_embed):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, tokens: Tensor, labels: Tensor, drawn: Tensor) -> Tensor:
        """Hidden states.

        Args:
            tokens: (B, S, levels), 0..K, K being the mask.
            labels: (B,) class indices, the number of classes being the null class.
            drawn: (B,) index of the pass whose tokens are wanted.

        Returns:
            (B, S, D).
        """
        shared = self.features(self.codes) @ self.embed_map
        table = self.embed.weight.view(*shared.shape[:2], -1, shared.shape[3])
        known, mask = table[:, :, :-1], table[:, :, -1:]  # the mask has no code
        rows = torch.cat([self.own_rows * known + shared, mask], dim=2).flatten(0, 2)
        x = F.embedding(tokens + self.row, rows).sum(dim=2)
        x = x + self.position + (self.class_embed(labels) + self.pass_embed(drawn))[:, None]
        if len(self.class_position):
            x = x + self.class_position[labels]
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def head(self, hidden: Tensor, index: int) -> Tensor:
        """Logits (..., K) of hidden states (..., D) for one pass."""
        level, grid = divmod(index, len(self.layout.grids))
        shared = self.features(self.codes[grid, level]) @ self.head_map[grid, level]
        weight = self.own_rows * self.head_weight[index] + shared
        return F.linear(hidden, weight, self.head_bias[index])
