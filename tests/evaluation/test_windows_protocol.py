"""The windows protocol, at few iterations: its ends, its scaling, its intervals, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from timeloom.errors import InputError
from timeloom.evaluation.cache import EncoderCache
from timeloom.evaluation.report import Report
from timeloom.evaluation.windows import WINDOW_METRICS, evaluate_windows

CHEAP = ["correlational_score"]


def waves(n: int = 60, seed: int = 0, n_channels: int = 2) -> NDArray[np.float32]:
    """Noisy sines (n, n_channels, 16) of random phase; each channel runs three steps behind the one before."""
    rng = np.random.default_rng(seed)
    time = np.arange(16)[None, None, :] + 3 * np.arange(n_channels)[None, :, None]
    X = np.sin(0.6 * time + rng.uniform(0, 2 * np.pi, (n, 1, 1)))
    return (X + 0.1 * rng.standard_normal(X.shape)).astype(np.float32)


def noise(n: int = 60) -> NDArray[np.float32]:
    return np.random.default_rng(5).standard_normal((n, 2, 16)).astype(np.float32)


def score(real: NDArray, synthetic: NDArray, **settings: Any) -> Report:
    return evaluate_windows(real, synthetic, **{"n_seeds": 2, "iterations": (20, 20), "ts2vec_steps": 2, **settings})


def value(report: Report, name: str) -> float:
    found = report.metrics[name].value
    assert found is not None
    return found


@pytest.fixture(scope="module")
def against_itself() -> Report:
    return score(waves(), waves())


@pytest.fixture(scope="module")
def against_noise() -> Report:
    return score(waves(), noise())


# ---- values


def test_real_windows_are_near_their_floor_and_noise_is_far(against_itself: Report, against_noise: Report) -> None:
    floor = against_itself.metrics["context_fid"].floor
    assert floor is not None
    assert value(against_itself, "context_fid") == pytest.approx(0.0, abs=1e-9)
    assert value(score(waves(), waves(seed=1), metrics=["context_fid"]), "context_fid") < 10 * floor
    assert value(against_noise, "context_fid") > 100 * floor
    assert value(against_noise, "correlational_score") > 5 * value(against_itself, "correlational_score")


def test_the_floor_is_of_the_real_windows_alone(against_itself: Report, against_noise: Report) -> None:
    for name in WINDOW_METRICS:
        one, other = against_itself.metrics[name], against_noise.metrics[name]
        assert one.floor == other.floor == one.memoriser == other.memoriser
        assert one.floor_ci95 == other.floor_ci95
        assert one.better == "lower"


def test_the_unit_of_the_data_does_not_matter() -> None:
    names = ["context_fid", "predictive_gru", "correlational_score"]
    units, shift = np.float32([[2.0], [0.5]]), np.float32([[3.0], [-8.0]])
    plain = score(waves(), noise(), metrics=names, n_seeds=1)
    moved = score(waves() * units + shift, noise() * units + shift, metrics=names, n_seeds=1)
    for name in names:
        assert value(moved, name) == pytest.approx(value(plain, name), rel=1e-3)
    lone = score(waves(), noise() + shift, metrics=["context_fid"], n_seeds=1)
    assert value(lone, "context_fid") > 2 * value(plain, "context_fid")


def test_a_constant_channel_is_no_division_by_zero() -> None:
    real = waves()
    real[:, 1] = 4.0
    report = score(real, real[::-1], n_seeds=1, metrics=["predictive_gru", "correlational_score"])
    assert all(measure.value is not None and np.isfinite(measure.value) for measure in report.metrics.values())


def test_the_same_seed_gives_the_same_report(against_noise: Report) -> None:
    assert score(waves(), noise()).metrics == against_noise.metrics


# ---- intervals


def test_the_interval_is_students_t_over_repetitions() -> None:
    first, second = (value(score(waves(), noise(), metrics=CHEAP, seed=seed, n_seeds=1), CHEAP[0]) for seed in (4, 5))
    measure = score(waves(), noise(), metrics=CHEAP, seed=4).metrics[CHEAP[0]]
    assert measure.value == pytest.approx((first + second) / 2)
    half = 12.7062 * abs(first - second) / 2  # t(0.975, 1) * sd / sqrt(2)
    assert measure.ci95 == pytest.approx((max(measure.value - half, 0), measure.value + half), rel=1e-4)


def test_one_repetition_has_no_interval() -> None:
    measure = score(waves(), noise(), metrics=CHEAP, n_seeds=1).metrics[CHEAP[0]]
    assert (measure.ci95, measure.floor_ci95) == (None, None)
    assert measure.value is not None


# ---- the report


def test_the_report_names_its_protocol_sets_and_sizes(against_noise: Report) -> None:
    assert against_noise.protocol == "windows"
    assert list(against_noise.metrics) == list(against_noise.families) == list(WINDOW_METRICS)
    assert against_noise.counts == {"real": 60, "synthetic": 60, "channels": 2, "timepoints": 16, "repetitions": 2}
    assert set(WINDOW_METRICS) <= set(against_noise.seconds_parts)
    assert len(against_noise.warnings) == 1
    assert "copying wins" in against_noise.warnings[0]
    named = score(waves(), noise(30), metrics=CHEAP, names=("energy", "mine.npz"))
    assert (named.data, named.synthetic) == ("energy", "mine.npz")
    assert "30 synthetic windows for 60 real ones" in named.warnings[1]


def test_measures_come_in_the_order_of_the_table() -> None:
    report = score(waves(), noise(), metrics=["correlational_score", "predictive_gru"], n_seeds=1)
    assert list(report.metrics) == ["predictive_gru", "correlational_score"]


def test_an_encoder_is_trained_once_a_seed() -> None:
    cache, stages = EncoderCache(), []

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        stages.append((stage, done, total))

    score(waves(), noise(), metrics=["context_fid"], cache=cache, progress=progress)
    trained = [entry for entry in stages if entry[0] != "measures" and entry[1] == entry[2]]
    assert len(trained) == 2
    stages.clear()
    score(waves(), waves(seed=3), metrics=["context_fid"], cache=cache, progress=progress)
    assert stages == [("measures", 1, 1)]


# ---- edges and errors


def test_the_correlations_of_a_single_channel_are_stated_as_undefined() -> None:
    report = score(waves(n_channels=1), waves(seed=1, n_channels=1), n_seeds=1)
    measure = report.metrics["correlational_score"]
    assert (measure.value, measure.floor, measure.memoriser, measure.ci95) == (None, None, None, None)
    assert measure.reason is not None
    assert "one channel" in measure.reason
    assert all(report.metrics[name].value is not None for name in WINDOW_METRICS[:3])


def with_gap(X: NDArray) -> NDArray:
    X = X.copy()
    X[3, 1, 7] = np.nan
    return X


@pytest.mark.parametrize(
    ("real", "synthetic", "message"),
    [
        (with_gap(waves()), waves(), "real windows have missing values"),
        (waves(), with_gap(waves()), "synthetic windows have missing values"),
        (waves(9), waves(), "9 real windows; allowed: at least 10"),
        (waves(), waves(9), "9 synthetic windows; allowed: at least 10"),
        (waves(), waves()[:, :, :15], r"synthetic windows have \(channels, length\) \(2, 15\), real ones \(2, 16\)"),
        (waves(), waves(n_channels=3), r"\(3, 16\)"),
        (waves()[:, 0], waves(), "real windows has shape"),
    ],
)
def test_windows_that_cannot_be_compared_are_refused(real: NDArray, synthetic: NDArray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        score(real, synthetic, metrics=CHEAP)


@pytest.mark.parametrize(("metrics", "named"), [(["context_fid", "cas"], "measure 'cas'"), ([], "no measure")])
def test_an_unknown_measure_is_named_with_the_known_ones(metrics: list[str], named: str) -> None:
    with pytest.raises(InputError, match=f"{named} .*allowed: context_fid, .*correlational_score"):
        score(waves(), waves(), metrics=metrics)
