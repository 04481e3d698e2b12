"""Muon: steps of matrices have equal singular values, everything else is AdamW's."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from timeloom.muon import Muon, orthogonalised


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def groups(model: nn.Sequential) -> list[dict[str, object]]:
    """The first layer's matrix by Muon, the second's and the vectors by AdamW."""
    first, second = model[0], model[2]
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    rest = [first.bias, second.weight, second.bias]
    return [{"params": [first.weight], "orthogonal": True, "lr": 0.1, "weight_decay": 0.5}, {"params": rest}]


def small_model() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


def backward(model: nn.Module, seed: int) -> None:
    model.zero_grad()
    model(drawn(4, 3, seed=seed)).square().sum().backward()


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4), (1, 5), (1, 1)])
def test_singular_vectors_stay_and_singular_values_become_alike(shape: tuple[int, int]) -> None:
    matrices = drawn(3, *shape)
    for matrix, found in zip(matrices, orthogonalised(matrices), strict=True):
        left, _, right = np.linalg.svd(matrix.numpy().astype(np.float64), full_matrices=False)
        inside = left.T @ found.numpy() @ right.T
        values = np.diag(inside)
        np.testing.assert_allclose(inside, np.diag(values), atol=1e-4)
        assert values.min() > 0.6
        assert values.max() < 1.25


def test_the_size_of_a_matrix_does_not_matter_and_zero_stays_zero() -> None:
    matrix = drawn(1, 4, 3)
    torch.testing.assert_close(orthogonalised(1000 * matrix), orthogonalised(matrix))
    assert orthogonalised(torch.zeros(1, 4, 3)).abs().max() == 0


def test_a_matrix_steps_along_its_nesterov_momentum_and_decays() -> None:
    model = small_model()
    optimizer, weight = Muon(groups(model), lr=0.01), model[0].weight
    assert isinstance(weight, Tensor)
    before, momentum = weight.detach().clone(), torch.zeros(5, 3)
    for seed in range(3):
        backward(model, seed)
        gradient = weight.grad
        assert gradient is not None
        momentum = 0.95 * momentum + 0.05 * gradient
        ahead = 0.95 * momentum + 0.05 * gradient
        expected = before * (1 - 0.1 * 0.5) - 0.1 * 0.2 * 5**0.5 * orthogonalised(ahead[None])[0]
        optimizer.step()
        torch.testing.assert_close(weight.detach(), expected)
        before = weight.detach().clone()


def test_a_step_is_as_long_in_the_mean_square_as_one_of_adamw() -> None:
    weight = nn.Parameter(drawn(32, 48))
    before, weight.grad = weight.detach().clone(), drawn(32, 48, seed=1)
    Muon([{"params": [weight], "orthogonal": True, "weight_decay": 0.0}], lr=0.01).step()
    # AdamW's are published to be 0.2 to 0.4 of the learning rate
    assert 0.1 * 0.01 < (weight.detach() - before).square().mean().sqrt() < 0.4 * 0.01


def test_the_other_groups_are_adamw_to_the_bit() -> None:
    model = small_model()
    reference = copy.deepcopy(model)
    optimizer = Muon([{"params": list(model.parameters())}], lr=0.01)
    plain = torch.optim.AdamW(reference.parameters(), lr=0.01)
    for seed in range(3):
        for one, by in ((model, optimizer), (reference, plain)):
            backward(one, seed)
            by.step()
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_closure_is_evaluated_once_and_its_loss_returned() -> None:
    model, calls = small_model(), []

    def closure() -> Tensor:
        calls.append(1)
        backward(model, 0)
        return torch.tensor(7.0)

    before = model[0].weight.detach().clone()  # type: ignore[operator]
    assert Muon(groups(model), lr=0.01).step(closure) == 7
    assert len(calls) == 1
    assert not torch.equal(model[0].weight, before)  # type: ignore[arg-type]


def test_its_state_can_be_saved_and_read() -> None:
    first = small_model()
    whole = Muon(groups(first), lr=0.01)
    for seed in range(2):
        backward(first, seed)
        whole.step()
    second = copy.deepcopy(first)
    resumed = Muon(groups(second), lr=0.01)
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    for model, optimizer in ((first, whole), (second, resumed)):
        backward(model, 5)
        optimizer.step()
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert resumed.state[second[0].weight]["step"] == 3


def test_a_matrix_without_a_gradient_stays() -> None:
    model = small_model()
    before = model[0].weight.detach().clone()  # type: ignore[operator]
    Muon(groups(model), lr=0.01).step()
    assert torch.equal(model[0].weight, before)  # type: ignore[arg-type]


def test_a_kernel_steps_as_the_matrix_of_its_flattened_filters() -> None:
    kernel, flat = nn.Parameter(drawn(4, 3, 5)), nn.Parameter(drawn(4, 3, 5).flatten(1))
    for weight in (kernel, flat):
        weight.grad = drawn(4, 3, 5, seed=1).view_as(weight)
        Muon([{"params": [weight], "orthogonal": True, "weight_decay": 0.1}], lr=0.01).step()
    torch.testing.assert_close(kernel.detach().flatten(1), flat.detach())
    assert not torch.equal(flat.detach(), drawn(4, 3, 5).flatten(1))
