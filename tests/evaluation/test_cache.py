"""The encoder cache: when it fits, when it does not, and that a broken disk costs time but no result."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from timeloom.encoders import FCN, Rocket, StoredEncoder
from timeloom.evaluation.cache import FOLDER_VARIABLE, EncoderCache, default_folder


class Fits:
    """A progress callable that counts the fits: a ROCKET reports once a fit, an FCN of two steps too."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        self.count += 1


@pytest.fixture
def series(sines: Callable[..., Any]) -> NDArray[np.float32]:
    X: NDArray[np.float32] = sines(12, seed=0)[0]
    return X


def rocket(seed: int = 0, n_kernels: int = 6) -> Rocket:
    return Rocket(n_kernels=n_kernels, seed=seed)


def fcn(seed: int = 0) -> FCN:
    return FCN(n_filters=(4,), kernels=(3,), steps=2, seed=seed)


def refits(cache: EncoderCache, encoder: StoredEncoder, X: NDArray, y: NDArray | None = None) -> bool:
    fits = Fits()
    cache.fitted(encoder, X, y, progress=fits)
    assert fits.count <= 1
    return fits.count == 1


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 64 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# ---- fits


@pytest.mark.parametrize("on_disk", [True, False])
def test_the_same_fit_happens_once(tmp_path: Path, series: NDArray, on_disk: bool) -> None:
    cache = EncoderCache(tmp_path if on_disk else None)
    first = cache.fitted(rocket(), series)
    assert not refits(cache, rocket(), series)
    assert cache.fitted(rocket(), series.copy()) is first
    assert any(tmp_path.iterdir()) == on_disk


def test_another_process_would_read_the_fit_from_disk(tmp_path: Path, series: NDArray) -> None:
    y = np.arange(12) % 2
    for make in (rocket, fcn):
        first = EncoderCache(tmp_path).fitted(make(), series, y)
        later = EncoderCache(tmp_path)
        assert not refits(later, make(), series, y)
        np.testing.assert_array_equal(later.fitted(make(), series, y).encode(series), first.encode(series))
    assert refits(EncoderCache(), rocket(), series)


def test_other_data_settings_seeds_and_kinds_are_fitted_anew(tmp_path: Path, series: NDArray) -> None:
    cache = EncoderCache(tmp_path)
    cache.fitted(rocket(), series)
    changed = series.copy()
    changed[5, 0, 3] += 1e-3
    for encoder, X in (
        (rocket(), changed),
        (rocket(), series[:, :, :-1]),
        (rocket(), series.reshape(6, 2, 24)),
        (rocket(), series[::-1]),
        (rocket(seed=1), series),
        (rocket(n_kernels=7), series),
    ):
        assert refits(cache, encoder, X)
        assert not refits(cache, encoder, X)
    assert refits(cache, fcn(), series, np.arange(12) % 2)


def test_other_labels_are_fitted_anew(tmp_path: Path, series: NDArray) -> None:
    cache, y = EncoderCache(tmp_path), np.arange(12) % 2
    cache.fitted(fcn(), series, y)
    for other in (1 - y, y.astype(str), np.arange(12) % 3):
        assert refits(cache, fcn(), series, other)
    assert not refits(cache, fcn(), series, y.copy())


# ---- broken files


@pytest.mark.parametrize("damage", ["weights", "card", "missing"])
def test_a_damaged_entry_is_fitted_and_written_again(tmp_path: Path, series: NDArray, damage: str) -> None:
    whole = EncoderCache(tmp_path).fitted(rocket(), series)
    (entry,) = tmp_path.iterdir()
    if damage == "missing":
        (entry / "model.safetensors").unlink()
    else:
        path = entry / ("model.safetensors" if damage == "weights" else "config.json")
        path.write_bytes(path.read_bytes()[:-10])
    fits = Fits()
    again = EncoderCache(tmp_path).fitted(rocket(), series, progress=fits)
    assert fits.count == 1
    np.testing.assert_array_equal(again.encode(series), whole.encode(series))
    assert not refits(EncoderCache(tmp_path), rocket(), series)


def test_a_folder_that_cannot_be_made_loses_nothing(tmp_path: Path, series: NDArray) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = EncoderCache(tmp_path / "file")
    fitted = cache.fitted(rocket(), series)
    (features,) = cache.outputs(fitted, lambda X: (fitted.encode(X),), series)
    np.testing.assert_array_equal(features, rocket().fit(series).encode(series))
    assert not refits(cache, rocket(), series)


def test_a_full_disk_loses_nothing(tmp_path: Path, series: NDArray) -> None:
    with full_disk():
        fitted = EncoderCache(tmp_path).fitted(rocket(), series)
    np.testing.assert_array_equal(fitted.encode(series), rocket().fit(series).encode(series))


# ---- outputs


def test_outputs_are_those_of_the_function_and_computed_once(tmp_path: Path, series: NDArray) -> None:
    calls = []

    def both(X: NDArray) -> tuple[NDArray, ...]:
        calls.append(len(X))
        return encoder.encode_and_classify(X)

    y = np.arange(12) % 2
    for expected_calls in ([12], [12]):
        cache = EncoderCache(tmp_path)
        encoder = cache.fitted(fcn(), series, y)
        for _ in range(2):
            found = cache.outputs(encoder, both, series)
            for part, direct in zip(found, encoder.encode_and_classify(series), strict=True):
                np.testing.assert_array_equal(part, direct)
        assert calls == expected_calls
    cache.outputs(encoder, both, series[:7])
    assert calls == [12, 7]


def test_outputs_of_two_functions_and_encoders_are_kept_apart(tmp_path: Path, series: NDArray) -> None:
    cache = EncoderCache(tmp_path)
    first, second = cache.fitted(rocket(), series), cache.fitted(rocket(seed=1), series)

    def halved(X: NDArray) -> tuple[NDArray, ...]:
        return (first.encode(X) / 2,)

    def plain(X: NDArray) -> tuple[NDArray, ...]:
        return (first.encode(X),)

    def other(X: NDArray) -> tuple[NDArray, ...]:
        return (second.encode(X),)

    other.__name__ = "plain"
    results = [cache.outputs(*pair, series)[0] for pair in ((first, plain), (first, halved), (second, other))]
    np.testing.assert_array_equal(results[1], results[0] / 2)
    np.testing.assert_array_equal(results[2], second.encode(series))


def test_damaged_outputs_are_computed_and_written_again(tmp_path: Path, series: NDArray) -> None:
    calls = []

    def features(X: NDArray) -> tuple[NDArray, ...]:
        calls.append(len(X))
        return (encoder.encode(X),)

    cache = EncoderCache(tmp_path)
    encoder = cache.fitted(rocket(), series)
    (whole,) = cache.outputs(encoder, features, series)
    (path,) = tmp_path.glob("*/outputs-*")
    path.write_bytes(path.read_bytes()[:-10])
    for _ in range(2):
        later = EncoderCache(tmp_path)
        encoder = later.fitted(rocket(), series)
        np.testing.assert_array_equal(later.outputs(encoder, features, series)[0], whole)
    assert calls == [12, 12]


# ---- the folder


def test_the_folder_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    for unset in (None, ""):
        if unset is None:
            monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        else:
            monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert default_folder() == tmp_path / "home" / ".cache" / "timeloom"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder() == tmp_path / "xdg" / "timeloom"
    monkeypatch.setenv("TIMELOOM_CACHE", str(tmp_path / "own"))
    assert default_folder() == tmp_path / "own"
