"""The codebook study: what is read of a tokenizer, and the pictures that are drawn of it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from core_helpers import sines, two_grids, two_splits
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import to_rgb
from sklearn.decomposition import PCA

from timeloom.errors import InputError
from timeloom.evaluation import codebook_pictures
from timeloom.evaluation.codebook_pictures import GridUse, class_use, code_maps, cooccurrences, histograms
from timeloom.evaluation.measures.codes import neighbour_counts, pointwise_information, total_variation
from timeloom.evaluation.measures.tokens import code_cosine, perplexity
from timeloom.stages import encode, study_codebook


def use_of(train: np.ndarray, labels: list | None = None, size: int = 6, name: str = "a grid") -> GridUse:
    """A grid whose test split is its training split twice."""
    codes = np.random.default_rng(0).standard_normal((size, 3)).astype(np.float32)
    tokens = np.asarray(train)[..., None]
    return GridUse(name, codes, tokens, np.concatenate([tokens, tokens]), None if labels is None else np.array(labels))


def title(axes: Axes) -> str:
    return axes.get_title(loc="left")


def mesh(axes: Axes) -> np.ma.MaskedArray:
    (found,) = [of for of in axes.collections if isinstance(of, QuadMesh)]
    return np.ma.asarray(found.get_array())


# ---- what is read


@pytest.mark.parametrize("level", [0, 1])
def test_each_grid_has_its_own_tokens_and_codes(level: int) -> None:
    uses = study_codebook.read(two_grids(), two_splits(), level)
    wanted = encode.encode(two_grids(), two_splits().X_train, "tokens")[..., level]
    assert np.array_equal(np.concatenate([use.train[..., 0] for use in uses], axis=1), wanted)
    assert [use.name for use in uses] == [f"grid 0, level {level}", f"grid 1, level {level}"]
    for use, grid, cells in zip(uses, two_grids().grids, two_grids().layout.grids, strict=True):
        assert use.train.shape == (40, cells, 1)
        assert use.test.shape == (30, cells, 1)
        assert np.array_equal(use.codes, grid.quantizer.codebooks[level].detach().numpy())


def test_data_without_a_test_split_have_one_held_out() -> None:
    (use, _) = study_codebook.read(two_grids(), sines(40, channels=2))
    assert (len(use.train), len(use.test)) == (32, 8)
    assert use.labels is not None
    assert len(use.labels) == 32


@pytest.mark.parametrize("level", [-1, 2])
def test_a_level_that_is_not_there_is_refused(level: int) -> None:
    with pytest.raises(InputError, match=rf"level is {level}; .* has 2; allowed: 0\.\.1"):
        study_codebook.read(two_grids(), two_splits(), level)


def test_a_study_writes_four_pictures_and_leaves_the_tokenizer_as_it_was(tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in two_grids().state_dict().items()}
    found = study_codebook.run(two_grids(), two_splits(), tmp_path / "new")
    after = two_grids().state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not two_grids().training
    files = {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()}
    assert sorted(files) == ["classes.png", "codes.png", "cooccurrence.png", "histograms.png"]
    assert all(content.startswith(b"\x89PNG") for content in files.values())
    for use in study_codebook.read(two_grids(), two_splits()):
        figures = found[use.name]
        assert figures.used == len(np.unique(use.train))
        assert figures.codebook_size == 8
        assert figures.perplexity == perplexity(use.train, 8)
        assert figures.cosine == code_cosine(use.train, use.codes[None])


def test_without_labels_there_is_no_picture_of_classes(tmp_path: Path) -> None:
    study_codebook.run(two_grids(), dataclasses.replace(two_splits(), y_train=None, y_test=None), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codes.png", "cooccurrence.png", "histograms.png"]
    with pytest.raises(InputError, match="needs labels; the data have none"):
        class_use([use_of([[0, 1]])])


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(InputError, match="taken: is a file, expected a folder"):
        study_codebook.run(two_grids(), two_splits(), tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


# ---- what is drawn


def test_dots_have_the_area_of_their_use_and_the_colour_of_the_class_that_uses_them_most() -> None:
    # class b is larger and uses code 1 more often in all, but a smaller share of its tokens there
    train = [[0, 1, 1, 2], [2, 2, 2, 1], [2, 2, 2, 1], [2, 2, 2, 1]]
    figure = code_maps([use_of(train, ["a", "b", "b", "b"])])
    (panel,) = figure.axes
    share = PCA(2).fit(use_of(train).codes).explained_variance_ratio_.sum()
    assert title(panel) == f"a grid, PCA ({100 * share:.0f} % of the variance): 3 of 6 codes used"
    assert panel.get_xlabel() == "no UMAP: it needs more than 30 codes"
    dead, dots = [of for of in panel.collections if isinstance(of, PathCollection)]
    assert len(dead.get_offsets()) == 3
    areas = dots.get_sizes()
    np.testing.assert_allclose(areas / areas.max(), np.array([10, 5, 1]) / 10)
    a, b = (of.get_markerfacecolor() for of in figure.legends[0].legend_handles[:2])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["class a", "class b", "not used"]
    assert [tuple(face[:3]) for face in dots.get_facecolor()] == [to_rgb(b), to_rgb(a), to_rgb(a)]
    points = np.concatenate([of.get_offsets() for of in (dead, dots)])
    assert len(np.unique(points, axis=0)) == 6


def test_classes_without_a_colour_of_their_own_are_counted_and_without_labels_codes_are_grey() -> None:
    train = np.arange(20).reshape(10, 2)
    figure = code_maps([use_of(train, [f"class number {index}" for index in range(10)], size=20)])
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(words) == 9
    assert words[-1] == "2 other classes"
    unlabelled = code_maps([use_of(train, size=20)])
    assert [text.get_text() for text in unlabelled.legends[0].get_texts()] == ["codes in use"]
    assert unlabelled.legends[0].legend_handles[0].get_markerfacecolor() == codebook_pictures.GREY
    figure.draw_without_rendering()


def test_a_map_that_cannot_be_drawn_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    figure = code_maps([use_of(np.arange(32).reshape(8, 4), size=32)])
    (panel,) = figure.axes
    assert title(panel).startswith("a grid, PCA (")
    assert panel.get_xlabel() == "no UMAP: it needs umap-learn: pip install timeloom[umap]"


def test_codes_of_one_dimension_lie_on_a_line() -> None:
    use = dataclasses.replace(use_of([[0, 1], [2, 2]]), codes=np.arange(6, dtype=np.float32)[:, None])
    figure = code_maps([use])
    figure.draw_without_rendering()
    assert title(figure.axes[0]).startswith("a grid, PCA")


def test_bars_are_sorted_and_the_title_has_the_distance_between_the_splits() -> None:
    same, other = use_of([[2, 2], [2, 0]], name="same"), use_of([[2, 2], [2, 0]], name="other")
    other = dataclasses.replace(other, test=np.array([[[4], [4]], [[2], [2]]]))
    figure = histograms([same, other])
    (bars,) = figure.axes[0].patches
    assert bars.get_data().values.tolist() == [75, 25]
    assert figure.axes[1].lines[0].get_ydata().tolist() == [50, 0, 50]
    assert title(figure.axes[0]).startswith("same: total variation 0.000 between the splits (by chance 0.")
    moved = float(total_variation(other.shares, other.test_shares))
    assert f"total variation {moved:.3f}" in title(figure.axes[1])


def test_pairs_are_those_of_the_most_used_codes() -> None:
    train = np.random.default_rng(0).integers(0, 40, (60, 9)) ** 2 // 40
    use = use_of(train, size=40)
    figure = cooccurrences([use])
    left, right = figure.axes[:2]
    most = np.argsort(-use.shares, kind="stable")[: codebook_pictures.MOST_PAIRED]
    assert [int(text.get_text()) for text in left.get_yticklabels()] == most.tolist()
    counts = neighbour_counts(use.train, 40)[0]
    assert np.array_equal(mesh(left).filled(0), counts[np.ix_(most, most)])
    told = ~np.ma.getmaskarray(mesh(right))
    wanted = pointwise_information(counts)[np.ix_(most, most)]
    np.testing.assert_allclose(mesh(right)[told], wanted[told])
    by_chance = np.outer(counts.sum(axis=1), counts.sum(axis=0))[np.ix_(most, most)] / counts.sum()
    assert np.array_equal(told, (mesh(left).filled(0) >= 5) | (by_chance >= 5))
    assert told.any()
    assert not told.all()
    low, high = right.collections[0].get_clim()
    assert low == -high, "white is chance"


@pytest.mark.parametrize("rows", [1, 3, 10, 15, 200])
def test_numbers_of_pairs_are_read_off_a_scale_of_plain_numbers(rows: int) -> None:
    figure = cooccurrences([use_of(np.tile(np.arange(6), (rows, 1)))])
    figure.draw_without_rendering()
    scale = figure.axes[2].yaxis
    labels = [of.get_text() for of in (*scale.get_ticklabels(), *scale.get_ticklabels(minor=True))]
    assert all(label.isdigit() for label in labels if label)
    assert any(labels)


def test_codes_that_never_meet_though_they_should_are_the_bluest() -> None:
    train = np.tile([[0, 0, 0], [1, 1, 1]], (20, 1))
    figure = cooccurrences([use_of(train)])
    right = figure.axes[1]
    assert not np.ma.getmaskarray(mesh(right))[[0, 1], [1, 0]].any()
    assert (mesh(right)[[0, 1], [1, 0]] == right.collections[0].get_clim()[0]).all()


@pytest.mark.parametrize(("size", "angle"), [(40, 0), (41, 90), (128, 90)])
def test_codes_are_numbered_as_long_as_there_is_room(size: int, angle: int) -> None:
    panel = class_use([use_of(np.arange(size)[None], ["a"], size=size)]).axes[0]
    labels = panel.get_xticklabels()
    assert [int(label.get_text()) for label in labels] == list(range(size))
    assert {label.get_rotation() for label in labels} == {angle}


def test_one_cell_has_no_neighbours_and_says_so() -> None:
    figure = cooccurrences([use_of([[0], [1]])])
    assert [panel.texts[0].get_text() for panel in figure.axes] == ["one cell: it has no neighbours"] * 2


def test_a_single_code_is_drawn_everywhere() -> None:
    uses = [use_of([[3, 3], [3, 3]], ["a", "b"])]
    for figure in (code_maps(uses), histograms(uses), cooccurrences(uses), class_use(uses)):
        figure.draw_without_rendering()


def test_codes_stand_beside_those_that_the_same_class_uses_most() -> None:
    # shares of class a: code 0 1/4, 1 3/4; of b: 0 1/2, 4 1/2
    figure = class_use([use_of([[0, 1, 1, 1], [0, 0, 4, 4]], ["a$", "b"])])
    panel = figure.axes[0]
    assert [text.get_text() for text in panel.get_xticklabels()] == ["1", "0", "4"]
    assert [text.get_text() for text in panel.get_yticklabels()] == ["a$ (1)", "b (1)"]
    np.testing.assert_allclose(mesh(panel), [[75, 25, 0], [0, 50, 50]])


def test_classes_and_codes_beyond_what_can_be_read_are_left_out_and_it_is_said() -> None:
    train = np.arange(70 * 3).reshape(70, 3)
    figure = class_use([use_of(train, list(range(70)), size=210)])
    panel = figure.axes[0]
    assert mesh(panel).shape == (60, 128)
    assert title(panel) == "a grid: use of codes by class (the first 60 of 70 classes)"
    assert panel.get_xlabel() == "the 128 most used of 210 codes"
    assert len(panel.get_xticklabels()) == 128
    assert histograms([use_of(train, size=210)]).axes[0].get_xticklabels() == []
