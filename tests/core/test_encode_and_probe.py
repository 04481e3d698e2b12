"""Reading a trained tokenizer: its tokens and codes as arrays, and what simple classifiers find in them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from core_helpers import sines, two_grids, two_splits

from timeloom.errors import InputError
from timeloom.stages import encode, probe


def test_codes_are_the_sums_of_their_tokens_code_vectors_and_pooled_their_mean_and_maximum() -> None:
    X = two_splits().X_train
    tokens, codes, pooled = (encode.encode(two_grids(), X, kind) for kind in encode.KINDS)
    grids = two_grids().layout.grids
    assert tokens.shape == (40, sum(grids), 2)
    assert np.array_equal(tokens, two_grids().encode(torch.from_numpy(X)).numpy())
    books = [grid.quantizer.codebooks.detach().numpy() for grid in two_grids().grids]
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
    def state() -> dict[str, torch.Tensor]:
        """With the buffers that no checkpoint holds, which `state_dict` leaves out."""
        return {
            name: value.clone()
            for name, value in (two_grids().state_dict() | dict(two_grids().named_buffers())).items()
        }

    before = state()
    assert {"mean", "std", "front.window"} <= before.keys()
    encode.encode(two_grids(), two_splits().X_train)
    probe.run(two_grids(), two_splits(), n_seeds=1)
    after = state()
    assert before.keys() == after.keys()
    # equal, but for places where there is nothing (NaN): a channel without a mean that all series share
    assert all(torch.equal(before[name].nan_to_num(), after[name].nan_to_num()) for name in before)
    assert not two_grids().training


def test_missing_values_are_filled_before_encoding() -> None:
    X = two_splits().X_train[:3].copy()
    X[0, 0, 5] = np.nan
    filled = X.copy()
    filled[0, 0, 5] = (X[0, 0, 4] + X[0, 0, 6]) / 2
    assert np.array_equal(encode.encode(two_grids(), X, "tokens"), encode.encode(two_grids(), filled, "tokens"))


@pytest.mark.parametrize(("channels", "length"), [(1, 32), (2, 31)])
def test_series_of_another_shape_are_refused(channels: int, length: int) -> None:
    with pytest.raises(InputError, match=f"{channels} channel.* length {length}.* takes 2 and 32"):
        encode.encode(two_grids(), sines(4, channels, length).X_train)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="kind = 'all': must be one of tokens, codes, pooled"):
        encode.encode(two_grids(), two_splits().X_train, "all")  # type: ignore[arg-type]


def test_the_file_holds_every_split_with_its_labels(tmp_path: Path) -> None:
    encode.run(two_grids(), two_splits(), "codes", tmp_path / "new" / "codes.npz")
    with np.load(tmp_path / "new" / "codes.npz") as found:
        assert sorted(found) == ["X_test", "X_train", "y_test", "y_train"]
        assert np.array_equal(found["y_test"], two_splits().y_test)
        assert np.array_equal(found["X_test"], encode.encode(two_grids(), two_splits().X_test, "codes"))  # type: ignore[arg-type]


def test_another_file_format_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"codes\.csv: suffix '\.csv' cannot be written; allowed: \.npz"):
        encode.run(two_grids(), two_splits(), "codes", tmp_path / "codes.csv")
    assert not list(tmp_path.iterdir())


def test_classes_that_codes_tell_apart_are_found_and_shuffled_ones_are_not() -> None:
    found = probe.run(two_grids(), two_splits())
    assert list(found) == ["chance", "svm", "knn", "logistic"]
    assert found["chance"].mean == pytest.approx(0.6)
    assert all(found[name].mean > 0.9 for name in probe.PROBES)
    shuffled = np.random.default_rng(0).permutation(two_splits().y_train)
    lost = probe.run(two_grids(), dataclasses.replace(two_splits(), y_train=shuffled))
    assert all(lost[name].mean < 0.8 for name in probe.PROBES)
    assert any(lost[name].std > 0 for name in probe.PROBES)


def test_a_probe_learns_from_the_training_split_alone() -> None:
    """Accuracy on the first ten test series is the same with twenty others beside them."""
    some, others = two_splits(), two_splits()
    assert some.X_test is not None
    assert some.y_test is not None
    part = dataclasses.replace(some, X_test=some.X_test[:10], y_test=some.y_test[:10])
    rest = dataclasses.replace(others, X_test=some.X_test[10:], y_test=some.y_test[10:])
    whole, first, last = (probe.run(two_grids(), of) for of in (some, part, rest))
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
        probe.run(two_grids(), dataclasses.replace(two_splits(), **change))


def test_a_probe_needs_a_seed() -> None:
    with pytest.raises(InputError, match="seeds is 0; allowed: at least 1"):
        probe.run(two_grids(), two_splits(), n_seeds=0)
    assert all(of.std == 0 for of in probe.run(two_grids(), two_splits(), n_seeds=1).values())


def test_a_training_that_was_cut_short_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run folder, it holds no tokenizer"):
        encode.load(tmp_path)
    (tmp_path / "tokenizer-last.ckpt").write_bytes(b"")
    with pytest.raises(InputError, match=r"its training was cut short; `timeloom train .* --resume` goes on"):
        encode.load(tmp_path)
