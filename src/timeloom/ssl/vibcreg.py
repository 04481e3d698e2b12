"""VIbCReg: VICReg with a bounded term, correlation in the place of covariance (Lee and Aune 2021)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from timeloom.ssl.vicreg import hinge

# section 3 of the paper; nu = 200 in its code, 100 where it trains a tokenizer (NC-VQVAE)
WEIGHTS = {"invariance": 25.0, "variance": 25.0, "correlation": 100.0}


def vibcreg(z_a: Tensor, z_b: Tensor) -> dict[str, Tensor]:
    """The terms of the loss from two projections (B, P), B at least 2; lower is better, 0 best.

    - `invariance`: mean of (z_a - z_b)^2 over batch and features.
    - `variance`: the hinge of VICReg, of z_a and of z_b, summed over both.
    - `correlation`: sum of rho_ij^2 over i != j, divided by P^2, of z_a and of z_b, summed over both. rho is the
      correlation over the batch, so the term is at most 2, and near 2 / B for features that are independent.

    The projector ends in iterative normalisation (`iternorm`), as the paper has it.
    """
    assert len(z_a) >= 2, "one series has no variance"
    return {
        "invariance": F.mse_loss(z_a, z_b),
        "variance": hinge(z_a) + hinge(z_b),
        "correlation": _correlation(z_a) + _correlation(z_b),
    }


def _correlation(z: Tensor) -> Tensor:
    unit = F.normalize(z - z.mean(dim=0), dim=0)
    matrix = unit.T @ unit
    return (matrix.square().sum() - torch.diagonal(matrix).square().sum()) / z.shape[1] ** 2
