"""The last part of stage 1, where some series are never learned: learn what reconstructions leave out of series."""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from timeloom.progress import Progress, silent
from timeloom.stages.fit_texture import BATCH, some_rows
from timeloom.tokenizer.flow import ResidualFlow
from timeloom.tokenizer.tokenizer import Tokenizer
from timeloom.training import Batch

LR, WARMUP, MEMORY, DECAY, CLIP = 8e-3, 50, 0.99, 1e-2, 1.0
# series are learned in pieces, so many time points a step in all
LONGEST, POINTS, FEWEST, MOST = 192, 4096, 8, 64
# steps between two looks at held-out series, and looks without gain after which training ends
LOOK, PATIENCE = 50, 6
LOOKED_AT = (4, 64)


class Residuals(NamedTuple):
    """Series as the flow learns them, each (N, C, T): residuals and reconstructions, scaled, and 1 where observed."""

    residual: Tensor
    recon: Tensor
    counted: Tensor


def fit(tokenizer: Tokenizer, seen: Batch, unseen: Batch, *, steps: int, seed: int, progress: Progress = silent) -> int:
    """Train the residual flow of a tokenizer on one part of the series, as long as the other part gains.

    Args:
        tokenizer: gets the flow.
        seen: series to learn, at most 2000 of which are used.
        unseen: series to look at.
        steps: at most so many.
        seed: of the weights and all draws.
        progress: told about the steps.

    Returns:
        The number of steps that was best.
    """
    learned, held = _residuals(tokenizer, seen), _residuals(tokenizer, unseen)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        flow = ResidualFlow(tokenizer.spec.n_channels)
    flow.fit_scale(learned.residual, learned.counted)
    found, state = _train(flow, learned, held, steps, seed, progress)
    flow.load_state_dict(state)
    tokenizer.flow = flow.requires_grad_(False).eval()
    return found


def _train(
    flow: ResidualFlow, learned: Residuals, held: Residuals, steps: int, seed: int, progress: Progress
) -> tuple[int, dict[str, Tensor]]:
    """The number of steps after which the running average of the weights was best, and that average."""
    generator = torch.Generator().manual_seed(seed)
    n_looks, n_pieces = LOOKED_AT
    looks = [_drawn(held, n_pieces, flow.reach, generator) for _ in range(n_looks)]
    averaged = AveragedModel(flow, multi_avg_fn=get_ema_multi_avg_fn(MEMORY))
    average = cast(ResidualFlow, averaged.module)
    optimizer = torch.optim.AdamW(flow.parameters(), lr=LR, weight_decay=DECAY)
    length = min(LONGEST, learned.recon.shape[2])
    batch_size = min(max(POINTS // length, FEWEST), MOST)
    best, found, state = math.inf, 0, flow.state_dict()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LR * min(1, (step + 1) / WARMUP) * (1 + math.cos(math.pi * step / steps)) / 2
        loss = flow.loss(*_drawn(learned, batch_size, flow.reach, generator))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), CLIP)
        optimizer.step()
        averaged.update_parameters(flow)
        if (step + 1) % LOOK == 0 or step + 1 == steps:
            with torch.no_grad():
                error = float(torch.stack([average.loss(*look) for look in looks]).mean())
            if error < best:
                best, found = error, step + 1
                state = {name: of.clone() for name, of in average.state_dict().items()}
            over = step + 1 - found >= PATIENCE * LOOK
            progress("residuals", step + 1, steps, f"no gain since {found}" if over else f"held-out {error:.4f}")
            if over:
                break
    return found, state


def _drawn(
    of: Residuals, n: int, reach: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What `ResidualFlow.loss` takes, of n pieces of series; times are spread evenly.

    Where a piece was cut the network lacks what it would see of the series, so that no error counts near to a cut.
    """
    whole = of.recon.shape[2]
    length = min(LONGEST, whole)
    rows = torch.randint(len(of.recon), (n,), generator=generator)
    starts = torch.randint(whole - length + 1, (n, 1), generator=generator)
    places = torch.arange(length)
    index = (starts + places)[:, None].expand(-1, of.recon.shape[1], -1)
    residual, recon, counted = (part[rows].gather(2, index) for part in of)
    far = (places >= reach) | (starts == 0)
    far &= (places < length - reach) | (starts == whole - length)
    times = (torch.arange(n) + torch.rand(n, generator=generator)) / n
    return residual, recon, counted * far[:, None], times, torch.randn(residual.shape, generator=generator)


@torch.no_grad()
def _residuals(tokenizer: Tokenizer, batch: Batch) -> Residuals:
    scaled, observed = batch["scaled"], batch.get("observed")
    rows = some_rows(scaled)
    scaled = scaled[rows]
    counted = torch.ones_like(scaled) if observed is None else observed[rows].float()
    tokens = [tokenizer.encode(tokenizer.unscale(part)) for part in scaled.split(BATCH)]
    recon = torch.cat([tokenizer.mean_of(tokenizer.decoder_features(part)) for part in tokens])
    return Residuals((scaled - recon) * counted, recon, counted)
