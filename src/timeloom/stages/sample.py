"""Stage 3: make synthetic series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from timeloom import __version__
from timeloom.checkpoint import fingerprint
from timeloom.data import match_label_type, proportional_labels
from timeloom.errors import InputError
from timeloom.prior.decoding import SamplingConfig
from timeloom.prior.prior import Prior, check_guidance
from timeloom.progress import Progress, silent
from timeloom.stages import encode, train_prior
from timeloom.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Samples:
    """Synthetic series.

    Attributes:
        X: float32 (n, C, T), in the data's unit.
        y: labels in the user's own words, or None.
        meta: how they came about: seed, checkpoint fingerprint, decoding settings.
    """

    X: np.ndarray
    y: np.ndarray | None
    meta: dict[str, Any]


def load(out: Path) -> tuple[Tokenizer, Prior]:
    """Read both models of a run.

    Raises:
        InputError: a part is missing or damaged, or the prior belongs to another tokenizer.
    """
    tokenizer = encode.load(out)
    if not (out / train_prior.FOLDER).exists():
        raise InputError(
            f"{out}: holds a tokenizer, but no prior yet; `timeloom train-prior DATA --out {out}` trains it"
        )
    return tokenizer, Prior.from_pretrained(out / train_prior.FOLDER, tokenizer)


def choose_classes(
    tokenizer: Tokenizer, n: int, labels: Sequence[int | str] | None, match: bool, rng: np.random.Generator
) -> np.ndarray:
    """Class index of each of n series (n,).

    Args:
        tokenizer: knows the classes and how often each occurs in the training split.
        n: number of series.
        labels: only these classes, in equal parts; None is all of them, drawn as often as in the training split.
        match: with no `labels`, the training split's proportions exactly (largest remainder) instead of by chance.
        rng: source of the draw.

    Raises:
        InputError: a label that the run does not know, or labels for a run without any.
    """
    classes, counts = tokenizer.spec.classes, tokenizer.spec.class_counts
    if classes is None or counts is None:
        if labels or match:
            raise InputError("this run was trained without labels, so it cannot sample by class")
        return np.zeros(n, dtype=np.int64)
    if labels and match:
        raise InputError(
            "--label and --match-labels: the one asks for some classes, the other for all; give one of them"
        )
    if labels:
        wanted = match_label_type(list(labels), classes)
        place = {label: i for i, label in enumerate(classes)}
        return np.array([place[wanted[i * len(wanted) // n]] for i in range(n)])
    if match:
        return proportional_labels(np.repeat(np.arange(len(classes)), counts), n)
    return np.sort(rng.choice(len(classes), size=n, p=np.array(counts) / sum(counts)))


def run(
    tokenizer: Tokenizer,
    prior: Prior,
    n: int,
    config: SamplingConfig,
    *,
    labels: Sequence[int | str] | None = None,
    match_labels: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> Samples:
    """Sample n series.

    Raises:
        InputError: n below 1, an unknown label, or guidance of a prior that never saw the null class.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"seed = {seed}: must be 0 to 2^32 - 1")
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise InputError(f"n = {n}: at least 1 series, and a whole number of them")
    config = config.resolve(prior.decoding)
    assert config.guidance_scale != "auto"
    check_guidance(config.guidance_scale, prior.n_classes, prior.config.label_drop)
    chosen = choose_classes(tokenizer, n, labels, match_labels, np.random.default_rng(seed))
    generator = torch.Generator().manual_seed(seed)
    series = []
    for part in torch.from_numpy(chosen).split(config.batch_size):
        series.append(tokenizer.decode(prior.sample(part, config, generator), generator, config.texture))
        progress("sample", sum(map(len, series)), n)
    classes = tokenizer.spec.classes
    y = None if classes is None else np.array(classes)[chosen]
    meta = {
        "seed": seed,
        "checkpoint": fingerprint(prior),
        "tokenizer": prior.tokenizer,
        "data": tokenizer.spec.name,
        "data_fingerprint": tokenizer.spec.fingerprint,
        "labels": None if not labels else [str(label) for label in labels],
        "match_labels": match_labels,
        "sampling": config.model_dump(mode="json"),
        "timeloom": __version__,
    }
    return Samples(torch.cat(series).numpy(), y, meta)
