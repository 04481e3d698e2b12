"""Every example in `configs/` trains, samples, and changes what it says it changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from core_helpers import QUIET, sines

from timeloom.stages import run_config, sample, train

FOLDER = run_config.preset_path("small").parent
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem not in run_config.PRESETS)
GRIDS_AND_LEVELS = {
    "two_bands": (2, 1),
    "residual_levels": (1, 4),
    "time_patches": (1, 1),
    "orthogonal": (1, 1),
    "windows": (1, 6),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_trains_and_samples(name: str, tmp_path: Path) -> None:
    steps = ["tokenizer_training.steps=3", "prior_training.steps=3", "tokenizer_training.batch_size=16", *QUIET]
    config = run_config.build("smoke", FOLDER / f"{name}.yaml", steps)
    train.run(sines(channels=2), config, tmp_path / "run")
    tokenizer, prior = sample.load(tmp_path / "run")
    assert (len(tokenizer.layout.grids), tokenizer.layout.levels) == GRIDS_AND_LEVELS[name]
    made = sample.run(tokenizer, prior, 4, config.sampling)
    assert made.X.shape == (4, 2, 32)
    assert np.isfinite(made.X).all()
