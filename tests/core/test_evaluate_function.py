"""`timeloom.evaluate`: the library's front door to a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import timeloom
from timeloom import InputError

QUICK: dict[str, Any] = {"metrics": ["fid_rocket", "copy_share"], "n_seeds": 1, "cache": None}


def noise(n_sets: int) -> list[np.ndarray]:
    """Sets of 30 series of length 16."""
    return [np.random.default_rng(seed).standard_normal((30, 1, 16)).astype(np.float32) for seed in range(n_sets)]


def test_arrays_pairs_and_files_give_the_same_report(tmp_path: Path) -> None:
    X, X_test, X_new = noise(3)
    labels = np.arange(30) % 2
    np.savez(tmp_path / "new.npz", X=X_new, y=labels)
    plain = timeloom.evaluate(X, X_test, X_new, **QUICK)
    assert list(plain.metrics) == QUICK["metrics"]
    for given in ((X_new, labels), tmp_path / "new.npz", X_new[:, 0]):
        assert timeloom.evaluate((X, labels), (X_test, labels), given, **QUICK).metrics == plain.metrics


def test_a_report_is_table_json_and_page(tmp_path: Path) -> None:
    X, X_test, X_new = noise(3)
    report = timeloom.evaluate(X, X_test, X_new, **QUICK)
    assert "copy_share" in report.table()
    report.to_html(tmp_path / "new" / "report.html")
    assert "copy_share" in (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert report.to_json()["verdicts"]["usefulness"]["grade"] == "unknown"


def test_what_does_not_fit_is_named() -> None:
    X = np.zeros((30, 1, 16), dtype=np.float32) + np.arange(30)[:, None, None]
    with pytest.raises(InputError, match=r"synthetic series have \(channels, length\) = \(1, 12\), real has \(1, 16\)"):
        timeloom.evaluate(X, X, X[:, :, :12], **QUICK)
    with pytest.raises(InputError, match=r"\(16, 9\), real has \(9, 16\); are its axes \(n, time, channels\)\?"):
        timeloom.evaluate(X.repeat(9, axis=1), X.repeat(9, axis=1), X.repeat(9, axis=1).swapaxes(1, 2), **QUICK)
    with pytest.raises(InputError, match="real_train"):
        timeloom.evaluate(X[:1], X, X, **QUICK)
    with pytest.raises(InputError, match="synthetic"):
        timeloom.evaluate(X, X, np.full((5, 1, 16), np.inf), **QUICK)
    with pytest.raises(InputError, match="unknown class '7'"):
        timeloom.evaluate((X, np.arange(30) % 2), (X, np.arange(30) % 2), (X, np.full(30, 7)), **QUICK)


def test_test_labels_are_in_the_words_of_the_training_labels() -> None:
    X, X_test, X_new = noise(3)
    words = np.array(["1", "2", "a"] * 10)
    labels = np.array([1, 2] * 15)  # numbers, for want of an "a" among them
    quick = {**QUICK, "metrics": ["augmentation_rocket"]}
    found, wanted = (
        timeloom.evaluate((X, words), (X_test, y), (X_new, words), **quick) for y in (labels, labels.astype(str))
    )
    assert found.metrics == wanted.metrics
    assert found.metrics["augmentation_rocket"].floor > 0
    with pytest.raises(InputError, match="labels of real_test: unknown class '7'"):
        timeloom.evaluate((X, words), (X_test, np.full(30, 7)), (X_new, words), **quick)


def test_the_cache_folder_is_filled(tmp_path: Path) -> None:
    X, X_test, X_new = noise(3)
    timeloom.evaluate(X, X_test, X_new, **{**QUICK, "cache": tmp_path / "cache"})
    assert [path.name.split("-")[0] for path in (tmp_path / "cache").iterdir()] == ["rocket"]
