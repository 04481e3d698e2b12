"""Stage 4: measure synthetic series against real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from timeloom.checkpoint import write_json
from timeloom.data import Dataset, match_label_type
from timeloom.encoders import FCN
from timeloom.errors import InputError
from timeloom.evaluation import RealData, Report, TokenViews, evaluate_arrays, plot_samples
from timeloom.progress import Progress, silent
from timeloom.stages.train_prior import tokenize
from timeloom.tokenizer.tokenizer import Tokenizer

REPORT, PICTURE = "report.json", "samples.png"


def run(
    data: Dataset,
    X: np.ndarray,
    y: np.ndarray | None,
    out: Path,
    *,
    tokenizer: Tokenizer | None = None,
    seed: int = 0,
    trained: dict[str, FCN] | None = None,
    progress: Progress = silent,
) -> Report:
    """Measure, and write `report.json` and `samples.png` (real beside synthetic, by class) into `out`.

    Args:
        data: the real series; without a test split a part of them is held out.
        X: synthetic series (n, C, T).
        y: their labels, in the words of the data, or None.
        out: folder for the results.
        tokenizer: of the run that made the series, for the measures that rest on tokens.
        seed: source of all randomness.
        trained: classifiers of earlier reports that need not be trained again, see `evaluate_arrays`.
        progress: told what is measured.

    Raises:
        InputError: shapes or labels do not fit the data, or the tokenizer was trained on another training split.
    """
    data = data.with_test_split()
    assert data.X_test is not None
    if X.shape[1:] != data.X_test.shape[1:]:
        raise InputError(
            f"the synthetic series have (channels, length) = {X.shape[1:]}, {data.name} has {data.X_test.shape[1:]}"
        )
    if y is not None and data.classes is not None:
        try:
            y = np.array(match_label_type(list(y), data.classes))
        except InputError as error:
            raise InputError(f"labels of the synthetic series: {error}, as in {data.name}") from None
    if tokenizer is not None and tokenizer.spec.fingerprint != data.fingerprint:
        raise InputError(
            f"--run: was trained on {tokenizer.spec.name} ({tokenizer.spec.fingerprint}), not on the training split "
            f"of {data.name} ({data.fingerprint}); give the data it was trained on, or leave --run out"
        )
    tokens = None if tokenizer is None else _token_views(tokenizer, data.X_train, data.X_test)
    real = RealData(data.X_train, data.y_train, data.X_test, data.y_test)
    report = evaluate_arrays(real, X, y, tokens=tokens, seed=seed, trained=trained, progress=progress)
    write_json(out / REPORT, report.to_json())
    plot_samples(out / PICTURE, data.X_test, data.y_test, X, y)
    return report


def _token_views(tokenizer: Tokenizer, train: np.ndarray, test: np.ndarray) -> TokenViews:
    tokens = tokenize(tokenizer, test)
    reconstruction = torch.cat([tokenizer.decode(part) for part in tokens.split(256)])
    return TokenViews(
        reconstruction=reconstruction.numpy(),
        test_tokens=tokens.numpy(),
        train_tokens=tokenize(tokenizer, train).numpy(),
        codebook_size=tokenizer.layout.codebook_size,
    )
