"""The sheet of views: a panel for each, the same series in all, and their views over them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from numpy.testing import assert_allclose

from timeloom.data import Scaler
from timeloom.errors import InputError
from timeloom.evaluation.views_sheet import views_sheet
from timeloom.ssl.views import VIEWS


def lines(figure: Figure, name: str) -> list[np.ndarray]:
    (panel,) = [axes for axes in figure.axes if axes.get_title(loc="left").split(":")[0] == name]
    return [np.asarray(line.get_ydata()) for line in panel.lines]


def test_each_view_has_a_panel_with_the_series_and_its_view(sines: Callable) -> None:
    X = sines(12, seed=0, n_channels=2)[0] * 50 + 7
    figure = views_sheet(X, seed=3)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title.split(":")[0] for title in titles[: len(VIEWS)]] == list(VIEWS)
    scaled = Scaler.fit(X).transform(X)
    rows = np.sort(np.random.default_rng(3).permutation(12)[:3])
    for name, view in VIEWS.items():
        drawn = lines(figure, name)
        seen = view(torch.from_numpy(scaled[rows]), torch.Generator().manual_seed(3)).numpy()
        for index in range(3):
            before, after = drawn[index], drawn[3 + index]
            # the series are set apart by a constant, the same for a series and its view
            shift = before[0] - scaled[rows[index], 0, 0]
            assert_allclose(before, scaled[rows[index], 0] + shift, atol=1e-5)
            assert_allclose(after, seen[index, 0] + shift, atol=1e-5)


def test_all_panels_have_the_same_axes_and_the_series_lie_apart(sines: Callable) -> None:
    figure = views_sheet(sines(12, seed=0)[0], seed=0)
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes}) == 1
    first, second, third = lines(figure, "gauss")[:3]
    assert first.min() > second.max() > second.min() > third.max()


def test_the_seed_decides_the_picture_and_gaps_are_filled(sines: Callable) -> None:
    X = sines(12, seed=0)[0]
    X[:, 0, 5:8] = np.nan
    state = torch.get_rng_state()
    first, again, other = (
        np.stack([line for name in VIEWS for line in lines(figure, name)])
        for figure in (views_sheet(X, seed=seed) for seed in (0, 0, 1))
    )
    assert np.isfinite(first).all()
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_a_channel_absent_from_a_series_lies_at_its_mean_and_leaves_the_scale(sines: Callable) -> None:
    X = sines(3, seed=0, n_channels=2)[0] + 1000
    X[0, 0] = np.nan
    absent, *others = lines(views_sheet(X, seed=0), "gauss")[:3]
    assert np.ptp(absent) == 0
    # far from 1000 a 0 would press the others flat
    assert min(map(np.ptp, others)) > 1


@pytest.mark.parametrize(("names", "title"), [(None, "3 series, channel 1"), (("still", "pulse"), "3 series, pulse")])
def test_a_channel_that_never_varies_is_not_the_one_that_is_drawn(
    sines: Callable, names: tuple[str, ...] | None, title: str
) -> None:
    X = sines(3, seed=0, n_channels=2)[0]
    X[:, 0] = np.arange(3)[:, None]
    figure = views_sheet(X, seed=0, channels=names)
    assert min(map(np.ptp, lines(figure, "gauss")[:3])) > 1
    assert [axes.get_legend().get_title().get_text() for axes in figure.axes if axes.get_legend()] == [title]


def test_one_constant_series_is_drawn() -> None:
    figure = views_sheet(np.full((1, 1, 8), 4.0), seed=0)
    assert [len(lines(figure, name)) for name in VIEWS] == [2] * len(VIEWS)
    figure.draw_without_rendering()


def test_what_is_no_set_of_series_is_refused() -> None:
    with pytest.raises(InputError, match="X: series have length 7; at least 8"):
        views_sheet(np.zeros((3, 1, 7)), seed=0)
