"""FEI: its masks against a discrete Fourier sum, its loss and slow copy by hand, what it learns and refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from timeloom.encoders import FEI
from timeloom.encoders.fei import inferences
from timeloom.encoders.fei_loss import fei
from timeloom.encoders.fei_network import FEIInference, FEINetwork, ResidualUnit, draw_masks, mask_frequencies
from timeloom.errors import InputError


def small(**settings: Any) -> FEI:
    return FEI(**{"widths": (4, 8, 12), "steps": 3, **settings})


def test_loss_is_two_mean_squares_and_the_target_receives_no_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    leaves = [torch.randn((3, 4), generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(4)]
    terms = fei(*leaves)
    inferred, target, inferred_prompt, prompt = (leaf.detach().numpy() for leaf in leaves)
    assert set(terms) == {"embedding", "mask"}
    assert terms["embedding"].item() == pytest.approx(sum((inferred - target).ravel() ** 2) / 12)
    assert terms["mask"].item() == pytest.approx(sum((inferred_prompt - prompt).ravel() ** 2) / 12)
    embedding = torch.autograd.grad(terms["embedding"], leaves, allow_unused=True)
    assert [gradient is None for gradient in embedding] == [False, True, True, True]
    np.testing.assert_allclose(embedding[0], 2 * (inferred - target) / 12)
    mask = torch.autograd.grad(terms["mask"], leaves, allow_unused=True)
    assert [gradient is None for gradient in mask] == [True, True, False, False]
    np.testing.assert_allclose(mask[3], 2 * (prompt - inferred_prompt) / 12)


@pytest.mark.parametrize("n_timepoints", [2, 7, 8])
def test_masking_takes_the_waves_of_a_frequency_out(n_timepoints: int) -> None:
    generator = torch.Generator().manual_seed(0)
    series = torch.randn((3, 2, n_timepoints), generator=generator, dtype=torch.float64)
    keep = torch.rand((3, n_timepoints // 2 + 1), generator=generator) < 0.5
    time = np.arange(n_timepoints)
    expected = np.zeros(series.shape)
    for case, channel, k in np.ndindex(3, 2, n_timepoints // 2 + 1):
        if keep[case, k]:
            wave = np.exp(2j * np.pi * k * time / n_timepoints)
            weight = (series[case, channel].numpy() @ wave.conj()) / n_timepoints
            twice = 1 if k == 0 or 2 * k == n_timepoints else 2
            expected[case, channel] += twice * (weight * wave).real
    np.testing.assert_allclose(mask_frequencies(series, keep), expected, atol=1e-12)
    torch.testing.assert_close(mask_frequencies(series, torch.ones_like(keep)), series)


def test_masks_are_a_random_share_of_random_frequencies() -> None:
    masked = ~draw_masks(4000, 40, 0.6, torch.Generator().manual_seed(0))
    counts = masked.sum(dim=1)
    assert (counts.min(), counts.max()) == (1, 23)
    assert abs(float(counts.float().mean()) - 0.3 * 40 + 0.5) < 0.4
    assert float((masked.float().mean(dim=0) - masked.float().mean()).abs().max()) < 0.04
    assert torch.equal(masked, ~draw_masks(4000, 40, 0.6, torch.Generator().manual_seed(0)))
    two = draw_masks(50, 2, 0.99, torch.Generator().manual_seed(0)).sum(dim=1)
    assert (two == 1).all()


def tiny_inference() -> FEIInference:
    torch.manual_seed(0)
    return FEIInference(FEINetwork(1, (4, 6)), 6, 5)


def test_a_prompt_is_the_sum_of_the_vectors_of_masked_frequencies_over_the_root_of_their_number() -> None:
    inference = tiny_inference()
    keep = torch.tensor([[True, False, True, False, False], [True, True, True, True, False], [True] * 5])
    vectors = inference.prompts
    expected = [(vectors[1] + vectors[3] + vectors[4]) / 3**0.5, vectors[4], 0 * vectors[0]]
    torch.testing.assert_close(inference.prompt(keep), torch.stack(expected))


def test_the_slow_copy_follows_and_is_not_trained() -> None:
    inference = tiny_inference()
    assert not any(parameter.requires_grad for parameter in inference.slow.parameters())
    with torch.no_grad():
        for parameter in inference.fast.parameters():
            parameter += 1
    slow = [parameter.clone() for parameter in inference.slow.parameters()]
    inference.follow(1.0)
    assert all(torch.equal(a, b) for a, b in zip(slow, inference.slow.parameters(), strict=True))
    inference.follow(0.75)
    for before, after in zip(slow, inference.slow.parameters(), strict=True):
        torch.testing.assert_close(after, before + 0.25)


def test_a_unit_is_two_convolutions_beside_a_projection_at_every_second_time() -> None:
    torch.manual_seed(0)
    unit = ResidualUnit(2, 3)
    unit(torch.randn(20, 2, 9))  # batch statistics that are not 0 and 1
    unit.eval()
    x = torch.randn(4, 2, 9)

    def convolve(maps: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
        reach = weight.shape[2] // 2
        padded = torch.nn.functional.pad(maps, (reach, reach))
        windows = padded.unfold(2, weight.shape[2], stride)
        return torch.einsum("nctk,fck->nft", windows, weight)

    def norm(maps: torch.Tensor, layer: Any) -> torch.Tensor:
        scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
        return (maps - layer.running_mean[:, None]) * scale[:, None] + layer.bias[:, None]

    first, norm_1, _, second, norm_2 = unit.convolved
    inner = torch.nn.functional.gelu(norm(convolve(x, first.weight, 2), norm_1))
    projected = norm(convolve(x, unit.shortcut[0].weight, 2), unit.shortcut[1])
    expected = torch.nn.functional.gelu(norm(convolve(inner, second.weight, 1), norm_2) + projected)
    assert unit(x).shape == (4, 3, 5)
    torch.testing.assert_close(unit(x), expected, rtol=1e-4, atol=1e-5)


def test_features_do_not_depend_on_the_batch(sines: Callable) -> None:
    X, _ = sines(9, seed=0, n_channels=2)
    X[3, :, 7:] = np.nan
    X[5, 0] = np.nan
    encoder = small().fit(X)
    together = encoder.encode(X)
    assert together.shape == (9, 12)
    assert together.dtype == np.float32
    np.testing.assert_allclose(encoder.encode(X, batch_size=2), together, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(encoder.encode(X[3:4]), together[3:4], rtol=1e-5, atol=1e-6)


def test_the_seed_decides_and_the_global_state_does_not(sines: Callable) -> None:
    X, _ = sines(20, seed=0)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = small().fit(X).encode(X)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    np.testing.assert_array_equal(small().fit(X).encode(X), first)
    for other in ({"seed": 1}, {"max_masked": 0.2}, {"momentum": 0.5}):
        assert not np.array_equal(small(**other).fit(X).encode(X), first)


def separation(features: NDArray, labels: NDArray) -> float:
    """Share of series whose nearest other one has the same label, in [0, 1]."""
    distances = np.linalg.norm(features[:, None] - features[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return float((labels[distances.argmin(axis=1)] == labels).mean())


def test_learning_lowers_the_loss_and_keeps_the_classes_apart(sines: Callable) -> None:
    X, _ = sines(40, seed=0)
    losses: list[float] = []

    def note_loss(stage: str, done: int, total: int, note: str = "") -> None:
        assert (stage, total) == ("train FEI", 100)
        losses.append(float(note.split()[1]))

    trained = FEI(widths=(8, 16, 16), steps=100, lr=5e-3).fit(X, progress=note_loss)
    assert len(losses) == 10
    assert np.mean(losses[-3:]) < 0.7 * losses[0]
    X_new, y_new = sines(60, seed=1)
    assert separation(trained.encode(X_new), y_new) > 0.8


@pytest.mark.parametrize(("n_channels", "n_timepoints"), [(1, 2), (12, 5), (1, 601)])
def test_short_long_and_many_channels(sines: Callable, n_channels: int, n_timepoints: int) -> None:
    X, _ = sines(2, seed=0, n_channels=n_channels, n_timepoints=n_timepoints)
    assert np.isfinite(small(steps=2).fit(X).encode(X)).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widths": ()}, r"widths is \(\); allowed: at least one width"),
        ({"widths": (4, 0)}, r"widths is \(4, 0\); allowed"),
        ({"max_masked": 0.0}, "max_masked is 0.0; allowed: above 0 and below 1"),
        ({"momentum": 1.5}, "momentum is 1.5; allowed: from 0 to 1"),
        ({"batch_size": 1}, "batch_size is 1; allowed: a whole number of at least 2"),
        ({"device": "tpu"}, "device is 'tpu'; allowed"),
    ],
)
def test_impossible_settings_are_refused(sines: Callable, settings: dict[str, Any], message: str) -> None:
    X, _ = sines(3, seed=0)
    encoder = small(**settings)
    with pytest.raises(InputError, match=message):
        encoder.fit(X)
    with pytest.raises(InputError, match="not fitted"):
        encoder.encode(X)


def test_series_that_cannot_be_learned_are_refused(sines: Callable) -> None:
    X, _ = sines(3, seed=0)
    with pytest.raises(InputError, match="X has 1 series; allowed: at least 2"):
        small().fit(X[:1])
    with pytest.raises(InputError, match="length 1; allowed: at least 2"):
        small().fit(X[:, :, :1])
    with pytest.raises(InputError, match="length 20; allowed: 1 channels of length 24"):
        small().fit(X).encode(X[:, :, :20])


def test_the_prompt_learns_from_the_mask_and_the_encoder_from_the_embedding() -> None:
    torch.manual_seed(0)
    inference = FEIInference(FEINetwork(1, (4, 8)), 8, 9).train()
    series, keep = torch.randn(6, 1, 16), draw_masks(6, 9, 0.7, torch.Generator().manual_seed(0))
    encoder = [*inference.fast.parameters()]

    def learns(term: str, parameters: list[torch.nn.Parameter]) -> bool:
        terms = inferences(inference, series, keep)
        found = torch.autograd.grad(terms[term], parameters, allow_unused=True)
        return any(gradient is not None and bool(gradient.any()) for gradient in found)

    assert learns("embedding", encoder)
    assert learns("mask", [inference.prompts])
    assert not learns("embedding", [inference.prompts])
    assert not learns("mask", encoder)
