"""Two classes of noisy sines: fast and slow, with a random phase and amplitude; and small encoders of every kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from timeloom.encoders import ENCODERS, FCN, FEI, Catch22, Rocket, StoredEncoder, TimeDRL, TS2Vec

Labelled = tuple[NDArray[np.float32], NDArray[np.str_]]


def make_sines(n_cases: int, seed: int, n_channels: int = 1, n_timepoints: int = 24) -> Labelled:
    """Series (n_cases, n_channels, n_timepoints) and labels "fast" (even rows) and "slow" (odd rows)."""
    rng = np.random.default_rng(seed)
    labels = np.where(np.arange(n_cases) % 2 == 0, "fast", "slow")
    frequency = np.where(labels == "fast", 4.0, 1.5)[:, None, None]
    phase = rng.uniform(0, 2 * np.pi, (n_cases, n_channels, 1))
    amplitude = rng.uniform(0.8, 1.2, (n_cases, 1, 1))
    time = np.arange(n_timepoints) / n_timepoints
    series = amplitude * np.sin(2 * np.pi * frequency * time + phase)
    return (series + 0.1 * rng.standard_normal(series.shape)).astype(np.float32), labels


@pytest.fixture(scope="session")
def sines() -> Callable[..., Labelled]:
    """The function that makes labelled sines."""
    return make_sines


def make_small_encoder(kind: str) -> StoredEncoder:
    """An encoder that is fitted in no time; of every argument that matters to its size, not the default."""
    if kind == "catch22":
        pytest.importorskip("pycatch22")
        return Catch22(catch24=False)
    small: dict[str, StoredEncoder] = {
        "fcn": FCN(n_filters=(8, 16, 8), kernels=(5, 4, 3), steps=5, seed=3),
        "rocket": Rocket(n_kernels=30, seed=3),
        "ts2vec": TS2Vec(output_dims=12, hidden_dims=8, depth=3, steps=3, seed=3),
        "timedrl": TimeDRL(dims=8, layers=1, heads=2, patch_length=6, patch_stride=4, steps=3, seed=3),
        "fei": FEI(widths=(8, 12, 16), steps=3, seed=3),
    }
    assert {"catch22", *small} == set(ENCODERS)
    return small[kind]


@pytest.fixture(scope="session")
def small_encoder() -> Callable[[str], StoredEncoder]:
    """The function that makes small encoders."""
    return make_small_encoder
