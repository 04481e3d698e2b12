"""Planted faults and their detection: kinds that are what they say, scores and areas with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from timeloom.errors import InputError
from timeloom.evaluation.tasks.anomaly import (
    FAULTS,
    detection,
    frequency_change,
    hidden_distance,
    moving_z,
    nearest_distance,
    plant,
    rebuilt_distance,
)

DEVIATION = np.array([2.0, 0.5])


def windows(n: int = 40, channels: int = 2) -> np.ndarray:
    phase = np.random.default_rng(0).uniform(0, 6, (n, channels, 1))
    return np.sin(0.4 * np.arange(48) + phase).astype(np.float32)


def test_faults_are_where_they_say_and_nowhere_else() -> None:
    X = windows()
    found = plant(X, DEVIATION, seed=3)
    assert sorted(np.unique(found.kind[found.kind != ""], return_counts=True)[1]) == [4] * len(FAULTS)
    for row in range(len(X)):
        changed = np.zeros(X[row].shape, dtype=bool)
        if found.kind[row]:
            changed[found.channel[row], found.start[row] : found.stop[row]] = True
        assert np.array_equal(found.X[row][~changed], X[row][~changed])
        assert (found.kind[row] == "") == np.array_equal(found.X[row], X[row])


def test_each_kind_is_what_its_name_says() -> None:
    X, many = windows(400), plant(windows(400), DEVIATION, seed=1, strength=2.0)
    for row in np.flatnonzero(many.kind != ""):
        part = (row, many.channel[row], slice(many.start[row], many.stop[row]))
        before, after, unit = X[part], many.X[part], DEVIATION[many.channel[row]]
        match str(many.kind[row]):
            case "spike":
                assert len(after) == 1
                assert abs(after[0] - before[0]) == pytest.approx(6 * unit, rel=1e-4)
            case "level_shift":
                np.testing.assert_allclose(np.abs(after - before), 2 * unit, rtol=1e-4)
                assert len(set(np.sign(after - before))) == 1
            case "flat_line":
                assert np.all(after == before[0])
            case "noise_burst":
                assert 0.3 < np.std(after - before) / (2 * unit) < 2
            case "frequency_change":
                assert (after[0], after[-1]) == (before[0], pytest.approx(before[-1], abs=1e-6))
                assert before.min() - 1e-6 <= after.min() <= after.max() <= before.max() + 1e-6
        assert len(after) == 1 or 12 <= len(after) <= 24


def test_three_times_the_frequency() -> None:
    """A whole number of half waves that is mirror-symmetric comes back as a wave of three times the frequency."""
    time = np.linspace(0, np.pi, 301)
    found = frequency_change(np.cos(time), 1.0, np.random.default_rng(0))
    np.testing.assert_allclose(found, np.cos(3 * time), atol=2e-3)


def test_the_seed_decides_the_faults() -> None:
    first, again, other = (plant(windows(), DEVIATION, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(first.X, again.X)
    assert not np.array_equal(first.kind, other.kind)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (windows()[:, :, :15], "T at least 16"),
        (windows(8), "share 0.5 of 8 windows are 4 to spoil; allowed: at least 5"),
        (np.where(np.arange(48) == 7, np.nan, windows()), "window 0 is not finite"),
    ],
)
def test_windows_that_cannot_be_spoiled_are_refused(X: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plant(X, DEVIATION, seed=0)


def test_nearest_distance_is_in_deviations_of_the_training_features() -> None:
    train = np.array([[0.0, 0.0, 7.0], [2.0, 200.0, 7.0]])
    asked = np.array([[0.0, 0.0, 7.0], [2.0, 500.0, 7.0], [1.0, 100.0, 9.0]])
    np.testing.assert_allclose(nearest_distance(train, asked), [0, 3, np.sqrt(1 + 1 + 4)], atol=1e-6)


def test_hidden_distance_is_the_largest_mean_difference() -> None:
    seen, hidden = np.zeros((2, 3, 4)), np.zeros((2, 3, 4))
    hidden[0, 1] = [1, -1, 2, 0]
    hidden[0, 2] = 0.5
    assert hidden_distance(seen, hidden).tolist() == [1.0, 0.0]


def test_moving_z_of_a_step_in_a_known_pattern() -> None:
    """Before the step the values are +1 and -1 in turn: mean 0, deviation 1; the step itself is 5."""
    x = np.array([1.0, -1, 1, -1, 5])[None, None]
    assert moving_z(x, np.array([1.0]), 4).tolist() == [5.0]
    flat = np.array([2.0, 2, 2, 2, 3])[None, None]
    assert moving_z(flat, np.array([1.0]), 4).tolist() == [20.0]
    for width in (1, 5):
        with pytest.raises(InputError, match=f"width is {width}; allowed: 2 to 4"):
            moving_z(x, np.array([1.0]), width)


def test_areas_with_known_answers() -> None:
    kind = np.array(["", "", "spike", "spike", "flat_line"])
    perfect = detection([0, 1, 2, 3, 4], kind)
    assert (perfect.auc, perfect.ci95) == (1, (1, 1))
    # spikes win 2 of 4 pairs, the flat line wins one and draws one of 2
    mixed = detection([1, 3, 0, 4, 3], kind)
    assert mixed.by_kind == {"flat_line": pytest.approx(0.75), "spike": pytest.approx(0.5)}
    assert mixed.auc == pytest.approx((2 + 1.5) / 6)


def test_an_interval_covers_chance_and_narrows_with_more_windows() -> None:
    rng = np.random.default_rng(2)

    def width(n: int) -> float:
        found = detection(rng.standard_normal(n), np.where(np.arange(n) % 2, "spike", ""))
        assert found.ci95[0] <= found.auc <= found.ci95[1]
        assert found.ci95[0] < 0.5 < found.ci95[1]
        return found.ci95[1] - found.ci95[0]

    assert width(1000) < 0.5 * width(60)


@pytest.mark.parametrize(
    ("scores", "kind", "message"),
    [
        ([1.0, 2.0], ["", ""], "0 windows have a fault and 2 none"),
        ([1.0], ["", "spike"], r"scores have shape \(1,\), kinds \(2,\)"),
        ([1.0, np.nan], ["", "spike"], "not finite"),
    ],
)
def test_scores_that_cannot_be_judged_are_refused(scores: list, kind: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        detection(scores, kind)


def test_a_fault_that_would_change_nothing_is_planted_elsewhere() -> None:
    """Windows that are flat but for their middle: most places for a flat line are flat already."""
    X = np.zeros((60, 1, 64), dtype=np.float32)
    X[:, :, 28:36] = np.sin(np.arange(8))
    found = plant(X, X.std(axis=(0, 2)), seed=0)
    changed = np.abs(found.X - X).sum(axis=(1, 2)) > 0
    assert np.array_equal(changed, found.kind != "")


def test_rebuilt_distance_is_the_farthest_time_point_in_deviations() -> None:
    X, rebuilt = np.zeros((2, 2, 3)), np.zeros((2, 2, 3))
    rebuilt[0, :, 1] = (2, -10)
    rebuilt[1, 0, 2] = 1
    assert rebuilt_distance(X, rebuilt, [1, 5]).tolist() == [2, 0.5]
