"""The losses against their formulas written out in loops, and the laws that follow from them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from timeloom.ssl.barlow_twins import barlow_twins
from timeloom.ssl.byol import byol
from timeloom.ssl.vibcreg import vibcreg
from timeloom.ssl.vicreg import vicreg

PAIRS = [barlow_twins, vicreg, vibcreg]
Pair = Callable[[Tensor, Tensor], dict[str, Tensor]]


def projections(batch: int = 7, width: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z_a = torch.randn(batch, width, generator=generator, dtype=torch.float64)
    return z_a, 0.5 * z_a + torch.randn(batch, width, generator=generator, dtype=torch.float64)


def values(terms: dict[str, Tensor]) -> dict[str, float]:
    return {name: term.item() for name, term in terms.items()}


def barlow_by_hand(z_a: np.ndarray, z_b: np.ndarray) -> dict[str, float]:
    batch, width = z_a.shape
    invariance = redundancy = 0.0
    for i in range(width):
        for j in range(width):
            a = (z_a[:, i] - z_a[:, i].mean()) / np.sqrt(z_a[:, i].var() + 1e-5)
            b = (z_b[:, j] - z_b[:, j].mean()) / np.sqrt(z_b[:, j].var() + 1e-5)
            c = sum(a[n] * b[n] for n in range(batch)) / batch
            if i == j:
                invariance += (1 - c) ** 2
            else:
                redundancy += c**2
    return {"invariance": invariance, "redundancy": redundancy}


def distance_by_hand(z_a: np.ndarray, z_b: np.ndarray) -> float:
    return sum((a - b) ** 2 for a, b in zip(z_a.flatten(), z_b.flatten(), strict=True)) / z_a.size


def hinge_by_hand(z: np.ndarray) -> float:
    return sum(max(0.0, 1 - np.sqrt(column.var(ddof=1) + 1e-4)) for column in z.T) / z.shape[1]


def off_diagonal_by_hand(matrix: np.ndarray) -> float:
    return sum(matrix[i, j] ** 2 for i in range(len(matrix)) for j in range(len(matrix)) if i != j)


def vicreg_by_hand(z_a: np.ndarray, z_b: np.ndarray) -> dict[str, float]:
    return {
        "invariance": distance_by_hand(z_a, z_b),
        "variance": 0.5 * sum(hinge_by_hand(z) for z in (z_a, z_b)),
        "covariance": sum(off_diagonal_by_hand(np.cov(z.T)) / z.shape[1] for z in (z_a, z_b)),
    }


def vibcreg_by_hand(z_a: np.ndarray, z_b: np.ndarray) -> dict[str, float]:
    return {
        "invariance": distance_by_hand(z_a, z_b),
        "variance": sum(hinge_by_hand(z) for z in (z_a, z_b)),
        "correlation": sum(off_diagonal_by_hand(np.corrcoef(z.T)) / z.shape[1] ** 2 for z in (z_a, z_b)),
    }


def byol_by_hand(q_a: np.ndarray, q_b: np.ndarray, t_a: np.ndarray, t_b: np.ndarray) -> float:
    def cos(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    found = [2 - 2 * cos(q_a[n], t_b[n]) + 2 - 2 * cos(q_b[n], t_a[n]) for n in range(len(q_a))]
    return sum(found) / len(found)


@pytest.mark.parametrize("batch", [2, 3, 7])
@pytest.mark.parametrize(
    ("loss", "by_hand"), [(barlow_twins, barlow_by_hand), (vicreg, vicreg_by_hand), (vibcreg, vibcreg_by_hand)]
)
def test_a_loss_of_two_projections_is_its_formula(loss: Pair, by_hand: Callable, batch: int) -> None:
    z_a, z_b = projections(batch)
    assert values(loss(z_a, z_b)) == pytest.approx(by_hand(z_a.numpy(), z_b.numpy()), rel=1e-9)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_byol_is_its_formula(batch: int) -> None:
    four = (*projections(batch), *projections(batch, seed=1))
    assert values(byol(*four)) == pytest.approx({"prediction": byol_by_hand(*(z.numpy() for z in four))}, rel=1e-9)


@pytest.mark.parametrize("loss", PAIRS)
def test_the_order_of_versions_and_of_series_does_not_matter(loss: Pair) -> None:
    z_a, z_b = projections()
    shuffled = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    expected = pytest.approx(values(loss(z_a, z_b)), rel=1e-9)
    assert values(loss(z_b, z_a)) == expected
    assert values(loss(z_a[shuffled], z_b[shuffled])) == expected
    assert values(loss(z_a, z_b[shuffled])) != expected  # what belongs together matters


def test_byol_does_not_ask_which_version_is_first() -> None:
    q_a, q_b, t_a, t_b = *projections(), *projections(seed=1)
    assert byol(q_a, q_b, t_a, t_b)["prediction"].item() == pytest.approx(byol(q_b, q_a, t_b, t_a)["prediction"].item())


def test_byol_sees_directions_only_and_pairs_no_version_with_its_own_target() -> None:
    q_a, q_b, t_a, t_b = *projections(), *projections(seed=1)
    assert byol(3 * q_a, q_b, t_a, 0.1 * t_b)["prediction"].item() == pytest.approx(
        byol(q_a, q_b, t_a, t_b)["prediction"].item()
    )
    assert byol(q_a, q_b, t_a=2 * q_b, t_b=5 * q_a)["prediction"].item() == pytest.approx(0, abs=1e-12)
    assert byol(q_a, q_b, t_a=-q_b, t_b=-q_a)["prediction"].item() == pytest.approx(8)
    assert byol(q_a, q_b, t_a=q_a, t_b=q_b)["prediction"].item() > 0.1


def test_barlow_twins_does_not_see_scale_and_shift_of_a_feature() -> None:
    z_a, z_b = projections(64)
    scale = torch.tensor([1.0, 3.0, 10.0, 2.0, 50.0], dtype=torch.float64)
    moved = barlow_twins(z_a * scale - 4, z_b / scale.flip(0) + 7 * scale)
    assert values(moved) == pytest.approx(values(barlow_twins(z_a, z_b)), rel=0.02, abs=1e-3)  # 1e-5 is added to var
    turned = barlow_twins(z_a, -z_b)["invariance"]
    assert turned > barlow_twins(z_a, z_b)["invariance"]


def test_vibcreg_correlation_does_not_see_scale_and_vicreg_covariance_does() -> None:
    z_a, z_b = projections()
    assert vibcreg(9 * z_a, 9 * z_b)["correlation"].item() == pytest.approx(vibcreg(z_a, z_b)["correlation"].item())
    assert vicreg(9 * z_a, 9 * z_b)["covariance"].item() == pytest.approx(9**4 * vicreg(z_a, z_b)["covariance"].item())


@pytest.mark.parametrize("loss", PAIRS)
def test_equal_white_versions_of_unit_variance_cost_nothing(loss: Pair) -> None:
    basis, _ = torch.linalg.qr(torch.cat([torch.ones(8, 1), torch.eye(8)[:, :4]], dim=1).double())
    z = 10 * basis[:, 1:]  # centred, uncorrelated, deviations above 1
    assert values(loss(z, z)) == pytest.approx(dict.fromkeys(loss(z, z), 0.0), abs=1e-6)


@pytest.mark.parametrize("loss", PAIRS)
def test_collapse_costs_as_much_as_can_be(loss: Pair) -> None:
    z = torch.ones(6, 4, dtype=torch.float64)
    expected = {
        barlow_twins: {"invariance": 4.0, "redundancy": 0.0},
        vicreg: {"invariance": 0.0, "variance": 0.99, "covariance": 0.0},
        vibcreg: {"invariance": 0.0, "variance": 1.98, "correlation": 0.0},
    }
    assert values(loss(z, z)) == pytest.approx(expected[loss])


@pytest.mark.parametrize("loss", PAIRS)
@pytest.mark.parametrize("batch", [2, 4])
def test_gradients_are_those_of_finite_differences(loss: Pair, batch: int) -> None:
    z_a, z_b = (0.4 * z.requires_grad_() for z in projections(batch, 3))
    assert torch.autograd.gradcheck(lambda a, b: tuple(loss(a, b).values()), (z_a, z_b))


def test_byol_has_gradients_for_predictions_and_none_for_targets() -> None:
    q_a, q_b, t_a, t_b = (z.requires_grad_() for z in (*projections(3, 3), *projections(3, 3, seed=1)))
    assert torch.autograd.gradcheck(lambda a, b: byol(a, b, t_a.detach(), t_b.detach())["prediction"], (q_a, q_b))
    byol(q_a, q_b, t_a, t_b)["prediction"].backward()
    assert all(q.grad is not None and q.grad.any() for q in (q_a, q_b))
    assert t_a.grad is None
    assert t_b.grad is None


@pytest.mark.parametrize("loss", PAIRS)
def test_one_series_has_no_variance(loss: Pair) -> None:
    with pytest.raises(AssertionError, match="no variance"):
        loss(*projections(1))
