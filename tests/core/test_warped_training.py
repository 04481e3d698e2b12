"""Warped series in both trainings: when there are any, and when they are used."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from core_helpers import fitted_tokenizer, spec, tokenizer_config
from torch import Tensor

from timeloom.data import Dataset
from timeloom.prior.prior import PriorConfig
from timeloom.stages import train_prior
from timeloom.stages.train_prior import PriorTask, with_variants
from timeloom.stages.train_tokenizer import TokenizerTask, hold_out, warp_strength

N = 400


def series(n: int = N) -> np.ndarray:
    return np.random.default_rng(0).normal(1, 2, (n, 1, 32)).astype(np.float32)


@pytest.mark.parametrize(
    ("warp", "n", "expected"), [("auto", 999, 0.05), ("auto", 1000, 0.0), (0.2, 5000, 0.2), (0.0, 10, 0.0)]
)
def test_auto_warps_small_sets_only(warp: float, n: int, expected: float) -> None:
    assert warp_strength(warp, n) == expected


def test_variants_are_the_tokens_of_warped_series_and_the_first_place_is_the_series_own() -> None:
    tokenizer, X = fitted_tokenizer(tokenizer_config(), spec()), series()
    own = train_prior.tokenize(tokenizer, X)
    found = with_variants(tokenizer, X, 0.05, seed=0)
    assert found.shape == (N, 1 + train_prior.WARPED // N, *own.shape[1:])
    assert torch.equal(found[:, 0], own)
    same = (found[:, 1:] == own[:, None]).float().mean()
    assert 0.1 < same < 0.95  # distorted, not others
    assert not torch.equal(found[:, 1], found[:, 2])
    assert torch.equal(found, with_variants(tokenizer, X, 0.05, seed=0))
    assert not torch.equal(found, with_variants(tokenizer, X, 0.05, seed=1))


def test_without_strength_or_with_gaps_there_are_no_variants() -> None:
    tokenizer, X = fitted_tokenizer(tokenizer_config(), spec()), series(6)
    assert with_variants(tokenizer, X, 0.0, seed=0).shape[1] == 1
    X[2, 0, 5] = np.nan
    found = with_variants(tokenizer, X, 0.05, seed=0)
    assert found.shape[1] == 1
    assert torch.equal(found[:, 0], train_prior.tokenize(tokenizer, X))


def prior_losses(training: bool, tokens: Tensor) -> float:
    tokenizer = fitted_tokenizer(tokenizer_config(), spec())
    sizes = {"transformer": {"dim": 8, "layers": 1, "heads": 1, "dropout": 0}, "label_drop": 0}
    config = PriorConfig.parse({**sizes, "label_smoothing": 0})
    task = PriorTask(config, tokenizer.layout, 0, tokenizer.fingerprint)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = task.build().train(training)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.transformer.head_bias[:, 1] = 50.0  # token 1 costs nothing, every other one 50 nats
    batch = {"tokens": tokens, "labels": torch.zeros(len(tokens), dtype=torch.long)}
    with torch.no_grad():
        return task.loss(model, batch, torch.Generator().manual_seed(0))["masked_nll"].item()


def test_half_of_a_training_batch_are_variants_and_none_of_a_judged_one() -> None:
    cells = sum(fitted_tokenizer(tokenizer_config(), spec()).layout.grids)
    tokens = torch.zeros(2000, 4, cells, 1, dtype=torch.long)
    tokens[:, 0] = 1  # the series themselves
    assert prior_losses(False, tokens) == pytest.approx(0, abs=1e-4)
    assert prior_losses(True, tokens) == pytest.approx(25, abs=2)
    tokens[:, 1:3] = 1  # of three variants one is unlike the series
    assert prior_losses(True, tokens) == pytest.approx(50 / 6, abs=1.5)
    assert prior_losses(True, tokens[:, :1]) == pytest.approx(0, abs=1e-4)


def test_the_tokenizer_is_trained_on_warped_series_and_judged_on_none() -> None:
    plain, warping = (TokenizerTask(tokenizer_config().resolve(spec()), spec(), warp) for warp in (0.0, 0.5))
    model = fitted_tokenizer(plain.config, spec())
    batch = {"scaled": torch.from_numpy(series(16))}

    def loss(task: TokenizerTask, training: bool, of: dict[str, Tensor]) -> float:
        with torch.no_grad():
            state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            model.train(training)
            found = task.loss(model, of, torch.Generator().manual_seed(0))["recon_time"].item()
            model.load_state_dict(state)  # training moves the codebook
        return found

    assert loss(plain, False, batch) == loss(warping, False, batch)
    assert loss(plain, True, batch) != loss(warping, True, batch)
    gaps = {**batch, "observed": torch.ones_like(batch["scaled"], dtype=torch.bool)}
    assert loss(plain, True, gaps) == loss(warping, True, gaps)


def test_holding_out_parts_every_entry_alike_and_by_class() -> None:
    y = np.repeat([0, 1], [30, 10])
    batch = {"place": torch.arange(40), "twice": 2 * torch.arange(40)}
    data = Dataset("made", np.zeros((40, 1, 8), dtype=np.float32), y, None, None)
    kept, held = hold_out(data, batch, 0.2, seed=0, most=200)
    assert sorted([*kept["place"].tolist(), *held["place"].tolist()]) == list(range(40))
    assert np.bincount(y[held["place"].numpy()]).tolist() == [6, 2]
    for part in (kept, held):
        assert torch.equal(part["twice"], 2 * part["place"])
    assert torch.equal(held["place"], hold_out(data, batch, 0.2, seed=0, most=200)[1]["place"])
    assert not torch.equal(held["place"], hold_out(data, batch, 0.2, seed=1, most=200)[1]["place"])
    assert len(hold_out(data, batch, 0.2, seed=0, most=4)[1]["place"]) == 4


def test_windows_are_held_out_in_blocks_that_no_other_window_overlaps() -> None:
    """Window i begins at time i and is 8 long; of few windows there is no room for gaps."""
    for n, blocks in ((1000, 5), (150, 2), (40, 0)):
        data = Dataset("made", np.zeros((n, 1, 8), dtype=np.float32), None, None, None, ordered=True)
        kept, held = (part["i"].numpy() for part in hold_out(data, {"i": torch.arange(n)}, 0.2, seed=0, most=60))
        assert len(held) == min(n // 5, 60)
        distance = np.abs(kept[:, None] - held).min()
        if blocks:
            assert distance == 8
            assert (np.diff(held) > 1).sum() == blocks - 1
            assert held[-1] == n - 1
            assert len(kept) > 0.7 * n - len(held)
        else:
            assert distance == 1
