"""Iterative decoding of tokens: pure functions of a logits callable (MaskGIT, Chang et al. 2022, sec. 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from timeloom.config import Frozen
from timeloom.prior.masking import SCHEDULES, Pass

# share of the decoded tokens of a pass that a correction draws anew
CORRECTED = 0.25

LogitsFn = Callable[[Tensor, int], Tensor]
"""(tokens (B, S, levels) with the mask id where unknown, index of the pass) -> logits (B, cells of the pass, K)."""


class Decoding(Frozen):
    """The settings of decoding that are chosen for each run, on its training series.

    Attributes:
        temperature: divides the logits before a token is drawn.
        choice_temperature: weight of the Gumbel noise on the confidence, falling to 0 in the last round; 0 is greedy.
        guidance_scale: classifier-free guidance; 1 is the plain conditional model.
        corrections: how often the least likely quarter of the tokens is drawn anew, after each pass.
        texture: how much of what reconstruction smooths away, 0 to 2; `auto` is the tokenizer's own. Its
            level was measured on a few series, so that a little more than 1 may be right.
    """

    temperature: float = Field(default=0.9, gt=0)
    choice_temperature: float = Field(default=4.0, ge=0)
    guidance_scale: float = Field(default=1.0, ge=0)
    corrections: int = Field(default=0, ge=0)
    texture: Literal["auto"] | Annotated[float, Field(ge=0, le=2)] = "auto"


class SamplingConfig(Frozen):
    """How tokens are decoded; `auto` is what was chosen for the run when it was trained (see `Decoding`).

    Attributes:
        steps: rounds in the first pass.
        fine_steps: rounds in each later pass.
        temperature: divides the logits before a token is drawn.
        choice_temperature: weight of the Gumbel noise on the confidence, falling to 0 in the last round; 0 is greedy.
        order: which drawn tokens are kept first: `confidence`, or `random`.
        mask_schedule: share still masked after a share of the rounds.
        guidance_scale: classifier-free guidance; 1 is the plain conditional model.
        corrections: how often the least likely quarter of the tokens is drawn anew, after each pass.
        texture: how much of what reconstruction smooths away, 0 to 2.
        batch_size: series decoded together.
    """

    steps: int = Field(default=12, ge=1)
    fine_steps: int = Field(default=4, ge=1)
    temperature: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"
    choice_temperature: Literal["auto"] | Annotated[float, Field(ge=0)] = "auto"
    order: Literal["confidence", "random"] = "confidence"
    mask_schedule: Literal["cosine", "linear", "square"] = "cosine"
    guidance_scale: Literal["auto"] | Annotated[float, Field(ge=0)] = "auto"
    corrections: Literal["auto"] | Annotated[int, Field(ge=0)] = "auto"
    texture: Literal["auto"] | Annotated[float, Field(ge=0, le=2)] = "auto"
    batch_size: int = Field(default=256, ge=1)

    def resolve(self, chosen: Decoding) -> SamplingConfig:
        """Fill in every `auto`."""
        values = {name: value for name, value in chosen.model_dump().items() if getattr(self, name) == "auto"}
        return self.model_copy(update=values)


@dataclass(frozen=True)
class Round:
    """What a decoding round did: mean entropy of the unknown positions' predictions, and mean probability (at the
    sampling temperature) of the tokens that were committed.
    """

    entropy: float
    confidence: float


def decode(
    logits_fn: LogitsFn,
    tokens: Tensor,
    order: Sequence[Pass],
    mask_id: int,
    config: SamplingConfig,
    generator: torch.Generator,
    trace: list[Round] | None = None,
) -> Tensor:
    """Fill every masked token, pass by pass, and leave every known token as it is.

    In round t of a pass tokens are drawn for all masked positions, and those with the least confidence are masked
    again; confidence = log p(drawn) + choice_temperature (1 - (t + 1) / steps) Gumbel. The number that stays masked is
    min(unknown - 1, floor(schedule((t + 1) / steps) * unknown at the start)), so each round commits at least one token
    and none is masked at the end. Then, as often as `corrections` says, the least likely of the drawn tokens are masked
    again and drawn once more, all at once, beside the others (remasking, Wang et al. 2025; their ReMDM-conf goes by the
    likelihood at which tokens were drawn).

    Args:
        logits_fn: the model, see `LogitsFn`.
        tokens: (B, S, levels), `mask_id` where unknown; partly known tokens are infilling.
        order: the passes, coarse to fine.
        mask_id: K.
        config: rounds, temperatures and order.
        generator: source of all randomness, on the tokens' device.
        trace: takes what each round did, where it is wanted.

    Returns:
        (B, S, levels) without a mask.
    """
    assert isinstance(config.temperature, float), "resolve the config first"
    assert config.corrections != "auto", "resolve the config first"
    temperature, tokens = config.temperature, tokens.clone()
    for index, step in enumerate(order):
        view = tokens[:, step.start : step.stop, step.level]  # a view: what is written here is written to `tokens`
        free = view == mask_id
        if not free.any():
            continue

        def log_p(index: int = index) -> Tensor:
            return (logits_fn(tokens, index).float() / temperature).log_softmax(dim=-1)

        _fill(log_p, view, mask_id, config.steps if index == 0 else config.fine_steps, config, generator, trace)
        for _ in range(config.corrections):
            view.masked_fill_(_doubtful(log_p(), view, free), mask_id)
            _fill(log_p, view, mask_id, 1, config, generator, None)
    return tokens


def _fill(
    log_p_fn: Callable[[], Tensor],
    view: Tensor,
    mask_id: int,
    steps: int,
    config: SamplingConfig,
    generator: torch.Generator,
    trace: list[Round] | None,
) -> None:
    """Fill the masked tokens of a pass (B, S) in place, in so many rounds at most."""
    at_start = (view == mask_id).sum(dim=1)
    for t in range(steps):
        unknown = view == mask_id
        if not unknown.any():
            break
        log_p = log_p_fn()
        drawn, confidence = _draw(log_p, config, 1 - (t + 1) / steps, generator)
        share = SCHEDULES[config.mask_schedule](torch.tensor((t + 1) / steps, dtype=torch.float64)).item()
        # a hair above the floor, for cos(pi / 2) is 6e-17 and a product may fall just short of a whole number
        left = (at_start.double() * max(share, 0.0) + 1e-9).floor().long()
        left = torch.minimum(left, unknown.sum(dim=1) - 1).clamp(min=0)
        # known tokens have infinite confidence: they are never among the `left` least confident
        place = confidence.masked_fill(~unknown, torch.inf).argsort(dim=1).argsort(dim=1)
        commit = unknown & (place >= left[:, None])
        if trace is not None:
            trace.append(_round(log_p, drawn, unknown, commit))
        view.copy_(torch.where(commit, drawn, view))


def _doubtful(log_p: Tensor, view: Tensor, free: Tensor) -> Tensor:
    """The `CORRECTED` share of the `free` tokens (B, S), at least one, that are least likely by log_p (B, S, K).

    The model sees them when it says so. To hide each in turn finds unlikely ones, too, but these are often only rare.
    """
    own = log_p.gather(-1, view[..., None])[..., 0].masked_fill(~free, torch.inf)
    n = (CORRECTED * free.sum(dim=1, keepdim=True)).round().clamp(min=1)
    return free & (own.argsort(dim=1).argsort(dim=1) < n)


def _round(log_p: Tensor, drawn: Tensor, unknown: Tensor, commit: Tensor) -> Round:
    entropy = -(log_p.exp() * log_p).sum(dim=-1)[unknown].mean()
    confidence = log_p.gather(-1, drawn[..., None])[..., 0][commit].exp().mean()
    return Round(entropy.item(), confidence.item())


def _draw(log_p: Tensor, config: SamplingConfig, noise: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw a token for each position from log-probabilities (B, S, K); return tokens and confidences (B, S)."""
    # one uniform number a position, looked up in the cumulative distribution: a sixth of the time of K Gumbel ones
    cumulative = log_p.exp().cumsum(dim=-1)
    uniform = torch.rand(log_p.shape[:2], generator=generator, device=log_p.device)
    place = torch.searchsorted(cumulative, (uniform * cumulative[..., -1])[..., None], right=True)[..., 0]
    drawn = place.clamp(max=log_p.shape[-1] - 1)
    scatter = _gumbel(drawn.shape, log_p.device, generator)
    if config.order == "random":
        return drawn, scatter
    assert isinstance(config.choice_temperature, float), "resolve the config first"
    chosen = log_p.gather(-1, drawn[..., None])[..., 0]
    return drawn, chosen + config.choice_temperature * noise * scatter


def _gumbel(shape: torch.Size, device: torch.device, generator: torch.Generator) -> Tensor:
    uniform = torch.rand(shape, generator=generator, device=device).clamp(min=1e-20)
    return -torch.log((-torch.log(uniform)).clamp(min=1e-20))


def guided(conditional: Tensor, null: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (Ho and Salimans 2022, eq. 6): null + scale (conditional - null), on logits."""
    return null + scale * (conditional - null)
