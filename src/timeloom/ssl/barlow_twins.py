"""Barlow Twins: features of two versions agree one by one and say different things (Zbontar et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

WEIGHTS = {"invariance": 1.0, "redundancy": 0.0051}  # section 3 of the paper: lambda = 5e-3, 0.0051 in its code
EPS = 1e-5


def barlow_twins(z_a: Tensor, z_b: Tensor) -> dict[str, Tensor]:
    """Both terms of equation 1 from two projections (B, P) of the same series, B at least 2; lower is better, 0 best.

    C is the cross-correlation over the batch of the standardised features (biased deviation), (P, P). Both terms are
    plain sums over entries of C, so they grow with P and P^2: `invariance` = sum_i (1 - C_ii)^2,
    `redundancy` = sum_{i != j} C_ij^2. A constant feature has C = 0.
    """
    assert len(z_a) >= 2, "one series has no variance"
    correlation = _standardised(z_a).T @ _standardised(z_b) / len(z_a)
    diagonal = torch.diagonal(correlation)
    return {
        "invariance": (1 - diagonal).square().sum(),
        "redundancy": correlation.square().sum() - diagonal.square().sum(),
    }


def _standardised(z: Tensor) -> Tensor:
    centred = z - z.mean(dim=0)
    return centred / (centred.square().mean(dim=0) + EPS).sqrt()
