"""Muon: momentum steps whose singular values are all alike, for the matrices between hidden layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
# a quintic that drives singular values in (0, 1] to between 0.7 and 1.2 in five rounds
A, B, C, ROUNDS = 3.4445, -4.7750, 2.0315, 5


class Muon(torch.optim.AdamW):
    """AdamW, but for the groups marked `orthogonal`: their matrices step along their orthogonalised momentum.

    A step is `0.2 sqrt(max(m, n))` times the nearest semi-orthogonal matrix to the Nesterov momentum of the (m, n)
    gradients, so that its mean square is that of an AdamW step and learning rates are comparable. Few directions
    dominate the momentum of a transformer's matrices; making all equally long teaches it more in a step. A
    convolution's kernel (m, n, k) counts as a matrix (m, n k).

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; the scale is that of Liu et
    al. 2025 (arXiv 2502.16982, eq. 4).

    Args:
        groups: parameters, each with its own settings; those with `orthogonal=True` hold matrices and kernels alone.
        lr: learning rate of groups without one.
        fused: as in AdamW.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, *, fused: bool = False) -> None:
        super().__init__([{"orthogonal": False, **group} for group in groups], lr=lr, fused=fused)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of all groups."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["orthogonal"]:
                self._step_matrices(group)
        super().step()  # leaves alone what has no gradient any more
        return loss

    def _step_matrices(self, group: dict[str, Any]) -> None:
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for matrix in group["params"]:
            if matrix.grad is not None:
                by_shape.setdefault(matrix.shape, []).append(matrix)
        for alike in by_shape.values():
            directions = orthogonalised(torch.stack([self._momentum(matrix).flatten(1) for matrix in alike]))
            length = group["lr"] * 0.2 * max(directions.shape[1:]) ** 0.5
            for matrix, direction in zip(alike, directions, strict=True):
                matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction.view_as(matrix), alpha=-length)
                matrix.grad = None

    def _momentum(self, matrix: Tensor) -> Tensor:
        state, gradient = self.state[matrix], matrix.grad
        assert gradient is not None
        if not state:  # under the names of AdamW, which reads its state back by them
            state.update(step=torch.zeros(()), exp_avg=torch.zeros_like(matrix))
        state["step"] += 1
        return gradient.lerp(state["exp_avg"].lerp_(gradient, 1 - MOMENTUM), MOMENTUM)


def orthogonalised(matrices: Tensor) -> Tensor:
    """Matrices (N, m, n) with the same singular vectors and all singular values between 0.7 and 1.2.

    Newton-Schulz iterations in place of a singular value decomposition; those below a thousandth or so of a matrix's
    norm stay small.
    """
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=B, alpha=C), x, beta=A)
    return x if wide is matrices else x.mT
