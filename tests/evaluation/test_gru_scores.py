"""The benchmark's recurrent scores, at few iterations: their network, their ends, their seeds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from timeloom.errors import InputError
from timeloom.evaluation.measures.gru_scores import (
    GatedSteps,
    RecurrentHead,
    discriminative_score_gru,
    predictive_score_gru,
)


def walks(n: int, seed: int, n_channels: int = 3, n_timepoints: int = 8) -> NDArray[np.float32]:
    """Slow waves in [0, 1]; each channel is the one before it a step later."""
    rng = np.random.default_rng(seed)
    time = np.arange(n_timepoints)[None, None, :] - np.arange(n_channels)[None, :, None]
    phase = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    return (0.5 + 0.4 * np.sin(0.8 * time + phase)).astype(np.float32)


# ---- the network


def test_the_recurrent_unit_is_the_published_one_step_by_step() -> None:
    network = RecurrentHead(3, 8, torch.Generator().manual_seed(0)).double()
    steps = torch.rand(5, 2, 3, dtype=torch.float64)
    state = torch.zeros(2, 4, dtype=torch.float64)
    with torch.no_grad():
        network.biases.uniform_(-1, 1)
        for t in range(5):
            both = torch.cat([steps[t], state], dim=1)
            gates = torch.sigmoid(both @ network.gates + network.biases[:8])
            reset, update = gates[:, :4], gates[:, 4:]
            inner = torch.cat([steps[t], reset * state], dim=1)
            proposed = torch.tanh(inner @ network.candidate + network.biases[8:])
            state = update * state + (1 - update) * proposed
        expected = state @ network.output[:, 0] + network.output_bias
        torch.testing.assert_close(network.last(steps), expected)
        torch.testing.assert_close(network(steps)[-1], expected)


def test_the_written_derivative_is_the_numerical_one() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = ((4, 3, 4), (4, 3, 2), (2, 4), (2, 2))
    inputs = [torch.randn(shape, dtype=torch.float64, generator=generator, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(GatedSteps.apply, inputs)


@pytest.mark.parametrize(("n_channels", "hidden"), [(1, 2), (5, 2), (6, 3), (28, 14)])
def test_the_hidden_size_and_the_first_weights_are_the_published_ones(n_channels: int, hidden: int) -> None:
    network = RecurrentHead(n_channels, n_channels, torch.Generator().manual_seed(0))
    assert network.gates.shape == (n_channels + hidden, 2 * hidden)
    assert network.gates.abs().max() <= np.sqrt(6 / (n_channels + 3 * hidden))
    assert network.candidate.abs().max() <= np.sqrt(6 / (n_channels + 2 * hidden))
    assert network.biases.tolist() == [1.0] * (2 * hidden) + [0.0] * hidden


# ---- the scores


def test_series_that_differ_are_told_and_equal_sets_are_not() -> None:
    real = walks(200, 0)
    score, accuracy = discriminative_score_gru(real, 0.2 * walks(200, 1), seed=0, iterations=400)
    assert accuracy > 0.95
    assert score == pytest.approx(accuracy - 0.5)
    score, accuracy = discriminative_score_gru(real, walks(200, 1), seed=0, iterations=100)
    assert score < 0.2
    assert score == abs(accuracy - 0.5)


def test_the_test_parts_hold_a_fifth_of_each_set() -> None:
    # 4 of 20 real and 2 of 10 synthetic series are judged: the accuracy is a multiple of a sixth
    _, accuracy = discriminative_score_gru(walks(20, 0), walks(10, 1), seed=0, iterations=1)
    assert accuracy * 6 == pytest.approx(round(accuracy * 6))


def test_series_forecast_better_after_training_on_their_like() -> None:
    real, noise = walks(100, 0), np.random.default_rng(0).random((100, 3, 8)).astype(np.float32)
    like = predictive_score_gru(real, walks(100, 1), seed=0, iterations=500)
    unlike = predictive_score_gru(real, noise, seed=0, iterations=500)
    assert 0 < like < 0.75 * unlike


def test_the_error_of_a_forecaster_of_a_constant_is_known() -> None:
    synthetic, real = np.full((30, 2, 5), 0.5), np.full((7, 2, 5), 0.5)
    real[:, 1] = 0.9
    assert predictive_score_gru(real, synthetic, seed=0, iterations=300) == pytest.approx(0.4, abs=0.02)


def test_the_last_channel_is_forecast_from_the_others_alone() -> None:
    real, synthetic = walks(30, 0), walks(30, 1)
    changed = real.copy()
    changed[:, -1, 0] = 0.77
    # the first value of the last channel is neither an input nor a target
    arguments = {"seed": 0, "iterations": 5}
    assert predictive_score_gru(changed, synthetic, **arguments) == predictive_score_gru(real, synthetic, **arguments)
    changed[:, 0, 0] = 0.77
    assert predictive_score_gru(changed, synthetic, **arguments) != predictive_score_gru(real, synthetic, **arguments)


def test_a_single_channel_is_forecast_from_itself() -> None:
    real = walks(60, 0, n_channels=1)
    trained = predictive_score_gru(real, walks(60, 1, n_channels=1), seed=0, iterations=400)
    assert trained < 0.9 * predictive_score_gru(real, real, seed=0, iterations=1)
    # the first value is no target: it can change the score only as an input
    changed = real.copy()
    changed[:, 0, 0] = 0.77
    scores = [predictive_score_gru(X, real, seed=0, iterations=1) for X in (real, changed)]
    assert scores[0] != scores[1]


def test_the_seed_decides_and_the_global_generator_is_left_alone() -> None:
    real, synthetic = walks(40, 0), walks(30, 1)
    state = torch.get_rng_state()
    first = predictive_score_gru(real, synthetic, seed=1, iterations=10)
    assert first == predictive_score_gru(real, synthetic, seed=1, iterations=10)
    assert first != predictive_score_gru(real, synthetic, seed=2, iterations=10)
    told = discriminative_score_gru(real, synthetic, seed=1, iterations=10)
    assert told == discriminative_score_gru(real, synthetic, seed=1, iterations=10)
    assert torch.equal(state, torch.get_rng_state())


def test_progress_reaches_its_end() -> None:
    calls: list[tuple[str, int, int]] = []

    def record(stage: str, done: int, total: int, note: str = "") -> None:
        calls.append((stage, done, total))

    discriminative_score_gru(walks(5, 0), walks(5, 1), seed=0, iterations=60, progress=record)
    predictive_score_gru(walks(5, 0), walks(5, 1), seed=0, iterations=50, progress=record)
    assert calls == [
        ("discriminative score", 50, 60),
        ("discriminative score", 60, 60),
        ("predictive score", 50, 50),
    ]


def test_bad_series_are_refused() -> None:
    with pytest.raises(InputError, match="synthetic holds 1 series"):
        discriminative_score_gru(walks(5, 0), walks(1, 1), seed=0)
    with pytest.raises(InputError, match="length 1; allowed: at least 2"):
        predictive_score_gru(walks(5, 0)[..., :1], walks(5, 1)[..., :1], seed=0)
    with pytest.raises(InputError, match="2 channels of length 8; allowed: 3 channels"):
        predictive_score_gru(walks(5, 0), walks(5, 1)[:, :2], seed=0)
