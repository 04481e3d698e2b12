"""Every example in `configs/` trains, samples, and changes what it says it changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from core_helpers import QUIET, sines, spec

from timeloom.ssl.head import LOSSES
from timeloom.stages import run_config, sample, train, train_tokenizer
from timeloom.tokenizer.tokenizer import Tokenizer

FOLDER = run_config.preset_path("small").parent
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem not in run_config.PRESETS)
GRIDS_AND_LEVELS = {
    "two_bands": (2, 1),
    "residual_levels": (1, 4),
    "time_patches": (1, 1),
    "orthogonal": (1, 1),
    "windows": (1, 6),
}
NCVQVAE = sorted((FOLDER / "ncvqvae").glob("*.yaml"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_trains_and_samples(name: str, tmp_path: Path) -> None:
    steps = ["tokenizer_training.steps=3", "prior_training.steps=3", "tokenizer_training.batch_size=16", *QUIET]
    config = run_config.build("smoke", [FOLDER / f"{name}.yaml"], steps)
    train.run(sines(channels=2), config, tmp_path / "run")
    tokenizer, prior = sample.load(tmp_path / "run")
    assert (len(tokenizer.layout.grids), tokenizer.layout.levels) == GRIDS_AND_LEVELS[name]
    made = sample.run(tokenizer, prior, 4, config.sampling)
    assert made.X.shape == (4, 2, 32)
    assert np.isfinite(made.X).all()


@pytest.mark.parametrize(("length", "cells"), [(24, 2), (64, 6), (128, 11)])
def test_longer_windows_have_more_cells_each_of_twelve_time_points(length: int, cells: int) -> None:
    config = run_config.build("small", [FOLDER / "windows.yaml"], QUIET)
    assert Tokenizer(config.tokenizer, spec(channels=2, length=length)).layout.grids == (cells,)


def test_the_variants_of_ncvqvae_are_there() -> None:
    pairs = {f"{loss}_{view}" for loss in LOSSES for view in ("warp", "slice", "gauss")}
    assert {path.stem for path in NCVQVAE} == pairs | {"none"}


@pytest.mark.parametrize("path", NCVQVAE, ids=lambda path: path.stem)
def test_a_variant_of_ncvqvae_trains_as_it_is_named(path: Path, tmp_path: Path) -> None:
    short = ("tokenizer_training.steps=3", "tokenizer_training.flow_steps=0")
    config = run_config.build("smoke", [path], [*short, *QUIET])
    train_tokenizer.run(sines(), config.tokenizer, config.tokenizer_training, config.trainer, tmp_path)
    made = Tokenizer.from_pretrained(tmp_path / "tokenizer").config
    assert made.weights.class_nll == 0  # what labels say is what such codes are asked for
    ssl = made.ssl
    assert path.stem in (ssl.loss, f"{ssl.loss}_{'_'.join(ssl.views)}")
    assert ssl.loss == "none" or (ssl.recon_view, ssl.full_above) == (0.1, 0)  # as in the published study
