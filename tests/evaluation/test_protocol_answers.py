"""What whole reports say of sets whose answers are known: tokens, likelihoods, classes, and sets of unequal size."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from timeloom.errors import InputError
from timeloom.evaluation import EncoderCache, RealData, Report, Settings, TokenViews, evaluate_arrays
from timeloom.evaluation.evidence import Views
from timeloom.evaluation.metrics.metric import matched
from timeloom.evaluation.protocol import _by_class, missing_classes

QUICK = Settings(n_seeds=1, fcn_steps=120, ts2vec_steps=5)
CLASSES = ("fast", "lifted", "slow")


def three(sines: Callable, seed: int, n: int = 90) -> tuple[NDArray, NDArray]:
    """Fast and slow sines, and every third series lifted."""
    X, y = sines(n, seed=seed)
    third = np.arange(n) % 3 == 0
    return (X + 3 * third[:, None, None]).astype(np.float32), np.where(third, "lifted", y)


@pytest.fixture(scope="module")
def report(sines: Callable) -> Report:
    """Synthetic series whose fast ones are called slow and the other way round, and tokens of known frequencies."""
    real, (X, y) = RealData(*three(sines, 0), *three(sines, 1)), three(sines, 2)
    swapped = np.select([y == "fast", y == "slow"], ["slow", "lifted"], "fast")
    codes = np.arange(90 * 6 * 2).reshape(90, 6, 2)
    tokens = TokenViews(
        reconstruction=real.X_test,
        test=codes // 2 % 4,
        train=codes // 2 % 8,
        synthetic=codes // 2 % 2,
        codebook_size=16,
        likelihood=(np.full(90, -2.0), np.full(90, -1.0)),
    )
    metrics = (
        *("recon_fid_fcn", "perplexity", "usage", "token_entropy", "token_gini"),
        *("masked_perplexity", "membership_by_likelihood", "cas", "augmentation_rocket"),
    )
    settings = dataclasses.replace(QUICK, metrics=metrics)
    return evaluate_arrays(real, X, swapped, tokens=tokens, settings=settings, cache=EncoderCache())


def test_tokens_are_counted_on_the_test_split_beside_the_training_split(report: Report) -> None:
    found = {name: (measure.value, measure.floor) for name, measure in report.metrics.items()}
    assert found["usage"] == (4 / 16, 8 / 16)
    assert found["perplexity"] == pytest.approx((4, 8), rel=1e-4)
    assert found["token_entropy"] == pytest.approx((math.log(4), math.log(8)), rel=1e-4)
    assert found["token_gini"] == pytest.approx((12 / 16, 8 / 16), abs=5e-3)
    assert found["masked_perplexity"] == pytest.approx((math.e**2, math.e))
    assert found["membership_by_likelihood"] == (1.0, 0.5)
    assert found["recon_fid_fcn"][0] == pytest.approx(0, abs=1e-6)
    assert found["recon_fid_fcn"][1] > 0.01
    for name, high in {"usage": 1, "perplexity": 16, "token_entropy": math.log(16), "token_gini": 15 / 16}.items():
        low, upper = report.metrics[name].ci95 or (np.nan, np.nan)
        assert 0 <= low <= upper <= high


def test_pictures_show_the_test_split_and_the_synthetic_series_in_their_places(report: Report) -> None:
    assert report.exhibits is not None
    use, matrix = report.exhibits.tokens, report.exhibits.class_matrix
    assert use is not None
    assert matrix is not None
    np.testing.assert_allclose(use.test_shares[:, :5], [[0.25] * 4 + [0]] * 2)
    np.testing.assert_allclose(use.synthetic_shares[:, :3], [[0.5, 0.5, 0]] * 2)
    assert matrix.classes.tolist() == list(CLASSES)
    # rows are the true classes; the synthetic series call fast slow, lifted fast and slow lifted
    np.testing.assert_allclose(matrix.matrices["real"], np.eye(3), atol=0.1)
    np.testing.assert_allclose(matrix.matrices["synthetic"], np.eye(3)[[2, 0, 1]], atol=0.1)


def test_classes_that_the_test_split_lacks_are_not_counted_as_missed(sines: Callable) -> None:
    X_test, y_test = three(sines, 1)
    kept = y_test != "lifted"
    real = RealData(*three(sines, 0), X_test[kept], y_test[kept])
    settings = dataclasses.replace(QUICK, metrics=("cas",))
    # sometimes a classifier calls a fast series lifted: only so does the class have a row
    found = evaluate_arrays(real, *three(sines, 2), settings=dataclasses.replace(settings, fcn_steps=1))
    assert found.exhibits is not None
    matrix = found.exhibits.class_matrix
    assert matrix is not None
    assert "lifted" in matrix.classes
    for shares in matrix.matrices.values():
        for true, row in zip(matrix.classes, shares, strict=True):
            assert np.isnan(row).all() if true == "lifted" else row.sum() == pytest.approx(1)


def test_augmentation_learns_from_both_sets(sines: Callable) -> None:
    """What the few noisy series of the training split cannot tell, and what synthetic ones of one class cannot."""
    X, y = sines(200, seed=0)
    noise = np.random.default_rng(0).standard_normal((12, *X.shape[1:])).astype(np.float32)
    fast = np.flatnonzero(y[12:100] == "fast") + 12

    def augmented(X_train: NDArray, rows: slice | NDArray) -> tuple[float, float]:
        real = RealData(X_train, y[:12], X[100:], y[100:])
        settings = dataclasses.replace(QUICK, metrics=("augmentation_rocket",))
        found = evaluate_arrays(real, X[rows], y[rows], settings=settings).metrics["augmentation_rocket"]
        assert found.value is not None
        assert found.floor is not None
        return found.value, found.floor

    both, few = augmented(X[:12] + 3 * noise, slice(12, 100))
    assert both > few + 0.1
    assert augmented(X[:12], fast)[0] > 0.8


def test_a_class_counts_as_missing_where_chance_would_hardly_miss_it() -> None:
    y_train = np.repeat(["common", "rare"], [95, 5])
    assert missing_classes(y_train, np.full(50, "common")) == []  # 0.95^50 = 0.08
    assert missing_classes(y_train, np.full(60, "common")) == ["rare"]  # 0.95^60 = 0.046
    assert missing_classes(y_train, np.repeat(["common", "rare"], [60, 1])) == []
    assert missing_classes(None, y_train) == missing_classes(y_train, None) == []


def test_ucr_looks_for_classes_among_all_series_that_were_given(sines: Callable) -> None:
    X, y = sines(1200, seed=2)
    # of 600 series one is slow, which 256 by class do without
    rows = np.flatnonzero(y == "fast")
    rows[300] = np.flatnonzero(y == "slow")[0]
    settings = Settings(protocol="ucr", n_seeds=1, fcn_steps=2, metrics=("fid_fcn", "cas"))
    found = evaluate_arrays(RealData(*sines(80, seed=0), *sines(80, seed=1)), X[rows], y[rows], settings=settings)
    assert found.exhibits is not None
    assert "slow" not in found.exhibits.y_synthetic
    assert not [warning for warning in found.warnings if "no synthetic series of class" in warning]


def test_ucr_draws_series_for_distances_by_class(sines: Callable) -> None:
    X, y = sines(1000, seed=2)
    order = np.argsort(y, kind="stable")[200:]  # 300 fast ones before 500 slow ones
    real = RealData(*sines(80, seed=0), *sines(80, seed=1))
    settings = Settings(protocol="ucr", n_seeds=1, fcn_steps=2, metrics=("fid_fcn",))
    by_class, plain = (evaluate_arrays(real, X[order], of, settings=settings) for of in (y[order], None))
    assert by_class.exhibits is not None
    drawn = by_class.exhibits.y_synthetic
    assert np.array_equal(np.unique(drawn, return_counts=True)[1], [96, 160])
    assert any("256 of the 800 synthetic series, drawn by class by the seed" in of for of in by_class.warnings)
    assert any("256 of the 800 synthetic series, drawn by the seed" in of for of in plain.warnings)


@pytest.mark.parametrize("counts", [(500, 300, 7, 1), (16,) * 60, (400, 2)])
def test_rows_by_class_are_drawn_in_the_proportions_of_the_whole(counts: tuple[int, ...]) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    order = np.random.default_rng(1).permutation(len(labels))
    for n in (10, 100, 256, len(labels)):
        rows = _by_class(order, labels, n)
        assert len(set(rows)) == n
        found = np.bincount(labels[rows], minlength=len(counts))
        assert np.abs(found - n * np.array(counts) / len(labels)).max() <= 1
    assert sorted(_by_class(order, labels, 10 * len(labels))) == list(range(len(labels)))
    assert set(_by_class(order[::-1], labels, 100)) != set(_by_class(order, labels, 100))  # drawn by the order


def test_sets_are_compared_with_as_many_series_as_the_floor_has() -> None:
    train, test = np.arange(50), np.arange(9)
    many = matched(Views.draw(test, train, 1000 + np.arange(200), seed=0), seed=1)
    assert len(many.synthetic) == len(many.memoriser) == len(many.floor) == 50
    assert len(set(many.synthetic.tolist())) == 50
    few = matched(Views.draw(test, train, 1000 + np.arange(20), seed=0), seed=1)
    assert len(few.synthetic) == len(few.memoriser) == len(few.floor) == 20


def test_a_narrow_generator_is_seen_however_few_series_it_learned_from(sines: Callable) -> None:
    rng = np.random.default_rng(0)

    def drawn(n: int, spread: float) -> NDArray:
        return (spread * rng.standard_normal((n, 1, 1)) + 0.1 * rng.standard_normal((n, 1, 16))).astype(np.float32)

    real = RealData(drawn(30, 1), None, drawn(200, 1), None)
    settings = dataclasses.replace(QUICK, metrics=("coverage",))
    good, narrow = (
        evaluate_arrays(real, drawn(400, spread), settings=settings).metrics["coverage"] for spread in (1, 0.1)
    )
    assert good.value is not None
    assert narrow.value is not None
    assert narrow.value < 0.7 * good.value
    assert good.value < 1.5 * good.floor


def test_test_labels_that_nobody_learned_are_refused(sines: Callable) -> None:
    (X, y), (X_test, y_test) = sines(20, seed=0), sines(20, seed=1)
    with pytest.raises(InputError, match=r"y_test holds the label 0; allowed: \['fast', 'slow'\]"):
        evaluate_arrays(RealData(X, y, X_test, (y_test == "slow").astype(int)), X, y)
