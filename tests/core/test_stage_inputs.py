"""What the stages do with series that lie elsewhere than the model, or lack a channel."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from core_helpers import sines, smoke, tokenizer_config

from timeloom.stages import train_prior, train_tokenizer
from timeloom.stages.encode import encode
from timeloom.tokenizer.tokenizer import Tokenizer


@pytest.mark.parametrize("front", ["stft", "patch"])
def test_a_tokenizer_is_built_on_a_device_that_the_series_are_not_on(front: str) -> None:
    """The engine builds on the GPU; the device without memory stands for it where there is none."""
    data, config = sines(), tokenizer_config(front={"kind": front})
    facts = train_tokenizer.describe(data)
    task = train_tokenizer.TokenizerTask(config.resolve(facts), facts, scaled=torch.from_numpy(data.X_train))
    with torch.device("meta"):
        tokenizer = task.build()
    assert tokenizer.mean.device.type == "meta"


def test_a_series_that_lacks_a_channel_enters_at_its_mean(tmp_path: Path) -> None:
    data = sines(channels=2)
    X = data.X_train + np.array([0, 1000], dtype=np.float32)[:, None]
    X[0, 1] = np.nan
    data = dataclasses.replace(data, X_train=X)
    config = smoke("tokenizer_training.steps=6")
    train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, tmp_path, seed=0)
    tokenizer = Tokenizer.from_pretrained(tmp_path / "tokenizer")
    filled = X.copy()
    filled[0, 1] = tokenizer.spec.mean[1]
    assert torch.equal(train_prior.tokenize(tokenizer, X), train_prior.tokenize(tokenizer, filled))
    assert np.array_equal(encode(tokenizer, X[:2], "tokens"), encode(tokenizer, filled[:2], "tokens"))
