"""The main path on tiny data: train the tokenizer, train the prior, sample."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from core_helpers import sines, smoke

from timeloom.data import Dataset
from timeloom.errors import InputError
from timeloom.prior.decoding import SamplingConfig
from timeloom.prior.prior import Prior
from timeloom.stages import fit_texture, sample, train_prior, train_tokenizer
from timeloom.stages.run_config import RunConfig
from timeloom.stages.sample import Samples
from timeloom.tokenizer.tokenizer import Tokenizer

Models = tuple[Tokenizer, Prior]
FAST = ("tokenizer_training.steps=6", "prior_training.steps=6", "prior_training.refit_below=0")


def train(data: Dataset, config: RunConfig, out: Path) -> Models:
    train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, out, seed=config.seed)
    train_prior.run(data, config.prior, config.prior_training, config.trainer, config.sampling, out, seed=config.seed)
    return sample.load(out)


def draw(models: Models, n: int = 10, **settings: Any) -> Samples:
    return sample.run(*models, n, SamplingConfig(steps=3), **settings)


def test_a_run_leaves_two_models_that_stand_alone(run_folder: Path, models: Models) -> None:
    for part in ("tokenizer", "prior"):
        assert sorted(p.name for p in (run_folder / part).iterdir()) == ["config.json", "model.safetensors"]
    tokenizer, prior = models
    assert prior.tokenizer == tokenizer.fingerprint
    assert prior.layout == tokenizer.layout
    assert prior.n_classes == 2
    assert tokenizer.spec.classes == ("fast", "slow")
    assert tokenizer.spec.class_counts == (24, 16)


def test_the_card_remembers_the_training_split(models: Models) -> None:
    data, spec = sines(), models[0].spec
    assert spec.fingerprint == data.fingerprint
    assert (spec.n_train, spec.n_channels, spec.length) == (40, 1, 32)
    assert spec.mean[0] == pytest.approx(data.X_train.astype(np.float64).mean(), rel=1e-6)
    assert spec.std[0] == pytest.approx(data.X_train.astype(np.float64).std(), rel=1e-6)
    assert (spec.low, spec.high) == ((float(data.X_train.min()),), (float(data.X_train.max()),))


def test_the_range_of_the_values_is_that_of_each_channel_without_missing_ones() -> None:
    data = sines(channels=2)
    X = data.X_train.copy()
    X[0, 0, :3], X[1, 1, 4], X[2, 0, 5] = np.nan, -50, 70
    found = train_tokenizer.describe(dataclasses.replace(data, X_train=X))
    assert found.low == (float(np.nanmin(X[:, 0])), -50)
    assert found.high == (70, float(np.nanmax(X[:, 1])))


def test_the_same_seed_gives_the_same_files_and_the_same_series(tmp_path: Path, run_folder: Path) -> None:
    twin = train(sines(), smoke(), tmp_path)
    for part in ("tokenizer", "prior"):
        for name in ("model.safetensors", "config.json"):
            assert (tmp_path / part / name).read_bytes() == (run_folder / part / name).read_bytes(), (part, name)
    first, second = draw(twin, seed=4), draw(sample.load(run_folder), seed=4)
    assert first.X.tobytes() == second.X.tobytes()
    assert first.y is not None
    assert second.y is not None
    assert first.y.tolist() == second.y.tolist()
    assert first.meta == second.meta


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    for seed in (0, 1):
        train(sines(), smoke(*FAST, seed=seed), tmp_path / str(seed))
    for part in ("tokenizer", "prior"):
        first, second = ((tmp_path / seed / part / "model.safetensors").read_bytes() for seed in "01")
        assert first != second, part


def test_another_sampling_seed_gives_other_series(models: Models) -> None:
    first, second = (draw(models, seed=seed, match_labels=True) for seed in (0, 1))  # so that the classes are the same
    assert not np.array_equal(first.X, second.X)


def test_labels_become_the_places_of_the_classes(models: Models) -> None:
    y = np.array(["slow", "fast", "slow"])
    assert train_tokenizer.class_indices(models[0].spec, y, 3).tolist() == [1, 0, 1]
    assert train_tokenizer.class_indices(models[0].spec, None, 2).tolist() == [0, 0]


def test_tokens_do_not_depend_on_how_series_are_batched(models: Models) -> None:
    X = sines().X_train
    assert torch.equal(train_prior.tokenize(models[0], X), train_prior.tokenize(models[0], X, batch_size=7))


def test_samples_have_shape_unit_labels_and_a_record(models: Models) -> None:
    made = draw(models, 25, seed=3)
    assert made.X.shape == (25, 1, 32)
    assert made.X.dtype == np.float32
    assert np.isfinite(made.X).all()
    assert 1 < made.X.mean() < 9  # the data lie around 5
    assert made.y is not None
    assert set(made.y) <= {"fast", "slow"}
    assert made.meta["seed"] == 3
    assert made.meta["tokenizer"] == models[0].fingerprint
    assert made.meta["sampling"]["steps"] == 3
    json.dumps(made.meta, allow_nan=False)


def test_the_share_of_texture_can_be_chosen_when_sampling(models: Models) -> None:
    tokenizer, prior = copy.deepcopy(models[0]), models[1]
    tokenizer.texture_amount.fill_(0.5)
    for grid in tokenizer.grids:
        grid.texture.level.fill_(0.1)

    def sampled(share: float | Literal["auto"]) -> np.ndarray:
        return sample.run(tokenizer, prior, 10, SamplingConfig(steps=3, texture=share)).X

    none, half, whole = sampled(0.0), sampled(0.5), sampled(1.0)
    assert np.array_equal(half, sampled("auto"))
    noise = half - none
    assert np.abs(noise).max() > 0
    np.testing.assert_allclose(whole - none, 2 * noise, atol=1e-5)


def test_progress_counts_the_series(models: Models) -> None:
    heard: list[tuple[Any, ...]] = []
    config = SamplingConfig(steps=1, batch_size=4)
    sample.run(*models, 10, config, progress=lambda *report: heard.append(report))
    assert [report[:3] for report in heard] == [("sample", 4, 10), ("sample", 8, 10), ("sample", 10, 10)]


def test_sampling_by_label_gives_these_labels_in_equal_parts(models: Models) -> None:
    made = draw(models, 9, labels=["slow"])
    assert made.y is not None
    assert made.y.tolist() == ["slow"] * 9
    both = draw(models, 9, labels=["slow", "fast"]).y
    assert both is not None
    assert sorted(both.tolist()) in (["fast"] * 4 + ["slow"] * 5, ["fast"] * 5 + ["slow"] * 4)


def test_a_short_training_learns_two_classes_at_two_heights(tmp_path: Path) -> None:
    y = np.repeat(["high", "low"], 20)
    X = np.where(y == "high", 4.0, -4.0)[:, None, None] + np.random.default_rng(0).normal(0, 0.1, (40, 1, 16))
    data = Dataset("steps", X.astype(np.float32), y, None, None)
    longer = ("tokenizer_training.steps=150", "prior_training.steps=150", "prior_training.refit_below=0")
    tokenizer, prior = train(data, smoke(*longer), tmp_path)

    scaled = tokenizer.scale(torch.from_numpy(data.X_train))
    tokens = train_prior.tokenize(tokenizer, data.X_train)
    labels = train_tokenizer.class_indices(tokenizer.spec, y, 40)
    with torch.no_grad():
        assert tokenizer(scaled).terms["recon_time"] < 0.6 * scaled.square().mean()
        loss = prior.loss(tokens, labels, torch.Generator().manual_seed(0))["masked_nll"]
    assert loss < 0.9 * np.log(tokenizer.layout.codebook_size)

    made = draw((tokenizer, prior), 40, labels=["high", "low"])
    assert made.X[made.y == "high"].mean() > 1
    assert made.X[made.y == "low"].mean() < -1


def test_matched_labels_have_the_training_proportions(models: Models) -> None:
    made = draw(models, 20, match_labels=True).y
    assert made is not None
    assert sorted(made.tolist()) == ["fast"] * 12 + ["slow"] * 8


def test_labels_are_drawn_in_training_proportions_otherwise(models: Models) -> None:
    chosen = sample.choose_classes(models[0], 5000, None, False, np.random.default_rng(0))
    assert np.bincount(chosen) / 5000 == pytest.approx([0.6, 0.4], abs=0.03)


@pytest.mark.parametrize(
    ("n", "settings", "expected"),
    [
        (0, {}, "n = 0: at least 1 series"),
        (-2, {}, "n = -2: at least 1 series"),
        (2.5, {}, "n = 2.5: at least 1 series, and a whole number of them"),
        (True, {}, "n = True: at least 1 series"),
        (3, {"labels": ["fats"]}, "unknown class 'fats'; known classes: fast, slow; did you mean fast"),
        (3, {"labels": ["slow", "3"]}, "unknown class '3'"),
    ],
)
def test_impossible_wishes_are_refused(models: Models, n: int, settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        draw(models, n, **settings)


def test_guidance_needs_a_prior_that_knows_the_null_class(models: Models) -> None:
    strong = SamplingConfig(steps=3, guidance_scale=2.0)
    assert np.isfinite(sample.run(*models, 4, strong).X).all()
    tokenizer, prior = models
    undropped = Prior(prior.config.model_copy(update={"label_drop": 0.0}), prior.layout, 2, prior.tokenizer).eval()
    with pytest.raises(InputError, match=r"guidance = 2\.0: needs a prior .*label_drop above 0"):
        sample.run(tokenizer, undropped, 4, strong)


def test_a_run_without_labels_samples_without_labels(tmp_path: Path) -> None:
    models = train(dataclasses.replace(sines(), y_train=None), smoke(*FAST), tmp_path)
    made = draw(models, 5)
    assert made.y is None
    assert made.X.shape == (5, 1, 32)
    for settings in ({"labels": ["fast"]}, {"match_labels": True}):
        with pytest.raises(InputError, match="trained without labels"):
            draw(models, 5, **settings)
    with pytest.raises(InputError, match=r"guidance = 2\.0"):
        sample.run(*models, 2, SamplingConfig(guidance_scale=2.0))


def _with_gaps(X: np.ndarray) -> np.ndarray:
    gaps = np.random.default_rng(1).random(X.shape) < 0.2
    gaps[0, 0, :20] = True
    return np.where(gaps, np.float32(np.nan), X)


def _with_a_constant(X: np.ndarray) -> np.ndarray:
    return np.concatenate([X, np.full_like(X[:, :1], 7)], axis=1)


@pytest.mark.parametrize(
    ("channels", "length", "change", "overrides"),
    [
        (1, 33, _with_gaps, ()),
        (3, 31, np.array, ()),
        (1, 8, np.array, ()),
        (1, 32, _with_a_constant, ()),
        (
            2,
            20,
            _with_gaps,
            ("tokenizer.front.bands=[1]", "tokenizer.quantizer.levels=2", "trainer.checkpoint_every=5"),
        ),
        (
            1,
            24,
            np.array,
            ("tokenizer.front.kind=patch", "tokenizer.quantizer.codebook=gradient", "prior_training.holdout=0"),
        ),
    ],
    ids=["missing", "three-channels", "length-8", "constant", "bands-and-levels", "patches-and-gradient"],
)
def test_every_kind_of_data_and_model_runs_through(
    tmp_path: Path, channels: int, length: int, change: Any, overrides: tuple[str, ...]
) -> None:
    data = sines(20, channels, length)
    data = dataclasses.replace(data, X_train=change(data.X_train))
    made = draw(train(data, smoke(*FAST, *overrides), tmp_path), 6, match_labels=True)
    assert made.X.shape == (6, *data.X_train.shape[1:])
    assert np.isfinite(made.X).all()


def test_integer_labels_stay_integers(tmp_path: Path) -> None:
    data = dataclasses.replace(sines(20), y_train=np.arange(20) % 3 - 1)
    made = draw(train(data, smoke(*FAST), tmp_path), 6, labels=[1, "-1"])
    assert made.y is not None
    assert made.y.dtype == np.int64
    assert sorted(set(made.y.tolist())) == [-1, 1]


def test_without_a_holdout_the_last_step_is_taken(tmp_path: Path) -> None:
    none = ("prior_training.holdout=0", "tokenizer_training.holdout=0")
    config, data = smoke(*FAST, *none), sines()
    first = train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, tmp_path)
    assert first.keys() == {"seconds", "steps"}
    assert Tokenizer.from_pretrained(tmp_path / "tokenizer").texture_amount == 0
    record = train_prior.run(data, config.prior, config.prior_training, config.trainer, config.sampling, tmp_path)
    assert record["steps"] == 6
    assert "held_out_nll" not in record


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_front_end_is_fitted_to_the_training_series(tmp_path: Path, share: float) -> None:
    config, data = smoke(*FAST[:1], f"tokenizer.front.equalize={share}"), sines()
    train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, tmp_path)
    gain = Tokenizer.from_pretrained(tmp_path / "tokenizer").front.gain
    assert bool((gain == 1).all()) == (share == 0)


def test_the_prior_refuses_a_tokenizer_of_other_data(run_folder: Path) -> None:
    other, config = sines(seed=1), smoke()
    with pytest.raises(InputError) as error:
        train_prior.run(other, config.prior, config.prior_training, config.trainer, config.sampling, run_folder)
    assert other.fingerprint in str(error.value)
    assert sines().fingerprint in str(error.value)


def test_the_prior_needs_a_tokenizer(tmp_path: Path) -> None:
    config = smoke()
    with pytest.raises(InputError, match="no tokenizer checkpoint here"):
        train_prior.run(sines(), config.prior, config.prior_training, config.trainer, config.sampling, tmp_path)


def test_a_missing_or_unfinished_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such run"):
        sample.load(tmp_path / "nowhere")
    config, data = smoke(*FAST), sines()
    train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, tmp_path)
    with pytest.raises(InputError, match="no prior yet"):
        sample.load(tmp_path)


def test_an_amount_of_texture_that_is_not_trained_is_refused() -> None:
    none = ("tokenizer_training.texture_steps=0", "tokenizer_training.flow_steps=0")
    smoke(*none)
    smoke("tokenizer_training.texture=0", *none)  # none need not be trained
    with pytest.raises(InputError, match=r"tokenizer_training: texture = 0\.5: takes training; allowed: with texture"):
        smoke("tokenizer_training.texture=0.5", none[0])


def test_without_a_holdout_a_given_amount_of_texture_is_measured_on_the_training_series(tmp_path: Path) -> None:
    config, data = smoke("tokenizer_training.texture=0.5", "tokenizer_training.holdout=0", *FAST[:1]), sines()
    record = train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, tmp_path)
    assert record["texture"] == 0.5
    tokenizer = Tokenizer.from_pretrained(tmp_path / "tokenizer")
    assert tokenizer.texture_amount == 0.5
    scaled = tokenizer.scale(torch.from_numpy(data.X_train))
    for grid, level in zip(tokenizer.grids, fit_texture.measure(tokenizer, scaled, None), strict=True):
        torch.testing.assert_close(grid.texture.level, level)


def test_the_amount_of_texture_can_be_given_and_marginals_be_fitted(tmp_path: Path) -> None:
    config, data = smoke("tokenizer_training.texture=0.5", "tokenizer_training.marginals=true", *FAST[:1]), sines()
    record = train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, tmp_path)
    tokenizer = Tokenizer.from_pretrained(tmp_path / "tokenizer")
    assert record["texture"] == tokenizer.texture_amount == 0.5
    assert tokenizer.marginals.fitted
    assert tokenizer.marginals.real[0, -1].item() == data.X_train.max()


def test_few_series_keep_the_noise_of_those_that_were_held_out(tmp_path: Path) -> None:
    """The tokenizer that learned all of them has lost less of each than it would lose of others."""
    data, found = sines(), {}
    for name, overrides in (("all", ()), ("part", ("tokenizer_training.refit_below=0", "tokenizer_training.steps=3"))):
        few = ("tokenizer_training.refit_below=300", "tokenizer_training.flow_steps=0")
        config = smoke("tokenizer_training.steps=6", *few, *overrides)
        train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, tmp_path / name)
        found[name] = Tokenizer.from_pretrained(tmp_path / name / "tokenizer")
    (refitted,), (first,) = found["all"].grids, found["part"].grids
    assert not torch.equal(refitted.decoder.head.weight, first.decoder.head.weight)
    assert torch.equal(refitted.texture.level, first.texture.level)
