"""The loop that trains encoders: its steps against AdamW by hand, its settings, and no steps at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from timeloom.encoders import ENCODERS, load_encoder
from timeloom.encoders.optimisation import (
    Budget,
    RowBatches,
    chosen_device,
    dropout,
    initial_weights,
    measure_norms,
    optimise,
)
from timeloom.encoders.resuming import EVERY
from timeloom.errors import InputError
from timeloom.progress import silent

TRAINED = pytest.mark.parametrize("kind", [kind for kind in ENCODERS if kind not in ("rocket", "catch22")])


def test_a_step_is_that_of_adamw() -> None:
    goal = torch.tensor([1.0, -2.0, 5.0])
    weight = nn.Parameter(torch.tensor([0.5, 0.5, 0.5]))
    seen: list[int] = []

    def loss_of(rows: Tensor) -> Tensor:
        assert sorted(rows.tolist()) == [0, 1, 2]
        return ((weight - goal)[rows] ** 2).sum()

    batches = RowBatches(3, 8, torch.Generator().manual_seed(0))
    optimise(nn.ParameterList([weight]), loss_of, batches, Budget(3, 8, 0.1), name="x", progress=lambda *told: None,
             after_step=seen.append)  # fmt: skip
    expected, first, second = np.array([0.5, 0.5, 0.5]), np.zeros(3), np.zeros(3)
    for step in (1, 2, 3):
        gradient = 2 * (expected - goal.numpy())
        expected = expected * (1 - 0.1 * 0.01)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        expected -= 0.1 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-5)
    assert seen == [1, 2, 3]


def test_the_rate_is_a_share_of_each_groups_own() -> None:
    weights = nn.ParameterList([torch.zeros(1), torch.zeros(1)])
    groups = [{"params": [weight], "lr": lr} for weight, lr in zip(weights, (1.0, 0.1), strict=True)]
    optimise(weights, lambda rows: -sum(weights).sum(), RowBatches(1, 1, torch.Generator()), Budget(3, 1, 9.0),
             name="x", progress=silent, optimizer=torch.optim.SGD(groups), rate=lambda step: 0.5**step)  # fmt: skip
    assert [round(float(weight.detach()), 6) for weight in weights] == [1.75, 0.175]


def test_no_row_is_twice_in_a_batch_unless_batches_run_across_permutations() -> None:
    batches = RowBatches(10, 4, torch.Generator().manual_seed(0))
    for _ in range(20):
        assert len(set(next(batches).tolist())) == 4
    assert sorted(next(RowBatches(3, 16, torch.Generator())).tolist()) == [0, 1, 2]
    across = RowBatches(10, 4, torch.Generator().manual_seed(0), across=True)
    rows = torch.cat([next(across) for _ in range(5)])
    assert sorted(rows[:10].tolist()) == sorted(rows[10:].tolist()) == list(range(10))


class Stopped(Exception):
    """What a killed process is in these tests."""


def cut_short_at(step: int) -> Callable[..., None]:
    """A progress report that stops the training there."""

    def report(stage: str, done: int, total: int, note: str = "") -> None:
        if done >= step:
            raise Stopped

    return report


@TRAINED
def test_a_training_that_was_cut_short_ends_with_the_same_weights(
    sines: Callable, small_encoder: Callable, tmp_path: Path, kind: str
) -> None:
    X, y = sines(10, seed=0)
    file, steps = tmp_path / "state.ckpt", EVERY + 20
    whole = small_encoder(kind).set_params(steps=steps, batch_size=3).fit(X, y).encode(X)
    with pytest.raises(Stopped):
        small_encoder(kind).set_params(steps=steps, batch_size=3).fit(
            X, y, checkpoint=file, progress=cut_short_at(EVERY + 10)
        )
    told: list[int] = []
    resumed = small_encoder(kind).set_params(steps=steps, batch_size=3)
    resumed.fit(X, y, checkpoint=file, progress=lambda stage, done, total, note="": told.append(done))
    assert told == [EVERY + 10, EVERY + 20]  # it went on and did not begin anew
    np.testing.assert_array_equal(resumed.encode(X), whole)
    again = small_encoder(kind).set_params(steps=steps, batch_size=3).fit(X, y, checkpoint=file)
    np.testing.assert_array_equal(again.encode(X), whole)


def test_a_checkpoint_of_another_training_is_refused(sines: Callable, small_encoder: Callable, tmp_path: Path) -> None:
    (X, _), file = sines(6, seed=0), tmp_path / "state.ckpt"
    small_encoder("ts2vec").set_params(steps=2).fit(X, checkpoint=file)
    before = file.read_bytes()
    for other, series, difference in (
        (small_encoder("ts2vec").set_params(steps=3), X, "steps = 2, now it is 3"),
        (small_encoder("ts2vec").set_params(steps=2, seed=1), X, "seed = 3, now it is 1"),
        (small_encoder("ts2vec").set_params(steps=2), X + 1, "series = "),
        (small_encoder("fei").set_params(steps=2), X, "encoder = ts2vec, now it is fei"),
    ):
        with pytest.raises(InputError, match=rf"state\.ckpt: was begun with {difference}"):
            other.fit(series, checkpoint=file)
    assert file.read_bytes() == before
    small_encoder("ts2vec").set_params(steps=2, device="cpu").fit(X, checkpoint=file)  # the device is no matter
    file.write_bytes(before[: len(before) // 2])
    with pytest.raises(InputError, match=r"state\.ckpt: damaged, cannot go on from it"):
        small_encoder("ts2vec").set_params(steps=2).fit(X, checkpoint=file)


def test_dropout_keeps_the_mean_and_follows_its_generator() -> None:
    x = torch.full((200, 100), 3.0)
    dropped = dropout(x, 0.25, torch.Generator().manual_seed(0))
    assert set(dropped.unique().tolist()) == {0.0, 4.0}
    assert abs(float((dropped == 0).float().mean()) - 0.25) < 0.02
    assert torch.equal(dropped, dropout(x, 0.25, torch.Generator().manual_seed(0)))
    assert not torch.equal(dropped, dropout(x, 0.25, torch.Generator().manual_seed(1)))
    assert torch.equal(dropout(x, 0.0, torch.Generator()), x)


def test_initial_weights_leave_the_global_state_alone() -> None:
    before = torch.random.get_rng_state()
    with initial_weights(7):
        first = nn.Linear(3, 3).weight
    assert torch.equal(torch.random.get_rng_state(), before)
    with initial_weights(7):
        assert torch.equal(nn.Linear(3, 3).weight, first)


def test_unknown_and_missing_devices_are_refused() -> None:
    assert chosen_device("cpu").type == "cpu"
    with pytest.raises(InputError, match="device is 'tpu'; allowed: one of auto, cpu, cuda"):
        chosen_device("tpu")
    if torch.cuda.is_available():
        assert chosen_device("auto").type == chosen_device("cuda").type == "cuda"
    else:
        assert chosen_device("auto").type == "cpu"
        with pytest.raises(InputError, match="device is 'cuda'; allowed: auto or cpu"):
            chosen_device("cuda")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": -1}, "steps is -1; allowed: a whole number of at least 0"),
        ({"steps": 1.5}, "steps is 1.5; allowed"),
        ({"steps": True}, "steps is True; allowed"),
        ({"batch_size": 0}, "batch_size is 0; allowed: a whole number of at least 1"),
        ({"lr": 0.0}, "lr is 0.0; allowed: above 0"),
    ],
)
def test_impossible_budgets_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Budget(**{"steps": 3, "batch_size": 2, "lr": 1e-3, **settings})


@TRAINED
def test_no_steps_leave_the_initial_weights_whatever_the_data(
    sines: Callable, small_encoder: Callable, kind: str
) -> None:
    X, y = sines(10, seed=0)
    other, _ = sines(10, seed=1)
    weights = [
        dict(small_encoder(kind).set_params(steps=steps).fit(series, y)._network.named_parameters())
        for steps, series in ((0, X), (0, 2 * other + 1), (2, X))
    ]
    untrained, elsewhere, trained = weights
    assert list(untrained) == list(elsewhere) == list(trained)
    for name in untrained:
        assert torch.equal(untrained[name], elsewhere[name])
    assert any(not torch.equal(untrained[name], trained[name]) for name in untrained)
    assert small_encoder(kind).set_params(steps=0).fit(X, y).encode(X).std(axis=0).max() > 0


def test_batch_norms_are_measured_over_whole_batches() -> None:
    series = torch.randn((7, 2, 5), generator=torch.Generator().manual_seed(0)) * 3 + 1
    norm = nn.BatchNorm1d(2)
    network = nn.Sequential(norm, nn.ReLU())
    measure_norms(network, series, 3, torch.Generator().manual_seed(1))
    rows = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    batches = [series[rows[:3]], series[rows[3:6]]]
    torch.testing.assert_close(norm.running_mean, torch.stack([b.mean(dim=(0, 2)) for b in batches]).mean(dim=0))
    torch.testing.assert_close(norm.running_var, torch.stack([b.var(dim=(0, 2)) for b in batches]).mean(dim=0))
    assert norm.momentum == 0.1
    assert not network.training
    measure_norms(network, series, 100, torch.Generator())
    torch.testing.assert_close(norm.running_mean, series.mean(dim=(0, 2)))


@pytest.mark.parametrize("kind", ["fcn", "fei"])
def test_an_untrained_encoder_has_seen_the_scale_of_its_layers(
    sines: Callable, small_encoder: Callable, kind: str
) -> None:
    X, y = sines(16, seed=0)
    encoder = small_encoder(kind).set_params(steps=0).fit(X, y)
    norms = [m for m in encoder._network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert norms
    for norm in norms:
        assert (norm.running_var != 1).all()
        assert norm.running_mean.abs().max() > 0


@TRAINED
def test_numbers_of_numpy_are_saved_as_plain_ones(
    sines: Callable, small_encoder: Callable, tmp_path: Path, kind: str
) -> None:
    X, y = sines(10, seed=0)
    encoder = small_encoder(kind).set_params(steps=np.int64(1), seed=np.int64(4), lr=np.float32(0.25)).fit(X, y)
    encoder.save(tmp_path)
    loaded = ENCODERS[kind].load(tmp_path)
    assert (loaded.settings["steps"], loaded.settings["seed"], loaded.settings["lr"]) == (1, 4, 0.25)
    np.testing.assert_array_equal(loaded.encode(X), encoder.encode(X))


@pytest.mark.parametrize("kind", ["ts2vec", "timedrl", "fei"])
def test_a_training_that_comes_to_nothing_is_refused(sines: Callable, small_encoder: Callable, kind: str) -> None:
    X, _ = sines(10, seed=0)
    encoder = small_encoder(kind).set_params(lr=1e30, steps=30)
    with pytest.raises(InputError, match=r"lr is 1e\+30: the training of .* came to no finite weights"):
        encoder.fit(X)
    with pytest.raises(InputError, match="is not fitted"):
        encoder.encode(X)


def test_convolutions_on_a_gpu_go_through_its_library(sines: Callable, small_encoder: Callable) -> None:
    seen: list[tuple[bool, bool]] = []
    cudnn = torch.backends.cudnn
    small_encoder("ts2vec").fit(
        sines(10, seed=0)[0], progress=lambda *of: seen.append((cudnn.enabled, cudnn.deterministic))
    )
    assert seen == [(cudnn.enabled, True)]


@pytest.mark.parametrize("kind", ["ts2vec", "timedrl", "fei"])
def test_what_a_gpu_has_trained_is_read_anywhere(
    sines: Callable, small_encoder: Callable, tmp_path: Path, kind: str
) -> None:
    X, _ = sines(10, seed=0)
    encoder = small_encoder(kind).fit(X)
    wanted = encoder.encode(X)
    encoder.set_params(device="cuda").save(tmp_path)
    np.testing.assert_allclose(load_encoder(tmp_path).encode(X), wanted, atol=1e-4)
