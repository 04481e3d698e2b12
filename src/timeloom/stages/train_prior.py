"""Stage 2: train the prior on the tokenizer's tokens."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from timeloom.data import Dataset
from timeloom.data.missing import fill_missing
from timeloom.data.warping import time_warp
from timeloom.errors import InputError
from timeloom.evaluation.workers import Workers, paying_workers
from timeloom.prior.decoding import SamplingConfig
from timeloom.prior.prior import Prior, PriorConfig
from timeloom.progress import Progress, silent
from timeloom.stages import choose_decoding, judge_samples, train_tokenizer
from timeloom.threads import cpu_threads
from timeloom.tokenizer.tokenizer import Tokenizer, TokenLayout
from timeloom.training import Batch, FitResult, Judging, OptimConfig, Stopping, TrainerConfig, fit

FOLDER = "prior"
# warped series in all, however few there are to be warped
WARPED = 6000
# steps below which training is over before another process has started
LONG = 1000
# of a length of training to the next longer one: the shortest of eleven is a thirty-second of the longest
RATIO = 2**-0.5
# a step costs as much for every cell, and as much as this many cells besides
CELLS_A_STEP = 8
# looks at which training may end, for its samples are copies: after half of it, a quarter, an eighth
LOOKS = 3
# cells of the series for which `steps` is meant, those of 256 to 263 or 512 to 527 time points
USUAL_CELLS = 33
# share of `steps` that series of many more cells still take
LEAST = 2 / 3


class PriorTraining(OptimConfig):
    """Optimisation of stage 2.

    Attributes:
        lr: peak learning rate; that of `optimizer=muon`, where AdamW moves embeddings and vectors alone. 2e-3 suits
            `optimizer=adamw`.
        holdout: share of the training series, by class, on which the best step is chosen; 0 takes the last step.
        holdout_most: no more series than this are held out.
        judge_every: steps between two looks at the held-out loss.
        judge_repeats: mask draws in each look.
        patience: looks without a better held-out loss after which training stops; `auto` is half of all looks, for the
            loss lies flat until the learning rate has fallen.
        stretch: series of less than `USUAL_CELLS` cells take more steps, up to this many times `steps`, and those of
            more cells fewer, so that training takes the same time for all; 1 takes `steps` for all.
        refit_below: data sets smaller than this hold nothing out and are trained on all their series: samples get
            better for longer than a held-out loss does, until they are copies. Of `lengths` numbers of steps the
            longest is taken whose samples do not copy, as found while decoding is chosen; training ends early where
            far too many copy already. So are larger ones, a second time, for at most two thirds of the steps, where
            the held-out loss turned before half of them: noise in the series may overfit long before their patterns
            are learned. Without a choice of decoding the best step on held-out series is the length, and small sets
            are trained twice, too.
        lengths: how many numbers of steps, each `RATIO` of the next.
        warp: strength of the random time warps of half of the series; `auto` is 0.05 below 1000 series, else 0. Where
            values are missing in any, none is warped.
        choose_decoding: try several ways of decoding on the trained prior and keep the best for this run.
    """

    steps: int = Field(default=3000, ge=1)
    lr: float = Field(default=1e-2, gt=0)
    optimizer: Literal["adamw", "muon"] = "muon"
    average: float = Field(default=0.99, ge=0, lt=1)
    holdout: float = Field(default=0.1, ge=0, lt=1)
    holdout_most: int = Field(default=200, ge=1)
    judge_every: int = Field(default=50, ge=1)
    judge_repeats: int = Field(default=4, ge=1)
    patience: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    stretch: float = Field(default=3.0, ge=1)
    refit_below: int = Field(default=1000, ge=0)
    lengths: int = Field(default=11, ge=1)
    warp: train_tokenizer.Warp = "auto"
    choose_decoding: bool = True


@dataclass(frozen=True)
class PriorTask:
    """What the engine trains in stage 2."""

    config: PriorConfig
    layout: TokenLayout
    n_classes: int
    tokenizer: str
    codes: Tensor | None = None

    @property
    def weights(self) -> dict[str, float]:
        """The prior has one term."""
        return {"masked_nll": 1.0}

    def build(self) -> Prior:
        """A fresh prior."""
        return Prior(self.config, self.layout, self.n_classes, self.tokenizer, self.codes)

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Masked cross-entropy of a batch of tokens (B, variants, S, levels); in training half of them are variants."""
        assert isinstance(model, Prior)
        tokens = batch["tokens"]
        n_cases, n_variants = tokens.shape[:2]
        chosen = torch.zeros(n_cases, dtype=torch.long, device=tokens.device)
        if model.training and n_variants > 1:
            drawn = torch.randint(1, n_variants, (n_cases,), generator=generator, device=tokens.device)
            half = torch.rand(n_cases, generator=generator, device=tokens.device) < 0.5
            chosen = torch.where(half, drawn, chosen)
        return model.loss(tokens[torch.arange(n_cases, device=tokens.device), chosen], batch["labels"], generator)


def tokenize(tokenizer: Tokenizer, X: np.ndarray, batch_size: int = 256) -> Tensor:
    """Tokens (n, S, levels) of series (n, C, T) in the data's unit, NaN allowed."""
    filled = torch.from_numpy(fill_missing(X, tokenizer.spec.mean)[0])
    return torch.cat([tokenizer.encode(part) for part in filled.split(batch_size)])


def with_variants(tokenizer: Tokenizer, X: np.ndarray, warp: float, seed: int) -> Tensor:
    """Tokens (n, variants, S, levels) of series (n, C, T), from place 1 on those of the same series warped in time."""
    tokens = tokenize(tokenizer, X)[:, None]
    if not warp or np.isnan(X).any():
        return tokens
    many = -(-WARPED // len(X))
    warped = time_warp(torch.from_numpy(X).repeat(many, 1, 1), warp, torch.Generator().manual_seed(seed))
    variants = tokenize(tokenizer, warped.numpy()).unflatten(0, (many, len(X))).transpose(0, 1)
    return torch.cat([tokens, variants], dim=1)


def matching_tokenizer(data: Dataset, out: Path) -> Tokenizer:
    """The tokenizer of a run folder.

    Raises:
        InputError: there is none, or it was trained on other data.
    """
    tokenizer = Tokenizer.from_pretrained(out / train_tokenizer.FOLDER)
    if tokenizer.spec.fingerprint != data.fingerprint:
        raise InputError(
            f"{out}: its tokenizer was trained on {tokenizer.spec.name} ({tokenizer.spec.fingerprint}), not on "
            f"{data.name} ({data.fingerprint}); train the tokenizer on this data first"
        )
    return tokenizer


def run(
    data: Dataset,
    config: PriorConfig,
    training: PriorTraining,
    trainer: TrainerConfig,
    sampling: SamplingConfig,
    out: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    progress: Progress = silent,
) -> dict[str, float | str]:
    """Train on the tokens of the training split and write `out/prior`.

    Returns:
        seconds, the chosen step and its held-out loss in nats a token, for the run's record.

    Raises:
        InputError: `out` holds no tokenizer, or one that was trained on other data.
    """
    start = time.perf_counter()
    tokenizer = matching_tokenizer(data, out)
    n = len(data.X_train)
    with cpu_threads(trainer.threads):
        tokens = with_variants(tokenizer, data.X_train, train_tokenizer.warp_strength(training.warp, n), seed)
    labels = train_tokenizer.class_indices(tokenizer.spec, data.y_train, n)
    n_classes = len(tokenizer.spec.classes or ())
    config = config.resolve(n, tokenizer.layout)
    training = training.model_copy(update={"steps": even_steps(training, tokenizer.layout)})
    task = PriorTask(config, tokenizer.layout, n_classes, tokenizer.fingerprint, tokenizer.codes)

    everything, filled = {"tokens": tokens, "labels": labels}, fill_missing(data.X_train, tokenizer.spec.mean)[0]
    with Workers(paying_workers() if training.steps >= LONG else 0) as workers:
        if training.choose_decoding:
            judge_samples.start(workers, filled, labels, seed=seed)
        copying = _Copying(task, tokenizer, filled, labels, sampling, seed) if training.choose_decoding else None
        trained = _train(
            task, everything, data, training, trainer, out, copying, seed=seed, resume=resume, progress=progress
        )
        priors, chosen = [_built(task, state) for state in trained.states], 0
        record: dict[str, float | str] = {"steps": training.steps, **trained.record}
        if training.choose_decoding:
            with cpu_threads(trainer.threads):
                choice = choose_decoding.choose(
                    tokenizer, priors[::-1], filled, labels, sampling, seed=seed, workers=workers, progress=progress
                )
            chosen = len(priors) - 1 - choice.place
            priors[chosen].decoding = choice.decoding
            record |= {**choice.decoding.model_dump(), "decoding_distance": choice.distance}
    priors[chosen].save_pretrained(out / FOLDER)
    return {"seconds": time.perf_counter() - start, **record, "trained_steps": trained.lengths[chosen]}


@dataclass(frozen=True)
class _Copying:
    """Asked whether a prior of some weights has been trained for so long that far too many samples copy."""

    task: PriorTask
    tokenizer: Tokenizer
    series: np.ndarray
    labels: Tensor
    sampling: SamplingConfig
    seed: int

    def __call__(self, state: dict[str, Tensor]) -> bool:
        prior = _built(self.task, state)
        return choose_decoding.copies(self.tokenizer, prior, self.series, self.labels, self.sampling, seed=self.seed)


class _Trained(NamedTuple):
    """Weights after some numbers of steps, ascending, and what the held-out series said."""

    lengths: list[int]
    states: list[dict[str, Tensor]]
    record: dict[str, float | str]


def _train(
    task: PriorTask,
    tokens: dict[str, Tensor],
    data: Dataset,
    training: PriorTraining,
    trainer: TrainerConfig,
    out: Path,
    copying: _Copying | None,
    *,
    seed: int,
    resume: bool,
    progress: Progress,
) -> _Trained:
    """Train to the best step on held-out series; few series, or where that came early, on all, for several lengths."""

    def fitted(name: str, part: dict[str, Tensor], config: PriorTraining, **how: Any) -> FitResult:
        return fit(name, task, part, config, trainer, out, seed=seed, resume=resume, progress=progress, **how)

    if not training.holdout:
        return _Trained([training.steps], [fitted("prior", tokens, training).state], {})
    small, half = len(data.X_train) < training.refit_below, -(-training.steps // 2)

    def on_all(name: str, lengths: list[int], record: dict[str, float | str]) -> _Trained:
        longest = training.model_copy(update={"steps": lengths[-1]})
        stopping = Stopping(looks(lengths), copying, "samples copy") if copying is not None else None
        states = fitted(name, tokens, longest, snapshots=tuple(lengths), stopping=stopping).snapshots
        return _Trained(lengths[: len(states)], list(states), record)

    if small and training.choose_decoding:
        return on_all("prior", all_lengths(training, training.steps), {})
    part, unseen = train_tokenizer.hold_out(data, tokens, training.holdout, seed, training.holdout_most)
    first = training.model_copy(update={"steps": half}) if small else training
    judging = Judging(unseen, training.judge_every, training.judge_repeats, patience_of(first))
    found = fitted("prior", part, first, judging=judging)
    assert found.best_step is not None
    assert found.best_loss is not None
    record: dict[str, float | str] = {"best_step": found.best_step, "held_out_nll": found.best_loss}
    if not small and found.best_step >= half:
        return _Trained([found.best_step], [found.state], record)
    lengths = all_lengths(training, max(2 * training.steps // 3, 1))
    chosen = lengths if training.choose_decoding else [min(found.best_step, lengths[-1])]
    return on_all("prior-refit", chosen, record)


def patience_of(training: PriorTraining) -> int:
    """Looks without a better held-out loss after which training stops."""
    if training.patience == "auto":
        return max(training.steps // (2 * training.judge_every), 1)
    return training.patience


def even_steps(training: PriorTraining, layout: TokenLayout) -> int:
    """Steps that take as much time for series of that layout as `steps` do for one of `USUAL_CELLS` cells."""
    if training.stretch == 1:
        return training.steps
    factor = (USUAL_CELLS + CELLS_A_STEP) / (sum(layout.grids) + CELLS_A_STEP)
    return max(round(training.steps * min(max(factor, LEAST), training.stretch)), 1)


def all_lengths(training: PriorTraining, most: int) -> list[int]:
    """Numbers of steps, ascending to the most."""
    return sorted({max(round(most * RATIO**i), 1) for i in range(training.lengths)})


def looks(lengths: list[int]) -> tuple[int, ...]:
    """Of ascending numbers of steps, every other of which is twice as long, a half of the last, a quarter and so on."""
    return tuple(lengths[-3::-2][:LOOKS])


def _built(task: PriorTask, state: dict[str, Tensor]) -> Prior:
    with torch.random.fork_rng(devices=[]):
        prior = task.build()
    prior.load_state_dict(state)
    return prior.eval()
