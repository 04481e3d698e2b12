"""Tiny data that the command-line tests share."""

from __future__ import annotations

import numpy as np


def waves(n: int = 40, channels: int = 1, length: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two classes of noisy sines."""
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(n) % 2 == 0, "slow", "fast")
    speed = np.where(y == "slow", 1.0, 3.0)[:, None, None]
    phase = rng.uniform(0, 6, (n, channels, 1))
    X = np.sin(speed * np.linspace(0, 6, length) + phase) + 0.1 * rng.standard_normal((n, channels, length))
    return X.astype(np.float32), y
