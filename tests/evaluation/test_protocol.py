"""The honest protocol: every planted fault is caught by the metric that should catch it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from timeloom.errors import InputError
from timeloom.evaluation import METRICS, RealData, Report, TokenViews, evaluate_arrays, format_table

STEPS = 20
NAMES = ["fid_fcn", "fid_rocket", "inception_score", "cas", "recon_fid_fcn", "perplexity", "usage", "copy_share"]


@pytest.fixture(scope="module")
def real(sines: Callable) -> RealData:
    return RealData(*sines(60, seed=0), *sines(60, seed=1))


@pytest.fixture(scope="module")
def tokens(real: RealData) -> TokenViews:
    rng = np.random.default_rng(0)
    return TokenViews(
        reconstruction=real.X_test + 0.05 * rng.standard_normal(real.X_test.shape).astype(np.float32),
        test_tokens=rng.integers(0, 4, (60, 6, 2)),
        train_tokens=rng.integers(0, 8, (60, 6, 2)),
        codebook_size=16,
    )


def evaluate(
    real: RealData, X: NDArray, y: NDArray | None = None, tokens: TokenViews | None = None, **options: int
) -> Report:
    return evaluate_arrays(real, X, y, tokens=tokens, **{"fcn_steps": STEPS, **options})


@pytest.fixture(scope="module")
def honest(real: RealData, tokens: TokenViews, sines: Callable) -> Report:
    """Series from the very source of the real ones: a perfect generator."""
    return evaluate(real, *sines(60, seed=2), tokens)


@pytest.fixture(scope="module")
def unlabelled(real: RealData) -> RealData:
    return dataclasses.replace(real, y_train=None, y_test=None)


def test_a_perfect_generator_scores_like_its_floors(honest: Report) -> None:
    metrics = honest.metrics
    assert list(metrics) == NAMES == list(METRICS)
    for name in ("fid_fcn", "fid_rocket"):
        assert 0 < metrics[name].value < 2 * metrics[name].floor
    assert metrics["cas"].value > 0.9
    assert metrics["cas"].floor > 0.9
    assert metrics["inception_score"].value == pytest.approx(metrics["inception_score"].floor, abs=0.15)
    assert metrics["copy_share"].value < 0.25
    assert metrics["recon_fid_fcn"].value < metrics["recon_fid_fcn"].floor
    assert metrics["perplexity"].value == pytest.approx(4, abs=0.1)
    assert metrics["perplexity"].floor == pytest.approx(8, abs=0.3)
    assert (metrics["usage"].value, metrics["usage"].floor) == (0.25, 0.5)


def test_every_interval_holds_its_value_and_every_null_its_reason(honest: Report) -> None:
    for name, measure in honest.metrics.items():
        assert measure.ci95[0] <= measure.value <= measure.ci95[1], name
        assert (measure.memoriser is None) == (measure.reason is not None), name


def test_the_memoriser_is_seen_to_copy(honest: Report) -> None:
    assert honest.metrics["copy_share"].memoriser == 1.0
    assert honest.metrics["copy_share"].floor < 0.25
    assert honest.metrics["cas"].memoriser > 0.9


def test_copies_are_caught_by_the_copy_share(real: RealData) -> None:
    assert evaluate(real, real.X_train, fcn_steps=1).metrics["copy_share"].value == 1.0


def test_a_shift_is_caught_by_both_distances(unlabelled: RealData, real: RealData, sines: Callable) -> None:
    X, _ = sines(60, seed=2)
    fid = evaluate(real, X + 1).metrics["fid_fcn"]
    assert fid.value > 3 * fid.floor
    rocket = evaluate(unlabelled, X + 1).metrics["fid_rocket"]
    assert rocket.value > 3 * rocket.floor
    assert rocket.ci95[0] > rocket.floor


def test_a_collapsed_generator_is_caught_by_distance_and_inception_score(real: RealData, sines: Callable) -> None:
    X, y = sines(2, seed=2)
    rng = np.random.default_rng(0)
    collapsed = (X[:1] + 0.01 * rng.standard_normal((60, 1, 24))).astype(np.float32)
    metrics = evaluate(real, collapsed, np.full(60, y[0])).metrics
    assert metrics["inception_score"].value == pytest.approx(1, abs=0.02)
    assert metrics["inception_score"].floor > 1.5
    assert metrics["fid_fcn"].value > 3 * metrics["fid_fcn"].floor
    assert metrics["fid_rocket"].value > 3 * metrics["fid_rocket"].floor
    assert metrics["cas"].value is None
    assert "class slow" in metrics["cas"].reason
    assert metrics["cas"].floor > 0.9


def test_wrong_labels_are_caught_by_cas_alone(real: RealData, sines: Callable, honest: Report) -> None:
    X, y = sines(60, seed=2)
    metrics = evaluate(real, X, np.where(y == "fast", "slow", "fast")).metrics
    assert metrics["cas"].value < 0.1
    assert metrics["fid_fcn"] == honest.metrics["fid_fcn"]


def test_without_labels_what_needs_them_is_null_with_the_reason(unlabelled: RealData, sines: Callable) -> None:
    X, y = sines(30, seed=2)
    report = evaluate(unlabelled, X, y)
    for name in ("fid_fcn", "inception_score", "cas", "recon_fid_fcn"):
        assert report.metrics[name].value is None
        assert report.metrics[name].reason == "the data has no labels"
    assert report.metrics["perplexity"].reason == "no tokenizer was given"
    assert report.metrics["fid_rocket"].value > 0
    assert report.metrics["copy_share"].reason is None


def test_synthetic_series_without_labels_leave_only_cas_null(real: RealData, sines: Callable) -> None:
    metrics = evaluate(real, sines(30, seed=2)[0]).metrics
    assert metrics["cas"].value is None
    assert metrics["cas"].reason == "the synthetic series have no labels"
    assert metrics["fid_fcn"].value > 0
    assert metrics["recon_fid_fcn"].reason == "no tokenizer was given"


def test_a_test_split_without_labels_and_a_single_class(real: RealData, sines: Callable) -> None:
    X, y = sines(30, seed=2)
    metrics = evaluate(dataclasses.replace(real, y_test=None), X, y, fcn_steps=2).metrics
    assert metrics["cas"].reason == "the real test split has no labels"
    assert metrics["fid_fcn"].value > 0
    single = dataclasses.replace(real, y_train=np.full(60, "fast"))
    assert evaluate(single, X).metrics["fid_fcn"].reason == "the training split holds a single class"


def test_the_same_seed_gives_the_same_report_and_seeds_are_averaged(real: RealData, sines: Callable) -> None:
    X, y = sines(30, seed=2)
    first, second = (evaluate(real, X, y, fcn_steps=3, seed=s).metrics for s in (0, 1))
    assert evaluate(real, X, y, fcn_steps=3).metrics == first
    both = evaluate(real, X, y, fcn_steps=3, n_seeds=2)
    assert both.metrics["cas"].floor == pytest.approx((first["cas"].floor + second["cas"].floor) / 2)
    assert both.metrics["fid_fcn"].value == pytest.approx((first["fid_fcn"].value + second["fid_fcn"].value) / 2)
    assert both.counts["fcn_seeds"] == 2


def test_missing_values_are_filled_and_told(real: RealData, sines: Callable) -> None:
    X, y = sines(30, seed=2)
    X[0, 0, 3:9] = np.nan
    gappy = real.X_train.copy()
    gappy[:, :, 5] = np.nan
    report = evaluate(dataclasses.replace(real, X_train=gappy), X, y, fcn_steps=3)
    assert all(np.isfinite(report.metrics[name].value) for name in ("fid_fcn", "fid_rocket", "cas", "copy_share"))
    assert [w for w in report.warnings if "of the train values are missing" in w]
    assert [w for w in report.warnings if "of the synthetic values are missing" in w]


def test_json_has_exactly_the_promised_keys(honest: Report) -> None:
    written = json.loads(json.dumps(honest.to_json(), allow_nan=False))
    assert list(written) == ["protocol", "metrics", "seconds", "seconds_parts", "versions", "counts", "warnings"]
    assert written["protocol"] == "honest"
    assert list(written["metrics"]) == NAMES
    for name, entry in written["metrics"].items():
        assert set(entry) - {"reason"} == {"value", "floor", "memoriser", "ci95", "better"}, name
        assert ("reason" in entry) == any(entry[key] is None for key in ("value", "floor", "memoriser", "ci95"))
        assert entry["better"] == ("lower" if "fid" in name or name == "copy_share" else "higher")
    assert list(written["seconds_parts"]) == ["train_on_real", "train_for_cas", "rocket_features", *NAMES]
    assert written["seconds"] == pytest.approx(sum(written["seconds_parts"].values()), abs=0.02)
    assert written["counts"] == {
        "train": 60,
        "test": 60,
        "synthetic": 60,
        "channels": 1,
        "timepoints": 24,
        "fcn_seeds": 1,
    }
    assert set(written["versions"]) == {"python", "timeloom", "torch", "numpy"}


def test_small_sets_are_warned_of(honest: Report) -> None:
    assert [w for w in honest.warnings if w.startswith("fid_fcn: 60 test and 60 train and 60 synthetic series")]
    assert [w for w in honest.warnings if w.startswith("cas: trained on 60 synthetic series")]


def test_the_table_shows_each_metric_and_its_reason(honest: Report) -> None:
    lines = format_table(honest).splitlines()
    assert lines[0].split() == ["metric", "value", "[95", "%", "interval]", "floor", "memoriser", "better"]
    assert [line.split()[0] for line in lines[2:10]] == NAMES
    copy_share = next(line for line in lines if line.startswith("copy_share"))
    assert copy_share.split()[-2:] == ["1", "lower"]
    assert "[1] memoriser: the tokenizer is scored, not the synthetic series" in lines
    assert sum(line.startswith("[") for line in lines) == 1
    assert sum(line.startswith("warning: ") for line in lines) == len(honest.warnings)


def test_progress_closes_every_stage(real: RealData, sines: Callable) -> None:
    last: dict[str, tuple[int, int]] = {}

    def note(stage: str, done: int, total: int, note: str = "") -> None:
        last[stage] = (done, total)

    evaluate_arrays(real, *sines(30, seed=2), fcn_steps=3, n_seeds=2, progress=note)
    assert set(last) == {"FCN on real", "FCN on synthetic", "FCN on memorised", "metrics"}
    assert all(done == total for done, total in last.values())


def test_arrays_that_do_not_fit_are_refused(real: RealData, tokens: TokenViews, sines: Callable) -> None:
    X, y = sines(10, seed=2)
    with pytest.raises(InputError, match="X_synthetic has 1 channels of length 20, X_train 1 channels of length 24"):
        evaluate(real, X[:, :, :20])
    with pytest.raises(InputError, match="X_synthetic has 2 channels"):
        evaluate(real, np.concatenate([X, X], axis=1))
    with pytest.raises(InputError, match="X_test has 1 channels of length 20"):
        evaluate(dataclasses.replace(real, X_test=real.X_test[:, :, :20]), X)
    with pytest.raises(InputError, match=r"y_synthetic holds the label 'odd'; allowed: \['fast', 'slow'\]"):
        evaluate(real, X, np.where(y == "fast", "odd", y))
    with pytest.raises(InputError, match="y_synthetic holds the label 1; allowed"):
        evaluate(real, X, np.ones(10, dtype=int))
    with pytest.raises(InputError, match=r"y_synthetic has shape \(9,\); allowed: \(10,\)"):
        evaluate(real, X, y[:9])
    with pytest.raises(InputError, match="X_synthetic holds 1 series"):
        evaluate(real, X[:1])
    with pytest.raises(InputError, match="n_seeds is 0"):
        evaluate(real, X, n_seeds=0)
    with pytest.raises(InputError, match=r"reconstruction has shape \(59, 1, 24\)"):
        evaluate(real, X, tokens=dataclasses.replace(tokens, reconstruction=tokens.reconstruction[1:]))
