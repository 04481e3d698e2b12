"""The texture: noise of a wanted spectrum, its likelihood, and what decoding does with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from core_helpers import fitted_tokenizer, spec, tokenizer_config
from torch import Tensor

from timeloom.tokenizer.front import FRONTS, FrontConfig
from timeloom.tokenizer.texture import Texture, mean_level, mixed, mixing_of, power, shaped, whole
from timeloom.tokenizer.tokenizer import Tokenizer


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def white(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed))


# ---- power and shaping


@pytest.mark.parametrize(("parts", "expected"), [(2, [[10.0, 20.0], [100.0, 0.0]]), (1, [[1.0, 4.0], [9.0, 16.0]])])
def test_power_is_the_squared_magnitude_of_each_channel_and_bin(parts: int, expected: list[list[float]]) -> None:
    # two channels; complex: one real row each, then an imaginary one, of two bins
    complex_rows = [[1.0], [2.0], [3.0], [4.0], [6.0], [0.0], [8.0], [0.0]]
    rows = complex_rows if parts == 2 else [[1.0], [2.0], [3.0], [4.0]]
    found = power(torch.tensor(rows)[None], 2, parts)
    assert found.shape == (1, 4, 1)
    assert found.flatten().tolist() == [value for channel in expected for value in channel]


@pytest.mark.parametrize(("channels", "parts"), [(1, 1), (1, 2), (3, 1), (3, 2)])
def test_shaping_multiplies_the_power_by_the_variance(channels: int, parts: int) -> None:
    frames = white(4, channels * parts * 5, 7)
    variance = torch.rand(4, channels * 5, 7, generator=generator(1)) * 3
    found = power(shaped(frames, variance, channels, parts), channels, parts)
    torch.testing.assert_close(found, power(frames, channels, parts) * variance)


def test_shaping_keeps_phases_and_a_variance_of_zero_silences() -> None:
    frames, variance = white(2, 12, 3), torch.full((2, 6, 3), 4.0)
    variance[:, 2] = 0
    made = shaped(frames, variance, 1, 2)
    rows = torch.tensor([2, 8])  # real and imaginary part of the third bin
    assert not made[:, rows].any()
    others = [row for row in range(12) if row not in (2, 8)]
    torch.testing.assert_close(made[:, others], 2 * frames[:, others])


@pytest.mark.parametrize("kind", ["stft", "patch"])
@pytest.mark.parametrize(("channels", "length"), [(1, 64), (2, 50)])
def test_white_noise_shaped_evenly_is_white_noise_of_that_variance(kind: str, channels: int, length: int) -> None:
    front = FRONTS[kind](FrontConfig.parse({"kind": kind}).resolve(length), channels, length)
    (frames,) = front(white(4000, channels, length))
    variance = torch.full((4000, frames.shape[1] // front.parts, frames.shape[2]), 2.5)
    made = front.inverse([shaped(frames, variance, channels, front.parts)])
    inside = made[..., 16:-16]
    assert inside.var(dim=0).flatten().tolist() == pytest.approx([2.5] * inside[0].numel(), rel=0.15)
    neighbours = (inside[..., 1:] * inside[..., :-1]).mean()
    assert abs(neighbours) < 0.02 * 2.5


def test_the_power_of_white_noise_is_its_variance_away_from_the_ends() -> None:
    front = FRONTS["stft"](FrontConfig().resolve(64), 1, 64)
    (frames,) = front(1.5 * white(4000, 1, 64))
    inside = power(frames, 1, 2)[..., 4:-4].mean(dim=(0, 2))
    assert inside.tolist() == pytest.approx([2.25] * 9, rel=0.05)


@pytest.mark.parametrize(("n_fft", "length"), [(16, 64), (16, 24), (8, 13)])
def test_whole_frames_have_the_power_of_the_noise_up_to_both_ends(n_fft: int, length: int) -> None:
    front = FRONTS["stft"](FrontConfig(n_fft=n_fft).resolve(length), 2, length)
    (share,) = front.covered(torch.ones(1, 2, length))
    # the middle of its window lies on the first value
    ends = (1 + float(front.window[n_fft // 2].square())) / 2
    assert share[..., 0].flatten().tolist() == pytest.approx([ends] * len(share[0]))
    assert share[..., 2].flatten().tolist() == pytest.approx([1.0] * len(share[0]))
    powers, counted = whole(power(front(1.5 * white(8000, 2, length))[0], 2, 2), share)
    assert bool(counted.all())
    found = powers.unflatten(1, (2, -1)).mean(dim=(0, 1))
    # the real bins at both rims of the spectrum have another share at the ends, by their phase
    assert found[1:-1].flatten().tolist() == pytest.approx([2.25] * found[1:-1].numel(), rel=0.1)


def test_frames_over_missing_values_count_by_what_they_see() -> None:
    front = FRONTS["stft"](FrontConfig().resolve(64), 1, 64)
    seen = torch.ones(8000, 1, 64)
    seen[..., 20:26] = 0
    seen[..., 40:] = 0
    powers, counted = whole(power(front(white(8000, 1, 64) * seen)[0], 1, 2), front.covered(seen)[0])
    assert counted[0, 0].tolist() == [1.0] * 11 + [0.0] * 6
    assert powers.mean(dim=0)[2:-2, :11].mean(dim=0).tolist() == pytest.approx([1.0] * 11, rel=0.1)
    assert not powers[..., 11:].any()


def test_pieces_of_time_count_where_they_were_seen() -> None:
    front = FRONTS["patch"](FrontConfig(kind="patch", patch=4), 1, 10)
    seen = torch.ones(1, 1, 10)
    seen[..., 1] = 0
    assert front.covered(seen)[0][0].tolist() == [[1, 1, 1], [0, 1, 1], [1, 1, 0], [1, 1, 0]]


# ---- the network


def test_an_untrained_texture_says_its_level_and_that_is_zero_at_first() -> None:
    made = Texture(6, 3)
    features = white(2, 6, 5)
    assert not made(features).any()
    made.level.copy_(torch.tensor([[0.5], [2.0], [0.0]]))
    assert torch.equal(made(features), made.level.expand(2, 3, 5))


def textures(model: Tokenizer) -> list[torch.nn.Parameter]:
    return [parameter for grid in model.grids for parameter in grid.texture.parameters()]


def test_codes_learn_how_loud_the_noise_is_and_reconstruction_learns_nothing_of_it() -> None:
    model = Tokenizer(tokenizer_config(), spec(1, 32)).train()
    x = white(8, 1, 32)
    for parameter in textures(model):
        torch.nn.init.normal_(parameter, std=0.1)
    term = model(x).terms["texture"]
    for learning in (textures(model), [model.grids[0].encoder.head.weight]):
        assert all(of.abs().max() > 0 for of in torch.autograd.grad(term, learning, retain_graph=True))
    head = list(model.grids[0].decoder.head.parameters())
    assert torch.autograd.grad(term, head, allow_unused=True) == (None, None)


def test_the_term_is_the_likelihood_of_the_residual_times_the_error_of_reconstruction() -> None:
    model = Tokenizer(tokenizer_config(), spec(1, 32)).train()
    x = white(8, 1, 32)
    out = model(x)  # an untrained network says the mean power of each bin
    powers = power(model.front(x - out.recon)[0], 1, 2) / model.front.covered(torch.ones(1, 1, 32))[0]
    level = powers.mean(dim=(0, 2), keepdim=True)
    error = out.terms["recon_time"] + out.terms["recon_stft"]
    torch.testing.assert_close(out.terms["texture"], error * (powers / level).mean())


def test_without_a_weight_the_texture_is_no_part_of_the_tokenizers_own_training() -> None:
    model = Tokenizer(tokenizer_config(weights={"texture": 0.0}), spec())
    assert not any(parameter.requires_grad for parameter in textures(model))
    assert sum(parameter.requires_grad for parameter in model.parameters()) > 0
    assert all(parameter.requires_grad for parameter in textures(Tokenizer(tokenizer_config(), spec())))


def test_mean_levels_are_those_of_each_power_and_above_zero() -> None:
    powers = torch.tensor([[[1.0, 3.0], [0.0, 0.0]], [[2.0, 2.0], [0.0, 0.0]]])
    assert mean_level(powers, torch.ones(2, 2, 2)).tolist() == [[2.0], [pytest.approx(1e-8)]]
    assert mean_level(powers, torch.tensor([[[0.0, 1.0]], [[0.0, 1.0]]]).expand(2, 2, 2))[0] == 2.5
    assert mean_level(powers, torch.zeros(2, 2, 2))[0] == pytest.approx(1e-8)


def test_the_likelihood_is_best_at_the_true_variance() -> None:
    """Powers of complex Gaussian noise are exponential: the sample mean is the best constant variance."""
    made, features = Texture(4, 2).requires_grad_(False), torch.zeros(3000, 4, 2)
    true = torch.tensor([[0.3], [5.0]])
    draws = torch.rand(3000, 2, 2, generator=generator())
    powers = -true * torch.log1p(-draws)
    mean, counted = powers.mean(dim=(0, 2)), torch.ones_like(powers)
    assert mean.tolist() == pytest.approx(true.flatten().tolist(), rel=0.1)
    made.level.fill_(1.0)
    losses = []
    for factor in (0.5, 0.9, 1.0, 1.1, 2.0):
        made.conv.bias.copy_((factor * mean).log())  # type: ignore[union-attr]
        losses.append(made.nll(features, powers, counted, made.level).item())
    assert min(losses) == losses[2]
    assert losses[2] == pytest.approx(float((1 + mean.log()).mean()), rel=1e-4)
    made.conv.bias.requires_grad_(True)  # type: ignore[union-attr]
    with torch.no_grad():
        made.conv.bias.copy_(mean.log())  # type: ignore[union-attr]
    (slope,) = torch.autograd.grad(made.nll(features, powers, counted, made.level), [made.conv.bias])  # type: ignore[list-item]
    assert slope.abs().max() < 1e-5


def test_the_noise_has_its_variances_whatever_the_gains_of_the_bins() -> None:
    model = Tokenizer(tokenizer_config(), spec(1, 64)).eval()
    model.front.fit(white(50, 1, 64).cumsum(-1))
    assert model.front.gain.max() > 2 * model.front.gain.min()
    level = torch.linspace(0.5, 2.0, len(model.grids[0].texture.level))[:, None]
    model.grids[0].texture.level.copy_(level)
    features = [torch.zeros(3000, model.config.hidden, model.front.n_frames)]
    (noise,) = model.texture(features, generator())
    found = power(noise, 1, 2)[..., 4:-4].mean(dim=(0, 2))
    assert found.tolist() == pytest.approx(level.flatten().tolist(), rel=0.05)


# ---- decoding

KINDS: dict[str, tuple[dict[str, Any], int, int]] = {
    "one band": ({}, 1, 32),
    "two bands": ({"front": {"bands": (2,)}}, 1, 32),
    "channels": ({"front": {"bands": (1, 4)}}, 3, 31),
    "patches": ({"front": {"kind": "patch"}}, 2, 29),
    "levels": ({"quantizer": {"codebook_size": 8, "codebook_dim": 4, "levels": 2}}, 1, 20),
}


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def model(request: pytest.FixtureRequest) -> Tokenizer:
    sections, channels, length = request.param
    made = fitted_tokenizer(tokenizer_config(**sections), spec(channels, length))
    for grid in made.grids:
        grid.texture.level.fill_(0.5)
    made.texture_amount.fill_(1.0)
    return made


def tokens(model: Tokenizer, batch: int = 3) -> Tensor:
    layout = model.layout
    return torch.randint(layout.codebook_size, (batch, sum(layout.grids), layout.levels), generator=generator(4))


def test_without_a_generator_decoding_is_the_plain_mean(model: Tokenizer) -> None:
    plain = model.decode(tokens(model))
    assert torch.equal(plain, model.decode(tokens(model)))
    model.texture_amount.fill_(0.0)
    assert torch.equal(plain, model.decode(tokens(model)))
    untouched = generator(5)
    assert torch.equal(plain, model.decode(tokens(model), untouched))
    assert torch.equal(untouched.get_state(), generator(5).get_state())


def test_with_a_generator_the_noise_is_its_own(model: Tokenizer) -> None:
    first, second, third = (model.decode(tokens(model), generator(seed)) for seed in (1, 1, 2))
    plain = model.decode(tokens(model))
    assert first.shape == plain.shape
    assert first.isfinite().all()
    assert first.numpy().tobytes() == second.numpy().tobytes()
    assert not torch.equal(first, third)
    assert ((first - plain).abs().amax(dim=2) > 0).all()  # every series and channel has some


def test_twice_the_amount_is_twice_the_noise(model: Tokenizer) -> None:
    plain, whole = model.decode(tokens(model)), model.decode(tokens(model), generator())
    model.texture_amount.fill_(0.5)
    half = model.decode(tokens(model), generator())
    torch.testing.assert_close(whole - plain, 2 * (half - plain), atol=1e-5, rtol=1e-3)


def test_the_noise_has_the_variance_of_the_level_in_the_datas_unit(model: Tokenizer) -> None:
    made = tokens(model, 1).expand(3000, -1, -1)
    noise = (model.decode(made, generator()) - model.decode(made))[..., 8:-8]
    expected = [0.5 * std**2 for std in model.spec.std]
    assert noise.var(dim=(0, 2)).tolist() == pytest.approx(expected, rel=0.05)
    assert noise.mean(dim=(0, 2)).tolist() == pytest.approx([0.0] * len(expected), abs=0.05)


def test_each_band_gets_the_noise_of_its_own_level() -> None:
    made = fitted_tokenizer(tokenizer_config(front={"bands": (2,)}), spec(length=64))
    made.grids[1].texture.level.fill_(1.0)
    made.texture_amount.fill_(1.0)
    some = tokens(made, 1).expand(2000, -1, -1)
    noise = made.scale(made.decode(some, generator())) - made.scale(made.decode(some))
    low, high = (power(of, 1, 2)[..., 4:-4].mean() for of in made.front(noise))
    assert high > 0.7
    assert low < 0.2 * high  # no level here, only what leaks between overlapping windows


def test_the_texture_is_part_of_the_checkpoint(model: Tokenizer, tmp_path: Path) -> None:
    model.texture_amount.fill_(0.75)
    model.save_pretrained(tmp_path)
    twin = Tokenizer.from_pretrained(tmp_path)
    assert twin.texture_amount == 0.75
    assert torch.equal(twin.decode(tokens(model), generator()), model.decode(tokens(model), generator()))
    mute = Tokenizer(model.config, model.spec)
    assert mute.fingerprint != model.fingerprint


def test_residual_frames_are_those_of_what_reconstruction_loses(model: Tokenizer) -> None:
    x = white(5, model.spec.n_channels, model.spec.length)
    with torch.no_grad():
        residual = x - model(x).recon
    for of, frames in zip(model.residual_frames(x), model.front(residual), strict=True):
        assert torch.equal(of, frames)
    nothing = model.residual_frames(x, torch.zeros_like(x, dtype=torch.bool))
    assert not any(of.any() for of in nothing)
    with pytest.raises(AssertionError, match="training mode"):
        model.train().residual_frames(x)


# ---- correlations between channels


def correlated(n: int, seed: int = 0) -> Tensor:
    """Noise (n, 3, 24) whose second channel is the first, and whose third is half of it and half its own."""
    own = white(n, 2, 24, seed=seed)
    return torch.stack([own[:, 0], own[:, 0], (own[:, 0] + own[:, 1]) / 2**0.5], dim=1)


@pytest.mark.parametrize("kind", ["stft", "patch"])
def test_mixed_noise_has_the_correlations_that_were_found(kind: str) -> None:
    front = FRONTS[kind](FrontConfig.parse({"kind": kind}).resolve(24), 3, 24)
    (found,), (frames,) = front(correlated(2000)), front(white(2000, 3, 24, seed=7))
    mixing = mixing_of(found, 3, front.parts, front.n_mixed)
    torch.testing.assert_close(mixing.norm(dim=1), torch.ones(front.n_mixed))
    made = front.inverse([mixed(frames, mixing, 3, front.parts)])[..., 4:-4]
    matrix = torch.corrcoef(made.transpose(0, 1).flatten(1))
    expected = torch.tensor([[1, 1, 0.5**0.5], [1, 1, 0.5**0.5], [0.5**0.5, 0.5**0.5, 1]])
    torch.testing.assert_close(matrix, expected, atol=0.02, rtol=0)
    assert made.var().item() == pytest.approx(1.0, rel=0.05)


def test_patches_also_keep_the_correlations_in_time() -> None:
    front = FRONTS["patch"](FrontConfig(kind="patch", patch=8), 1, 24)
    steps = white(3000, 1, 24).cumsum(dim=2)[..., 16:] / 4  # 8 steps of a walk
    (frames,) = front(torch.cat([steps, steps, steps], dim=2))
    mixing = mixing_of(frames, 1, 1, front.n_mixed)
    made = mixed(front(white(3000, 1, 24, seed=3))[0], mixing, 1, 1)[:, :, 0]
    expected = torch.corrcoef(steps[:, 0].T)
    assert expected.min() > 0.7
    torch.testing.assert_close(torch.corrcoef(made.T), expected, atol=0.05, rtol=0)


def test_no_mixing_leaves_noise_as_it_is_and_silence_can_be_measured() -> None:
    frames = white(4, 12, 3)
    assert torch.equal(mixed(frames, torch.eye(2), 2, 2), frames)
    assert torch.equal(mixed(frames, torch.eye(1), 1, 2), frames)
    assert mixing_of(torch.zeros(4, 12, 3), 2, 2, 2).isfinite().all()
    assert mixing_of(frames[:1, :, :1], 12, 1, 12).isfinite().all()  # fewer frames than rows
