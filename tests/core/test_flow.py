"""The residual flow: its loss, how far it sees, what it draws, and how stage 1 trains it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from core_helpers import fitted_tokenizer, sines, smoke, spec, tokenizer_config
from torch import Tensor

from timeloom.stages import fit_flow, train_tokenizer
from timeloom.stages.fit_flow import Residuals
from timeloom.tokenizer.flow import AT_ONCE, ResidualFlow
from timeloom.tokenizer.tokenizer import Tokenizer

LENGTH = 48


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def white(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed))


def random_flow(channels: int = 1, size: float = 0.3) -> ResidualFlow:
    """A flow all of whose weights are drawn, those that start at zero, too."""
    flow = ResidualFlow(channels)
    for number, weight in enumerate(flow.parameters()):
        weight.data = size * white(*weight.shape, seed=number)
    return flow


def silent_tokenizer(channels: int = 1) -> Tokenizer:
    """A tokenizer that reconstructs everything as zero, so that all of a series is left out."""
    made = fitted_tokenizer(tokenizer_config(front={"kind": "patch"}), spec(channels, LENGTH))
    with torch.no_grad():
        made.grids[0].decoder.head.weight.zero_()
        made.grids[0].decoder.head.bias.zero_()
    return made


def high_and_low(n: int) -> Tensor:
    """Series that are 2 throughout, and as many that are -2."""
    sign = 1.0 - 2 * (torch.arange(n) % 2)
    return 2 * sign[:, None, None].expand(n, 1, LENGTH).contiguous()


# ---- the network


def test_an_untrained_flow_stands_still() -> None:
    flow = ResidualFlow(2)
    residual, noise, counted = white(3, 2, 20), white(3, 2, 20, seed=1), torch.ones(3, 2, 20)
    flow.fit_scale(2 * torch.ones(3, 2, 20))
    found = flow.loss(residual, white(3, 2, 20, seed=2), counted, torch.rand(3), noise)
    torch.testing.assert_close(found, (residual / 2 - noise).square().mean())
    torch.testing.assert_close(flow.draw(torch.zeros(3, 2, 20), generator(5)), 2 * white(3, 2, 20, seed=5))


def test_it_sees_as_far_as_it_says() -> None:
    flow, x, recon, time = random_flow(), white(1, 1, 101), white(1, 1, 101, seed=1), torch.tensor([0.3])
    moved = recon.clone()
    moved[..., 50] += 10
    off = (flow.velocity(x, moved, time) - flow.velocity(x, recon, time)).abs().flatten() > 0
    assert off.nonzero().flatten()[[0, -1]].tolist() == [50 - flow.reach, 50 + flow.reach]


def test_each_channel_has_a_scale_of_its_own_from_what_was_observed() -> None:
    flow, observed = ResidualFlow(2), torch.ones(4, 2, 10, dtype=torch.bool)
    residual = torch.tensor([3.0, 0.5])[:, None].expand(4, 2, 10).clone()
    residual[:, :, :5] = 99
    observed[:, :, :5] = False
    flow.fit_scale(residual, observed)
    assert flow.scale.flatten().tolist() == [3.0, 0.5]
    flow.fit_scale(torch.zeros(4, 2, 10))
    assert (flow.scale > 0).all(), "a perfect reconstruction divides by no zero"


def test_what_does_not_count_has_no_part_in_the_loss() -> None:
    flow, counted = random_flow(), torch.ones(2, 1, 90)
    residual, recon, time, noise = white(2, 1, 90), white(2, 1, 90, seed=1), torch.rand(2), white(2, 1, 90, seed=2)
    far = residual.clone()
    counted[..., 20:] = 0
    far[..., 20 + flow.reach :] = 1e3  # so far away that what counts does not see it
    torch.testing.assert_close(
        flow.loss(residual, recon, counted, time, noise), flow.loss(far, recon, counted, time, noise)
    )


def test_drawing_solves_a_known_flow_to_the_end() -> None:
    """A velocity that is one constant everywhere adds it; the noise beneath is the generator's own."""
    flow = ResidualFlow(1)
    torch.nn.init.constant_(flow.head.bias, 0.75)  # type: ignore[arg-type]
    drawn = flow.draw(torch.zeros(4, 1, 30), generator(3))
    torch.testing.assert_close(drawn, white(4, 1, 30, seed=3) + 0.75)


def test_many_series_are_drawn_as_few_are() -> None:
    flow, recon = random_flow(size=0.1), white(40, 1, 304)
    assert len(recon) * 304 > AT_ONCE
    few = flow.draw(recon[:3], generator())  # the first of what the generator draws for all
    torch.testing.assert_close(flow.draw(recon, generator())[:3], few, rtol=1e-3, atol=1e-3)


# ---- training


def test_what_is_left_out_is_drawn_as_it_is_and_not_as_noise() -> None:
    tokenizer, told = silent_tokenizer(), list[str]()
    state = torch.random.get_rng_state()
    best = fit_flow.fit(
        tokenizer,
        {"scaled": high_and_low(40)},
        {"scaled": high_and_low(10)},
        steps=400,
        seed=0,
        progress=lambda stage, done, total, note="": told.append(f"{stage} {done}/{total}"),
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert told == [f"residuals {done}/400" for done in range(50, 401, 50)]
    assert best > 200
    assert tokenizer.flow is not None
    drawn = tokenizer.flow.draw(torch.zeros(200, 1, LENGTH), generator())
    # Gaussian noise of that power would lie between -1 and 1 in two cases of five, and change its sign on the way
    assert (drawn.abs() > 1).float().mean() > 0.85
    assert (drawn.sign() == drawn.mean(dim=2, keepdim=True).sign()).float().mean() > 0.9
    assert 0.3 < (drawn.mean(dim=2) > 0).float().mean() < 0.7


def test_training_ends_where_held_out_series_gain_no_more_and_is_the_same_again() -> None:
    found = []
    for _ in range(2):
        tokenizer = silent_tokenizer()
        seen = {"scaled": white(2, 1, LENGTH)}  # two series are soon known by heart
        best = fit_flow.fit(tokenizer, seen, {"scaled": white(10, 1, LENGTH, seed=1)}, steps=2000, seed=0)
        assert best < 1000
        assert tokenizer.flow is not None
        found.append(tokenizer.flow.state_dict())
    assert all(torch.equal(of, found[1][name]) for name, of in found[0].items())


def test_pieces_of_long_series_count_only_where_they_see_what_the_series_has() -> None:
    reach, longest = ResidualFlow.reach, fit_flow.LONGEST
    place = torch.arange(500.0).expand(3, 1, 500)
    residual, recon, counted, times, noise = fit_flow._drawn(
        Residuals(place, -place, torch.ones(3, 1, 500)), 64, reach, generator()
    )
    assert residual.shape == recon.shape == noise.shape == (64, 1, longest)
    torch.testing.assert_close(recon, -residual)
    assert ((times >= 0) & (times < 1)).all()
    for piece, of in zip(residual[:, 0], counted[:, 0], strict=True):
        low = piece[0] + (reach if piece[0] > 0 else 0)
        high = piece[-1] - (reach if piece[-1] < 499 else 0)
        assert torch.equal(of.bool(), (piece >= low) & (piece <= high))
    whole = fit_flow._drawn(Residuals(*(white(3, 1, 40),) * 2, torch.ones(3, 1, 40)), 8, reach, generator())
    assert whole[2].all(), "a series that is one piece was not cut"


def test_missing_values_are_not_learned() -> None:
    tokenizer, observed = silent_tokenizer(), torch.rand(20, 1, LENGTH, generator=generator(7)) < 0.7
    batch = {"scaled": torch.where(observed, high_and_low(20), 50.0), "observed": observed}
    found = fit_flow._residuals(tokenizer, batch)
    assert torch.equal(found.counted.bool(), observed)
    assert found.residual[observed].abs().unique().tolist() == [2.0]
    assert not found.residual[~observed].any()
    fit_flow.fit(tokenizer, batch, batch, steps=2, seed=0)
    assert tokenizer.flow is not None
    torch.testing.assert_close(tokenizer.flow.scale, torch.tensor([[2.0]]))


# ---- in a tokenizer


@pytest.mark.parametrize("channels", [1, 3])
def test_decoding_adds_what_the_flow_draws_times_the_amount(channels: int, tmp_path: Path) -> None:
    tokenizer = fitted_tokenizer(tokenizer_config(), spec(channels))
    tokens = torch.randint(8, (5, tokenizer.layout.grids[0], 2), generator=generator())[..., : tokenizer.layout.levels]
    plain = tokenizer.decode(tokens)
    tokenizer.flow = random_flow(channels, size=0.1).requires_grad_(False)
    tokenizer.texture_amount.fill_(0.5)
    assert torch.equal(tokenizer.decode(tokens), plain), "without a generator it is the mean"
    assert torch.equal(tokenizer.decode(tokens, generator(), 0.0), plain)
    half, full = tokenizer.decode(tokens, generator()), tokenizer.decode(tokens, generator(), 1.0)
    assert (full - plain).abs().mean() > 0.01
    torch.testing.assert_close(half - plain, (full - plain) / 2, rtol=1e-3, atol=1e-4)
    tokenizer.save_pretrained(tmp_path)
    again = Tokenizer.from_pretrained(tmp_path)
    assert torch.equal(again.decode(tokens, generator()), half)
    assert not any(weight.requires_grad for weight in again.flow.parameters())  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("overrides", "flow", "amount"),
    [
        (("tokenizer_training.texture_steps=0",), True, 1.0),
        (("tokenizer_training.refit_below=41", "tokenizer_training.texture=0.75"), False, 0.75),
        (("tokenizer_training.texture=0.5",), True, 0.5),
        (("tokenizer_training.texture=0",), False, 0.0),
        (("tokenizer_training.flow_steps=0", "tokenizer_training.texture=0.25"), False, 0.25),
        (("tokenizer_training.holdout=0",), False, 0.0),
    ],
)
def test_stage_1_trains_it_where_some_series_are_never_learned(
    overrides: tuple[str, ...], flow: bool, amount: float, tmp_path: Path
) -> None:
    config = smoke("tokenizer_training.steps=4", "tokenizer_training.refit_below=0", *overrides)
    record = train_tokenizer.run(sines(), config.tokenizer, config.tokenizer_training, config.trainer, tmp_path)
    tokenizer = Tokenizer.from_pretrained(tmp_path / "tokenizer")
    assert (tokenizer.flow is not None) == flow == ("flow_step" in record)
    assert float(tokenizer.texture_amount) == amount
    assert not flow or record["flow_step"] == config.tokenizer_training.flow_steps


@pytest.mark.parametrize(("steps", "kept"), [(10, False), (200, True)])
def test_it_goes_where_reconstructions_look_clearly_more_like_unseen_series_with_gaussian_texture(
    steps: int, kept: bool, tmp_path: Path
) -> None:
    """After ten steps it draws little but white noise; after two hundred it knows the waves that are left out."""
    config = smoke(
        "tokenizer_training.steps=4", "tokenizer_training.refit_below=0", f"tokenizer_training.flow_steps={steps}"
    )
    record = train_tokenizer.run(sines(), config.tokenizer, config.tokenizer_training, config.trainer, tmp_path)
    tokenizer = Tokenizer.from_pretrained(tmp_path / "tokenizer")
    assert (tokenizer.flow is not None) == kept == ("flow_step" in record)
    nearer = float(record["flow_distance"]) <= train_tokenizer.CLEARLY * float(record["texture_distance"])
    assert nearer == kept
    assert float(tokenizer.texture_amount) == record["texture"]
    assert (record["texture"] == 1.0) == kept
    assert all(float(grid.texture.level.min()) > 0 for grid in tokenizer.grids), "measured all the same"


def test_series_with_gaps_and_long_ones_train_a_flow(tmp_path: Path) -> None:
    short = (
        "tokenizer_training.steps=4",
        "tokenizer_training.refit_below=0",
        "tokenizer_training.texture_steps=0",
    )
    config, data = smoke(*short), sines(20, channels=2, length=300)
    X = np.where(np.random.default_rng(0).random(data.X_train.shape) < 0.1, np.nan, data.X_train)
    data.X_train[:] = X
    train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, tmp_path)
    tokenizer = Tokenizer.from_pretrained(tmp_path / "tokenizer")
    assert tokenizer.flow is not None
    made = tokenizer.decode(torch.zeros(3, *tokenizer.encode(torch.zeros(1, 2, 300)).shape[1:]).long(), generator())
    assert made.shape == (3, 2, 300)
    assert bool(made.isfinite().all())
    assert math.isfinite(float(tokenizer.flow.scale.sum()))


def test_a_run_that_was_cut_off_in_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    config, data = smoke("tokenizer_training.steps=4", "tokenizer_training.refit_below=0"), sines()

    def cut(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "residuals":
            raise KeyboardInterrupt

    def run(out: Path, **how: object) -> bytes:
        train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, out, **how)  # type: ignore[arg-type]
        return (out / "tokenizer" / "model.safetensors").read_bytes()

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", progress=cut)
    assert run(tmp_path / "cut", resume=True) == run(tmp_path / "whole")
