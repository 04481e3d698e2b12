"""The loss by which codes learn to tell classes apart: what it is, where it counts, and that nothing of it is kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from core_helpers import sines, smoke, spec, tokenizer_config
from torch import Tensor
from torch.nn import functional as F

from timeloom.errors import InputError
from timeloom.stages import train_tokenizer
from timeloom.stages.train_tokenizer import TokenizerTask
from timeloom.tokenizer.config import TokenizerConfig
from timeloom.tokenizer.tokenizer import Tokenizer, pooled
from timeloom.training import combine

CLASSES = {"weights": {"class_nll": 0.5}}


def task(**sections: Any) -> TokenizerTask:
    facts = spec()
    return TokenizerTask(tokenizer_config(**{**CLASSES, **sections}).resolve(facts), facts)


def built(of: TokenizerTask) -> Tokenizer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return of.build().train()


def batch(n: int = 16, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "scaled": torch.randn(n, 1, 32, generator=generator),
        "labels": torch.randint(2, (n,), generator=generator),
    }


def loss_terms(of: TokenizerTask, model: Tokenizer, series: dict[str, Tensor]) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return of.loss(model, series, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("full_above", "whole"), [(0.0, True), (1e-6, True), (1e6, False)])
def test_the_term_is_the_cross_entropy_of_the_pooled_codes(full_above: float, whole: bool) -> None:
    of, series = task(ssl={"loss": "none", "full_above": full_above}), batch()
    model = built(of)
    terms = loss_terms(of, model, series)
    assert terms.keys() == of.weights.keys()
    assert of.weights["class_nll"] == 0.5
    again = built(of)  # the look has moved the codebook of the other
    assert again.class_head is not None
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        latents = again._latents(again.front(series["scaled"]))
        codes = [grid.quantizer(z).z_q for grid, z in zip(again.grids, latents, strict=True)]
        nll = float(F.cross_entropy(again.class_head(pooled(codes)), series["labels"]))
    error = (terms["recon_time"] + terms["recon_stft"]).item()
    assert terms["class_nll"].item() == pytest.approx(nll if whole else nll * error / full_above, rel=1e-3)


def test_the_encoder_learns_by_it_and_the_decoder_does_not() -> None:
    of = task()
    model = built(of)
    loss_terms(of, model, batch())["class_nll"].backward()
    for grid in model.grids:
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in grid.encoder.parameters())
        assert all(p.grad is None for p in grid.decoder.parameters())


def test_a_tokenizer_learns_to_tell_the_classes_of_what_it_sees() -> None:
    of, data = task(), sines(64, length=32)
    labels = torch.from_numpy((data.y_train == "fast").astype("int64")) if data.y_train is not None else None
    assert labels is not None
    series = {"scaled": (torch.from_numpy(data.X_train) - 5) / 2, "labels": labels}
    model = built(of)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    found = []
    for _ in range(60):
        terms = loss_terms(of, model, series)
        optimizer.zero_grad()
        combine(terms, of.weights).backward()
        optimizer.step()
        found.append(terms["class_nll"].item())
    assert found[0] == pytest.approx(0.693, abs=0.5)
    assert found[-1] < 0.5 * found[0]


def test_a_held_out_look_and_a_set_of_one_class_have_no_such_term() -> None:
    of = task()
    assert "class_nll" not in loss_terms(of, built(of).eval(), batch())
    one = dataclasses.replace(of, spec=spec().model_copy(update={"classes": ("a",), "class_counts": (40,)}))
    none = dataclasses.replace(of, spec=spec().model_copy(update={"classes": None, "class_counts": None}))
    for other in (one, none, task(weights={"class_nll": 0.0})):
        model = built(other)
        assert model.class_head is None
        assert "class_nll" not in other.weights
        assert loss_terms(other, model, {"scaled": batch()["scaled"]}).keys() == other.weights.keys()


def test_a_finished_tokenizer_is_as_large_as_one_without(tmp_path: Path) -> None:
    with_loss = built(task())
    with pytest.raises(AssertionError, match="for training only"):
        with_loss.save_pretrained(tmp_path)
    with_loss.drop_heads()
    assert with_loss.state_dict().keys() == Tokenizer(tokenizer_config(), spec()).state_dict().keys()


def test_the_stage_gives_the_labels_and_other_weights_give_other_tokens(tmp_path: Path) -> None:
    data, made = sines(40, length=32), []
    for weight in ("0", "0.1", "0.1"):
        config = smoke("tokenizer_training.steps=4", f"tokenizer.weights.class_nll={weight}")
        folder = tmp_path / str(len(made))
        train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, folder)
        made.append(Tokenizer.from_pretrained(folder / train_tokenizer.FOLDER))
    assert made[0].fingerprint != made[1].fingerprint == made[2].fingerprint
    unlabelled = dataclasses.replace(data, y_train=None)
    config = smoke("tokenizer_training.steps=1")
    train_tokenizer.run(unlabelled, config.tokenizer, config.tokenizer_training, config.trainer, tmp_path / "none")


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(InputError, match="class_nll = -1"):
        TokenizerConfig.parse({"weights": {"class_nll": -1}})
