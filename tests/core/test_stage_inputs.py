"""What the stages do with series that lie elsewhere than the model, or lack a channel."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from core_helpers import fitted_tokenizer, sines, smoke, spec, tokenizer_config
from safetensors import SafetensorError

from timeloom import checkpoint
from timeloom.cli import app
from timeloom.data import Dataset
from timeloom.data.windows import cut_windows
from timeloom.errors import InputError
from timeloom.files import read_json
from timeloom.prior.decoding import SamplingConfig
from timeloom.stages import sample, train, train_prior, train_tokenizer
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


def test_the_texture_is_measured_on_series_that_were_not_learned(tmp_path: Path) -> None:
    """Louder ones say that the noise is louder."""
    tokenizer = fitted_tokenizer(tokenizer_config(), spec())
    training = smoke("tokenizer_training.texture_steps=2").tokenizer_training
    seen, noise = torch.from_numpy(sines().X_train), torch.randn(40, 1, 32, generator=torch.Generator().manual_seed(0))

    def levels(factor: float) -> list[torch.Tensor]:
        unseen = {"scaled": seen + factor * noise}
        return train_tokenizer._texture(tokenizer, {"scaled": seen}, unseen, training, 0)[0]

    for loud, quiet in zip(levels(3.0), levels(0.0), strict=True):
        assert loud[-1] > 2 * quiet[-1]


def test_series_of_one_class_differ_from_batch_to_batch(run_folder: Path) -> None:
    tokenizer, prior = sample.load(run_folder)
    config = SamplingConfig(batch_size=4)
    X = sample.run(tokenizer, prior, 12, config, labels=["fast"], seed=0).X
    assert len({series.tobytes() for series in X}) == 12


def test_a_channel_that_only_the_held_out_series_have_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((300, 2)).astype(np.float32)
    values[:-30, 1] = np.nan
    data = Dataset("late", cut_windows(values, 24), None, None, None, ordered=True)
    with pytest.raises(InputError, match="late, without the series that are held out: channel 1 has no value"):
        data.with_test_split()
    for override, message in (("tokenizer.front.n_fft=64", "n_fft"), ("trainer.devices=3", "multiple of the 3")):
        with pytest.raises(InputError, match=message):
            train.run(sines(), smoke(override), tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_guidance_that_could_never_be_sampled_is_refused_before_training(tmp_path: Path) -> None:
    unlabelled = dataclasses.replace(sines(), y_train=None)
    for data, overrides in ((unlabelled, ()), (sines(), ("prior.label_drop=0",))):
        with pytest.raises(InputError, match=r"guidance = 2\.0: needs a prior .*label_drop above 0"):
            train.run(data, smoke("sampling.guidance_scale=2", *overrides), tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_an_amount_of_texture_that_was_given_for_the_tokenizer_is_what_decoding_keeps() -> None:
    for overrides, expected in (
        ((), "auto"),
        (("tokenizer_training.texture=0.5",), 0.5),
        (("tokenizer_training.texture=0.5", "sampling.texture=0.25"), 0.25),
    ):
        config = smoke(*overrides)
        assert train._sampling(config, {"config": config.model_dump(mode="json")}).texture == expected


def test_a_run_decodes_with_the_amount_of_texture_that_was_given_for_the_tokenizer(tmp_path: Path) -> None:
    """Left to itself this one would take all of it."""
    short = ("tokenizer_training.steps=6", "prior_training.steps=6", "prior_training.choose_decoding=true")
    record = train.run(sines(), smoke(*short, "tokenizer_training.texture=0.25"), tmp_path / "given")
    assert record["stages"]["prior"]["texture"] == "auto"
    free = train.run(sines(), smoke(*short), tmp_path / "free")
    assert free["stages"]["prior"]["texture"] != "auto"


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*of: object) -> None:
        raise SafetensorError("I/O error: File too large")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(InputError, match=r"model.safetensors: cannot be written: I/O error: File too large"):
        fitted_tokenizer(tokenizer_config(), spec()).save_pretrained(tmp_path / "tokenizer")
    assert not list((tmp_path / "tokenizer").iterdir())


def test_the_seed_of_a_configuration_holds_unless_another_is_given(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("seed: 5\n")
    np.savez(tmp_path / "data.npz", X=sines().X_train, y=sines().y_train)
    for given, expected in ([], 5), (["--seed", "3"], 3), (["--set", "seed=7"], 7):
        arguments = [str(tmp_path / "data.npz"), "--preset", "smoke", "--config", str(tmp_path / "my.yaml"), *given]
        arguments += ["--set", "tokenizer_training.steps=2", "--out", str(tmp_path / "run"), "--overwrite"]
        app(["train-tokenizer", *arguments], standalone_mode=False)
        assert read_json(tmp_path / "run" / "run.json")["config"]["seed"] == expected
