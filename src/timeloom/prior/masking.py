"""Which tokens the prior has to guess while it trains: mask schedules, passes, and the masks themselves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from timeloom.tokenizer.tokenizer import TokenLayout

# share of tokens still masked after a share r of the work: 1 at r = 0, 0 at r = 1 (Chang et al. 2022, sec. 3.3)
SCHEDULES: dict[str, Callable[[Tensor], Tensor]] = {
    "cosine": lambda r: torch.cos(r * (math.pi / 2)),
    "linear": lambda r: 1 - r,
    "square": lambda r: 1 - r.square(),
}


@dataclass(frozen=True)
class Pass:
    """One round of decoding work: one level of one grid.

    Attributes:
        start: first cell of the grid.
        stop: one past its last cell.
        level: residual level.
    """

    start: int
    stop: int
    level: int


def passes(layout: TokenLayout) -> list[Pass]:
    """The (grid, level) pairs, coarse to fine: every grid's first level before any second one."""
    stops = torch.tensor(layout.grids).cumsum(0).tolist()
    spans = list(zip([0, *stops[:-1]], stops, strict=True))
    return [Pass(start, stop, level) for level in range(layout.levels) for start, stop in spans]


def pass_of(layout: TokenLayout) -> Tensor:
    """Index of the pass that decodes each token, as (S, levels)."""
    index = torch.empty(sum(layout.grids), layout.levels, dtype=torch.long)
    for i, step in enumerate(passes(layout)):
        index[step.start : step.stop, step.level] = i
    return index


@dataclass(frozen=True)
class Masked:
    """A training example for the prior.

    Attributes:
        tokens: (B, S, levels) with the mask id where unknown.
        targets: (B, S, levels) boolean: masked positions of the drawn pass, the ones that the loss counts.
        drawn: (B,) index of the drawn pass.
    """

    tokens: Tensor
    targets: Tensor
    drawn: Tensor


def mask_tokens(
    tokens: Tensor,
    layout: TokenLayout,
    generator: torch.Generator,
    *,
    schedule: str = "cosine",
    whole_cells: float = 0.0,
) -> Masked:
    """Hide tokens as decoding will find them (MaskGIT, Chang et al. 2022, eq. 1; passes as in SoundStorm, Borsos 2023).

    Each example draws a pass. Earlier passes are known, later ones hidden, and in the drawn one a uniformly chosen set
    of `max(1, round(share * cells))` cells is hidden, share = schedule(r) with r ~ U(0, 1): the **masked** share, 64 %
    on average for the cosine.

    Args:
        tokens: (B, S, levels), all known.
        layout: grids and levels of the tokens.
        generator: source of all randomness, on the tokens' device.
        schedule: a name in `SCHEDULES`.
        whole_cells: share of the examples that know some cells in every pass, as infilling does.
    """
    batch, cells, _ = tokens.shape
    device = tokens.device
    index = pass_of(layout).to(device)
    drawn = torch.randint(len(passes(layout)), (batch,), generator=generator, device=device)
    share = SCHEDULES[schedule](torch.rand(batch, 1, generator=generator, device=device))
    rank = torch.rand(batch, cells, generator=generator, device=device)
    infill = torch.rand(batch, 1, generator=generator, device=device) < whole_cells

    mine = index == drawn[:, None, None]
    inside = mine.any(dim=2)
    count = (share * inside.sum(dim=1, keepdim=True)).round().clamp(min=1)
    # the `count` smallest of the random ranks within the drawn grid
    place = rank.masked_fill(~inside, torch.inf).argsort(dim=1).argsort(dim=1)
    hidden = torch.where(inside, place < count, rank < share)
    targets = mine & hidden[..., None]
    later = (index > drawn[:, None, None]) & (hidden | ~infill)[..., None]
    return Masked(tokens.masked_fill(targets | later, layout.codebook_size), targets, drawn)
