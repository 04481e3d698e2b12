"""Heads: projections of both versions, levels averaged, and BYOL's slow target."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from timeloom.ssl.config import SSLConfig
from timeloom.ssl.head import LOSSES, TAU, Head, PredictionHead
from timeloom.ssl.iternorm import IterNorm

WIDTH, FEATURES = 16, 6


def head(name: str) -> Head:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LOSSES[name].head(FEATURES, WIDTH)


def pooled(seed: int, batch: int = 8) -> Tensor:
    return torch.randn(batch, FEATURES, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("batch", [2, 3, 32])
def test_every_loss_gives_its_terms_and_gradients_to_both_versions(name: str, batch: int) -> None:
    a, b = pooled(1, batch), pooled(2, batch)
    made = head(name)
    terms = made([a], b)
    assert terms.keys() == LOSSES[name].weights.keys()
    torch.stack([LOSSES[name].weights[key] * term for key, term in terms.items()]).sum().backward()
    for version in (a, b):
        assert version.grad is not None
        assert version.grad.isfinite().all()
        assert version.grad.any()
    for key, parameter in made.named_parameters():
        assert (parameter.grad is not None) == (not key.startswith("target."))


@pytest.mark.parametrize("name", LOSSES)
def test_several_versions_are_averaged(name: str) -> None:
    made, view = head(name), pooled(9)
    one, two = (made([pooled(seed)], view) for seed in (1, 2))
    both = made([pooled(1), pooled(2)], view)
    for key, term in both.items():
        torch.testing.assert_close(term, (one[key] + two[key]) / 2)


def test_a_pair_head_is_the_loss_of_the_projections() -> None:
    made, a, b = head("barlow"), pooled(1), pooled(2)
    expected = made.loss(made.projector(a), made.projector(b))  # type: ignore[operator]
    found = made([a], b)
    for key, term in expected.items():
        torch.testing.assert_close(found[key], term)


@pytest.mark.parametrize("name", LOSSES)
def test_projections_are_three_layers_of_the_width_that_was_chosen(name: str) -> None:
    kinds = [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    for width in (3, 20):
        projector = SSLConfig(loss=name, width=width).head(FEATURES).projector  # type: ignore[arg-type]
        assert isinstance(projector, nn.Sequential)
        assert [type(layer) for layer in projector][:7] == kinds
        assert [layer.out_features for layer in projector if isinstance(layer, nn.Linear)] == [width] * 3
        assert projector(pooled(1)).shape == (8, width)


def test_only_vibcreg_whitens() -> None:
    for name in LOSSES:
        assert any(isinstance(part, IterNorm) for part in head(name).modules()) == (name == "vibcreg")
    projector = head("vibcreg").projector
    assert isinstance(projector, nn.Sequential)
    assert isinstance(projector[-1], IterNorm)


def test_byol_compares_with_the_other_versions_target() -> None:
    made, a, b = head("byol"), pooled(1), pooled(2)
    assert isinstance(made, PredictionHead)
    found = made([a], b)["prediction"]

    def cos(version: Tensor, other: Tensor) -> Tensor:
        prediction, target = made.predictor(made.projector(version)), made.target(other)
        return torch.nn.functional.cosine_similarity(prediction, target)

    torch.testing.assert_close(found, (4 - 2 * cos(a, b) - 2 * cos(b, a)).mean())


def test_byols_target_starts_as_the_projector_and_follows_it_once_a_step() -> None:
    made = head("byol")
    assert isinstance(made, PredictionHead)
    before = [p.clone() for p in made.target.parameters()]
    assert all(torch.equal(mine, p) for mine, p in zip(before, made.projector.parameters(), strict=True))
    with torch.no_grad():
        for parameter in made.projector.parameters():
            parameter += 1
    made([pooled(1), pooled(2), pooled(3)], pooled(4))  # three versions are one step
    for mine, old in zip(made.target.parameters(), before, strict=True):
        torch.testing.assert_close(mine, old + (1 - TAU))
        assert not mine.requires_grad
    made.eval()([pooled(1)], pooled(4))
    for mine, old in zip(made.target.parameters(), before, strict=True):
        torch.testing.assert_close(mine, old + (1 - TAU))


@pytest.mark.parametrize("name", LOSSES)
def test_sixteen_bit_training_does_not_reach_the_head(name: str) -> None:
    a, b = pooled(1), pooled(2)
    expected = head(name)([a], b)
    with torch.autocast("cpu", torch.bfloat16):
        found = head(name)([a.bfloat16().float()], b.bfloat16().float())
        exact = head(name)([a], b)
    for key, term in expected.items():
        assert found[key].dtype == torch.float32
        assert torch.equal(exact[key], term)
