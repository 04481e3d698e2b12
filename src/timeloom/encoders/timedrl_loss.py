"""The two tasks that train TimeDRL: rebuild the patches, and tell an instance from its other dropout view."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def timedrl(
    patches: Tensor, observed: Tensor, recons: tuple[Tensor, Tensor], z: tuple[Tensor, Tensor], c: tuple[Tensor, Tensor]
) -> dict[str, Tensor]:
    """Unweighted terms of two dropout views; lower is better.

    `predictive` = 1/2 sum over the views of the mean squared error of its reconstruction, at least 0.
    `contrastive` = 1/2 [-cos(c_a, sg(z_b)) - cos(c_b, sg(z_a))], in [-1, 1].

    Source: Chang et al., "TimeDRL: disentangled representation learning for multivariate time-series", ICDE 2024,
    section IV, the timestamp-predictive and the instance-contrastive task.

    Args:
        patches: (B, P, W), what both views were made from.
        observed: boolean (B, P, W); a value that was missing takes no part in the error.
        recons: (B, P, W) each, what is rebuilt from the views' patch embeddings.
        z: (B, D) each, the views' instance embeddings; as the goal of the other view they receive no gradient.
        c: (B, D) each, the predictions made from them.
    """
    n_observed = observed.sum().clamp(min=1)
    errors = [((recon - patches).square() * observed).sum() / n_observed for recon in recons]
    cosines = [functional.cosine_similarity(c[i], z[1 - i].detach(), dim=1).mean() for i in (0, 1)]
    return {"predictive": (errors[0] + errors[1]) / 2, "contrastive": -(cosines[0] + cosines[1]) / 2}
