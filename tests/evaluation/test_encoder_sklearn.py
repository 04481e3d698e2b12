"""Encoders among scikit-learn's tools: clone, settings, pipelines, cross-validation and search."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from timeloom.encoders import ENCODERS, FCN, Rocket, TS2Vec
from timeloom.errors import InputError

KINDS = pytest.mark.parametrize("kind", list(ENCODERS))


@KINDS
def test_a_clone_has_the_settings_and_has_learned_nothing(sines: Callable, small_encoder: Callable, kind: str) -> None:
    X, y = sines(8, seed=0)
    fitted = small_encoder(kind).fit(X, y)
    twin = clone(fitted)
    assert type(twin) is type(fitted)
    assert twin.get_params() == fitted.get_params() == small_encoder(kind).settings
    check_is_fitted(fitted)
    with pytest.raises(InputError, match="not fitted"):
        twin.transform(X)
    np.testing.assert_array_equal(twin.fit(X, y).encode(X), fitted.encode(X))


def test_a_clone_shares_no_setting_that_can_change() -> None:
    widths = [8, 8]
    twin = clone(FCN().set_params(n_filters=widths))
    widths.append(4)
    assert list(twin.n_filters) == [8, 8]


@KINDS
def test_transform_is_encode(sines: Callable, small_encoder: Callable, kind: str) -> None:
    X, y = sines(8, seed=0)
    fitted = small_encoder(kind)
    at_once = fitted.fit_transform(X, y)
    assert at_once.shape[0] == 8
    np.testing.assert_array_equal(at_once, small_encoder(kind).fit(X, y).encode(X))
    np.testing.assert_array_equal(fitted.transform(X[:3]), fitted.encode(X[:3]))


@KINDS
def test_a_pipeline_learns_from_series_and_labels(sines: Callable, small_encoder: Callable, kind: str) -> None:
    X, y = sines(60, seed=0, n_channels=2)
    X[1, :, 20:] = np.nan
    X[2, 0, 4] = np.nan
    X_new, y_new = sines(60, seed=1, n_channels=2)
    model = make_pipeline(small_encoder(kind), StandardScaler(), SVC()).fit(X, y)
    assert model.score(X_new, y_new) > 0.7
    assert type(model[0]).__name__ in repr(model)
    assert "not fitted" not in model._repr_html_().lower()


def test_cross_validation_and_search_reach_the_settings(sines: Callable) -> None:
    X, y = sines(24, seed=0)
    model = make_pipeline(Rocket(), StandardScaler(), SVC())
    assert cross_val_score(model.set_params(rocket__n_kernels=20), X, y, cv=2).mean() > 0.8
    search = GridSearchCV(model, {"rocket__n_kernels": [5, 20], "rocket__seed": [1]}, cv=2).fit(X, y)
    best = search.best_estimator_[0]
    assert (best.n_kernels, best.seed) == (search.best_params_["rocket__n_kernels"], 1)
    assert best.encode(X).shape == (24, 2 * best.n_kernels)


def test_a_supervised_encoder_without_labels_says_so(sines: Callable) -> None:
    X, _ = sines(6, seed=0)
    with pytest.raises(InputError, match="y is missing"):
        make_pipeline(FCN(steps=1), StandardScaler()).fit(X)


def test_an_unknown_setting_is_named_and_changes_nothing() -> None:
    encoder = TS2Vec(seed=5)
    expected = re.escape("TS2Vec has no setting 'sede'; allowed: output_dims, hidden_dims, depth,")
    with pytest.raises(InputError, match=expected):
        encoder.set_params(depth=2, sede=3)
    assert encoder.depth == 10
    assert encoder.set_params(depth=2) is encoder
    assert repr(encoder) == "TS2Vec(depth=2, seed=5)"


@pytest.mark.parametrize(
    ("kind", "change"),
    [("rocket", {"n_kernels": 31}), ("ts2vec", {"depth": 4}), ("timedrl", {"patch_length": 8}), ("fcn", {"seed": 4})],
)
def test_a_setting_that_changed_after_fit_wants_another_fit(
    sines: Callable, small_encoder: Callable, tmp_path: Path, kind: str, change: dict[str, int]
) -> None:
    X, y = sines(10, seed=0)
    encoder = small_encoder(kind).fit(X, y).set_params(**change)
    name = next(iter(change))
    for work in (lambda: encoder.encode(X), lambda: encoder.save(tmp_path / "saved")):
        with pytest.raises(InputError, match=f"was fitted with {name} = .*, which is {change[name]} now"):
            work()
    assert not (tmp_path / "saved").exists()
    assert encoder.fit(X, y).encode(X).shape[0] == 10
