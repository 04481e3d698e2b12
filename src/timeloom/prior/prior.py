"""The prior: what tokens go together, learned by guessing hidden ones (MaskGIT, Chang et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from timeloom.checkpoint import load_weights, read_card, rebuilding, save_model
from timeloom.config import Frozen
from timeloom.errors import InputError
from timeloom.prior.decoding import Decoding, Round, SamplingConfig, decode, guided
from timeloom.prior.masking import Masked, mask_tokens
from timeloom.prior.transformer import TokenTransformer, TransformerConfig
from timeloom.tokenizer.tokenizer import Tokenizer, TokenLayout


class PriorConfig(Frozen):
    """Shape and loss of the prior.

    Attributes:
        transformer: its size.
        mask_schedule: how the masked share is drawn in training.
        whole_cells: share of the examples masked by whole cells, as infilling finds them.
        label_drop: share of the labels replaced by the null class, in training only; guidance needs it above 0.
        label_smoothing: share of the target spread over all codes.
    """

    transformer: TransformerConfig = TransformerConfig()
    mask_schedule: Literal["cosine", "linear", "square"] = "cosine"
    whole_cells: float = Field(default=0.1, ge=0, le=1)
    label_drop: float = Field(default=0.1, ge=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)

    def resolve(self, n_series: int, layout: TokenLayout) -> PriorConfig:
        """Fill in `auto` for so many training series of that layout."""
        per_code = n_series * sum(layout.grids) / (len(layout.grids) * layout.codebook_size)
        return self.model_copy(update={"transformer": self.transformer.resolve(per_code)})


def check_guidance(scale: float, n_classes: int, label_drop: float) -> None:
    """Check that a prior of so many classes can be guided, if it is to be.

    Raises:
        InputError: it never sees the null class.
    """
    if scale != 1 and (n_classes == 0 or label_drop == 0):
        raise InputError(f"guidance = {scale}: needs a prior that is trained with labels and prior.label_drop above 0")


class Prior(nn.Module):
    """Bidirectional model of token grids, class-conditional.

    Args:
        config: its shape.
        layout: the tokenizer's grids, levels and codebook size.
        n_classes: number of classes, 0 without labels.
        tokenizer: fingerprint of the tokenizer whose tokens it models.
        codes: (grids, levels, K, D) its code vectors, see `TokenTransformer`.

    Attributes:
        decoding: what `auto` stands for in the settings of sampling.
    """

    kind = "prior"

    def __init__(
        self, config: PriorConfig, layout: TokenLayout, n_classes: int, tokenizer: str, codes: Tensor | None = None
    ) -> None:
        super().__init__()
        self.config, self.layout, self.n_classes, self.tokenizer = config, layout, n_classes, tokenizer
        self.transformer = TokenTransformer(config.transformer, layout, n_classes, codes)
        self.decoding = Decoding()

    @property
    def mask_id(self) -> int:
        """The token that stands for "not known yet"."""
        return self.layout.codebook_size

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the transformer, which every way through the prior uses."""
        self.transformer.compile(*args, **kwargs)

    def loss(self, tokens: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy in nats a token on the masked positions (MaskGIT eq. 2), as the term `masked_nll`.

        Args:
            tokens: (B, S, levels), all known.
            labels: (B,) class indices; the class is dropped in training mode only.
            generator: source of the masks and of the dropped labels.
        """
        masked = mask_tokens(
            tokens,
            self.layout,
            generator,
            schedule=self.config.mask_schedule,
            whole_cells=self.config.whole_cells if self.training else 0.0,
        )
        if self.training:
            dropped = torch.rand(len(labels), generator=generator, device=labels.device) < self.config.label_drop
            labels = labels.masked_fill(dropped, self.n_classes)
        smoothing = self.config.label_smoothing if self.training else 0.0
        terms, _ = self._masked_nll(masked, tokens, labels, smoothing)
        return {"masked_nll": terms.sum() / len(terms)}

    def _masked_nll(self, masked: Masked, tokens: Tensor, labels: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        """Cross-entropy of each masked token (n,), and the example that each belongs to (n,)."""
        hidden = self.transformer(masked.tokens, labels, masked.drawn)
        example, cell, level = masked.targets.nonzero(as_tuple=True)
        states, goals, drawn = hidden[example, cell], tokens[example, cell, level], masked.drawn[example]
        terms, owners = [], []
        for index in range(len(self.transformer.order)):
            mine = drawn == index
            logits = self.transformer.head(states[mine], index)
            terms.append(F.cross_entropy(logits.float(), goals[mine], label_smoothing=smoothing, reduction="none"))
            owners.append(example[mine])
        return torch.cat(terms), torch.cat(owners)

    @torch.no_grad()
    def masked_log_likelihood(
        self, tokens: Tensor, labels: Tensor, generator: torch.Generator, *, repeats: int = 4, batch_size: int = 256
    ) -> Tensor:
        """Mean log-likelihood in nats a masked token of each example (N,), over several mask draws; eval mode only.

        Args:
            tokens: (N, S, levels), all known.
            labels: (N,) class indices.
            generator: source of the masks.
            repeats: mask draws of each example.
            batch_size: examples together.
        """
        assert not self.training, "a likelihood with dropout would be noise"
        found = []
        for part, of in zip(tokens.split(batch_size), labels.split(batch_size), strict=True):
            total, count = torch.zeros(2, len(part), device=part.device)
            for _ in range(repeats):
                masked = mask_tokens(part, self.layout, generator, schedule=self.config.mask_schedule, whole_cells=0.0)
                terms, owners = self._masked_nll(masked, part, of, 0.0)
                total.index_add_(0, owners, -terms)
                count.index_add_(0, owners, torch.ones_like(terms))
            found.append(total / count)
        return torch.cat(found)

    def logits_fn(self, labels: Tensor, guidance_scale: float = 1.0) -> Callable[[Tensor, int], Tensor]:
        """The callable that decoding works with, for series of the given classes (B,)."""

        def run(tokens: Tensor, labels: Tensor, index: int) -> Tensor:
            step = self.transformer.order[index]
            hidden = self.transformer(tokens, labels, torch.full_like(labels, index))
            return self.transformer.head(hidden[:, step.start : step.stop], index)

        def logits(tokens: Tensor, index: int) -> Tensor:
            conditional = run(tokens, labels, index)
            if guidance_scale == 1.0:
                return conditional
            null = run(tokens, torch.full_like(labels, self.n_classes), index)
            return guided(conditional, null, guidance_scale)

        return logits

    @torch.no_grad()
    def sample(
        self,
        labels: Tensor,
        config: SamplingConfig,
        generator: torch.Generator,
        known: Tensor | None = None,
        trace: list[Round] | None = None,
    ) -> Tensor:
        """Decode tokens (B, S, levels) for classes (B,); known tokens (mask id elsewhere) stay as they are."""
        assert not self.training, "decoding in training mode would drop activations"
        shape = (len(labels), sum(self.layout.grids), self.layout.levels)
        start = known if known is not None else torch.full(shape, self.mask_id, device=labels.device)
        config = config.resolve(self.decoding)
        assert isinstance(config.guidance_scale, float)
        logits = self.logits_fn(labels, config.guidance_scale)
        return decode(logits, start, self.transformer.order, self.mask_id, config, generator, trace)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write weights and card into a folder."""
        layout: dict[str, Any] = {
            "grids": list(self.layout.grids),
            "levels": self.layout.levels,
            "codebook_size": self.layout.codebook_size,
        }
        card = {
            "kind": self.kind,
            "config": self.config.model_dump(mode="json"),
            "layout": layout,
            "n_classes": self.n_classes,
            "tokenizer": self.tokenizer,
            "code_shape": list(self.transformer.codes.shape),
            "decoding": self.decoding.model_dump(mode="json"),
        }
        save_model(Path(folder), self, card)

    @classmethod
    def from_pretrained(cls, folder: str | Path, tokenizer: Tokenizer | None = None) -> Self:
        """Rebuild a prior from its folder alone, in eval mode.

        Args:
            folder: where `save_pretrained` wrote it.
            tokenizer: the tokenizer it will work with, checked to be the one it was trained on.

        Raises:
            InputError: the folder holds no prior that this version can read, or the tokenizer is a foreign one.
        """
        card = read_card(Path(folder), cls.kind)
        if tokenizer is not None and tokenizer.fingerprint != card.get("tokenizer"):
            raise InputError(
                f"{folder}: this prior was trained on tokenizer {card.get('tokenizer')}, not on "
                f"{tokenizer.fingerprint}; train the prior again on this tokenizer"
            )
        with rebuilding(Path(folder)):
            layout = TokenLayout(**{**card["layout"], "grids": tuple(card["layout"]["grids"])})
            codes = torch.zeros(card["code_shape"])  # the weights hold their values
            model = cls(PriorConfig.parse(card["config"]), layout, card["n_classes"], card["tokenizer"], codes)
            model.decoding = Decoding.parse(card["decoding"])
        load_weights(Path(folder), model, card)
        return model.eval()
