"""The two scores of the windows benchmark (TimeGAN, Yoon et al. 2019), by small recurrent networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from timeloom.errors import InputError
from timeloom.evaluation.measures.inputs import Floats, check_series_pair
from timeloom.progress import Progress, silent

TRAIN_SHARE = 0.8
LEARNING_RATE = 1e-3
SCORED_AT_ONCE = 2048
REPORT_EVERY = 50


class GatedSteps(torch.autograd.Function):
    """States (T, B, H) of a gated recurrent unit (Cho et al. 2014), whose reset acts before the matrix product.

    `r, u = sigmoid(gates_t + h W)`, `n = tanh(candidates_t + (r h) V)`, `h' = u h + (1 - u) n`, from h = 0; inputs are
    gates (T, B, 2 H), candidates (T, B, H), W (H, 2 H) and V (H, H). PyTorch's own GRU resets after the product, which
    is not the benchmark's; and with the derivative written out a training step takes less than half the time.
    """

    @staticmethod
    def forward(ctx: Any, gates: Tensor, candidates: Tensor, w: Tensor, v: Tensor) -> Tensor:
        n_steps, n_cases, hidden = candidates.shape
        states = candidates.new_zeros(n_steps + 1, n_cases, hidden)
        opened, proposed = torch.empty_like(gates), torch.empty_like(candidates)
        for t in range(n_steps):
            state = states[t]
            reset, update = torch.sigmoid(torch.addmm(gates[t], state, w), out=opened[t]).chunk(2, dim=1)
            torch.tanh(torch.addmm(candidates[t], reset * state, v), out=proposed[t])
            torch.lerp(proposed[t], state, update, out=states[t + 1])
        ctx.save_for_backward(states, opened, proposed, w, v)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        states, opened, proposed, w, v = ctx.saved_tensors
        before, hidden = states[:-1], states.shape[2]
        reset, update = opened.chunk(2, dim=2)
        by_candidate = (1 - update) * (1 - proposed**2)
        by_reset = before * reset * (1 - reset)
        by_update = (before - proposed) * update * (1 - update)
        d_gates, d_candidates = torch.empty_like(opened), torch.empty_like(proposed)
        d_state = torch.zeros_like(before[0])
        for t in range(len(before) - 1, -1, -1):
            d_state = d_state + gradients[0][t]
            d_reset_state = torch.mul(d_state, by_candidate[t], out=d_candidates[t]) @ v.T
            d_gates[t, :, :hidden] = d_reset_state * by_reset[t]
            d_gates[t, :, hidden:] = d_state * by_update[t]
            d_state = torch.addmm(d_state * update[t], d_gates[t], w.T).addcmul_(d_reset_state, reset[t])
        d_w = before.flatten(0, 1).T @ d_gates.flatten(0, 1)
        d_v = (reset * before).flatten(0, 1).T @ d_candidates.flatten(0, 1)
        return d_gates, d_candidates, d_w, d_v


class RecurrentHead(nn.Module):
    """One GRU layer and a linear output for every step; hidden size C // 2 of the data's C channels, at least 2.

    As in the published TensorFlow code: Glorot-uniform weights over inputs and state together, gate biases 1, other
    biases 0, the state reset before its matrix product.
    """

    def __init__(self, n_inputs: int, n_channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.hidden = max(n_channels // 2, 2)
        self.gates = _glorot(n_inputs + self.hidden, 2 * self.hidden, generator)
        self.candidate = _glorot(n_inputs + self.hidden, self.hidden, generator)
        self.biases = nn.Parameter(torch.cat([torch.ones(2 * self.hidden), torch.zeros(self.hidden)]))
        self.output = _glorot(self.hidden, 1, generator)
        self.output_bias = nn.Parameter(torch.zeros(1))

    def forward(self, steps: Tensor) -> Tensor:
        """Outputs (T, B) of inputs (T, B, n_inputs)."""
        return self._output(self._states(steps))

    def last(self, steps: Tensor) -> Tensor:
        """The last step's outputs (B,)."""
        return self._output(self._states(steps)[-1])

    def _states(self, steps: Tensor) -> Tensor:
        n_inputs = steps.shape[2]
        weights = torch.cat([self.gates[:n_inputs], self.candidate[:n_inputs]], dim=1)
        gates, candidates = (steps @ weights + self.biases).split([2 * self.hidden, self.hidden], dim=2)
        states: Tensor = GatedSteps.apply(gates, candidates, self.gates[n_inputs:], self.candidate[n_inputs:])
        return states

    def _output(self, states: Tensor) -> Tensor:
        return (states @ self.output + self.output_bias).squeeze(-1)


def discriminative_score_gru(
    real: ArrayLike,
    synthetic: ArrayLike,
    seed: int,
    *,
    iterations: int = 2000,
    batch_size: int = 128,
    progress: Progress = silent,
) -> tuple[float, float]:
    """Benchmark discriminative score |accuracy - 0.5|, in [0, 0.5], lower is better, 0 best; and the accuracy itself.

    A GRU learns to tell real (N, C, T) from synthetic series (M, C, T), both scaled to [0, 1], by its last state:
    80 % of each set train it, at most `batch_size` of each drawn in each iteration without repetition, binary
    cross-entropy, Adam at 1e-3; the accuracy is that on the other 20 % of both, so chance is the share of the larger
    set where sizes differ. Yoon et al. 2019, section 5, as coded there and for Diffusion-TS (Yuan & Qiao 2024);
    published numbers are means of several runs. It needs all its iterations: at 600 it sees nothing.

    Raises:
        InputError: series that are not (N, C, T) with N at least 2, not finite, or of different channels or lengths.
    """
    sets = check_series_pair(real, synthetic)
    for name, series in zip(("real", "synthetic"), sets, strict=True):
        if len(series) < 2:
            raise InputError(
                f"{name} holds {len(series)} series; allowed: at least 2, to train on one and test another"
            )
    rng = np.random.default_rng(seed)
    divided = [np.split(rng.permutation(len(series)), [int(TRAIN_SHARE * len(series))]) for series in sets]
    steps = [_steps(series) for series in sets]
    n_channels = sets[0].shape[1]
    network = RecurrentHead(n_channels, n_channels, torch.Generator().manual_seed(seed))

    def loss() -> Tensor:
        drawn = [of[:, _draw(rng, rows[0], batch_size)] for of, rows in zip(steps, divided, strict=True)]
        logits = network.last(torch.cat(drawn, dim=1)).split([batch.shape[1] for batch in drawn])
        # log(1 + e^-x) for the real ones, log(1 + e^x) for the synthetic: cross-entropy with targets 1 and 0
        return functional.softplus(-logits[0]).mean() + functional.softplus(logits[1]).mean()

    _train(network, loss, iterations, progress, "discriminative score")
    right = [
        _in_parts(network.last, of[:, torch.from_numpy(rows[1])]) > 0 for of, rows in zip(steps, divided, strict=True)
    ]
    accuracy = float(np.concatenate([right[0], ~right[1]]).mean())
    return abs(accuracy - 0.5), accuracy


def predictive_score_gru(
    real: ArrayLike,
    synthetic: ArrayLike,
    seed: int,
    *,
    iterations: int = 5000,
    batch_size: int = 128,
    progress: Progress = silent,
) -> float:
    """Benchmark predictive score: mean absolute error on the real series, in units of data in [0, 1]; lower is better.

    A GRU learns from synthetic series (M, C, T) alone to forecast the last channel's next value from the first C - 1
    channels so far (of one channel from itself): sigmoid output, mean absolute error, at most `batch_size` series an
    iteration drawn without repetition, Adam at 1e-3. Then it forecasts all real series (N, C, T). Yoon et al. 2019,
    section 5, as coded there and for Diffusion-TS (Yuan & Qiao 2024). The last channel does not see its own past, so
    real data has a floor far above 0.

    Raises:
        InputError: series that are not (N, C, T) with T at least 2, not finite, or of different channels or lengths.
    """
    sets = check_series_pair(real, synthetic)
    if sets[0].shape[2] < 2:
        raise InputError("the series have length 1; allowed: at least 2, to forecast a next value")
    rng = np.random.default_rng(seed)
    truth, learned = (_steps(series) for series in sets)
    n_channels = sets[0].shape[1]
    seen = slice(0, max(n_channels - 1, 1))
    network = RecurrentHead(max(n_channels - 1, 1), n_channels, torch.Generator().manual_seed(seed))

    def forecast(steps: Tensor) -> Tensor:
        return torch.sigmoid(network(steps[:-1, :, seen]))

    def loss() -> Tensor:
        batch = learned[:, _draw(rng, np.arange(learned.shape[1]), batch_size)]
        return (forecast(batch) - batch[1:, :, -1]).abs().mean()

    _train(network, loss, iterations, progress, "predictive score")
    return float(np.abs(_in_parts(forecast, truth) - truth[1:, :, -1].double().numpy()).mean())


def _train(network: nn.Module, loss: Callable[[], Tensor], iterations: int, progress: Progress, stage: str) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    for done in range(1, iterations + 1):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        if done % REPORT_EVERY == 0 or done == iterations:
            progress(stage, done, iterations, f"loss {value.item():.3f}")


def _steps(series: Floats) -> Tensor:
    """Series (N, C, T) as the steps (T, N, C) of a recurrent network."""
    return torch.from_numpy(np.ascontiguousarray(series.transpose(2, 0, 1), dtype=np.float32))


def _draw(rng: np.random.Generator, rows: NDArray[np.int64], most: int) -> Tensor:
    """At most so many of the rows, without repetition."""
    return torch.from_numpy(rng.choice(rows, size=min(most, len(rows)), replace=False))


def _in_parts(function: Callable[[Tensor], Tensor], steps: Tensor) -> NDArray[np.float64]:
    """A function of steps (T, B, C) to (..., B), applied to many series some at a time."""
    with torch.inference_mode():
        parts = [function(part) for part in steps.split(SCORED_AT_ONCE, dim=1)]
        return torch.cat(parts, dim=-1).double().numpy()


def _glorot(n_inputs: int, n_outputs: int, generator: torch.Generator) -> nn.Parameter:
    """Weights (n_inputs, n_outputs) from U(-a, a), a = sqrt(6 / (n_inputs + n_outputs)) (Glorot & Bengio 2010)."""
    bound = (6.0 / (n_inputs + n_outputs)) ** 0.5
    return nn.Parameter(torch.empty(n_inputs, n_outputs).uniform_(-bound, bound, generator=generator))
