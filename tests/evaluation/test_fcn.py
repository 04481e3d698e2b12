"""The fully convolutional network as a classifier and as an encoder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from timeloom.encoders import FCN, Rocket
from timeloom.encoders.fcn import default_steps
from timeloom.errors import InputError

SMALL = (8, 16, 8)


def small(steps: int = 40, seed: int = 0) -> FCN:
    return FCN(n_filters=SMALL, steps=steps, lr=1e-2, seed=seed)


def test_learns_sines_it_has_not_seen_and_keeps_the_users_labels(sines: Callable) -> None:
    X, y = sines(60, seed=0)
    X_new, y_new = sines(100, seed=1)
    fcn = small(steps=80).fit(X, y)
    assert fcn.accuracy(X_new, y_new) >= 0.97
    assert set(fcn.predict(X_new)) == {"fast", "slow"}
    numbers = np.where(y == "fast", 7, -1)
    assert set(small(steps=5).fit(X, numbers).predict(X_new)) <= {7, -1}


def test_on_shuffled_labels_it_is_at_chance(sines: Callable) -> None:
    X, y = sines(60, seed=0)
    X_new, y_new = sines(200, seed=1)
    shuffled = np.random.default_rng(0).permutation(y)
    assert 0.2 < small(steps=80).fit(X, shuffled).accuracy(X_new, y_new) < 0.8


def test_features_do_not_depend_on_the_batch(sines: Callable) -> None:
    X, y = sines(30, seed=0)
    fcn = small(steps=5).fit(X, y)
    together = fcn.encode(X)
    np.testing.assert_allclose(fcn.encode(X, batch_size=7), together, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(fcn.encode(X[11:12]), together[11:12], rtol=1e-5, atol=1e-6)
    assert together.shape == (30, SMALL[-1])
    assert together.dtype == np.float32


def test_features_are_the_mean_over_time_of_same_length_convolutions(sines: Callable) -> None:
    X, y = sines(12, seed=0, n_channels=2)
    fcn = small(steps=3).fit(X, y)
    conv, norm = fcn._network.blocks[1], fcn._network.blocks[2]
    maps = torch.from_numpy(fcn._scaler.transform(X))
    for index in (0, 4, 8):
        conv, norm = fcn._network.blocks[index + 1], fcn._network.blocks[index + 2]
        kernel = conv.weight[:, :, 0]
        padded = torch.nn.functional.pad(maps, ((kernel.shape[2] - 1) // 2, kernel.shape[2] // 2))
        windows = padded.unfold(2, kernel.shape[2], 1)
        assert windows.shape[2] == X.shape[2]
        maps = torch.einsum("nctk,fck->nft", windows, kernel)
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        maps = torch.relu((maps - norm.running_mean[:, None]) * scale[:, None] + norm.bias[:, None])
    np.testing.assert_allclose(fcn.encode(X), maps.mean(dim=2).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_the_seed_decides_and_the_global_state_does_not(sines: Callable) -> None:
    X, y = sines(20, seed=0)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = small(steps=5).fit(X, y).encode(X)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    np.testing.assert_array_equal(small(steps=5).fit(X, y).encode(X), first)
    assert not np.allclose(small(steps=5, seed=1).fit(X, y).encode(X), first)


def test_probabilities_sum_to_1_and_lead_to_the_prediction(sines: Callable) -> None:
    X, y = sines(20, seed=0)
    fcn = small(steps=5).fit(X, y)
    probabilities = fcn.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(fcn.classes_[probabilities.argmax(axis=1)], fcn.predict(X))


@pytest.mark.parametrize(("n_channels", "n_timepoints"), [(1, 8), (12, 8), (1, 1000), (1, 1)])
def test_short_long_and_many_channels(sines: Callable, n_channels: int, n_timepoints: int) -> None:
    X, y = sines(6, seed=0, n_channels=n_channels, n_timepoints=n_timepoints)
    assert np.isfinite(small(steps=2).fit(X, y).encode(X)).all()


def test_missing_values_and_two_series_only(sines: Callable) -> None:
    X, y = sines(2, seed=0)
    X[0, 0, :5] = np.nan
    assert np.isfinite(small(steps=2).fit(X, y).encode(X)).all()


def test_labels_that_cannot_be_learned_are_refused(sines: Callable) -> None:
    X, y = sines(6, seed=0)
    with pytest.raises(InputError, match="one class"):
        small().fit(X, np.full(6, "fast"))
    with pytest.raises(InputError, match=r"y has shape \(5,\); allowed: \(6,\)"):
        small().fit(X, y[:5])
    with pytest.raises(InputError, match="y is missing"):
        small().fit(X)


def test_progress_ends_at_the_total(sines: Callable) -> None:
    X, y = sines(6, seed=0)
    calls: list[tuple[int, int]] = []
    small(steps=13).fit(X, y, progress=lambda stage, done, total, note="": calls.append((done, total)))
    assert calls == [(10, 13), (13, 13)]


def test_the_step_budget_grows_with_the_set_and_is_bounded_by_time() -> None:
    budgets = [default_steps(n, 100) for n in (2, 67, 500, 1000, 10**6)]
    assert budgets == [301, 340, 600, 900, 2400]
    assert default_steps(10**6, 1) == 240_000
    assert default_steps(10**6, 5000) == 1200


def test_a_fit_that_is_refused_leaves_the_encoder_as_it_was(sines: Callable) -> None:
    X, y = sines(20, seed=0)
    fcn, rocket = small(steps=3).fit(X, y), Rocket(n_kernels=10).fit(X)
    before = fcn.encode(X), rocket.encode(X)
    for refused in (lambda: fcn.fit(1000 * X), lambda: rocket.fit(1000 * X[:, :, :1])):
        with pytest.raises(InputError):
            refused()
    assert np.array_equal(fcn.encode(X), before[0])
    assert np.array_equal(rocket.encode(X), before[1])
    fresh = small()
    with pytest.raises(InputError, match="y is missing"):
        fresh.fit(X)
    with pytest.raises(InputError, match="not fitted"):
        fresh.encode(X)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_filters": (4, 4)}, "kernels is .*; allowed: as many as n_filters, 2"),
        ({"n_filters": (0, 4, 4)}, "n_filters is .*; allowed: at least one whole number, each at least 1"),
        ({"n_filters": (), "kernels": ()}, "n_filters is"),
    ],
)
def test_impossible_settings_are_refused(sines: Callable, settings: dict, message: str) -> None:
    X, y = sines(10, seed=0)
    with pytest.raises(InputError, match=message):
        FCN(**settings).fit(X, y)


def test_accuracy_wants_a_label_for_each_series(sines: Callable) -> None:
    X, y = sines(10, seed=0)
    with pytest.raises(InputError, match="FCN is not fitted"):
        FCN().predict(X)
    fitted = FCN(n_filters=(4,), kernels=(3,), steps=1).fit(X, y)
    for wrong in (y[:1], y[:, None]):
        with pytest.raises(InputError, match=r"y has shape .*; allowed: \(10,\)"):
            fitted.accuracy(X, wrong)
