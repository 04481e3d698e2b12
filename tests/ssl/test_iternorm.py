"""IterNorm whitens batches, and in eval mode does what it learned in training."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from timeloom.ssl.iternorm import IterNorm, group_size, whitening_matrix


def mixed(batch: int, channels: int, seed: int = 0) -> Tensor:
    """Correlated features with means of their own, far from singular: 5 Newton steps do not whiten tiny directions."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.eye(channels) + 0.2 * torch.randn(channels, channels, generator=generator) / channels**0.5
    draws = torch.randn(batch, channels, generator=torch.Generator().manual_seed(seed + 100))
    return 3 * draws @ mixing + torch.arange(channels)


def covariance(x: Tensor) -> Tensor:
    return torch.cov(x.T, correction=0)


@pytest.mark.parametrize(
    ("channels", "batch", "expected"),
    [
        (256, 1000, 64),
        (256, 128, 64),
        (256, 32, 16),
        (256, 3, 1),
        (256, 2, 1),
        (48, 1000, 48),
        (100, 1000, 50),
        (7, 8, 1),
    ],
)
def test_groups_are_divisors_below_the_rank_of_the_batch(channels: int, batch: int, expected: int) -> None:
    assert group_size(channels, batch) == expected


def test_a_batch_comes_out_white() -> None:
    x = mixed(500, 16)
    white = IterNorm(16)(x)
    torch.testing.assert_close(white.mean(dim=0), torch.zeros(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(covariance(white), torch.eye(16), atol=0.1, rtol=0)
    off = covariance(x).fill_diagonal_(0).abs()
    assert off.max() > 1  # it was not white before


def test_wide_groups_are_decorrelated_and_partly_scaled_and_groups_may_go_together() -> None:
    x = mixed(1000, 64)
    first, second = IterNorm(128)(torch.cat([x, x], dim=1)).split(64, dim=1)
    torch.testing.assert_close(torch.corrcoef(first.T), torch.eye(64), atol=0.2, rtol=0)
    assert 0.4 < first.var(dim=0).min() < first.var(dim=0).max() < 1.05
    torch.testing.assert_close(first, second)


def test_the_newton_steps_approach_the_inverse_square_root() -> None:
    matrix = covariance(mixed(400, 6).double())
    exact_values, vectors = torch.linalg.eigh(matrix)
    exact = vectors @ torch.diag(exact_values.rsqrt()) @ vectors.T
    torch.testing.assert_close(whitening_matrix(matrix[None])[0], exact, atol=2e-2, rtol=0)
    torch.testing.assert_close(
        whitening_matrix(9 * torch.eye(5).double()[None])[0], torch.eye(5).double() / 3, atol=2e-3, rtol=0
    )


@pytest.mark.parametrize("batch", [2, 3, 5, 32])
def test_small_batches_stay_finite_and_standardised(batch: int) -> None:
    x = mixed(batch, 64).requires_grad_()
    white = IterNorm(64)(x)
    assert white.isfinite().all()
    torch.testing.assert_close(white.square().mean(), torch.tensor(1.0), atol=0.25, rtol=0)
    white.pow(3).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.any()


def test_a_constant_batch_gives_zeros() -> None:
    assert not IterNorm(8)(torch.full((6, 8), 5.0)).any()


def test_eval_mode_applies_the_running_statistics_and_leaves_them() -> None:
    made = IterNorm(16)
    for seed in range(60):
        made(mixed(400, 16)[torch.randperm(400, generator=torch.Generator().manual_seed(seed))[:200]])
    made.eval()
    state = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    x = mixed(400, 16)
    torch.testing.assert_close(covariance(made(x)), torch.eye(16), atol=0.15, rtol=0)
    torch.testing.assert_close(made(x)[:1], made(x[:1]))  # no statistics of the batch
    assert all(torch.equal(tensor, state[name]) for name, tensor in made.state_dict().items())


def test_running_statistics_are_a_slow_mean_in_blocks_of_small_batches() -> None:
    made, x = IterNorm(64), mixed(8, 64)
    made(x)
    torch.testing.assert_close(made.running_mean, 0.1 * x.mean(dim=0))
    blocks = torch.block_diag(*torch.ones(16, 4, 4))  # 8 series whiten groups of 4
    assert made.running_whitener.shape == (1, 64, 64)
    assert not made.running_whitener[0][blocks == 0].any()
    groups = (x - x.mean(dim=0)).T.reshape(16, 4, 8)
    expected = whitening_matrix(groups @ groups.mT / 8 + 1e-5 * torch.eye(4))
    torch.testing.assert_close(made.running_whitener[0], 0.9 * torch.eye(64) + 0.1 * torch.block_diag(*expected))


def test_gradients_are_those_of_finite_differences() -> None:
    made = IterNorm(4).double()
    x = mixed(9, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(made, (x,))
