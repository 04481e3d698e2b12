"""Tokens are nearest codes, levels quantize what is left over, and each kind of codebook learns in its own way."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from core_helpers import spec
from torch import Tensor

from timeloom.errors import InputError
from timeloom.tokenizer.config import TokenizerConfig
from timeloom.tokenizer.quantizer import Quantizer, QuantizerConfig, orthogonal_penalty


@pytest.fixture(autouse=True)
def _seeded() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def noise(batch: int = 16, dim: int = 4, width: int = 6) -> Tensor:
    return torch.randn(batch, dim, width)


def quantizer(batches: int = 3, **settings: Any) -> Quantizer:
    """A quantizer whose codebooks have seen some noise, in eval mode."""
    made = Quantizer(QuantizerConfig(**{"codebook_size": 8, "codebook_dim": 4, **settings})).train()
    for _ in range(batches):
        made(noise())
    return made.eval()


@pytest.mark.parametrize("kind", ["ema", "gradient"])
@pytest.mark.parametrize("levels", [1, 3])
def test_tokens_are_the_nearest_codes_of_what_earlier_levels_left(kind: str, levels: int) -> None:
    made, z = quantizer(codebook=kind, levels=levels), noise(5)
    found = made(z)
    left = z.transpose(1, 2).double()
    for level, codes in enumerate(made.codebooks.detach().double()):
        distance = (left[:, :, None, :] - codes).square().sum(-1)
        assert torch.equal(found.tokens[..., level], distance.argmin(-1))
        left = left - codes[distance.argmin(-1)]
    torch.testing.assert_close(found.z_q.transpose(1, 2).double(), z.transpose(1, 2).double() - left, atol=1e-5, rtol=0)
    assert found.tokens.shape == (5, 6, levels)


def test_looking_tokens_up_gives_the_quantized_latents() -> None:
    made = quantizer(levels=2)
    found = made(noise(5))
    torch.testing.assert_close(made.lookup(found.tokens), found.z_q, atol=1e-6, rtol=0)


def test_a_token_that_is_no_code_is_refused() -> None:
    made = quantizer()
    with pytest.raises(IndexError):
        made.lookup(torch.full((1, 2, 1), made.codebook_size))


def test_levels_leave_less_and_less_over() -> None:
    made, z = quantizer(batches=30, levels=4), noise(64)
    tokens = made(z).tokens
    left, rest = [z.square().mean()], z.transpose(1, 2)
    for level, codes in enumerate(made.codebooks):
        rest = rest - codes[tokens[..., level]]
        left.append(rest.square().mean())
    assert all(later < earlier for earlier, later in pairwise(left))
    assert left[-1] < 0.2 * left[0]


def test_an_ema_codebook_moves_in_training_and_stays_in_eval() -> None:
    made, z = quantizer(levels=2), noise() + 1
    state = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    made(z)
    assert all(torch.equal(tensor, state[name]) for name, tensor in made.state_dict().items())
    before = made.codebooks.clone()
    made.train()(z)
    assert (made.codebooks != before).any(dim=-1).any(dim=-1).all()  # every level moved


def test_an_ema_codebook_walks_to_the_mean_of_its_vectors() -> None:
    made = Quantizer(QuantizerConfig(codebook_size=2, codebook_dim=1, decay=0.5, revive_below=0)).train()
    first = torch.tensor([-1.0, 1.0]).repeat(8)[:, None, None]
    made(first)
    for _ in range(40):
        made(first * 3)
    assert made.codebooks.flatten().sort().values.tolist() == pytest.approx([-3.0, 3.0], abs=1e-3)


@pytest.mark.parametrize("kind", ["ema", "gradient"])
def test_dead_codes_are_revived(kind: str) -> None:
    used = {}
    far = noise()
    far[2:] += 1000 * torch.randn(14, 4, 1)  # most codes start where no later vector is
    for revive_below in (0.0, 0.5):
        made = quantizer(0, codebook_size=32, codebook=kind, revive_below=revive_below).train()
        made(far)
        for _ in range(60):
            made(noise())
        used[revive_below] = made.eval()(noise(64)).tokens.unique().numel()
    assert used[0.0] <= 12
    assert used[0.5] >= 24


def test_gradients_pass_straight_through_to_the_latents() -> None:
    made, z = quantizer(levels=2), noise().requires_grad_()
    wanted = noise()
    (made.train()(z).z_q * wanted).sum().backward()
    assert z.grad is not None
    assert torch.equal(z.grad, wanted)


@pytest.mark.parametrize("levels", [1, 2])
def test_commitment_pulls_latents_only_and_codebook_pulls_codes_only(levels: int) -> None:
    made, z = quantizer(codebook="gradient", levels=levels).train(), noise().requires_grad_()
    codes = [p for p in made.parameters() if p.requires_grad]
    assert len(codes) == levels
    for term, moved, still in (("commitment", [z], codes), ("codebook", codes, [z])):
        loss = made(z).terms[term]
        gradients = torch.autograd.grad(loss, [*moved, *still], allow_unused=True)
        assert all(g is not None and g.abs().sum() > 0 for g in gradients[: len(moved)]), term
        assert all(g is None or not g.any() for g in gradients[len(moved) :]), term


def test_commitment_is_the_mean_squared_distance_to_the_code() -> None:
    made, z = quantizer(), noise()
    found = made(z)
    assert found.terms["commitment"].item() == pytest.approx((z - found.z_q).square().mean().item(), rel=1e-5)
    assert set(found.terms) == {"commitment"}
    assert set(quantizer(codebook="gradient")(z).terms) == {"commitment", "codebook", "orthogonal"}


def test_the_orthogonal_penalty_is_the_mean_squared_cosine_of_different_codes() -> None:
    codes = torch.randn(5, 3)
    total = 0.0
    for i in range(5):
        for j in range(5):
            if i != j:
                total += float(codes[i] @ codes[j] / (codes[i].norm() * codes[j].norm())) ** 2
    assert orthogonal_penalty(codes).item() == pytest.approx(total / 25, rel=1e-5)
    assert orthogonal_penalty(torch.eye(4) * 7).item() == pytest.approx(0.0, abs=1e-7)
    assert orthogonal_penalty(torch.ones(4, 2)).item() == pytest.approx(12 / 16, rel=1e-5)


def mean_cosine(codes: Tensor) -> float:
    unit = torch.nn.functional.normalize(codes, dim=-1)
    off = ~torch.eye(len(codes), dtype=torch.bool)
    return (unit @ unit.T).abs()[off].mean().item()


def test_a_larger_orthogonal_weight_gives_less_parallel_codes() -> None:
    cosines = []
    for weight in (0.0, 1.0, 30.0):
        torch.manual_seed(0)
        made = Quantizer(QuantizerConfig(codebook_size=8, codebook_dim=8, codebook="gradient")).train()
        data = torch.randn(64, 8, 4) + 1  # all vectors lean one way, and so do codes that only follow them
        made(data)
        optimizer = torch.optim.Adam([p for p in made.parameters() if p.requires_grad], lr=0.05)
        for _ in range(80):
            terms = made(data).terms
            optimizer.zero_grad()
            (terms["codebook"] + weight * terms["orthogonal"]).backward()
            optimizer.step()
        cosines.append(mean_cosine(made.codebooks[0].detach()))
    assert cosines[0] > 1.2 * cosines[1]
    assert cosines[1] > 1.2 * cosines[2]


@pytest.mark.parametrize("term", ["codebook", "orthogonal"])
def test_an_ema_codebook_refuses_weights_that_it_would_overwrite(term: str) -> None:
    config = TokenizerConfig.parse({"weights": {term: 0.5}})
    with pytest.raises(InputError, match=rf"tokenizer\.weights\.{term} = 0\.5: .*codebook=gradient"):
        config.resolve(spec())
    allowed = TokenizerConfig.parse({"weights": {term: 0.5}, "quantizer": {"codebook": "gradient"}}).resolve(spec())
    assert allowed.term_weights(spec())[term] == 0.5
