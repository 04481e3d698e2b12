"""How long the prior trains, and on what: numbers of steps, held-out series, second trainings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from core_helpers import sines, smoke

from timeloom.data import Dataset
from timeloom.prior.prior import Prior
from timeloom.stages import choose_decoding, train_prior, train_tokenizer
from timeloom.tokenizer.tokenizer import TokenLayout

FAST = ("tokenizer_training.steps=6",)


def test_a_small_set_is_trained_again_on_all_its_series(tmp_path: Path) -> None:
    config, data = smoke(*FAST), sines()
    train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, tmp_path)
    results = {}
    for refit_below in (40, 41):  # 40 series: not below 40, but below 41
        heard: list[str] = []
        training = config.prior_training.model_copy(update={"refit_below": refit_below, "steps": 6})
        train_prior.run(
            data,
            config.prior,
            training,
            config.trainer,
            config.sampling,
            tmp_path,
            progress=lambda *report, to=heard: to.append(report[0]),
        )
        results[refit_below] = (set(heard), (tmp_path / "prior" / "model.safetensors").read_bytes())
    assert results[40][0] == {"prior"}
    assert results[41][0] == {"prior", "prior-refit"}
    assert results[40][1] != results[41][1]


def test_a_prior_whose_held_out_loss_turns_early_is_trained_again_whatever_the_size_of_the_set(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal((30, 1, 32)).astype(np.float32)
    config, data = smoke(*FAST), Dataset("noise", noise, None, None, None)
    train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, tmp_path)
    half = 60
    for rate, early in ((1e-5, False), (0.05, True)):  # the one learns a little to the end, the other noise by heart
        changes = {"steps": 2 * half, "judge_every": 4, "refit_below": 0, "lr": rate, "matrix_lr": rate, "average": 0.0}
        changes["warp"] = 0.0
        training = config.prior_training.model_copy(update=changes)
        common = (data, config.prior, training, config.trainer, config.sampling, tmp_path)
        told: list[str] = []
        record = train_prior.run(*common, progress=lambda *report, to=told: to.append(report[0]))
        assert (int(record["best_step"]) < half) == early
        assert ("prior-refit" in told) == early


def test_the_second_training_of_a_large_set_takes_at_most_two_thirds_of_the_steps(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal((30, 1, 32)).astype(np.float32)
    config, data = smoke(*FAST), Dataset("noise", noise, None, None, None)
    train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, tmp_path)
    changes = {"steps": 120, "judge_every": 4, "refit_below": 0, "lr": 0.05, "matrix_lr": 0.05, "average": 0.0}
    training = config.prior_training.model_copy(update={**changes, "warp": 0.0, "choose_decoding": True, "lengths": 2})
    record = train_prior.run(data, config.prior, training, config.trainer, config.sampling, tmp_path)
    assert int(record["best_step"]) < 60
    assert record["trained_steps"] in (57, 80)
    assert torch.load(tmp_path / "prior-refit-last.ckpt", weights_only=True)["global_step"] == 80


def test_training_ends_at_the_first_look_at_which_far_too_many_samples_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, data = smoke(*FAST), sines()
    train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, tmp_path)
    changes = {"steps": 32, "refit_below": 1000, "choose_decoding": True}
    training = config.prior_training.model_copy(update=changes)
    ends, records = [], []
    for share in (1e9, -1.0):  # nothing is too much, everything is
        monkeypatch.setattr(choose_decoding, "FAR_TOO_MANY", share)
        records.append(train_prior.run(data, config.prior, training, config.trainer, config.sampling, tmp_path))
        ends.append(torch.load(tmp_path / "prior-last.ckpt", weights_only=True)["global_step"])
    assert ends == [32, 4]
    assert int(records[1]["trained_steps"]) in (1, 2, 3, 4)


def test_every_other_length_of_training_is_twice_as_long() -> None:
    lengths = train_prior.all_lengths(train_prior.PriorTraining(), 2000)
    assert lengths[::2] == [63, 125, 250, 500, 1000, 2000]
    assert len(lengths) == 11
    assert lengths[-2] == 1414
    assert train_prior.looks(lengths) == (1000, 500, 250)
    assert train_prior.looks(train_prior.all_lengths(train_prior.PriorTraining(), 4500)) == (2250, 1125, 563)
    assert train_prior.all_lengths(train_prior.PriorTraining(lengths=1), 2000) == [2000]
    assert train_prior.looks([2000]) == ()
    assert train_prior.all_lengths(train_prior.PriorTraining(), 1) == [1]


@pytest.mark.parametrize(
    ("grids", "steps"), [((33,), 3000), ((20, 13), 3000), ((17,), 4920), ((3,), 9000), ((46,), 2278), ((500,), 2000)]
)
def test_steps_take_the_same_time_for_every_number_of_cells_within_limits(grids: tuple[int, ...], steps: int) -> None:
    layout = TokenLayout(grids=grids, levels=1, codebook_size=8)
    assert train_prior.even_steps(train_prior.PriorTraining(steps=3000), layout) == steps
    assert train_prior.even_steps(train_prior.PriorTraining(steps=3000, stretch=1), layout) == 3000
    assert train_prior.even_steps(train_prior.PriorTraining(steps=1), layout) >= 1


def test_a_run_trains_for_even_steps(tmp_path: Path) -> None:
    config, data = smoke(*FAST), sines()
    train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, tmp_path)
    for stretch in (1.0, 2.0):
        training = config.prior_training.model_copy(update={"steps": 4, "stretch": stretch, "holdout": 0.0})
        record = train_prior.run(data, config.prior, training, config.trainer, config.sampling, tmp_path)
        assert record["steps"] == record["trained_steps"] == 4 * stretch


def test_half_of_all_looks_may_pass_without_a_better_loss() -> None:
    patience = [
        train_prior.patience_of(train_prior.PriorTraining(**given))
        for given in ({}, {"steps": 4500, "judge_every": 20}, {"steps": 1}, {"patience": 8})
    ]
    assert patience == [30, 112, 1, 8]


@pytest.mark.parametrize("choose", [True, False])
def test_a_small_set_holds_nothing_out_where_copies_decide_the_length(tmp_path: Path, choose: bool) -> None:
    config, data = smoke(*FAST), sines(12)
    train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, tmp_path)
    changes = {"steps": 10, "refit_below": 300, "choose_decoding": choose, "lengths": 3}
    training = config.prior_training.model_copy(update=changes)
    record = train_prior.run(data, config.prior, training, config.trainer, config.sampling, tmp_path)
    assert ("best_step" in record) != choose
    lengths = train_prior.all_lengths(training, 10) if choose else [min(int(record["best_step"]), 6)]
    assert lengths == [5, 7, 10] or not choose
    place = lengths.index(int(record["trained_steps"]))
    last = tmp_path / ("prior-last.ckpt" if choose else "prior-refit-last.ckpt")
    state = torch.load(last, weights_only=True)["state_dict"]
    saved = Prior.from_pretrained(tmp_path / "prior").state_dict()
    assert all(torch.equal(saved[name], state[f"kept.{place}.{name}"]) for name in saved)
