"""The texture of a tokenizer: learnt on residuals, measured on unseen series, added as far as it helps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from core_helpers import fitted_tokenizer, spec, tokenizer_config
from torch import Tensor

from timeloom.data.missing import fill_missing
from timeloom.stages import fit_texture
from timeloom.tokenizer.tokenizer import Tokenizer

LENGTH, PATCH = 64, 8
WAVE = torch.sin(2 * math.pi * torch.arange(PATCH) / PATCH)


def tokenizer() -> Tokenizer:
    """A tokenizer that reconstructs everything as one wave, whose tokens tell noise from silence all the same."""
    config = tokenizer_config(front={"kind": "patch", "patch": PATCH}, hidden=32)
    made = fitted_tokenizer(config, spec(length=LENGTH))
    with torch.no_grad():
        made.grids[0].decoder.head.weight.zero_()
        made.grids[0].decoder.head.bias.copy_(WAVE)
    return made


def noise(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, 1, LENGTH, generator=torch.Generator().manual_seed(seed))


def waves(n: int) -> Tensor:
    return WAVE.repeat(LENGTH // PATCH).expand(n, 1, LENGTH)


def in_half(n: int, seed: int = 0) -> Tensor:
    """Waves that are noisy in their second half."""
    loud = (torch.arange(LENGTH) >= LENGTH // 2).float()
    return waves(n) + (0.05 + loud) * noise(n, seed)


def variances(model: Tokenizer, scaled: Tensor) -> Tensor:
    (features,) = model.decoder_features(model.encode(model.unscale(scaled)))
    return model.grids[0].texture(features).detach()


def test_the_fit_learns_where_residuals_are_large() -> None:
    model, scaled = tokenizer(), in_half(30)
    fit_texture.fit(model, scaled, None, steps=200, seed=0)
    found = variances(model, in_half(30, seed=1)).mean(dim=(0, 1))
    first, second = found.split(len(found) // 2)
    # the networks see over the border: next to it one half knows of the other
    assert second[-2:].mean() > 4 * first[:2].mean()
    assert 0.5 < second[-2:].mean() < 2.5
    assert first[:2].mean() < 0.3


def test_more_steps_explain_the_residuals_better_than_their_mean() -> None:
    scaled = in_half(30)
    losses = []
    for steps in (0, 20, 200):
        model = tokenizer()
        fit_texture.fit(model, scaled, None, steps=steps, seed=0)
        (features,) = model.decoder_features(model.encode(model.unscale(scaled)))
        (residual,) = model.residual_frames(scaled)
        ((powers, counted),) = model.residual_powers([residual], None)
        with torch.no_grad():
            texture = model.grids[0].texture
            losses.append(texture.nll(features, powers, counted, texture.level).item())
    assert losses[0] == pytest.approx(1.0, abs=1e-4)  # powers over their mean
    assert losses[0] > losses[1] > losses[2]


def test_the_fit_changes_the_texture_alone_and_is_seeded() -> None:
    first, second, third = tokenizer(), tokenizer(), tokenizer()
    before = {name: of.clone() for name, of in first.state_dict().items()}
    global_state = torch.get_rng_state()
    for model, seed in ((first, 1), (second, 1), (third, 2)):
        # more series than a batch, so that the draws matter
        fit_texture.fit(model, in_half(40), None, steps=5, seed=seed)
    assert torch.equal(torch.get_rng_state(), global_state)
    after = first.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"grids.0.texture.{name}" for name in ("level", "mixing", "conv.weight", "conv.bias")}
    assert first.fingerprint == second.fingerprint != third.fingerprint
    assert not any(of.requires_grad for of in first.grids[0].texture.parameters())


def test_the_measure_is_the_mean_power_of_each_bin_and_its_floor() -> None:
    model, scaled = tokenizer(), in_half(300)
    (level,) = fit_texture.measure(model, scaled, None)
    # patches are real: bin k holds the time points k, k + PATCH, ..., half of them quiet
    expected = (scaled - waves(300)).square().reshape(300, -1, PATCH).mean(dim=(0, 1))
    assert level.shape == (PATCH, 1)
    torch.testing.assert_close(level[:, 0], expected)
    assert level.mean().item() == pytest.approx((0.05**2 + 1.05**2) / 2, rel=0.05)
    (silent,) = fit_texture.measure(model, waves(3), None)
    assert (silent == silent[0]).all()
    assert 0 < silent[0] < 1e-6


def test_what_was_not_observed_says_nothing_of_the_noise() -> None:
    model, scaled = tokenizer(), waves(20) + noise(20)
    observed = torch.ones_like(scaled, dtype=torch.bool)
    observed[..., LENGTH // 2 :] = False
    (whole,), (half,) = (fit_texture.measure(model, scaled, of) for of in (None, observed))
    expected = (scaled - waves(20))[..., : LENGTH // 2].square().reshape(20, -1, PATCH).mean(dim=(0, 1))
    torch.testing.assert_close(half[:, 0], expected)
    torch.testing.assert_close(half, whole, rtol=0.5, atol=0)
    fit_texture.fit(model, scaled, observed, steps=2, seed=0)
    torch.testing.assert_close(model.grids[0].texture.level, half)


def test_noise_that_the_tokenizer_smooths_away_comes_back() -> None:
    model, scaled = tokenizer(), waves(30) + 0.5 * noise(30)
    levels = fit_texture.measure(model, scaled, None)
    series = model.unscale(scaled)
    amount = fit_texture.choose_amount(model, levels, series, seed=0)
    assert amount > 0.75
    assert amount == fit_texture.choose_amount(model, levels, series, seed=0)


def test_gaps_do_not_quieten_the_noise() -> None:
    """Straight lines over the gaps have none, and what is made has the same gaps."""
    model, scaled = tokenizer(), waves(40) + 0.5 * noise(40)
    levels = fit_texture.measure(model, scaled, None)
    observed = torch.rand(scaled.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    gappy = np.where(observed.numpy(), model.unscale(scaled).numpy(), np.nan)
    series = torch.from_numpy(fill_missing(gappy, model.spec.mean)[0])
    whole = fit_texture.choose_amount(model, levels, model.unscale(scaled), seed=0)
    assert fit_texture.choose_amount(model, levels, series, observed, seed=0) == whole
    assert fit_texture.choose_amount(model, levels, series, seed=0) < whole


@pytest.mark.parametrize(("n", "expected"), [(2, 5 / 12), (40, 0.1)])
def test_smooth_series_that_come_back_exactly_get_hardly_any_noise(n: int, expected: float) -> None:
    """None is best, and as if ten more series had said a half."""
    model, series = tokenizer(), tokenizer().unscale(waves(n))
    assert torch.allclose(model.decode(model.encode(series)), series, atol=1e-5)
    amount = fit_texture.choose_amount(model, [torch.full((PATCH, 1), 0.25)], series, seed=0)
    assert amount == pytest.approx(expected)


def test_a_residual_that_is_no_noise_is_not_answered_with_noise() -> None:
    """Smooth waves of several heights are all reconstructed as one: a large residual, and nothing rough in it."""
    heights = torch.linspace(0.7, 1.3, 20)[:, None, None]
    model, scaled = tokenizer(), heights * waves(20)
    levels = fit_texture.measure(model, scaled, None)
    assert levels[0].max() > 0.02
    assert fit_texture.choose_amount(model, levels, model.unscale(scaled), seed=0) < 0.75


def test_what_was_found_is_applied() -> None:
    model = fitted_tokenizer(tokenizer_config(front={"bands": (2,)}), spec())
    levels = [torch.rand(len(grid.texture.level), 1) for grid in model.grids]
    fit_texture.apply(model, levels, 0.25)
    assert model.texture_amount == 0.25
    for grid, level in zip(model.grids, levels, strict=True):
        assert torch.equal(grid.texture.level, level)


@pytest.mark.parametrize("kind", [{"front": {"bands": (2,)}}, {"front": {"kind": "patch"}}, {}])
def test_every_front_can_be_fitted_with_several_channels(kind: dict[str, object]) -> None:
    model = fitted_tokenizer(tokenizer_config(**kind), spec(2, 30))
    scaled = torch.from_numpy(np.random.default_rng(0).normal(size=(9, 2, 30)).astype(np.float32))
    fit_texture.fit(model, scaled, None, steps=3, seed=0)
    levels = fit_texture.measure(model, scaled, None)
    assert [of.shape for of in levels] == [grid.texture.level.shape for grid in model.grids]
    fit_texture.apply(model, levels, fit_texture.choose_amount(model, levels, model.unscale(scaled), seed=0))
    made = model.decode(model.encode(model.unscale(scaled)), torch.Generator().manual_seed(0))
    assert made.isfinite().all()


def noisy_between(low: float, high: float, scaled: Tensor) -> tuple[Tokenizer, Tensor, Tensor]:
    """A tokenizer of whole texture and of data within limits, these data, and their tokens."""
    plain = tokenizer()
    series = plain.unscale(scaled)
    limits = {name: (float(plain.unscale(torch.tensor([of])).item()),) for name, of in (("low", low), ("high", high))}
    model = Tokenizer(plain.config, plain.spec.model_copy(update=limits))
    model.load_state_dict(plain.state_dict())
    model.eval()
    fit_texture.fit(model, scaled, None, steps=0, seed=0)
    fit_texture.apply(model, fit_texture.measure(model, scaled, None), 1.0)
    return model, series, model.encode(series)


def test_marginals_give_what_is_made_the_values_of_the_series() -> None:
    """Noise between two levels, which Gaussian noise oversteps on both sides, and which nothing made may leave."""
    scaled = torch.rand(400, 1, LENGTH, generator=torch.Generator().manual_seed(0)) * 2 - 1
    model, series, tokens = noisy_between(-1.0, 1.0, scaled)
    before = model.scale(model.textured(tokens, torch.Generator().manual_seed(1)))
    assert before.abs().max() > 2
    fit_texture.fit_marginals(model, series, None, seed=0)
    after = model.scale(model.decode(tokens, torch.Generator().manual_seed(1)))
    assert after.abs().max() <= 1.001
    levels = torch.linspace(0.02, 0.98, 25)
    torch.testing.assert_close(after.flatten().quantile(levels), 2 * levels - 1, atol=0.03, rtol=0)
    assert (after.abs() > 0.999).float().mean() < 0.01  # no heap at the ends
    assert torch.equal(model.decode(tokens), tokenizer().decode(tokens))  # the plain mean is not touched


def test_a_value_that_many_have_comes_back_exactly_and_as_often() -> None:
    scaled = noise(400).clamp(min=0.0)
    model, series, tokens = noisy_between(0.0, float(scaled.max()), scaled)
    fit_texture.fit_marginals(model, series, None, seed=0)
    made = model.decode(tokens, torch.Generator().manual_seed(1))
    share = (made == series.min()).float().mean().item()
    assert share == pytest.approx((series == series.min()).float().mean().item(), abs=0.02)


def test_values_that_were_not_observed_do_not_count_among_the_marginals() -> None:
    scaled = noise(400)
    observed = torch.rand(scaled.shape, generator=torch.Generator().manual_seed(2)) < 0.3
    model, series, tokens = noisy_between(-5.0, 5.0, scaled)
    filled = torch.where(observed, series, model.unscale(torch.zeros(1)))
    fit_texture.fit_marginals(model, filled, observed, seed=0)
    made = model.scale(model.decode(tokens, torch.Generator().manual_seed(1)))
    assert made.std().item() == pytest.approx(1.0, abs=0.05)
    nothing = torch.zeros_like(observed)
    fit_texture.fit_marginals(model, series, nothing, seed=0)  # a channel that is missing altogether
    assert model.decode(tokens, torch.Generator().manual_seed(1)).isfinite().all()


def test_of_many_series_sorted_by_class_all_classes_are_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last ones are noisy: the first thirty alone would say that nothing is."""
    monkeypatch.setattr(fit_texture, "MOST_CASES", 30)
    model, scaled = tokenizer(), torch.cat([waves(60), waves(60) + noise(60)])
    fit_texture.fit(model, scaled, None, steps=0, seed=0)
    assert float(model.grids[0].texture.level.mean()) == pytest.approx(0.5, rel=0.2)
