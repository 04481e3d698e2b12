"""Look into a trained tokenizer's codebook: pictures of where its codes lie and how series use them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from timeloom.data import Dataset
from timeloom.data.channels import check_channels
from timeloom.errors import InputError
from timeloom.evaluation.codebook_pictures import GridUse, class_use, code_maps, cooccurrences, histograms
from timeloom.evaluation.measures.tokens import code_cosine, perplexity
from timeloom.evaluation.page.figures import save_png
from timeloom.files import check_folder
from timeloom.progress import Progress, silent
from timeloom.stages import encode
from timeloom.tokenizer.tokenizer import Tokenizer

CODES, HISTOGRAMS, COOCCURRENCE, CLASSES = "codes.png", "histograms.png", "cooccurrence.png", "classes.png"


class CodeFigures(NamedTuple):
    """How the training split uses one level of one grid.

    Attributes:
        used: codes that occur at all.
        codebook_size: K.
        perplexity: exp(entropy in nats) of code use, in [1, K].
        cosine: mean |cosine| between the codes in use, in [0, 1]; NaN if only one is.
    """

    used: int
    codebook_size: int
    perplexity: float
    cosine: float


def read(tokenizer: Tokenizer, data: Dataset, level: int = 0, *, progress: Progress = silent) -> list[GridUse]:
    """The codes of each grid at a residual level, and the tokens there of both splits; the tokenizer is only read.

    Data without a test split have one held out, the same as everywhere.

    Raises:
        InputError: the tokenizer has no such level, or cannot take the series.
    """
    layout = tokenizer.layout
    if not 0 <= level < layout.levels:
        raise InputError(f"level is {level}; this run's tokenizer has {layout.levels}; allowed: 0..{layout.levels - 1}")
    check_channels(data.channels, tokenizer.spec.channels, data.name, "the data of this run")
    data = data.with_test_split()
    assert data.X_test is not None
    train, test = (encode.encode(tokenizer, X, "tokens", progress=progress) for X in (data.X_train, data.X_test))
    found, start = [], 0
    for index, (grid, cells) in enumerate(zip(tokenizer.grids, layout.grids, strict=True)):
        part = (slice(None), slice(start, start + cells), slice(level, level + 1))
        codes = grid.quantizer.codebooks[level].detach().cpu().numpy()
        found.append(GridUse(f"grid {index}, level {level}", codes, train[part], test[part], data.y_train))
        start += cells
    return found


def figures(use: GridUse) -> CodeFigures:
    """The figures of one grid."""
    size = len(use.codes)
    used = int((use.shares > 0).sum())
    return CodeFigures(used, size, perplexity(use.train, size), code_cosine(use.train, use.codes[None]))


def run(
    tokenizer: Tokenizer, data: Dataset, out: Path, *, level: int = 0, seed: int = 0, progress: Progress = silent
) -> dict[str, CodeFigures]:
    """Draw the codebook into `codes.png`, `histograms.png`, `cooccurrence.png` and, with labels, `classes.png`.

    Returns:
        The figures of each grid by its name.

    Raises:
        InputError: `out` is no folder, or as `read`.
    """
    check_folder(out)
    uses = read(tokenizer, data, level, progress=progress)
    progress("draw", 0, 3 if data.y_train is None else 4)
    pictures = {
        CODES: code_maps(uses, seed=seed),
        HISTOGRAMS: histograms(uses, seed=seed),
        COOCCURRENCE: cooccurrences(uses),
    }
    if data.y_train is not None:
        pictures[CLASSES] = class_use(uses)
    for done, (name, picture) in enumerate(pictures.items(), 1):
        save_png(picture, out / name)
        progress("draw", done, len(pictures))
    if data.y_train is None:
        (out / CLASSES).unlink(missing_ok=True)  # of an earlier study, with labels
    return {use.name: figures(use) for use in uses}
