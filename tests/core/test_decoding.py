"""Decoding with plain functions for a model: what is known stays, nothing stays masked, the distribution is right."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from timeloom.errors import InputError
from timeloom.prior.decoding import Decoding, LogitsFn, SamplingConfig, decode, guided
from timeloom.prior.masking import passes
from timeloom.tokenizer.tokenizer import TokenLayout

LAYOUT = TokenLayout(grids=(3, 5), levels=2, codebook_size=4)
FLAT = TokenLayout(grids=(6,), levels=1, codebook_size=4)


def masks(layout: TokenLayout, batch: int = 3) -> Tensor:
    return torch.full((batch, sum(layout.grids), layout.levels), layout.codebook_size)


def run(fn: LogitsFn, start: Tensor, layout: TokenLayout, seed: int = 0, **config: Any) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    plain = {"temperature": 1.0, "choice_temperature": 8.0, "corrections": 0}
    settled = SamplingConfig(**{**plain, **config})  # defaults may be tuned
    return decode(fn, start, passes(layout), layout.codebook_size, settled, generator)


def flat_logits(layout: TokenLayout) -> LogitsFn:
    """Every token is as likely as every other."""
    order = passes(layout)
    return lambda tokens, index: torch.zeros(len(tokens), order[index].stop - order[index].start, layout.codebook_size)


def fixed_logits(layout: TokenLayout, table: Tensor) -> LogitsFn:
    """Every cell is independent of all others and has the distribution `table` (S, levels, K)."""
    order = passes(layout)

    def logits(tokens: Tensor, index: int) -> Tensor:
        step = order[index]
        return table[step.start : step.stop, step.level].expand(len(tokens), -1, -1)

    return logits


def random_table(layout: TokenLayout) -> Tensor:
    shape = (sum(layout.grids), layout.levels, layout.codebook_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(8))


@settings(deadline=None, max_examples=60)
@given(
    known=st.lists(st.booleans(), min_size=32, max_size=32),
    seed=st.integers(0, 10),
    steps=st.integers(1, 9),
    order=st.sampled_from(["confidence", "random"]),
    schedule=st.sampled_from(["cosine", "linear", "square"]),
    noise=st.sampled_from([0.0, 4.0]),
    corrections=st.integers(0, 2),
)
def test_known_tokens_stay_and_no_mask_survives(
    known: list[bool], seed: int, steps: int, order: str, schedule: str, noise: float, corrections: int
) -> None:
    start = masks(LAYOUT, 2)
    keep = torch.tensor(known).reshape(start.shape)
    values = torch.randint(4, start.shape, generator=torch.Generator().manual_seed(seed))
    start[keep] = values[keep]
    given_in = start.clone()
    settings = {"steps": steps, "fine_steps": 2, "order": order, "mask_schedule": schedule, "choice_temperature": noise}
    settings |= {"corrections": corrections}
    made = run(fixed_logits(LAYOUT, random_table(LAYOUT)), start, LAYOUT, seed, **settings)
    assert torch.equal(made[keep], values[keep])
    assert 0 <= made.min() <= made.max() < 4
    assert torch.equal(start, given_in)


def test_the_same_seed_gives_the_same_tokens_and_another_one_does_not() -> None:
    first, second, third = (run(flat_logits(LAYOUT), masks(LAYOUT, 8), LAYOUT, seed) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


@pytest.mark.parametrize("order", ["confidence", "random"])
def test_a_temperature_near_zero_gives_the_mode(order: str) -> None:
    table = random_table(LAYOUT)
    made = run(fixed_logits(LAYOUT, table), masks(LAYOUT, 20), LAYOUT, temperature=1e-4, order=order)
    assert torch.equal(made, table.argmax(-1).expand(20, -1, -1))


def test_a_high_temperature_evens_the_tokens_out() -> None:
    table = torch.tensor([3.0, 0.0, 0.0, 0.0]).expand(6, 1, 4)
    shares = [
        (run(fixed_logits(FLAT, table), masks(FLAT, 500), FLAT, temperature=t, order="random") == 0).float().mean()
        for t in (0.5, 1.0, 50.0)
    ]
    expected = [math.exp(3 / t) / (math.exp(3 / t) + 3) for t in (0.5, 1.0, 50.0)]
    assert [float(s) for s in shares] == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("settings", [{"order": "random"}, {"order": "confidence", "choice_temperature": 1e4}])
@pytest.mark.parametrize("steps", [1, 4])
def test_independent_tokens_come_out_with_their_probabilities(settings: dict[str, Any], steps: int) -> None:
    n, table = 4000, random_table(FLAT)
    made = run(fixed_logits(FLAT, table), masks(FLAT, n), FLAT, seed=6, steps=steps, **settings)
    for cell in range(6):
        counts = torch.bincount(made[:, cell, 0], minlength=4).double().numpy()
        assert chisquare(counts, n * table[cell, 0].double().softmax(0).numpy()).pvalue > 1e-3
    pairs = torch.bincount(made[:, 0, 0] * 4 + made[:, 1, 0], minlength=16).double().numpy()
    joint = torch.outer(table[0, 0].double().softmax(0), table[1, 0].double().softmax(0)).flatten().numpy()
    assert chisquare(pairs, n * joint).pvalue > 1e-3


def counted(fn: LogitsFn, log: list[tuple[int, Tensor]]) -> LogitsFn:
    def logits(tokens: Tensor, index: int) -> Tensor:
        log.append((index, tokens.clone()))
        return fn(tokens, index)

    return logits


@pytest.mark.parametrize("order", ["confidence", "random"])
def test_each_round_commits_and_the_cosine_says_how_much_stays(order: str) -> None:
    layout, steps, log = TokenLayout((40,), 1, 4), 8, []  # type: ignore[var-annotated]
    run(counted(flat_logits(layout), log), masks(layout, 3), layout, steps=steps, order=order)
    left = [(tokens == 4).sum(dim=(1, 2)).tolist() for _, tokens in log]
    expected = [40] + [math.floor(40 * math.cos(math.pi / 2 * (t + 1) / steps)) for t in range(steps - 1)]
    assert left == [[e] * 3 for e in expected]


def test_more_rounds_than_tokens_still_commit_one_each() -> None:
    log: list[tuple[int, Tensor]] = []
    run(counted(flat_logits(FLAT), log), masks(FLAT, 2), FLAT, steps=100, mask_schedule="square")
    left = [int((tokens == 4).sum(dim=(1, 2)).max()) for _, tokens in log]
    assert left == [6, 5, 4, 3, 2, 1]


def test_rounds_of_the_first_and_of_finer_passes_and_their_order() -> None:
    log: list[tuple[int, Tensor]] = []
    run(counted(flat_logits(LAYOUT), log), masks(LAYOUT), LAYOUT, steps=3, fine_steps=2)
    assert [index for index, _ in log] == [0, 0, 0, 1, 1, 2, 2, 3, 3]
    for index, tokens in log:
        for other, step in enumerate(passes(LAYOUT)):
            part = tokens[:, step.start : step.stop, step.level]
            assert other >= index or (part != 4).all()
            assert other <= index or (part == 4).all()


def test_what_is_known_needs_no_call() -> None:
    def never(tokens: Tensor, index: int) -> Tensor:
        raise AssertionError("called for a grid without a mask")

    start = torch.ones_like(masks(LAYOUT))
    assert torch.equal(run(never, start, LAYOUT), start)
    log: list[tuple[int, Tensor]] = []
    start[:, 3:, 0] = 4  # only the second grid's first level is unknown
    run(counted(flat_logits(LAYOUT), log), start, LAYOUT)
    assert {index for index, _ in log} == {1}


def test_rows_with_different_gaps_do_not_disturb_each_other() -> None:
    start = masks(FLAT, 3)
    start[0] = 2
    start[1, :5] = 1
    log: list[tuple[int, Tensor]] = []
    made = run(counted(flat_logits(FLAT), log), start, FLAT, steps=6)
    assert (made[0] == 2).all()
    assert (made[1, :5] == 1).all()
    assert made.max() < 4
    last_row = [(tokens[2] == 4).sum().item() for _, tokens in log]
    assert last_row == sorted(last_row, reverse=True)
    assert last_row[0] == 6


def test_greedy_confidence_keeps_the_surest_tokens_first() -> None:
    sharp = torch.tensor([9.0, 0.1, 4.0, 0.2, 7.0, 0.3])
    table = torch.zeros(6, 1, 4)
    table[:, 0, 0] = sharp
    log: list[tuple[int, Tensor]] = []
    run(counted(fixed_logits(FLAT, table), log), masks(FLAT, 30), FLAT, steps=3, choice_temperature=0, temperature=0.2)
    after_first = (log[1][1] != 4).float().mean(dim=0)[:, 0]  # one of six is committed in the first round
    assert after_first[[0, 2, 4]].sum().item() == pytest.approx(1.0)


def test_a_strong_choice_temperature_spreads_the_first_choice() -> None:
    table = torch.zeros(6, 1, 4)
    table[0, 0, 0] = 9.0
    first: list[float] = []
    for noise in (0.0, 1000.0):
        log: list[tuple[int, Tensor]] = []
        run(counted(fixed_logits(FLAT, table), log), masks(FLAT, 600), FLAT, steps=3, choice_temperature=noise)
        first.append((log[1][1][:, 0, 0] != 4).float().mean().item())
    assert first[0] > 0.97
    assert first[1] == pytest.approx(1 / 6, abs=0.05)


def test_a_correction_draws_the_least_likely_quarter_anew_and_nothing_else() -> None:
    layout = TokenLayout((8,), 1, 4)
    table = random_table(layout)
    plain, corrected = (run(fixed_logits(layout, table), masks(layout, 50), layout, corrections=n) for n in (0, 1))
    likelihood = table.log_softmax(-1)[:, 0].expand(50, -1, -1).gather(2, plain)[..., 0]
    unlikely = likelihood.argsort(1).argsort(1) < 2
    changed = (plain != corrected)[..., 0]
    assert changed.any()
    assert (unlikely | ~changed).all()
    means = [run(fixed_logits(layout, table), masks(layout, 500), layout, corrections=n) for n in (0, 1, 4, 16)]
    likely = [float(table.log_softmax(-1).expand(500, -1, -1, -1).gather(3, of[..., None]).mean()) for of in means]
    assert likely == sorted(likely)


def test_corrections_come_after_each_pass_and_leave_what_was_given() -> None:
    start = masks(LAYOUT, 3)
    start[0] = 1
    start[1, :7, 0] = 2  # of the first level one cell of the second grid is unknown
    log: list[tuple[int, Tensor]] = []
    made = run(counted(flat_logits(LAYOUT), log), start, LAYOUT, steps=2, fine_steps=1, corrections=2)
    assert [index for index, _ in log] == [0] * 6 + [1] * 5 + [2] * 5 + [3] * 5
    assert torch.equal(made[0], start[0])
    assert (made[1, :7, 0] == 2).all()
    hidden = [(tokens[:, 3:, 0] == 4).sum(dim=1).tolist() for index, tokens in log if index == 1]
    assert hidden == [[0, 1, 5], [0, 0, 0], [0, 1, 1], [0, 0, 0], [0, 1, 1]]
    third = log[-5:]
    assert all((tokens[:, :, 0] != 4).all() for _, tokens in third)


def test_guidance_moves_from_the_null_to_the_class_and_beyond() -> None:
    conditional, null = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    torch.testing.assert_close(guided(conditional, null, 1.0), conditional)
    assert torch.equal(guided(conditional, null, 0.0), null)
    torch.testing.assert_close(guided(conditional, null, 3.0), 3 * conditional - 2 * null)


def test_auto_is_filled_in_and_numbers_stay() -> None:
    chosen = Decoding(temperature=0.7, choice_temperature=2.0, guidance_scale=1.5, corrections=4)
    free, mixed = SamplingConfig(), SamplingConfig.parse({"steps": 5, "temperature": 1, "guidance_scale": 0})
    assert (free.temperature, free.choice_temperature, free.guidance_scale) == ("auto", "auto", "auto")
    filled = free.resolve(chosen)
    assert (filled.temperature, filled.choice_temperature, filled.guidance_scale) == (0.7, 2.0, 1.5)
    assert (free.corrections, filled.corrections) == ("auto", 4)
    assert filled.resolve(Decoding()) == filled
    kept = mixed.resolve(chosen)
    assert (kept.steps, kept.temperature, kept.choice_temperature, kept.guidance_scale) == (5, 1.0, 2.0, 0.0)


def test_decoding_with_an_auto_left_in_is_our_own_bug() -> None:
    for left in ({"temperature": "auto"}, {"choice_temperature": "auto"}, {"corrections": "auto"}):
        with pytest.raises(AssertionError, match="resolve the config first"):
            run(flat_logits(FLAT), masks(FLAT), FLAT, **left)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"steps": 0}, "steps"),
        ({"temperature": 0}, "temperature"),
        ({"choice_temperature": -1}, "choice_temperature"),
        ({"guidance_scale": -1}, "guidance_scale"),
        ({"corrections": -1}, "corrections"),
        ({"corrections": 1.5}, "corrections"),
        ({"temperature": "warm"}, "temperature = 'warm'.*'auto'"),
        ({"order": "halton"}, "order"),
    ],
)
def test_impossible_settings_are_named(values: dict[str, Any], key: str) -> None:
    with pytest.raises(InputError, match=key):
        SamplingConfig.parse(values)
