"""Shape of the tokenizer and weights of its losses."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from timeloom.config import Frozen
from timeloom.data.spec import DataSpec
from timeloom.errors import InputError
from timeloom.ssl.config import SSLConfig
from timeloom.tokenizer.front import FrontConfig
from timeloom.tokenizer.quantizer import QuantizerConfig


class TokenizerWeights(Frozen):
    """Weight of each loss term; `codebook` and `orthogonal` exist only for a gradient-trained codebook.

    Attributes:
        recon_time: mean squared error of the scaled series.
        recon_stft: mean squared error of the frames (real and imaginary parts).
        texture: negative log-likelihood of what reconstruction loses under the noise that the tokens make of it, times
            the reconstruction's own error: how loud the noise is becomes part of what tokens say. 0 leaves it to what
            they happen to say (the gradient through a learned variance; Kendall and Gal 2017, eq. 8).
        class_nll: cross-entropy of a linear classifier of the pooled codes, where the data have two classes or more; it
            counts in proportion to the error of reconstruction where that is small, as a self-supervised loss does
            (`ssl.full_above`). Codes that tell classes apart are easier to foretell when the class is known.
        commitment: pull of the latents towards their codes.
        codebook: pull of the codes towards their latents; None stands for 1 where the term exists.
        orthogonal: mean squared cosine between different codes; None stands for 0 where the term exists.
    """

    recon_time: float = Field(default=1.0, ge=0)
    recon_stft: float = Field(default=1.0, ge=0)
    texture: float = Field(default=0.3, ge=0)
    class_nll: float = Field(default=0.1, ge=0)
    commitment: float = Field(default=0.25, ge=0)
    codebook: float | None = Field(default=None, ge=0)
    orthogonal: float | None = Field(default=None, ge=0)


class TokenizerConfig(Frozen):
    """Shape of the tokenizer.

    Attributes:
        front: how series become frames.
        width: wanted number of cells along time in each grid; `auto` is one for each `cell_length` time points.
        cell_length: time points of a cell; `auto` is 8, so that there are at least 4 and at most 32 cells, or 16 if
            that makes more of them, up to 64.
        hidden: channels of the convolutions.
        blocks: residual blocks at each width.
        dropout: share of activations dropped in training.
        quantizer: the codebooks.
        weights: the loss.
        channel_power: exponent p of the power mean of the channels' mean squared errors. 1 is the error of all values;
            towards 0, the geometric mean, every channel gains alike from being halved, so that channels of pure noise
            cost fewer codes (at 0 a Gaussian likelihood with a variance for each channel).
        ssl: a self-supervised loss beside it.
    """

    front: FrontConfig = FrontConfig()
    width: Literal["auto"] | int = "auto"
    cell_length: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    hidden: int = Field(default=64, ge=1)
    blocks: int = Field(default=2, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    quantizer: QuantizerConfig = QuantizerConfig()
    weights: TokenizerWeights = TokenizerWeights()
    channel_power: float = Field(default=1.0, ge=0, le=1)
    ssl: SSLConfig = SSLConfig()

    def resolve(self, spec: DataSpec) -> TokenizerConfig:
        """Fill in every `auto` for the data at hand.

        Raises:
            InputError: a setting that the data does not allow, or a weight for a term that does not exist.
        """
        if self.quantizer.codebook == "ema":
            for term in ("codebook", "orthogonal"):
                if getattr(self.weights, term) is not None:
                    raise InputError(
                        f"tokenizer.weights.{term} = {getattr(self.weights, term)}: an EMA codebook would overwrite "
                        "this gradient; set tokenizer.quantizer.codebook=gradient to use it"
                    )
        front = self.front.resolve(spec.length)
        width = self._wanted_cells(spec.length) if self.width == "auto" else self.width
        if width < 1:
            raise InputError(f"tokenizer.width = {width}: at least 1 cell")
        quantizer = self.quantizer.resolve(spec.n_train * width)
        return self.model_copy(update={"front": front, "width": width, "quantizer": quantizer})

    def _wanted_cells(self, length: int) -> int:
        """The number of cells that `cell_length` asks for, of series of that length."""
        if self.cell_length == "auto":
            return min(max(length // 8, 4), max(32, length // 16), 64)
        return max(length // self.cell_length, 1)

    def learns_classes(self, spec: DataSpec) -> bool:
        """Whether codes learn to tell the data's classes apart."""
        return self.weights.class_nll > 0 and len(spec.classes or ()) > 1

    def term_weights(self, spec: DataSpec) -> dict[str, float]:
        """The weight of every term that this configuration produces in training on such data, by name."""
        weights = self.weights
        named = {t: getattr(weights, t) for t in ("recon_time", "recon_stft", "texture", "commitment")}
        if self.quantizer.codebook == "gradient":
            named["codebook"] = 1.0 if weights.codebook is None else weights.codebook
            named["orthogonal"] = 0.0 if weights.orthogonal is None else weights.orthogonal
        if self.learns_classes(spec):
            named["class_nll"] = weights.class_nll
        return named | self.ssl.term_weights()
