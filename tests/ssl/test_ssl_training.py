"""Self-supervised losses in the tokenizer's training: what they change, and what they leave as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from core_helpers import sines, smoke, spec, tokenizer_config
from torch import Tensor

from timeloom.data import Dataset
from timeloom.errors import InputError
from timeloom.ssl.head import LOSSES
from timeloom.stages import train_tokenizer
from timeloom.stages.run_config import RunConfig
from timeloom.stages.train_tokenizer import RECONSTRUCTION, TokenizerTask
from timeloom.tokenizer.tokenizer import Tokenizer, TokenizerOutput, pooled
from timeloom.training import combine

DEEP = {"quantizer": {"codebook_size": 8, "codebook_dim": 4, "levels": 3}}
TWO_BANDS = {"front": {"bands": [2]}}


class Stopped(Exception):
    """Stands for a crash in the middle of a run."""


def series(batch: int = 8, channels: int = 2, seed: int = 1) -> Tensor:
    return torch.randn(batch, channels, 32, generator=torch.Generator().manual_seed(seed))


def training_task(channels: int = 2, **sections: Any) -> TokenizerTask:
    facts = spec(channels)
    return TokenizerTask(tokenizer_config(**sections).resolve(facts), facts)


def built(task: TokenizerTask) -> Tokenizer:
    """A tokenizer in training mode whose codebook stands."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = task.build().train()
        for seed in range(2):
            task.loss(model, {"scaled": series(32, task.spec.n_channels, seed)}, torch.Generator().manual_seed(seed))
    return model


def loss_terms(task: TokenizerTask, model: Tokenizer, batch: dict[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return task.loss(model, batch, torch.Generator().manual_seed(seed))


def forward(model: Tokenizer, x: Tensor, views: tuple[Tensor, ...] = ()) -> TokenizerOutput:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return model(x, None, views)


def run(config: RunConfig, out: Path, data: Dataset | None = None, **more: Any) -> dict[str, float]:
    training = config.tokenizer_training
    return train_tokenizer.run(data or sines(), config.tokenizer, training, config.trainer, out, **more)


def weights(out: Path) -> bytes:
    return (out / "tokenizer" / "model.safetensors").read_bytes()


def encoder_gradient(model: Tokenizer, loss: Tensor) -> list[Tensor | None]:
    parameters = [p for grid in model.grids for p in grid.encoder.parameters()]
    return list(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True))


def reaches(gradient: list[Tensor | None]) -> bool:
    return any(g is not None and g.abs().sum() > 0 for g in gradient)


def test_without_a_loss_the_section_changes_no_weight(tmp_path: Path) -> None:
    short = (
        "tokenizer.ssl.loss=none",
        "tokenizer_training.steps=6",
        "tokenizer_training.judge_every=3",
        "tokenizer_training.texture_steps=0",
        "tokenizer_training.flow_steps=0",
    )
    other = ("tokenizer.ssl.views=[warp, mask]", "tokenizer.ssl.width=8", "tokenizer.ssl.weight=9")
    run(smoke(*short), tmp_path / "plain")
    run(smoke(*short, *other), tmp_path / "other")
    assert weights(tmp_path / "plain") == weights(tmp_path / "other")


def test_without_a_loss_no_random_number_is_drawn_and_no_module_is_added() -> None:
    task, generator = training_task(), torch.Generator().manual_seed(0)
    states = []
    for build in (task.build, lambda: Tokenizer(task.config, task.spec)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build()
            states.append((torch.random.get_rng_state().tolist(), sorted(model.state_dict())))
    assert states[0] == states[1]
    task.loss(built(task), {"scaled": series()}, generator)
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(0).get_state())


def test_a_tokenizer_with_a_loss_starts_from_the_same_weights() -> None:
    states = []
    for loss in ("none", "vibcreg"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            states.append(training_task(ssl={"loss": loss}).build().state_dict())
    assert {name for name in states[1] if not name.startswith("ssl_head.")} == states[0].keys()
    assert states[1].keys() > states[0].keys()
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


@pytest.mark.parametrize("sections", [{}, DEEP | {"front": {"bands": [2]}}])
@pytest.mark.parametrize("options", [{}, {"two_views": True}, {"each_level": True}])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_terms_are_those_that_have_weights_and_reach_the_encoder(
    loss: str, options: dict[str, Any], sections: dict[str, Any]
) -> None:
    task = training_task(**sections, ssl={"loss": loss, "width": 16, "views": "warp", "recon_view": 0.1, **options})
    model = built(task)
    terms = loss_terms(task, model, {"scaled": series()})
    assert terms.keys() == task.weights.keys() == task.config.term_weights(task.spec).keys()
    assert combine(terms, task.weights).isfinite()
    for name in ("recon_view", *(f"ssl_{term}" for term in LOSSES[loss].weights)):
        assert terms[name] >= 0
        if terms[name] > 0:
            assert reaches(encoder_gradient(model, terms[name])), name


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_reaches_the_encoder_through_the_quantized_series_too(loss: str) -> None:
    task = training_task(ssl={"loss": loss, "width": 16, "recon_view": 0.1})
    model, x = built(task), series().requires_grad_()
    view = series(seed=2).requires_grad_()
    terms = forward(model, x, (view,)).terms
    total = torch.stack([terms[f"ssl_{name}"] for name in LOSSES[loss].weights]).sum()
    for side in torch.autograd.grad(total, (x, view), retain_graph=True):
        assert side.abs().sum() > 0
    assert not torch.autograd.grad(terms["recon_view"], x, retain_graph=True)[0].any()


def test_two_views_are_compared_with_each_other() -> None:
    model, x, views = (
        built(training_task(ssl={"loss": "barlow", "width": 16, "two_views": True})),
        series(),
        (
            series(seed=2),
            series(seed=3),
        ),
    )
    found = forward(model, x, views).terms
    assert model.ssl_head is not None
    latents = [pooled(model._latents(model.front(view))) for view in views]
    for name, term in model.ssl_head([latents[1]], latents[0]).items():
        torch.testing.assert_close(found[f"ssl_{name}"], term)


def test_levels_are_compared_one_by_one_and_averaged() -> None:
    task = training_task(**DEEP, ssl={"loss": "barlow", "width": 16, "each_level": True})
    model, x, view = built(task), series(), series(seed=2)
    model.eval()
    with torch.no_grad():
        z = model._latents(model.front(x))
        quantized = [grid.quantizer(of) for grid, of in zip(model.grids, z, strict=True)]
        other = pooled(model._latents(model.front(view)))
        versions = [torch.cat([q.mean(2), q.amax(2)], dim=1) for q in quantized[0].sums]
        assert model.ssl_head is not None
        parts = [model.ssl_head([version], other) for version in versions]
        terms = model(x, None, (view,)).terms
    assert len({part["invariance"].item() for part in parts}) == 3
    for name in ("invariance", "redundancy"):
        torch.testing.assert_close(terms[f"ssl_{name}"], torch.stack([part[name] for part in parts]).mean())


def test_the_view_is_not_quantized_and_moves_no_codebook() -> None:
    states = []
    for view in (series(seed=2), 50 + 9 * series(seed=3)):
        model = built(training_task(ssl={"loss": "vicreg", "width": 16}))
        forward(model, series(), (view,))
        states.append({k: v for k, v in model.state_dict().items() if not k.startswith("ssl_head.")})
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_the_views_reconstruction_error_counts_series_and_frames() -> None:
    task = training_task(**TWO_BANDS, ssl={"loss": "barlow", "width": 16, "two_views": True, "recon_view": 0.1})
    model, views = built(task), (series(seed=2), series(seed=3))
    total = 0.0
    with torch.no_grad():
        for view in views:
            frames = model.front(view)
            decoded = [grid.decoder(z) for grid, z in zip(model.grids, model._latents(frames), strict=True)]
            total += (model.front.inverse(decoded) - view).square().mean().item()
            total += (torch.cat(decoded, 1) - torch.cat(frames, 1)).square().mean().item()
        assert forward(model, series(), views).terms["recon_view"].item() == pytest.approx(total / 2, rel=1e-5)


def test_incomplete_series_take_no_part_in_the_views_reconstruction() -> None:
    task = training_task(ssl={"loss": "vicreg", "width": 16, "views": "gauss", "recon_view": 0.1})
    model, x = built(task), series()
    observed = torch.ones_like(x, dtype=torch.bool)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    whole = loss_terms(task, model, {"scaled": x, "observed": observed})
    for name, term in loss_terms(task, model, {"scaled": x}).items():
        if name == "recon_view":
            torch.testing.assert_close(whole[name], term)
    observed[3:, :, 5:9] = False
    model.load_state_dict(state)
    view = series(seed=2)
    found = model(x, observed, (view,)).terms
    model.load_state_dict(state)
    alone = model(x[:3], None, (view[:3],)).terms["recon_view"]
    torch.testing.assert_close(found["recon_view"], alone * 3 / 8)
    assert all(term.isfinite() for term in found.values())


def test_without_weight_a_view_is_not_rebuilt_and_no_other_term_changes() -> None:
    found, decoded = [], []
    for weight in (0.0, 0.1):
        task = training_task(ssl={"loss": "vibcreg", "width": 16, "recon_view": weight})
        model = built(task)
        model.grids[0].decoder.stem.register_forward_pre_hook(lambda _, given: decoded.append(len(given[0])))
        found.append(loss_terms(task, model, {"scaled": series(8)}))
    assert decoded == [8, 16]
    assert found[1].keys() - found[0].keys() == {"recon_view"}
    for name, term in found[0].items():
        torch.testing.assert_close(term, found[1][name])


def test_the_loss_counts_in_proportion_to_an_error_of_reconstruction_that_is_small() -> None:
    found = []
    for full_above in (0.0, 1000.0):
        task = training_task(ssl={"loss": "vibcreg", "width": 16, "full_above": full_above})
        found.append(loss_terms(task, built(task), {"scaled": series(8)}))
    whole, part = found
    share = (whole["recon_time"] + whole["recon_stft"]).item() / 1000
    for name, term in whole.items():
        torch.testing.assert_close(part[name], term * (share if name.startswith("ssl_") else 1))


def test_a_worse_reconstruction_is_no_way_to_less_of_the_loss() -> None:
    task = training_task(ssl={"loss": "vibcreg", "width": 16, "full_above": 1000})
    model = built(task)
    term = loss_terms(task, model, {"scaled": series(8)})["ssl_invariance"]
    decoder = [p for grid in model.grids for p in grid.decoder.parameters()]
    assert not reaches(list(torch.autograd.grad(term, decoder, retain_graph=True, allow_unused=True)))
    assert reaches(encoder_gradient(model, term))


def test_held_out_looks_see_the_reconstruction_alone() -> None:
    task, plain = training_task(ssl={"loss": "byol", "width": 16}), training_task()
    model, batch = built(task).eval(), {"scaled": series()}
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    terms = task.loss(model, batch, generator)
    assert terms.keys() == plain.weights.keys() >= set(RECONSTRUCTION)
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(0).get_state())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("loss", LOSSES)
def test_the_same_weights_give_the_same_tokens_with_and_without_a_head(loss: str) -> None:
    task, x = training_task(ssl={"loss": loss, "width": 16}), series()
    model = built(task).eval()
    bare = Tokenizer(task.config, task.spec)
    bare.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("ssl_head.")})
    bare.eval()
    assert torch.equal(bare.encode(x), model.encode(x))
    assert torch.equal(forward(bare, bare.scale(x)).tokens, model.encode(x))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_trained_tokenizer_is_saved_without_its_head_and_loads_again(tmp_path: Path, loss: str) -> None:
    run(smoke(f"tokenizer.ssl.loss={loss}", "tokenizer_training.steps=8", "tokenizer.ssl.width=32"), tmp_path)
    card = json.loads((tmp_path / "tokenizer" / "config.json").read_text())
    assert card["config"]["ssl"]["loss"] == loss
    made = Tokenizer.from_pretrained(tmp_path / "tokenizer")
    assert made.config.ssl.loss == loss
    assert not [name for name in made.state_dict() if "ssl" in name]
    x = torch.from_numpy(sines().X_train)
    assert made.decode(made.encode(x)).isfinite().all()


@pytest.mark.parametrize("loss", ["vibcreg", "byol"])
def test_a_crashed_training_resumes_to_the_bits_of_an_unbroken_one(tmp_path: Path, loss: str) -> None:
    config = smoke(
        f"tokenizer.ssl.loss={loss}",
        "tokenizer.ssl.views=[warp, gauss]",
        "tokenizer.ssl.width=32",
        "trainer.checkpoint_every=5",
        "tokenizer_training.steps=16",
        "tokenizer_training.judge_every=4",
        "tokenizer_training.refit_below=0",
        "tokenizer_training.texture_steps=0",
        "tokenizer_training.flow_steps=0",
    )

    def crash(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 8:
            raise Stopped

    run(config, tmp_path / "whole")
    with pytest.raises(Stopped):
        run(config, tmp_path / "cut", progress=crash)
    seen: list[int] = []
    run(config, tmp_path / "cut", resume=True, progress=lambda stage, done, total, note="": seen.append(done))
    assert min(seen) > 5  # it went on where the last checkpoint was
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_a_series_with_gaps_can_be_trained_on(tmp_path: Path) -> None:
    data = sines(channels=2)
    data.X_train[::3, 0, 5:12] = float("nan")
    record = run(smoke("tokenizer.ssl.loss=vibcreg", "tokenizer_training.steps=6"), tmp_path, data)
    assert record["held_out_loss"] > 0


def test_a_batch_of_one_series_is_refused_before_any_work(tmp_path: Path) -> None:
    alone = "tokenizer_training.batch_size=1"
    with pytest.raises(InputError, match=r"batch_size = 1: tokenizer\.ssl\.loss = barlow and .* or loss none and"):
        run(smoke("tokenizer.ssl.loss=barlow", alone), tmp_path)
    with pytest.raises(InputError, match=r"batch_size = 1: tokenizer\.weights\.class_nll = 0\.1 .*, or weight 0"):
        run(smoke("tokenizer.ssl.loss=none", alone), tmp_path)
    plain = ("tokenizer.ssl.loss=none", "tokenizer.weights.class_nll=0")
    run(smoke(*plain, alone, "tokenizer_training.steps=2"), tmp_path)


def test_two_series_are_enough_to_compare(tmp_path: Path) -> None:
    for loss in ("vibcreg", "none"):
        run(smoke("tokenizer_training.steps=3", f"tokenizer.ssl.loss={loss}"), tmp_path / loss, sines(2, length=8))
    assert weights(tmp_path / "vibcreg") != weights(tmp_path / "none")
    made = Tokenizer.from_pretrained(tmp_path / "vibcreg" / "tokenizer")
    assert all(tensor.isfinite().all() for tensor in made.state_dict().values())


def test_what_the_views_change_is_forgotten() -> None:
    """Trained with views that run backwards, pooled latents depend less on the direction of time."""
    x = (torch.from_numpy(sines(64, length=32).X_train) - 5) / 2.1
    x = x * torch.linspace(0.2, 1.8, 32)  # so that a series and its mirror image differ

    def shift(loss: str) -> float:
        task = training_task(1, ssl={"loss": loss, "width": 32, "views": "flip", "weight": 3})
        model = built(task)
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=2e-3)
        for step in range(60):
            optimizer.zero_grad()
            combine(loss_terms(task, model, {"scaled": x}, step), task.weights).backward()
            optimizer.step()
        with torch.no_grad():
            there, back = (pooled(model.eval()._latents(model.front(of))) for of in (x, x.flip(-1)))
        return float((there - back).square().mean() / there.var(dim=0).mean())

    plain = shift("none")
    assert shift("barlow") < 0.7 * plain
    assert shift("vicreg") < 0.7 * plain
