"""How a self-supervised loss takes part in training."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from torch import Tensor

from timeloom.config import Frozen
from timeloom.ssl.head import LOSSES, Head
from timeloom.ssl.views import VIEWS


class SSLConfig(Frozen):
    """A self-supervised loss beside the reconstruction, as in NC-VQVAE: noise-invariant, more separable latents.

    Attributes:
        loss: which one, or `none`. By `vibcreg` tokens are easier to foretell, so that samples are better.
        views: augmentations that make the view, in order; as text with commas between them.
        width: of the projections. Published ones are 4096 and more; 256 is enough for a network of a laptop's size.
        two_views: compare two views with each other, both unquantized, instead of the quantized series with a view.
        each_level: compare the view with the sum of codes after each residual level, and average.
        weight: of the whole loss. 1 is the published balance between its terms, scaled (see `Loss.strength`) so that
            its gradient on the encoder is a fifth to two thirds of the reconstruction's (ECG200, steps 50 and 300):
            the weighted loss starts at 0.2 to 0.8 and falls to 0.02 to 0.3, as the reconstruction terms do.
        full_above: error of reconstruction (mean squared, of scaled series plus their frames) from which on the loss
            counts in full; below, it counts in proportion to the error, so that codes of smooth series, of which
            little is lost, go on to be made for reconstruction. 0 counts it in full always (NC-VQVAE).
        recon_view: weight of the view's own reconstruction, which is not quantized (NC-VQVAE); 0 does without it, in
            four fifths of the time, and leaves tokens that are easier to foretell.
    """

    loss: Literal["none", "barlow", "vicreg", "vibcreg", "byol"] = "vibcreg"
    views: tuple[str, ...] = ("slice",)
    width: int = Field(default=256, ge=2)
    two_views: bool = False
    each_level: bool = False
    weight: float = Field(default=1.0, ge=0)
    full_above: float = Field(default=0.1, ge=0)
    recon_view: float = Field(default=0.0, ge=0)

    @field_validator("views", mode="before")
    @classmethod
    def _one_name(cls, views: Any) -> Any:
        names = "" if views is None else views
        return tuple(name.strip() for name in names.split(",") if name.strip()) if isinstance(names, str) else names

    @field_validator("views")
    @classmethod
    def _known(cls, views: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in views if name not in VIEWS]
        if unknown or not views:
            lacking = f"there is no view {unknown[0]!r}" if unknown else "a loss compares a series with a view of it"
            raise ValueError(f"{lacking}; allowed: {', '.join(VIEWS)}")
        return views

    @model_validator(mode="after")
    def _one_comparison(self) -> Self:
        if self.two_views and self.each_level:
            raise ValueError(
                "two_views = True and each_level = True: two views have no levels; allowed: at most one of them"
            )
        return self

    def describe(self) -> str:
        """One line for people: the loss, its views, and every other setting that is not the default."""
        if self.loss == "none":
            return "no"
        others = self.model_dump(exclude={"loss", "views"}, exclude_defaults=True)
        return ", ".join([self.loss, f"views {' '.join(self.views)}", *(f"{key} {of}" for key, of in others.items())])

    @property
    def n_views(self) -> int:
        """Views that a training step makes of each series."""
        return 0 if self.loss == "none" else 2 if self.two_views else 1

    def term_weights(self) -> dict[str, float]:
        """The weight of every term that this section adds, by name."""
        if self.loss == "none":
            return {}
        of = LOSSES[self.loss]
        factor = self.weight * of.strength / (self.width if of.per_feature else 1)
        rebuilt = {"recon_view": self.recon_view} if self.recon_view else {}
        return rebuilt | {f"ssl_{name}": factor * w for name, w in of.weights.items()}

    def share(self, error: Tensor) -> Tensor | float:
        """How much of the loss counts, 0 to 1, beside a batch's error of reconstruction."""
        return (error / self.full_above).clamp(max=1) if self.full_above else 1.0

    def head(self, features: int) -> Head:
        """A fresh head for pooled latents of so many features."""
        return LOSSES[self.loss].head(features, self.width)
