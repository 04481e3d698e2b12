"""Stage 1: train the tokenizer on series."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from timeloom.data import Dataset, Scaler, blocked_holdout, evenly_spaced, stratified_holdout
from timeloom.data.missing import fill_missing
from timeloom.data.scaling import shared_scale
from timeloom.data.spec import DataSpec
from timeloom.data.warping import time_warp
from timeloom.errors import InputError
from timeloom.progress import Progress, silent
from timeloom.ssl.views import make_views
from timeloom.stages import fit_flow, fit_texture
from timeloom.threads import cpu_threads
from timeloom.tokenizer.config import TokenizerConfig
from timeloom.tokenizer.tokenizer import Tokenizer
from timeloom.training import Batch, FitResult, Judging, OptimConfig, TrainerConfig, fit

FOLDER = "tokenizer"
MOST_FITTED, MOST_VALUES = 2000, 50_000_000  # series, and values of them, that the front end looks at
RECONSTRUCTION = ("recon_time", "recon_stft")
WARP, WARP_BELOW = 0.05, 1000
# times as far that the flow may be: the texture's level and amount were found on the series that both are judged by
CLEARLY = 1.25
Warp = Literal["auto"] | Annotated[float, Field(ge=0)]


def warp_strength(warp: Warp, n_train: int) -> float:
    """A number for `auto`: what a small set lacks most is variety in time."""
    return (WARP if n_train < WARP_BELOW else 0.0) if warp == "auto" else warp


class TokenizerTraining(OptimConfig):
    """Optimisation of stage 1.

    Attributes:
        holdout: share of the training series, by class, on which the best step is chosen and the texture measured; 0
            takes the last step, and leaves the texture out unless its amount is given: it is then measured on the
            training series, which are all that such a tokenizer is meant for.
        holdout_most: no more series than this are held out.
        judge_every: steps between two looks at the held-out loss.
        patience: looks without a better held-out loss after which training stops.
        refit_below: data sets smaller than this are trained a second time on all their series, for the number of steps
            that the held-out loss found; to take no longer than others, each time for at most half of `steps`.
        warp: strength of the random time warps of half of the series; `auto` is 0.05 below 1000 series, else 0. Series
            with missing values are not warped.
        flow_steps: most steps of the residual flow, which learns what reconstructions leave out; 0 leaves it out. Fewer
            if held-out series gain no more; and it goes if reconstructions of these look clearly more like them
            with Gaussian texture. There is none where all series are learned, as of fewer than `refit_below`:
            a tokenizer loses so little of series that it knows by heart that samples would lie too near to them.
        texture_steps: steps of the Gaussian texture, which stands in for the flow where there is none; 0 leaves it out.
        texture: the amount of what was left out that samples get back, 0 to 1; `auto` is all that the flow draws, or as
            much Gaussian texture as looks best on held-out series, and stage 2 begins from there when it chooses how
            to decode.
        marginals: map each channel's values so that with that amount of texture, which then stays, they are
            distributed as in the training series.
    """

    steps: int = Field(default=1000, ge=1)
    lr: float = Field(default=2e-3, gt=0)
    optimizer: Literal["adamw", "muon"] = "muon"
    matrix_lr: float = Field(default=1.2e-2, gt=0)
    average: float = Field(default=0.98, ge=0, lt=1)
    holdout: float = Field(default=0.2, ge=0, lt=1)
    holdout_most: int = Field(default=200, ge=1)
    judge_every: int = Field(default=50, ge=1)
    patience: int = Field(default=15, ge=1)
    refit_below: int = Field(default=300, ge=0)
    warp: Warp = "auto"
    flow_steps: int = Field(default=1500, ge=0)
    texture_steps: int = Field(default=400, ge=0)
    texture: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = "auto"
    marginals: bool = False

    @model_validator(mode="after")
    def _texture_is_trained(self) -> Self:
        if self.texture not in ("auto", 0) and not self.texture_steps:
            raise ValueError(f"texture = {self.texture}: takes training; allowed: with texture_steps above 0")
        return self


@dataclass(frozen=True)
class TokenizerTask:
    """What the engine trains in stage 1; the front end is fitted to scaled series (n, C, T), if there are any."""

    config: TokenizerConfig
    spec: DataSpec
    warp: float = 0.0
    scaled: Tensor | None = None

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each term of the tokenizer's loss."""
        return self.config.term_weights(self.spec)

    def build(self) -> Tokenizer:
        """A fresh tokenizer, with the heads that its losses need."""
        tokenizer = Tokenizer(self.config, self.spec)
        if self.scaled is not None:
            # the engine builds on its own device, the series lie in memory
            tokenizer.front.fit(self.scaled.to(tokenizer.mean.device))
        tokenizer.add_heads()
        return tokenizer

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The tokenizer's terms.

        In training half of the series are warped, unless some values of the set are missing, and then come the terms of
        the self-supervised loss and that of the classes. A held-out look has none of it: it sees the series as they
        are.
        """
        scaled = batch["scaled"]
        if model.training and self.warp and "observed" not in batch:
            half = torch.rand(len(scaled), 1, 1, generator=generator, device=scaled.device) < 0.5
            scaled = torch.where(half, time_warp(scaled, self.warp, generator), scaled)
        views: tuple[Tensor, ...] = ()
        if model.training:
            view = make_views(self.config.ssl.views)
            views = tuple(view(scaled, generator) for _ in range(self.config.ssl.n_views))
        labels = batch.get("labels") if model.training else None
        return dict(model(scaled, batch.get("observed"), views, labels).terms)


def describe(data: Dataset) -> DataSpec:
    """What the checkpoints will remember of the training split."""
    scaler = Scaler.fit(data.X_train)
    own_mean, own_std = shared_scale(data.X_train, scaler.std)
    counts = None
    if data.y_train is not None and data.classes is not None:
        counts = tuple(int((data.y_train == label).sum()) for label in data.classes)
    return DataSpec(
        name=data.name,
        fingerprint=data.fingerprint,
        n_train=len(data.X_train),
        n_channels=data.n_channels,
        length=data.length,
        mean=tuple(scaler.mean.tolist()),
        std=tuple(scaler.std.tolist()),
        low=tuple(np.nanmin(data.X_train, axis=(0, 2)).tolist()),
        high=tuple(np.nanmax(data.X_train, axis=(0, 2)).tolist()),
        own_mean=own_mean,
        own_std=own_std,
        classes=data.classes,
        class_counts=counts,
        channels=data.channels,
    )


def class_indices(spec: DataSpec, y: np.ndarray | None, n: int) -> Tensor:
    """Labels as indices into the classes of the training split; without labels every series has the null class 0."""
    if spec.classes is None or y is None:
        return torch.zeros(n, dtype=torch.long)
    place = {label: i for i, label in enumerate(spec.classes)}
    return torch.tensor([place[label.item() if hasattr(label, "item") else label] for label in y])


def run(
    data: Dataset,
    config: TokenizerConfig,
    training: TokenizerTraining,
    trainer: TrainerConfig,
    out: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    progress: Progress = silent,
) -> dict[str, float | str]:
    """Train on the training split and write `out/tokenizer`.

    Some series are held out first: they say when to stop, and how the series differ from their reconstructions.

    Returns:
        seconds, steps, the chosen step, its held-out loss and the amount of texture, for the run's record.

    Raises:
        InputError: a setting that the data or this machine does not allow.
    """
    start = time.perf_counter()
    spec = describe(data)
    check_batch(config, spec, training, trainer)
    filled, observed = fill_missing(data.X_train, spec.mean)
    batch = {"scaled": torch.from_numpy(Scaler(np.array(spec.mean), np.array(spec.std)).transform(filled))}
    if not observed.all():
        batch["observed"] = torch.from_numpy(observed)
    if config.learns_classes(spec):
        batch["labels"] = class_indices(spec, data.y_train, spec.n_train)
    warp = warp_strength(training.warp, spec.n_train)
    looked_at = evenly_spaced(len(filled), max(1, min(MOST_FITTED, MOST_VALUES // (data.n_channels * data.length))))
    few = {name: of[looked_at] for name, of in batch.items()}
    task = TokenizerTask(config.resolve(spec), spec, warp, few["scaled"])

    def fitted(name: str, part: Batch, how: TokenizerTraining, judging: Judging | None = None) -> FitResult:
        return fit(name, task, part, how, trainer, out, judging=judging, seed=seed, resume=resume, progress=progress)

    with cpu_threads(trainer.threads):
        if training.holdout:
            parts = hold_out(data, batch, training.holdout, seed, training.holdout_most)
            tokenizer, record = _to_the_best_step(task, batch, parts, training, seed, fitted, progress)
        else:
            tokenizer, record = _to_the_last_step(task, batch, few, training, seed, fitted)
        if training.marginals:
            fit_texture.fit_marginals(tokenizer, torch.from_numpy(filled), batch.get("observed"), seed=seed)
    tokenizer.save_pretrained(out / FOLDER)
    return {"seconds": time.perf_counter() - start, "steps": training.steps, **record}


_Fitted = Callable[..., FitResult]
_Result = tuple[Tokenizer, dict[str, float | str]]


def _to_the_last_step(
    task: TokenizerTask, batch: Batch, few: Batch, training: TokenizerTraining, seed: int, fitted: _Fitted
) -> _Result:
    """Learn all series; a given amount of texture is measured on a few of them."""
    tokenizer = _built(task, fitted("tokenizer", batch, training))
    if training.texture in ("auto", 0):
        return tokenizer, {}
    levels, amount = _texture(tokenizer, batch, few, training, seed)
    fit_texture.apply(tokenizer, levels, amount)
    return tokenizer, {"texture": amount}


def _to_the_best_step(
    task: TokenizerTask,
    batch: Batch,
    parts: tuple[Batch, Batch],
    training: TokenizerTraining,
    seed: int,
    fitted: _Fitted,
    progress: Progress,
) -> _Result:
    """Learn the first of two parts of the batch, as long as the other gains; then, of few series, the whole batch."""
    seen, unseen = parts
    # the commitment grows as the latents spread, long after reconstruction has stopped to gain from it
    judging = Judging(unseen, training.judge_every, patience=training.patience, terms=RECONSTRUCTION)
    refit = len(batch["scaled"]) < training.refit_below
    first = training.model_copy(update={"steps": -(-training.steps // 2)}) if refit else training
    found = fitted("tokenizer", seen, first, judging)
    assert found.best_step is not None
    assert found.best_loss is not None
    tokenizer = _built(task, found)
    record: dict[str, float | str] = {"best_step": found.best_step, "held_out_loss": found.best_loss}
    levels, amount = _texture(tokenizer, seen, unseen, training, seed)
    if refit:
        again = training.model_copy(update={"steps": found.best_step})
        tokenizer = _built(task, fitted("tokenizer-refit", batch, again))
        fit_texture.fit(tokenizer, batch["scaled"], batch.get("observed"), steps=training.texture_steps, seed=seed)
    fit_texture.apply(tokenizer, levels, amount)
    if not refit and training.flow_steps > 0 and training.texture != 0 and len(unseen["scaled"]) > 1:
        record |= _flow(tokenizer, parts, training, seed, progress)
    return tokenizer, {**record, "texture": float(tokenizer.texture_amount)}


def _flow(
    tokenizer: Tokenizer, parts: tuple[Batch, Batch], training: TokenizerTraining, seed: int, progress: Progress
) -> dict[str, float | str]:
    """Learn the residual flow, and keep it unless reconstructions look clearly more like unseen series with texture.

    It learns what a tokenizer loses of series that it was trained on, and its last details are the least sure: where
    series are smooth, Gaussian noise as loud as unseen series want it may be nearer to them.
    """
    seen, unseen = parts
    series, observed = tokenizer.unscale(unseen["scaled"]), unseen.get("observed")
    distance = fit_texture.reconstruction_distance(tokenizer, series, observed, seed=seed)
    record: dict[str, float | str] = {}
    if training.texture_steps:
        record["texture_distance"] = distance(float(tokenizer.texture_amount))
    step = fit_flow.fit(tokenizer, seen, unseen, steps=training.flow_steps, seed=seed, progress=progress)
    whole = 1.0 if training.texture == "auto" else training.texture
    record["flow_distance"] = of_flow = distance(whole)
    if training.texture_steps and of_flow > CLEARLY * float(record["texture_distance"]):
        tokenizer.flow = None
        return record
    tokenizer.texture_amount.fill_(whole)
    return {"flow_step": step, **record}


def hold_out(data: Dataset, batch: Batch, share: float, seed: int, most: float) -> tuple[Batch, Batch]:
    """A batch of the training series without those that are held out, at most about `most`; and those.

    They are drawn by class; of ordered windows, which overlap, they are blocks apart from the others, if there are
    windows enough.
    """
    n = len(data.X_train)
    rows = blocked_holdout(n, min(share * n, most), data.length - 1) if data.ordered else None
    rows = stratified_holdout(data.y_train, n, min(share, most / n), seed) if rows is None else rows
    kept, held = ({name: of[torch.from_numpy(i)] for name, of in batch.items()} for i in rows)
    return kept, held


def _built(task: TokenizerTask, result: FitResult) -> Tokenizer:
    with torch.random.fork_rng(devices=[]):
        tokenizer = task.build()
    tokenizer.load_state_dict(result.state)
    tokenizer.drop_heads()  # they have done their work
    return tokenizer.eval()


def check_batch(config: TokenizerConfig, spec: DataSpec, training: TokenizerTraining, trainer: TrainerConfig) -> None:
    """Check that losses which compare the series of a batch have some to compare.

    Raises:
        InputError: fewer than 2 series a process.
    """
    processes, losses = trainer.devices * trainer.num_nodes, []
    if config.ssl.n_views:
        losses.append((f"tokenizer.ssl.loss = {config.ssl.loss}", "loss none"))
    if config.learns_classes(spec):
        losses.append((f"tokenizer.weights.class_nll = {config.weights.class_nll}", "weight 0"))
    if losses and training.batch_size < 2 * processes:
        names, without = (" and ".join(of) for of in zip(*losses, strict=True))
        raise InputError(
            f"tokenizer_training.batch_size = {training.batch_size}: {names} need(s) series to compare; allowed: at "
            f"least 2 for each of the {processes} process(es), or {without}"
        )


def _texture(
    tokenizer: Tokenizer, seen: Batch, unseen: Batch, training: TokenizerTraining, seed: int
) -> tuple[list[Tensor], float]:
    """Train the texture; its levels and amount, as measured on unseen series, if there are any."""
    fit_texture.fit(tokenizer, seen["scaled"], seen.get("observed"), steps=training.texture_steps, seed=seed)
    levels = fit_texture.measure(tokenizer, unseen["scaled"], unseen.get("observed"))
    if training.texture != "auto":
        return levels, training.texture
    if training.texture_steps == 0 or len(unseen["scaled"]) < 2:
        return levels, 0.0
    series = tokenizer.unscale(unseen["scaled"])
    return levels, fit_texture.choose_amount(tokenizer, levels, series, unseen.get("observed"), seed=seed)
