"""The tokenizer: a VQ-VAE between series and token grids (van den Oord et al. 2017; Lee et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from timeloom.checkpoint import fingerprint, load_weights, read_card, rebuilding, save_model
from timeloom.data.spec import DataSpec
from timeloom.ssl.head import Head
from timeloom.tokenizer.config import TokenizerConfig
from timeloom.tokenizer.flow import ResidualFlow
from timeloom.tokenizer.front import FRONTS
from timeloom.tokenizer.marginals import Marginals
from timeloom.tokenizer.networks import Decoder, Encoder, halvings
from timeloom.tokenizer.quantizer import Quantized, Quantizer, straight_through
from timeloom.tokenizer.texture import Texture, mean_level, mixed, power, shaped, whole

# below this error, of a channel of variance 1, no power mean gives it more weight
SMALL = 1e-4
# a sample is not stretched nor shrunk by more than this
MOST_STRETCHED = 2.0


@dataclass(frozen=True)
class TokenizerOutput:
    """One pass through the tokenizer.

    Attributes:
        recon: reconstructed scaled series (B, C, T).
        tokens: (B, S, levels) integer, the cells of all grids one after another.
        terms: unweighted losses by name.
    """

    recon: Tensor
    tokens: Tensor
    terms: dict[str, Tensor]


@dataclass(frozen=True)
class TokenLayout:
    """What a prior must know of the tokens.

    Attributes:
        grids: number of cells of each grid, coarse to fine; a grid's cells are neighbours in the token array.
        levels: tokens in each cell.
        codebook_size: K.
    """

    grids: tuple[int, ...]
    levels: int
    codebook_size: int


def pooled(latents: list[Tensor]) -> Tensor:
    """Features (B, 2 grids D) of each grid's latents (B, D, W): their mean and their maximum over the cells."""
    return torch.cat([part for z in latents for part in (z.mean(dim=2), z.amax(dim=2))], dim=1)


def _errors(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error (B,) of each case."""
    return (made - wanted).square().flatten(1).mean(dim=1)


class Grid(nn.Module):
    """Encoder, quantizer, decoder and texture of one band."""

    def __init__(self, features: int, n_frames: int, n_powers: int, n_mixed: int, config: TokenizerConfig) -> None:
        super().__init__()
        assert isinstance(config.width, int), "resolve the config first"
        widths = halvings(n_frames, config.width)
        dim = config.quantizer.codebook_dim
        self.cells = widths[-1]
        self.encoder = Encoder(features, config.hidden, dim, widths, config.blocks, config.dropout)
        self.quantizer = Quantizer(config.quantizer)
        self.decoder = Decoder(features, config.hidden, dim, widths, config.blocks, config.dropout)
        self.texture = Texture(config.hidden, n_powers, n_mixed).requires_grad_(config.weights.texture > 0)


class Tokenizer(nn.Module):
    """Series (B, C, T) in the data's unit to tokens (B, S, levels) and back.

    Args:
        config: its shape; `auto` values are resolved here.
        spec: facts about the training data; the scaler among them.
    """

    kind = "tokenizer"

    def __init__(self, config: TokenizerConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config.resolve(spec), spec
        self.front = FRONTS[self.config.front.kind](self.config.front, spec.n_channels, spec.length)
        n_frames, parts = self.front.n_frames, self.front.parts
        grids = [Grid(f, n_frames, f // parts, self.front.n_mixed, self.config) for f in self.front.band_features]
        self.grids: Any = nn.ModuleList(grids)
        self.layout = TokenLayout(
            grids=tuple(grid.cells for grid in grids),
            levels=self.config.quantizer.levels,
            codebook_size=grids[0].quantizer.codebook_size,
        )
        self.ssl_head: Head | None = None
        self.class_head: nn.Module | None = None
        self.flow: ResidualFlow | None = None
        self.register_buffer("mean", torch.tensor(spec.mean, dtype=torch.float64)[:, None], persistent=False)
        self.register_buffer("std", torch.tensor(spec.std, dtype=torch.float64)[:, None], persistent=False)
        limits = [ends or (end,) * spec.n_channels for ends, end in ((spec.low, -torch.inf), (spec.high, torch.inf))]
        self.register_buffer("limits", torch.tensor(limits)[..., None], persistent=False)
        free = (None,) * spec.n_channels
        own = [[torch.nan if v is None else v for v in of or free] for of in (spec.own_mean, spec.own_std)]
        self.register_buffer("own", torch.tensor(own)[..., None], persistent=False)
        self.register_buffer("texture_amount", torch.zeros(()))
        self.marginals = Marginals(spec.n_channels)
        self.mean: Tensor
        self.std: Tensor
        self.limits: Tensor
        self.own: Tensor
        self.texture_amount: Tensor

    def add_heads(self) -> None:
        """Add what the self-supervised loss and that of classes need in training, if the configuration asks for them.

        They are no part of a tokenizer: its checkpoint is written without, and is as large as if there had been none.
        """
        n_features = 2 * len(self.grids) * self.config.quantizer.codebook_dim
        if self.config.ssl.n_views:
            self.ssl_head = self.config.ssl.head(n_features)
        if self.config.learns_classes(self.spec):
            n_classes = len(self.spec.classes or ())
            # each feature in units of its own deviation: with layer norm instead, codes hardly learn by it
            norm = nn.BatchNorm1d(n_features, track_running_stats=False)
            self.class_head = nn.Sequential(norm, nn.Linear(n_features, n_classes))

    def drop_heads(self) -> None:
        """Leave out what was for training only."""
        self.ssl_head = self.class_head = None

    def scale(self, x: Tensor) -> Tensor:
        """Standardise each channel with the training split's mean and deviation."""
        return ((x - self.mean) / self.std).float()

    def unscale(self, x: Tensor) -> Tensor:
        """Undo `scale`."""
        return (x * self.std + self.mean).float()

    def forward(
        self,
        scaled: Tensor,
        observed: Tensor | None = None,
        views: tuple[Tensor, ...] = (),
        labels: Tensor | None = None,
    ) -> TokenizerOutput:
        """Encode, quantize and decode scaled series.

        Args:
            scaled: (B, C, T) without NaN: missing values are filled in beforehand.
            observed: (B, C, T) boolean, False where a value was missing: it takes no part in the losses.
            views: as many augmented versions (B, C, T) of `scaled` as `config.ssl.n_views`, for a tokenizer in training
                that has an SSL head; they add its terms, times `config.ssl.share`, and, where it has weight,
                `recon_view`, the mean squared error of their own reconstructions plus that of their frames. They are
                not quantized, so they move no codebook.
            labels: class indices (B,), for a tokenizer in training that has a class head; they add `class_nll`, the
                cross-entropy of what it says of the pooled quantized latents, times `config.ssl.share`, too.
        """
        n = len(scaled)
        frames = self.front(torch.cat([scaled, *views]))  # one pass for all: views take half as long again, not twice
        latents = self._latents(frames)
        z, seen = [of[:n] for of in latents], [of[n:] for of in latents]
        quantized = [grid.quantizer(of) for grid, of in zip(self.grids, z, strict=True)]
        rebuilt = bool(views) and self.config.ssl.recon_view > 0
        read = [torch.cat([q.z_q, of]) if rebuilt else q.z_q for q, of in zip(quantized, seen, strict=True)]
        hidden = [grid.decoder.features(of) for grid, of in zip(self.grids, read, strict=True)]
        decoded = [grid.decoder.head(of) for grid, of in zip(self.grids, hidden, strict=True)]
        series = self.front.inverse(decoded)
        recon = series[:n]
        terms = {name: torch.stack([q.terms[name] for q in quantized]).mean() for name in quantized[0].terms}
        target, goal = scaled, [band[:n] for band in frames]
        if observed is not None:
            target = torch.where(observed, scaled, recon.detach())
            goal = self.front(target)
        terms["recon_time"] = self._mean_error([recon], [target])
        terms["recon_stft"] = self._mean_error([band[:n] for band in decoded], goal)
        error = (terms["recon_time"] + terms["recon_stft"]).detach()
        terms["texture"] = error * self._texture_nll([of[:n] for of in hidden], target - recon, observed)
        share = self.config.ssl.share(error)
        if labels is not None:
            assert self.class_head is not None
            terms["class_nll"] = share * F.cross_entropy(self.class_head(pooled([q.z_q for q in quantized])), labels)
        if views:
            terms |= {name: share * term for name, term in self._ssl_terms(z, quantized, seen).items()}
        if rebuilt:
            error = _errors(series[n:], torch.cat(views))
            error = error + _errors(*(torch.cat([band[n:] for band in of], dim=1) for of in (decoded, frames)))
            if observed is not None:
                # a view mixes what was observed with what was filled in: only complete series have a part in it
                error = error * observed.flatten(1).all(dim=1).repeat(len(views))
            terms["recon_view"] = error.mean()
        tokens = torch.cat([q.tokens for q in quantized], dim=1)
        return TokenizerOutput(recon, tokens, terms)

    def _texture_nll(self, hidden: list[Tensor], residual: Tensor, observed: Tensor | None) -> Tensor:
        """How unlikely the residual (B, C, T) is as noise of the variances that hidden states (B, hidden, W) ask for.

        Only the variances learn by it: the residual is taken as it is.
        """
        powers = self.residual_powers(self.front(residual.detach()), observed)
        parts = zip(self.grids, hidden, powers, strict=True)
        return torch.stack([grid.texture.nll(of, *loud, mean_level(*loud)) for grid, of, loud in parts]).mean()

    def residual_powers(self, frames: list[Tensor], observed: Tensor | None) -> list[tuple[Tensor, Tensor]]:
        """Powers (B, C F, W) of each grid's residual frames as of whole windows, and which of them count."""
        seen = torch.ones(1, self.spec.n_channels, self.spec.length, device=frames[0].device)
        shares = self.front.covered(seen if observed is None else observed)
        return [
            whole(power(of, self.spec.n_channels, self.front.parts), share)
            for of, share in zip(frames, shares, strict=True)
        ]

    def _mean_error(self, made: list[Tensor], wanted: list[Tensor]) -> Tensor:
        """Mean squared error of parts (B, C F, W) of all channels, averaged over them as `channel_power` says."""
        squares = (torch.cat(made, dim=1) - torch.cat(wanted, dim=1)).square()
        power, channels = self.config.channel_power, self.spec.n_channels
        if power == 1 or channels == 1:
            return squares.mean()
        parts = [part.unflatten(1, (channels, -1)) for part in squares.split([of.shape[1] for of in made], dim=1)]
        errors = torch.cat(parts, dim=2).mean(dim=(0, 2, 3)) + SMALL
        return errors.log().mean().exp() if power == 0 else errors.pow(power).mean().pow(1 / power)

    def _latents(self, frames: list[Tensor]) -> list[Tensor]:
        return [grid.encoder(band) for grid, band in zip(self.grids, frames, strict=True)]

    def _ssl_terms(self, z: list[Tensor], quantized: list[Quantized], seen: list[Tensor]) -> dict[str, Tensor]:
        """The SSL terms of a batch with latents z, and the latents of its views, which are not quantized."""
        assert self.ssl_head is not None
        views = pooled(seen).chunk(self.config.ssl.n_views)
        versions = [views[1]] if self.config.ssl.two_views else self._pooled_levels(z, quantized)
        return {f"ssl_{name}": term for name, term in self.ssl_head(versions, views[0]).items()}

    def _pooled_levels(self, z: list[Tensor], quantized: list[Quantized]) -> list[Tensor]:
        """Pooled quantized latents (B, features): with all levels, or also with only the first 1, 2, ... of them."""
        first = 0 if self.config.ssl.each_level else self.layout.levels - 1
        return [
            pooled([straight_through(latent, q.sums[level]) for latent, q in zip(z, quantized, strict=True)])
            for level in range(first, self.layout.levels)
        ]

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Tokens (B, S, levels) of series (B, C, T) in the data's unit, without NaN; call in eval mode."""
        assert not self.training, "encoding in training mode would move the codebook"
        latents = self._latents(self.front(self.scale(x)))
        return torch.cat([grid.quantizer(z).tokens for grid, z in zip(self.grids, latents, strict=True)], dim=1)

    @torch.no_grad()
    def decode(
        self, tokens: Tensor, generator: torch.Generator | None = None, texture: float | Literal["auto"] = "auto"
    ) -> Tensor:
        """Series (B, C, T) in the data's unit of tokens (B, S, levels), each 0..K-1.

        With a generator they get what reconstructions leave out of the data, times `texture` (`auto`:
        `texture_amount`): what the residual flow draws, or, without one, Gaussian noise whose spectrum the tokens
        decide. Then they get the data's marginals, where those were fitted; where every training series has one mean
        or deviation, so has each of these; and what lies beyond the range of the training values is cut off. Without a
        generator they are the decoder's mean.
        """
        if generator is None:
            return self.unscale(self.mean_of(self.decoder_features(tokens)))
        series = self.marginals(self.textured(tokens, generator, texture))
        return self._as_all_series(series).clamp(*self.limits)

    @torch.no_grad()
    def textured(self, tokens: Tensor, generator: torch.Generator, texture: float | Literal["auto"] = "auto") -> Tensor:
        """Series (B, C, T) in the data's unit with their texture, before `decode` gives them the data's values."""
        amount = float(self.texture_amount) if texture == "auto" else texture
        features = self.decoder_features(tokens)
        if self.flow is not None:
            recon = self.mean_of(features)
            return self.unscale(recon + amount * self.flow.draw(recon, generator) if amount > 0 else recon)
        bands = self._bands(features)
        if amount > 0:
            noise = self.texture(features, generator)
            bands = [band + amount * of for band, of in zip(bands, noise, strict=True)]
        return self.unscale(self.front.inverse(bands))

    def mean_of(self, features: list[Tensor]) -> Tensor:
        """The decoder's mean, scaled series (B, C, T), of its last hidden states (B, hidden, W) of each grid."""
        return self.front.inverse(self._bands(features))

    def _bands(self, features: list[Tensor]) -> list[Tensor]:
        return [grid.decoder.head(of) for grid, of in zip(self.grids, features, strict=True)]

    def _as_all_series(self, series: Tensor) -> Tensor:
        """Series (B, C, T) with the mean and the deviation that every training series has in a channel, if so."""
        mean, std = series.mean(dim=2, keepdim=True), series.std(dim=2, correction=0, keepdim=True)
        own_mean, own_std = self.own
        stretch = (own_std / std.clamp(min=SMALL * self.std.float())).clamp(1 / MOST_STRETCHED, MOST_STRETCHED)
        return (series - mean) * stretch.nan_to_num(1.0) + torch.where(own_mean.isnan(), mean, own_mean)

    @torch.no_grad()
    def decoder_features(self, tokens: Tensor) -> list[Tensor]:
        """The decoder's last hidden states (B, hidden, W) of each grid, for tokens (B, S, levels)."""
        parts = tokens.split(self.layout.grids, dim=1)
        return [grid.decoder.features(grid.quantizer.lookup(of)) for grid, of in zip(self.grids, parts, strict=True)]

    @torch.no_grad()
    def texture(self, features: list[Tensor], generator: torch.Generator) -> list[Tensor]:
        """Frames of noise of each grid: white noise with the correlations and variances that the texture gives it."""
        channels, parts = self.spec.n_channels, self.front.parts
        shape = (len(features[0]), channels, self.spec.length)
        white = self.front.plain(torch.randn(shape, generator=generator, device=features[0].device))
        return [
            shaped(mixed(of, grid.texture.mixing, channels, parts), grid.texture(hidden), channels, parts)
            for grid, hidden, of in zip(self.grids, features, white, strict=True)
        ]

    @torch.no_grad()
    def residual_frames(self, scaled: Tensor, observed: Tensor | None = None) -> list[Tensor]:
        """Frames (B, C parts F, W) in each grid of what reconstruction loses of scaled series (B, C, T); eval mode."""
        assert not self.training, "encoding in training mode would move the codebook"
        residual = scaled - self(scaled).recon
        if observed is not None:
            residual = residual * observed
        return self.front(residual)

    @torch.no_grad()
    def codes_of(self, tokens: Tensor) -> Tensor:
        """The code vector (B, S, D) of each cell, summed over the levels of its tokens (B, S, levels)."""
        parts = zip(self.grids, tokens.split(self.layout.grids, dim=1), strict=True)
        return torch.cat([grid.quantizer.lookup(part).transpose(1, 2) for grid, part in parts], dim=1)

    @torch.no_grad()
    def pool(self, tokens: Tensor) -> Tensor:
        """Features (B, D) of tokens (B, S, levels): each grid's code vectors, averaged and maximised over its cells."""
        parts = tokens.split(self.layout.grids, dim=1)
        return pooled([grid.quantizer.lookup(part) for grid, part in zip(self.grids, parts, strict=True)])

    @property
    def codes(self) -> Tensor:
        """The code vectors (grids, levels, K, D), those of each level centred and of unit variance."""
        codes = torch.stack([grid.quantizer.codebooks.detach() for grid in self.grids])
        return (codes - codes.mean(dim=2, keepdim=True)) / codes.std(dim=(2, 3), keepdim=True).clamp(min=1e-6)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the networks and leave the complex-valued front end and the quantizer as they are."""
        for grid in self.grids:
            # of the decoder the parts that are called: features and head apart
            for part in (grid.encoder, grid.decoder.stem, grid.decoder.blocks, *grid.decoder.up, grid.decoder.head):
                part.compile(*args, **kwargs)

    @property
    def fingerprint(self) -> str:
        """Hash of the weights: what a prior remembers of its tokenizer."""
        return fingerprint(self)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write weights and card into a folder."""
        assert self.ssl_head is self.class_head is None, "heads are for training only"
        card = {
            "kind": self.kind,
            "config": self.config.model_dump(mode="json"),
            "data": self.spec.model_dump(mode="json"),
            "flow": self.flow is not None,
        }
        save_model(Path(folder), self, card)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Rebuild a tokenizer from its folder alone, in eval mode.

        Raises:
            InputError: the folder holds no tokenizer that this version can read.
        """
        card = read_card(Path(folder), cls.kind)
        with rebuilding(Path(folder)):
            model = cls(TokenizerConfig.parse(card["config"]), DataSpec.parse(card["data"]))
            if card["flow"]:
                model.flow = ResidualFlow(model.spec.n_channels).requires_grad_(False)
        load_weights(Path(folder), model, card)
        return model.eval()
