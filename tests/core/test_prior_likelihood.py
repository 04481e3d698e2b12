"""What an evaluation asks of the models: likelihoods of tokens, what each decoding round did, pooled codes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from core_helpers import fitted_tokenizer, spec, tokenizer_config
from torch import Tensor

from timeloom.prior.decoding import Decoding, LogitsFn, Round, SamplingConfig, decode
from timeloom.prior.masking import mask_tokens, passes
from timeloom.prior.prior import Prior, PriorConfig
from timeloom.tokenizer.tokenizer import TokenLayout

LAYOUT = TokenLayout(grids=(3, 5), levels=2, codebook_size=6)
FLAT = TokenLayout(grids=(6,), levels=1, codebook_size=4)


def prior(layout: TokenLayout = LAYOUT, spread: float = 0.3) -> Prior:
    """A small prior in eval mode; `spread` tells how far its predictions are from even."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {"dim": 16, "layers": 2, "heads": 2, "dropout": 0.0}
        made = Prior(PriorConfig.parse({"transformer": sizes}), layout, 2, "f00d")
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(spread * torch.randn_like(parameter))
    return made.eval()


def tokens(layout: TokenLayout = LAYOUT, batch: int = 12) -> Tensor:
    shape = (batch, sum(layout.grids), layout.levels)
    return torch.randint(layout.codebook_size, shape, generator=generator(7))


def labels(batch: int = 12) -> Tensor:
    return torch.arange(batch) % 2


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def likelihood(model: Prior, data: Tensor, seed: int = 0, **settings: Any) -> Tensor:
    return model.masked_log_likelihood(data, labels(len(data)), generator(seed), **settings)


# ---- likelihoods


def test_a_prior_that_knows_nothing_finds_all_tokens_equally_likely() -> None:
    model = prior()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    torch.testing.assert_close(likelihood(model, tokens()), torch.full((12,), -math.log(6)))
    untrained = likelihood(prior(spread=0.0), tokens(batch=200), repeats=1)
    assert float(untrained.mean()) == pytest.approx(-math.log(6), abs=0.3)


def test_examples_weighted_by_their_masked_tokens_give_the_loss() -> None:
    model, data = prior(), tokens()
    masked = mask_tokens(data, LAYOUT, generator(3), schedule=model.config.mask_schedule)
    counts = masked.targets.sum(dim=(1, 2))
    values = likelihood(model, data, seed=3, repeats=1)
    loss = float(model.loss(data, labels(), generator(3))["masked_nll"].detach())
    assert len(set(counts.tolist())) > 1  # else the weights would not matter
    assert float((values * counts).sum() / counts.sum()) == pytest.approx(-loss, rel=1e-5)


def test_repeats_pool_the_masked_tokens_of_an_example() -> None:
    model, data = prior(), tokens()
    draws, total, count = generator(3), torch.zeros(12), torch.zeros(12)
    for _ in range(3):
        state = draws.get_state()
        counts = mask_tokens(data, LAYOUT, draws, schedule=model.config.mask_schedule).targets.sum(dim=(1, 2))
        draws.set_state(state)
        total += counts * model.masked_log_likelihood(data, labels(), draws, repeats=1)
        count += counts
    torch.testing.assert_close(likelihood(model, data, seed=3, repeats=3), total / count)


def test_batches_draw_their_masks_one_after_another() -> None:
    model, data, shared = prior(), tokens(), generator(2)
    parts = [model.masked_log_likelihood(data[i : i + 5], labels()[i : i + 5], shared) for i in (0, 5, 10)]
    torch.testing.assert_close(likelihood(model, data, seed=2, batch_size=5), torch.cat(parts))


def test_the_batch_size_does_not_matter_where_there_is_one_mask_only() -> None:
    single = TokenLayout(grids=(1,), levels=1, codebook_size=6)
    model, data = prior(single), tokens(single)
    torch.testing.assert_close(likelihood(model, data, batch_size=5), likelihood(model, data, batch_size=12))


def test_the_masks_come_from_the_generator() -> None:
    model, data = prior(), tokens()
    assert torch.equal(likelihood(model, data, seed=1), likelihood(model, data, seed=1))
    assert not torch.equal(likelihood(model, data, seed=1), likelihood(model, data, seed=2))
    assert (likelihood(model, data) < 0).all()


def test_a_likelihood_in_training_mode_is_our_own_bug() -> None:
    with pytest.raises(AssertionError, match="dropout"):
        likelihood(prior().train(), tokens())


# ---- the trace of decoding


def fixed(row: list[float], layout: TokenLayout) -> LogitsFn:
    order = passes(layout)
    return lambda tokens, index: torch.tensor(row).expand(len(tokens), order[index].stop - order[index].start, -1)


def traced(fn: LogitsFn, layout: TokenLayout, **settings: Any) -> tuple[Tensor, list[Round]]:
    start = torch.full((5, sum(layout.grids), layout.levels), layout.codebook_size)
    trace: list[Round] = []
    config = SamplingConfig(**{"steps": 3, "fine_steps": 2, "temperature": 1.0, **settings}).resolve(Decoding())
    made = decode(fn, start, passes(layout), layout.codebook_size, config, generator(), trace)
    assert torch.equal(made, decode(fn, start, passes(layout), layout.codebook_size, config, generator()))
    return made, trace


def test_even_predictions_have_the_entropy_of_all_codes_in_every_round() -> None:
    _, trace = traced(fixed([0.0] * 6, LAYOUT), LAYOUT)
    assert len(trace) == 3 + 3 * 2  # the first of four passes has 3 rounds, each other one 2
    assert [r.entropy for r in trace] == pytest.approx([math.log(6)] * 9)
    assert [r.confidence for r in trace] == pytest.approx([1 / 6] * 9)


def test_certain_predictions_have_no_entropy() -> None:
    made, trace = traced(fixed([0.0, 1e4, 0.0, 0.0], FLAT), FLAT)
    assert (made == 1).all()
    assert [(r.entropy, r.confidence) for r in trace] == [(0.0, 1.0)] * 3


def test_entropy_and_confidence_are_those_of_the_sampling_temperature() -> None:
    row = torch.tensor([2.0, 1.0, 0.0, -1.0])
    for temperature in (0.5, 2.0):
        p = (row.double() / temperature).softmax(0)
        _, trace = traced(fixed(row.tolist(), FLAT), FLAT, temperature=temperature, steps=1)
        assert len(trace) == 1
        assert trace[0].entropy == pytest.approx(float(-(p * p.log()).sum()), rel=1e-5)
        made, _ = traced(fixed(row.tolist(), FLAT), FLAT, temperature=temperature, steps=1)
        assert trace[0].confidence == pytest.approx(float(p[made].mean()), rel=1e-5)


def test_known_tokens_take_no_part_in_the_trace() -> None:
    table = torch.zeros(6, 4)
    table[:3, 0] = 1e4  # certain where tokens are known, even elsewhere
    start = torch.full((2, 6, 1), 4)
    start[:, :3] = 0
    trace: list[Round] = []
    config = SamplingConfig(steps=8, temperature=1.0, choice_temperature=4.0, corrections=0)
    decode(lambda t, i: table.expand(len(t), -1, -1), start, passes(FLAT), 4, config, generator(), trace)
    assert len(trace) == 3  # no more rounds than unknown tokens
    assert [r.entropy for r in trace] == pytest.approx([math.log(4)] * 3)


def test_a_prior_hands_its_trace_on() -> None:
    trace: list[Round] = []
    model, config = prior(), SamplingConfig(steps=2, fine_steps=1)
    made = model.sample(labels(4), config, generator(), trace=trace)
    assert torch.equal(made, model.sample(labels(4), config, generator()))
    assert len(trace) == 5
    assert all(0 <= r.entropy <= math.log(6) + 1e-6 and 0 < r.confidence <= 1 for r in trace)


# ---- pooled codes


@pytest.mark.parametrize("levels", [1, 2])
def test_pooled_features_are_the_mean_and_maximum_of_the_code_vectors(levels: int) -> None:
    quantizer = {"codebook_size": 8, "codebook_dim": 4, "levels": levels}
    model = fitted_tokenizer(tokenizer_config(front={"bands": (1,)}, quantizer=quantizer), spec())
    layout = model.layout
    made = tokens(TokenLayout(layout.grids, levels, 8), batch=3)
    columns, start = [], 0
    for grid, cells in zip(model.grids, layout.grids, strict=True):
        books = grid.quantizer.codebooks.detach()
        vectors = torch.zeros(3, cells, 4)
        for row in range(3):
            for cell in range(cells):
                vectors[row, cell] = sum(books[q, int(made[row, start + cell, q])] for q in range(levels))
        columns += [vectors.mean(dim=1), vectors.max(dim=1).values]
        start += cells
    assert len(layout.grids) == 2
    features = model.pool(made)
    assert features.shape == (3, 2 * 4 * len(layout.grids))
    torch.testing.assert_close(features, torch.cat(columns, dim=1))


def test_pooled_features_do_not_see_the_order_of_cells_within_a_grid() -> None:
    model = fitted_tokenizer(tokenizer_config(), spec())
    made = tokens(TokenLayout(model.layout.grids, model.layout.levels, 8), batch=4)
    parts = made.split(model.layout.grids, dim=1)
    shuffled = torch.cat([part[:, torch.randperm(part.shape[1], generator=generator())] for part in parts], dim=1)
    assert not torch.equal(made, shuffled)
    torch.testing.assert_close(model.pool(shuffled), model.pool(made))
