"""Fixtures of the core tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from core_helpers import sines, smoke

from timeloom.prior.prior import Prior
from timeloom.stages import sample, train_prior, train_tokenizer
from timeloom.tokenizer.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished smoke run on 40 labelled sines; read it, never write to it."""
    out = tmp_path_factory.mktemp("run")
    config, data = smoke(), sines()
    train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, out)
    train_prior.run(data, config.prior, config.prior_training, config.trainer, config.sampling, out)
    return out


@pytest.fixture(scope="session")
def models(run_folder: Path) -> tuple[Tokenizer, Prior]:
    """Both models of that run, in eval mode."""
    return sample.load(run_folder)
