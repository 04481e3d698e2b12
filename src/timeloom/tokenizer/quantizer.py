"""Vectors to tokens: residual levels of `vector-quantize-pytorch` codebooks behind one wrapper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from einops import rearrange
from loguru import logger
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from vector_quantize_pytorch import VectorQuantize

from timeloom.config import Frozen

# it tells a user on standard error of batches with fewer vectors than codes, which `revive_below` puts right
logger.disable("vector_quantize_pytorch")


# codes for few latents and for many
FEW, MANY, MANY_FROM = 128, 512, 2000


class QuantizerConfig(Frozen):
    """A codebook of K codes for each residual level.

    Attributes:
        codebook_size: K; `auto` is 512, or 128 where the training series have fewer than 2000 cells in all.
        codebook_dim: width of a code.
        levels: residual depth; level q quantizes what levels 0..q-1 left over.
        codebook: `ema` (running mean of the vectors that chose a code) or `gradient` (trained by the `codebook` term).
        decay: memory of the running mean (`ema` only).
        revive_below: a code that fewer vectors than this chose (running count a step) is moved to a random vector of
            the batch; 0 is off.
    """

    codebook_size: Literal["auto"] | Annotated[int, Field(ge=2)] = "auto"
    codebook_dim: int = Field(default=32, ge=1)
    levels: int = Field(default=1, ge=1, le=16)
    codebook: Literal["ema", "gradient"] = "ema"
    decay: float = Field(default=0.9, gt=0, lt=1)
    revive_below: float = Field(default=0.1, ge=0)

    def resolve(self, n_latents: int) -> QuantizerConfig:
        """Fill in `auto` for that many latents in all training series."""
        size = self.codebook_size if self.codebook_size != "auto" else FEW if n_latents < MANY_FROM else MANY
        return self.model_copy(update={"codebook_size": size})


@dataclass(frozen=True)
class Quantized:
    """What the quantizer makes of latents.

    Attributes:
        z_q: (B, D, W) the sum of the chosen codes, with straight-through gradient to the latents.
        tokens: (B, W, levels) integer, 0..K-1.
        sums: for each level (B, D, W), the sum of the codes chosen up to it, without gradient.
        terms: unweighted losses: `commitment`, and for a gradient-trained codebook `codebook` and `orthogonal`.
    """

    z_q: Tensor
    tokens: Tensor
    sums: list[Tensor]
    terms: dict[str, Tensor]


def orthogonal_penalty(codes: Tensor) -> Tensor:
    """Mean squared cosine between different codes (K, D): `||E E^T - I||_F^2 / K^2`, unit rows (Shin et al. 2023)."""
    unit = F.normalize(codes, dim=-1)
    gram = unit @ unit.T
    return (gram - torch.eye(len(codes), device=codes.device)).square().mean()


def straight_through(z: Tensor, z_q: Tensor) -> Tensor:
    """The values of z_q with gradient to z, as if there were no quantizer between them (Bengio et al. 2013)."""
    return z + (z_q - z).detach()


class Quantizer(nn.Module):
    """Residual vector quantization (van den Oord et al. 2017; Zeghidour et al. 2021) of latents (B, D, W).

    Build it only after a distributed process group is up: `VectorQuantize` decides in its constructor whether codebook
    statistics are summed over the processes.
    """

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        assert isinstance(config.codebook_size, int), "resolve the config first"
        self.codebook_size, self.trained = config.codebook_size, config.codebook == "gradient"
        self.levels: Any = nn.ModuleList(
            VectorQuantize(
                dim=config.codebook_dim,
                codebook_size=config.codebook_size,
                decay=config.decay,
                kmeans_init=True,
                threshold_ema_dead_code=config.revive_below,
                commitment_weight=0.0,  # the terms are ours: unweighted and named
                rotation_trick=False,
                learnable_codebook=self.trained,
                ema_update=not self.trained,
            )
            for _ in range(config.levels)
        )

    @property
    def codebooks(self) -> Tensor:
        """The code vectors (levels, K, D)."""
        return torch.stack([level.codebook for level in self.levels])

    def forward(self, z: Tensor) -> Quantized:
        """Quantize latents (B, D, W); in training mode an EMA codebook moves and dead codes are revived."""
        residual = rearrange(z, "b d w -> b w d").float()
        commitment = codebook = orthogonal = z.new_zeros((), dtype=torch.float32)
        chosen, tokens, sums = torch.zeros_like(residual), [], []
        for level in self.levels:
            # detached, so the library adds no straight-through step of its own; a trained code keeps its gradient
            code, indices, _ = level(residual.detach())
            commitment = commitment + F.mse_loss(residual, code.detach())
            if self.trained:
                codebook = codebook + F.mse_loss(code, residual.detach())
                orthogonal = orthogonal + orthogonal_penalty(level.codebook)
            chosen, residual = chosen + code.detach(), residual - code.detach()
            tokens.append(indices)
            sums.append(rearrange(chosen, "b w d -> b d w"))
        terms = {"commitment": commitment}
        if self.trained:
            terms |= {"codebook": codebook, "orthogonal": orthogonal}
        return Quantized(straight_through(z, sums[-1]), torch.stack(tokens, dim=-1), sums, terms)

    def lookup(self, tokens: Tensor) -> Tensor:
        """Sum of the codes of tokens (B, W, levels) as (B, D, W).

        Raises:
            IndexError: a token outside 0..K-1 (a mask that was never filled, for one).
        """
        codes = [F.embedding(tokens[..., q], level.codebook) for q, level in enumerate(self.levels)]
        return rearrange(torch.stack(codes).sum(0), "b w d -> b d w")
