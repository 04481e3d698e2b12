"""The catch22 features against their package, standardised, and where they are not defined."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest

from timeloom.encoders import Catch22
from timeloom.errors import InputError
from timeloom.progress import silent

pycatch22 = pytest.importorskip("pycatch22")


def test_features_are_those_of_the_package_standardised(sines: Callable) -> None:
    X, _ = sines(12, seed=0, n_channels=2)
    scaled = (X - X.mean(axis=(0, 2), keepdims=True, dtype=np.float64)) / X.std(
        axis=(0, 2), keepdims=True, dtype=np.float64
    )
    scaled = scaled.astype(np.float32).astype(np.float64)
    raw = np.array([[pycatch22.catch22_all(list(c), catch24=True)["values"] for c in case] for case in scaled])
    raw = raw.reshape(12, 48)
    deviation = np.where(raw.std(axis=0) > 0, raw.std(axis=0), 1)
    features = Catch22().fit(X).encode(X)
    assert features.shape == (12, 48)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, (raw - raw.mean(axis=0)) / deviation, rtol=1e-3, atol=1e-4)
    varying = raw.std(axis=0) > 0
    assert varying.sum() > 30
    np.testing.assert_allclose(features[:, varying].std(axis=0), 1, rtol=1e-3)
    assert Catch22(catch24=False).fit(X).encode(X).shape == (12, 44)


def test_rounding_is_no_unit(sines: Callable) -> None:
    X, _ = sines(20, seed=0)
    each = ((X - X.mean(axis=2, keepdims=True)) / X.std(axis=2, keepdims=True)).astype(np.float32)
    fitted = Catch22().fit(each)
    shifted = fitted.encode(each + 0.5) - fitted.encode(each)
    assert np.abs(shifted[:, 22]).max() == pytest.approx(0.5, rel=1e-3), "the mean, in the units of the scaled series"
    assert np.abs(shifted).max() < 1


def test_one_odd_series_is_not_all_one_sees(sines: Callable) -> None:
    X, _ = sines(20, seed=0)
    odd = np.concatenate([X, np.zeros_like(X[:1]), 1e6 * X[:1]])
    assert np.abs(Catch22().fit(X).encode(odd)).max() == 20


def test_level_and_amplitude_are_seen_by_the_24_only(sines: Callable) -> None:
    X, _ = sines(12, seed=0)
    short, long = Catch22(catch24=False).fit(X), Catch22().fit(X)
    assert np.abs(long.encode(2 * X + 3) - long.encode(X))[:, -2:].min() > 0.5
    np.testing.assert_allclose(short.encode(2 * X + 3), short.encode(X), atol=0.05)


def test_features_do_not_depend_on_the_batch_and_nothing_is_random(sines: Callable) -> None:
    X, _ = sines(6, seed=0)
    encoder = Catch22().fit(X)
    np.testing.assert_array_equal(encoder.encode(X)[2:4], encoder.encode(X[2:4], batch_size=1))
    np.testing.assert_array_equal(Catch22().fit(X).encode(X), encoder.encode(X))


def test_constant_and_missing_values_give_finite_features(sines: Callable) -> None:
    X, _ = sines(6, seed=0)
    X[0, :, 3:7] = np.nan
    X[1] = np.nan
    X[2] = 4.0
    assert np.isfinite(Catch22().fit(X).encode(X)).all()
    constant = np.ones((3, 1, 10), dtype=np.float32)
    np.testing.assert_array_equal(Catch22().fit(constant).encode(constant), np.zeros((3, 24)))


def test_undefined_features_take_no_part_and_encode_as_the_training_mean() -> None:
    encoder = Catch22().fit(np.random.default_rng(0).standard_normal((6, 1, 20)))
    raw = encoder._raw_features(np.random.default_rng(1).standard_normal((2, 1, 20)).astype(np.float32), silent)
    whole = encoder._standardise(raw)
    raw[0, 3] = np.nan
    features = encoder._standardise(raw)
    assert features[0, 3] == 0
    assert whole[0, 3] != 0
    np.testing.assert_array_equal(np.delete(features[0], 3), np.delete(whole[0], 3))
    np.testing.assert_array_equal(features[1], whole[1])


def test_bad_input_is_refused(sines: Callable) -> None:
    X, _ = sines(4, seed=0)
    with pytest.raises(InputError, match="length 2; allowed: at least 3"):
        Catch22().fit(X[:, :, :2])
    with pytest.raises(InputError, match="not fitted"):
        Catch22().encode(X)
    with pytest.raises(InputError, match="length 20; allowed: 1 channels of length 24"):
        Catch22().fit(X).encode(X[:, :, :20])


def test_a_missing_package_is_named(sines: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    X, _ = sines(4, seed=0)
    monkeypatch.setitem(sys.modules, "pycatch22", None)
    with pytest.raises(InputError, match=r"pip install timeloom\[catch22\]"):
        Catch22().fit(X)


def test_progress_ends_at_the_total(sines: Callable) -> None:
    X, _ = sines(103, seed=0)
    calls: list[tuple[int, int]] = []
    Catch22().fit(X, progress=lambda stage, done, total, note="": calls.append((done, total)))
    assert calls == [(100, 103), (103, 103)]
