"""The picture of samples: rows, ranges and bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from timeloom.errors import InputError
from timeloom.evaluation import plot_samples
from timeloom.evaluation.plots import _draw, by_class

PNG = b"\x89PNG\r\n\x1a\n"


def test_writes_the_same_png_each_time_and_nothing_else(sines: Callable, tmp_path: Path) -> None:
    X, y = sines(30, seed=0)
    for name in ("a.png", "b.png"):
        plot_samples(tmp_path / "new" / name, X, y, X + 0.1, y)
    first, second = sorted((tmp_path / "new").iterdir())
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().startswith(PNG)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"a.png", "b.png"}


def test_a_row_for_each_class_and_channel_with_shared_range(sines: Callable) -> None:
    X, y = sines(30, seed=0, n_channels=2)
    named = _draw(by_class(X, y, X, y), 4, ["pulse", "$1_a$ rate"])
    assert named.axes[2].get_title(loc="left") == "class fast: real, $1_a$ rate (n = 15)"
    assert not named.axes[2]._left_title.get_parse_math()  # a dollar is a dollar
    figure = _draw(by_class(X, y, 3 + X[:10], y[:10]), 4, None)
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert len(titles) == 2 * 2 * 2
    assert titles[0] == "class fast: real, channel 0 (n = 15)"
    assert titles[-1] == "class slow: synthetic, channel 1 (n = 5)"
    for left, right in zip(figure.axes[::2], figure.axes[1::2], strict=True):
        assert left.get_ylim() == right.get_ylim()
        assert len(left.lines) == 4 + 1
    low, high = figure.axes[0].get_ylim()
    assert low < X[y == "fast", 0].min()
    assert high > np.quantile(3 + X[:10][y[:10] == "fast", 0], 0.95, axis=0).max()


def test_one_stray_synthetic_series_does_not_flatten_the_rest(sines: Callable) -> None:
    X, _ = sines(60, seed=0)
    stray = X.copy()
    stray[0] = 1e4
    figure = _draw(by_class(X, None, stray, None), 10, None)
    assert figure.axes[0].get_ylim()[1] < 10
    assert len(figure.axes) == 2


def test_the_median_line_is_the_median(sines: Callable) -> None:
    X, _ = sines(31, seed=0)
    panel = _draw(by_class(X, None, X, None), 10, None).axes[0]
    np.testing.assert_allclose(panel.lines[-1].get_ydata(), np.median(X[:, 0], axis=0), atol=1e-6)


def test_gaps_constants_missing_classes_and_many_classes(sines: Callable, tmp_path: Path) -> None:
    X, y = sines(40, seed=0)
    X[:, :, 3] = np.nan
    X[y == "slow"] = 2.0
    plot_samples(tmp_path / "gaps.png", X, y, X[y == "fast"], y[y == "fast"])
    many = np.arange(40) % 20
    assert [title for title, _, _ in by_class(X, many, X, many)] == [f"class {label}: " for label in range(12)]
    plot_samples(tmp_path / "empty.png", np.full((2, 1, 5), np.nan), None, np.zeros((1, 1, 5)), None)


def test_series_and_labels_that_do_not_fit_are_refused(sines: Callable, tmp_path: Path) -> None:
    X, y = sines(6, seed=0)
    with pytest.raises(InputError, match=r"X_synthetic has \(channels, length\) \(1, 20\)"):
        plot_samples(tmp_path / "x.png", X, y, X[:, :, :20], y)
    with pytest.raises(InputError, match=r"y_synthetic has shape \(5,\)"):
        plot_samples(tmp_path / "x.png", X, y, X, y[:5])
    assert not list(tmp_path.iterdir())
