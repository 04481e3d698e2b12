"""What the prior has to guess: the masked share, the passes, and what is known in them."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from timeloom.prior.masking import SCHEDULES, Masked, Pass, mask_tokens, pass_of, passes
from timeloom.tokenizer.tokenizer import TokenLayout

FLAT = TokenLayout(grids=(50,), levels=1, codebook_size=6)
RICH = TokenLayout(grids=(4, 7), levels=3, codebook_size=6)


def tokens(layout: TokenLayout, batch: int) -> Tensor:
    shape = (batch, sum(layout.grids), layout.levels)
    return torch.randint(layout.codebook_size, shape, generator=torch.Generator().manual_seed(3))


def masked(
    layout: TokenLayout, batch: int, schedule: str = "cosine", whole_cells: float = 0.0, seed: int = 0
) -> Masked:
    generator = torch.Generator().manual_seed(seed)
    return mask_tokens(tokens(layout, batch), layout, generator, schedule=schedule, whole_cells=whole_cells)


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_a_schedule_falls_from_one_to_zero(name: str) -> None:
    values = SCHEDULES[name](torch.linspace(0, 1, 21, dtype=torch.float64)).tolist()
    assert values[0] == pytest.approx(1)
    assert values[-1] == pytest.approx(0, abs=1e-12)
    assert all(later < earlier for earlier, later in pairwise(values))


@pytest.mark.parametrize(("name", "at_half"), [("cosine", math.sqrt(0.5)), ("linear", 0.5), ("square", 0.75)])
def test_a_schedule_is_the_formula_of_its_name(name: str, at_half: float) -> None:
    assert SCHEDULES[name](torch.tensor(0.5)).item() == pytest.approx(at_half)


@pytest.mark.parametrize(("schedule", "mean"), [("cosine", 2 / math.pi), ("linear", 1 / 2), ("square", 2 / 3)])
def test_the_masked_share_has_the_mean_of_its_schedule(schedule: str, mean: float) -> None:
    share = masked(FLAT, 4000, schedule).targets.float().mean().item()
    assert share == pytest.approx(mean, abs=0.02)  # keeping instead of masking would give 0.36 for the cosine


def test_the_masked_share_follows_the_arccosine_law() -> None:
    shares = masked(FLAT, 4000).targets.float().mean(dim=(1, 2))
    for limit in (0.2, 0.5, 0.8, 0.96):  # P(cos(pi r / 2) <= s) = 1 - 2 arccos(s) / pi; 0.01 is half a cell
        expected = 1 - 2 * math.acos(limit + 0.01) / math.pi
        assert (shares <= limit + 1e-6).float().mean().item() == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("layout", [FLAT, RICH, TokenLayout((1,), 1, 4)])
def test_every_example_has_a_target_in_the_drawn_pass_only(layout: TokenLayout) -> None:
    found = masked(layout, 800, whole_cells=0.5)
    assert (found.targets.sum(dim=(1, 2)) >= 1).all()
    in_pass = pass_of(layout)[None] == found.drawn[:, None, None]
    assert not (found.targets & ~in_pass).any()
    counts = torch.bincount(found.drawn, minlength=len(passes(layout)))
    assert counts.min() > 0.6 * 800 / len(passes(layout))


def test_targets_lie_on_masks_and_known_tokens_keep_their_value() -> None:
    found, original = masked(RICH, 500, whole_cells=0.3), tokens(RICH, 500)
    hidden = found.tokens == RICH.codebook_size
    assert hidden[found.targets].all()
    assert torch.equal(found.tokens[~hidden], original[~hidden])
    assert torch.equal(original, tokens(RICH, 500))  # the input is left alone


def test_without_whole_cells_earlier_passes_are_known_and_later_ones_hidden() -> None:
    found = masked(RICH, 500)
    hidden = found.tokens == RICH.codebook_size
    index = pass_of(RICH)[None]
    assert not hidden[(index < found.drawn[:, None, None])].any()
    assert hidden[(index > found.drawn[:, None, None])].all()
    assert torch.equal(hidden & (index == found.drawn[:, None, None]), found.targets)


def test_with_whole_cells_what_is_known_is_known_in_every_later_pass() -> None:
    found = masked(RICH, 2000, whole_cells=1.0)
    hidden = found.tokens == RICH.codebook_size
    index = pass_of(RICH)[None].expand_as(hidden)
    drawn = found.drawn[:, None, None]
    assert not hidden[index < drawn].any()
    undecided = torch.where(index >= drawn, hidden.float(), torch.nan)  # earlier passes are known anyway
    for level in (1, 2):
        above, here = undecided[..., level - 1], undecided[..., level]
        both = ~above.isnan() & ~here.isnan()
        assert both.any()
        assert torch.equal(above[both], here[both])
    later_known = (~hidden & (index > drawn)).float().sum() / (index > drawn).sum()
    assert later_known.item() == pytest.approx(1 - 2 / math.pi, abs=0.04)


def test_a_share_of_the_examples_is_masked_by_whole_cells() -> None:
    infilled = {}
    for whole_cells in (0.25, 1.0):
        found = masked(RICH, 4000, whole_cells=whole_cells)
        later = pass_of(RICH)[None] > found.drawn[:, None, None]
        knows_later = ((found.tokens != RICH.codebook_size) & later).any(dim=(1, 2))
        infilled[whole_cells] = knows_later[found.drawn == 0].float().mean().item()
    assert infilled[0.25] / infilled[1.0] == pytest.approx(0.25, abs=0.04)


def test_the_same_seed_masks_the_same_and_another_one_does_not() -> None:
    first, second, third = (masked(RICH, 20, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.tokens, second.tokens)
    assert torch.equal(first.drawn, second.drawn)
    assert not torch.equal(first.tokens, third.tokens)


def test_passes_go_through_all_grids_before_the_next_level() -> None:
    assert passes(TokenLayout((4, 7), 2, 6)) == [Pass(0, 4, 0), Pass(4, 11, 0), Pass(0, 4, 1), Pass(4, 11, 1)]
    assert passes(FLAT) == [Pass(0, 50, 0)]
    expected = torch.tensor([[0, 2]] * 4 + [[1, 3]] * 7)
    assert torch.equal(pass_of(TokenLayout((4, 7), 2, 6)), expected)
