"""VICReg: versions are near, features keep their spread and do not go together (Bardes et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

WEIGHTS = {"invariance": 25.0, "variance": 25.0, "covariance": 1.0}  # section 4.2 of the paper: lambda, mu, nu
EPS = 1e-4


def vicreg(z_a: Tensor, z_b: Tensor) -> dict[str, Tensor]:
    """The terms of equations 1 to 6 from two projections (B, P), B at least 2; lower is better, 0 best.

    - `invariance`: mean of (z_a - z_b)^2 over batch and features.
    - `variance`: `hinge` of z_a and z_b, averaged over both.
    - `covariance`: sum of Cov_ij^2 over i != j, divided by P, of z_a and of z_b, summed over both. Cov is unbiased
      (divided by B - 1), so with few series it stays near P / B even for features that are independent.
    """
    assert len(z_a) >= 2, "one series has no variance"
    return {
        "invariance": F.mse_loss(z_a, z_b),
        "variance": (hinge(z_a) + hinge(z_b)) / 2,
        "covariance": _covariance(z_a) + _covariance(z_b),
    }


def hinge(z: Tensor) -> Tensor:
    """Mean over features of relu(1 - sqrt(var + 1e-4)), the variance unbiased: how far deviations fall short of 1."""
    return F.relu(1 - (z.var(dim=0) + EPS).sqrt()).mean()


def _covariance(z: Tensor) -> Tensor:
    centred = z - z.mean(dim=0)
    matrix = centred.T @ centred / (len(z) - 1)
    return (matrix.square().sum() - torch.diagonal(matrix).square().sum()) / z.shape[1]
