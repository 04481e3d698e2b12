"""What a run's tokenizer and prior say of the series in a report."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from core_helpers import sines

from timeloom.prior.decoding import Decoding, SamplingConfig
from timeloom.prior.prior import Prior
from timeloom.stages import evaluate
from timeloom.tokenizer.tokenizer import Tokenizer


@pytest.mark.parametrize(
    ("chosen", "given", "amount"),
    [("auto", "auto", 0.5), (0.0, "auto", 0.0), (1.0, "auto", 1.0), (1.0, 0.0, 0.0)],
)
def test_reconstructions_have_as_much_texture_as_samples(
    models: tuple[Tokenizer, Prior], chosen: float | str, given: float | str, amount: float
) -> None:
    tokenizer, prior = (copy.deepcopy(model) for model in models)
    tokenizer.texture_amount.fill_(0.5)
    for grid in tokenizer.grids:
        grid.texture.level.fill_(1.0)
    prior.decoding = Decoding.parse({"texture": chosen})
    data = dataclasses.replace(sines(), X_test=sines(seed=1).X_train, y_test=sines(seed=1).y_train)
    sampling = SamplingConfig.parse({"texture": given})
    views = evaluate._token_views(evaluate.Models(tokenizer, prior, sampling), data, data.X_train, seed=3)
    assert views.reconstruction.shape == data.X_test.shape
    bare = tokenizer.decode(torch.from_numpy(views.test)).numpy()
    spread = (views.reconstruction - bare).std()
    full = tokenizer.decode(torch.from_numpy(views.test), torch.Generator().manual_seed(0), 1.0).numpy() - bare
    assert spread == pytest.approx(amount * np.std(full), rel=0.1)
