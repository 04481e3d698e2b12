"""Reading a trained tokenizer: its tokens and codes as arrays, and what simple classifiers find in them."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from core_helpers import fitted_tokenizer, sines, spec, tokenizer_config

from timeloom.data import Dataset
from timeloom.errors import InputError
from timeloom.stages import encode, probe
from timeloom.tokenizer.tokenizer import Tokenizer


@functools.cache
def tokenizer() -> Tokenizer:
    """Two grids of two levels over series of two channels."""
    levels = {"codebook_size": 8, "codebook_dim": 4, "levels": 2}
    return fitted_tokenizer(tokenizer_config(quantizer=levels, front={"bands": [2]}), spec(channels=2))


def data() -> Dataset:
    train, test = sines(40, channels=2), sines(30, channels=2, seed=1)
    return dataclasses.replace(train, X_test=test.X_train, y_test=test.y_train)


def test_codes_are_the_sums_of_their_tokens_code_vectors_and_pooled_their_mean_and_maximum() -> None:
    X = data().X_train
    tokens, codes, pooled = (encode.encode(tokenizer(), X, kind) for kind in encode.KINDS)
    grids = tokenizer().layout.grids
    assert tokens.shape == (40, sum(grids), 2)
    assert np.array_equal(tokens, tokenizer().encode(torch.from_numpy(X)).numpy())
    books = [grid.quantizer.codebooks.detach().numpy() for grid in tokenizer().grids]
    start, parts = 0, []
    for cells, book in zip(grids, books, strict=True):
        for cell in range(start, start + cells):
            wanted = book[0][tokens[:, cell, 0]] + book[1][tokens[:, cell, 1]]
            np.testing.assert_allclose(codes[:, cell], wanted, rtol=1e-6)
        mine = codes[:, start : start + cells]
        parts += [mine.mean(axis=1), mine.max(axis=1)]
        start += cells
    np.testing.assert_allclose(pooled, np.hstack(parts), rtol=1e-5, atol=1e-6)


def test_reading_changes_no_buffer_and_no_weight() -> None:
    before = {name: value.clone() for name, value in tokenizer().state_dict().items()}
    encode.encode(tokenizer(), data().X_train)
    probe.run(tokenizer(), data(), n_seeds=1)
    after = tokenizer().state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not tokenizer().training


def test_missing_values_are_filled_before_encoding() -> None:
    X = data().X_train[:3].copy()
    X[0, 0, 5] = np.nan
    filled = X.copy()
    filled[0, 0, 5] = (X[0, 0, 4] + X[0, 0, 6]) / 2
    assert np.array_equal(encode.encode(tokenizer(), X, "tokens"), encode.encode(tokenizer(), filled, "tokens"))


@pytest.mark.parametrize(("channels", "length"), [(1, 32), (2, 31)])
def test_series_of_another_shape_are_refused(channels: int, length: int) -> None:
    with pytest.raises(InputError, match=f"{channels} channel.* length {length}.* takes 2 and 32"):
        encode.encode(tokenizer(), sines(4, channels, length).X_train)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="kind = 'all': must be one of tokens, codes, pooled"):
        encode.encode(tokenizer(), data().X_train, "all")  # type: ignore[arg-type]


def test_the_file_holds_every_split_with_its_labels(tmp_path: Path) -> None:
    encode.run(tokenizer(), data(), "codes", tmp_path / "new" / "codes.npz")
    with np.load(tmp_path / "new" / "codes.npz") as found:
        assert sorted(found) == ["X_test", "X_train", "y_test", "y_train"]
        assert np.array_equal(found["y_test"], data().y_test)
        assert np.array_equal(found["X_test"], encode.encode(tokenizer(), data().X_test, "codes"))  # type: ignore[arg-type]


def test_another_file_format_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"codes\.csv: suffix '\.csv' cannot be written; allowed: \.npz"):
        encode.run(tokenizer(), data(), "codes", tmp_path / "codes.csv")
    assert not list(tmp_path.iterdir())


def test_classes_that_codes_tell_apart_are_found_and_shuffled_ones_are_not() -> None:
    found = probe.run(tokenizer(), data())
    assert list(found) == ["chance", "svm", "knn", "logistic"]
    assert found["chance"].mean == pytest.approx(0.6)
    assert all(found[name].mean > 0.9 for name in probe.PROBES)
    shuffled = np.random.default_rng(0).permutation(data().y_train)
    lost = probe.run(tokenizer(), dataclasses.replace(data(), y_train=shuffled))
    assert all(lost[name].mean < 0.8 for name in probe.PROBES)
    assert any(lost[name].std > 0 for name in probe.PROBES)


def test_a_probe_learns_from_the_training_split_alone() -> None:
    """Accuracy on the first ten test series is the same with twenty others beside them."""
    some, others = data(), data()
    assert some.X_test is not None
    assert some.y_test is not None
    part = dataclasses.replace(some, X_test=some.X_test[:10], y_test=some.y_test[:10])
    rest = dataclasses.replace(others, X_test=some.X_test[10:], y_test=some.y_test[10:])
    whole, first, last = (probe.run(tokenizer(), of) for of in (some, part, rest))
    for name in probe.PROBES:
        assert whole[name].mean == pytest.approx((first[name].mean + 2 * last[name].mean) / 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": None, "y_test": None}, "has no labels; a probe needs them"),
        ({"X_test": None, "y_test": None}, "has no test split with labels; a probe needs one"),
        ({"y_train": np.full(40, "fast")}, "all training series have one label"),
    ],
)
def test_data_that_cannot_be_probed_are_refused(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        probe.run(tokenizer(), dataclasses.replace(data(), **change))


def test_a_probe_needs_a_seed() -> None:
    with pytest.raises(InputError, match="seeds is 0; allowed: at least 1"):
        probe.run(tokenizer(), data(), n_seeds=0)
    assert all(of.std == 0 for of in probe.run(tokenizer(), data(), n_seeds=1).values())
