"""BYOL: each version predicts a slow copy's projection of the other one (Grill et al. 2020)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

WEIGHTS = {"prediction": 1.0}


def byol(q_a: Tensor, q_b: Tensor, t_a: Tensor, t_b: Tensor) -> dict[str, Tensor]:
    """The symmetric loss below equation 2; lower is better, 0 best, at most 8.

    `prediction` = mean over the batch of [2 - 2 cos(q_a, t_b)] + [2 - 2 cos(q_b, t_a)].

    Args:
        q_a: prediction (B, P) made from version a.
        q_b: prediction (B, P) made from version b.
        t_a: target (B, P) of version a; only q_b is compared with it, and it receives no gradient.
        t_b: target (B, P) of version b; only q_a is compared with it, and it receives no gradient.
    """
    return {"prediction": _distance(q_a, t_b) + _distance(q_b, t_a)}


def _distance(prediction: Tensor, target: Tensor) -> Tensor:
    return (2 - 2 * F.cosine_similarity(prediction, target.detach(), dim=1)).mean()
