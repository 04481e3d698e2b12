"""What stands between pooled latents and an SSL loss in training; a finished model has none."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from timeloom.ssl import barlow_twins, byol, vibcreg, vicreg
from timeloom.ssl.projector import predictor, projector

TAU = 0.99  # memory of BYOL's target


class Head(nn.Module, ABC):
    """Projects pooled latents and compares them; always in float32."""

    def forward(self, versions: list[Tensor], view: Tensor) -> dict[str, Tensor]:
        """The loss terms between each version (B, features) and the view (B, features), averaged over the versions."""
        with torch.autocast(view.device.type, enabled=False):
            other = self.project(view.float())
            found = [self.compare(self.project(of.float()), other) for of in versions]
        return {name: torch.stack([terms[name] for terms in found]).mean() for name in found[0]}

    @abstractmethod
    def project(self, pooled: Tensor) -> Any:
        """What is compared, of pooled latents (B, features)."""

    @abstractmethod
    def compare(self, a: Any, b: Any) -> dict[str, Tensor]:
        """The unweighted loss terms of two projected batches."""


class PairHead(Head):
    """One projector for both versions, and a loss of two projections."""

    def __init__(
        self, loss: Callable[[Tensor, Tensor], dict[str, Tensor]], features: int, width: int, whiten: bool = False
    ) -> None:
        super().__init__()
        self.loss = loss
        self.projector = projector(features, width, whiten=whiten)

    def project(self, pooled: Tensor) -> Tensor:
        """The projection (B, width)."""
        return self.projector(pooled)

    def compare(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """The loss of two projections."""
        return self.loss(a, b)


class PredictionHead(Head):
    """BYOL: projector, predictor, and a target projector that follows the first and receives no gradient.

    The target shares the tokenizer's encoder: only the projector has a slow copy. Published memories grow from 0.996
    to 1 over 10^5 and more steps; a tokenizer is trained for about 1000, so the memory stays at 0.99 (a hundred steps).
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.projector = projector(features, width)
        self.predictor = predictor(width)
        self.target = copy.deepcopy(self.projector).requires_grad_(False)

    def forward(self, versions: list[Tensor], view: Tensor) -> dict[str, Tensor]:
        """As in every head; in training the target first follows the last step's projector, once a call."""
        if self.training:
            self._follow()
        return super().forward(versions, view)

    def project(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """The prediction (B, width), and the target (B, width) for the other version."""
        with torch.no_grad():
            target = self.target(pooled)
        return self.predictor(self.projector(pooled)), target

    def compare(self, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Each prediction against the other version's target."""
        return byol.byol(a[0], b[0], a[1], b[1])

    @torch.no_grad()
    def _follow(self) -> None:
        torch._foreach_lerp_(list(self.target.parameters()), list(self.projector.parameters()), 1 - TAU)


@dataclass(frozen=True)
class Loss:
    """What a name in the configuration stands for.

    Attributes:
        weights: the published weight of each term.
        head: builds the head for so many features and such a width.
        strength: factor on all weights, chosen by trial so that losses of different scale pull about equally on a
            tokenizer (see `SSLConfig.weight`).
        per_feature: divide by the width besides, for a loss whose terms are sums over features.
    """

    weights: dict[str, float]
    head: Callable[[int, int], Head]
    strength: float
    per_feature: bool = False


LOSSES: dict[str, Loss] = {
    "barlow": Loss(barlow_twins.WEIGHTS, partial(PairHead, barlow_twins.barlow_twins), 1.0, per_feature=True),
    "vicreg": Loss(vicreg.WEIGHTS, partial(PairHead, vicreg.vicreg), 0.02),
    "vibcreg": Loss(vibcreg.WEIGHTS, partial(PairHead, vibcreg.vibcreg, whiten=True), 0.01),
    "byol": Loss(byol.WEIGHTS, PredictionHead, 0.2),
}
