"""TS2Vec: its loss against a loop, its network against plain sums, what it learns and how it is read."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from timeloom.encoders import TS2Vec, ts2vec_training
from timeloom.encoders.optimisation import default_steps
from timeloom.encoders.ts2vec_loss import SIMILARITIES_AT_ONCE, hierarchical_contrast
from timeloom.encoders.ts2vec_network import DilatedConv, TS2VecNetwork
from timeloom.encoders.ts2vec_reading import pool_over_windows, time_mask
from timeloom.encoders.ts2vec_training import MAX_TRAIN_LENGTH, Crops, training_series
from timeloom.errors import InputError


def small(steps: int = 3, seed: int = 0) -> TS2Vec:
    return TS2Vec(output_dims=12, hidden_dims=8, depth=3, steps=steps, seed=seed)


def find_among(anchor: Tensor, counterpart: Tensor, others: list[Tensor]) -> Tensor:
    """Cross-entropy of picking the counterpart by dot product among `others`, of which it is one."""
    scores = torch.stack([anchor @ other for other in others])
    return torch.log(torch.exp(scores).sum()) - anchor @ counterpart


def loop_contrast(views: list[Tensor], alpha: float, temporal_unit: int) -> Tensor:
    """The hierarchical loss, vector by vector, from equations 1 to 3 of the paper."""
    per_scale: list[Tensor] = []
    while True:
        n_cases, n_times = views[0].shape[:2]
        instance, temporal = [], []
        for v in (0, 1):
            for i in range(n_cases):
                for t in range(n_times):
                    anchor, counterpart = views[v][i, t], views[1 - v][i, t]
                    same_time = [views[w][j, t] for w in (0, 1) for j in range(n_cases) if (w, j) != (v, i)]
                    same_case = [views[w][i, s] for w in (0, 1) for s in range(n_times) if (w, s) != (v, t)]
                    instance.append(find_among(anchor, counterpart, same_time))
                    temporal.append(find_among(anchor, counterpart, same_case))
        loss = torch.zeros((), dtype=views[0].dtype)
        if n_cases > 1:
            loss = loss + alpha * torch.stack(instance).mean()
        if n_times > 1 and len(per_scale) >= temporal_unit:
            loss = loss + (1 - alpha) * torch.stack(temporal).mean()
        per_scale.append(loss)
        if n_times == 1:
            return torch.stack(per_scale).mean()
        pairs = range(0, n_times - 1, 2)
        views = [torch.stack([view[:, [t, t + 1]].amax(dim=1) for t in pairs], dim=1) for view in views]


@pytest.mark.parametrize(
    ("shape", "alpha", "temporal_unit"),
    [((3, 7, 4), 0.5, 0), ((2, 4, 3), 0.2, 1), ((1, 5, 3), 0.5, 0), ((3, 1, 4), 0.5, 0), ((3, 4, 2), 1.0, 0)],
)
def test_loss_and_gradient_equal_the_plain_loop(shape: tuple[int, int, int], alpha: float, temporal_unit: int) -> None:
    generator = torch.Generator().manual_seed(0)
    views = [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    loss = hierarchical_contrast(views[0], views[1], alpha, temporal_unit)
    reference = loop_contrast(views, alpha, temporal_unit)
    torch.testing.assert_close(loss, reference)
    for mine, theirs in zip(torch.autograd.grad(loss, views), torch.autograd.grad(reference, views), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_loss_in_blocks_is_the_loss_at_once() -> None:
    n_timepoints = 1 + int((SIMILARITIES_AT_ONCE / 3) ** 0.5) // 2
    z_a, z_b = torch.randn((2, 5, n_timepoints, 1), generator=torch.Generator().manual_seed(0))
    z_a.requires_grad_()
    loss = hierarchical_contrast(z_a, z_b, alpha=0.0)
    each = [hierarchical_contrast(z_a[i : i + 1], z_b[i : i + 1], alpha=0.0) for i in range(5)]
    torch.testing.assert_close(loss, torch.stack(each).mean())
    (gradient,), (reference,) = torch.autograd.grad(loss, z_a), torch.autograd.grad(torch.stack(each).mean(), z_a)
    torch.testing.assert_close(gradient, reference, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(("dilation", "n_timepoints"), [(1, 9), (4, 9), (8, 9), (9, 9), (64, 9), (2, 1)])
def test_convolution_is_the_sum_over_taps(dilation: int, n_timepoints: int) -> None:
    conv = DilatedConv(3, 5, dilation)
    x = torch.randn((2, n_timepoints, 3), generator=torch.Generator().manual_seed(0))
    expected = conv.bias.expand(2, n_timepoints, 5).clone()
    for t in range(n_timepoints):
        for tap, source in enumerate((t - dilation, t, t + dilation)):
            if 0 <= source < n_timepoints:
                expected[:, t] += x[:, source] @ conv.weight[:, :, tap].T
    torch.testing.assert_close(conv(x), expected)


def test_network_is_projection_and_residual_blocks_of_doubling_dilation() -> None:
    network = TS2VecNetwork(2, output_dims=6, hidden_dims=4, depth=2)
    x = torch.randn((3, 10, 2), generator=torch.Generator().manual_seed(0))
    h = functional.linear(x, network.project.weight, network.project.bias)
    for block, dilation in zip(network.blocks, (1, 2, 4), strict=True):
        y = functional.gelu(h).transpose(1, 2)
        y = functional.conv1d(y, block.first.weight, block.first.bias, padding=dilation, dilation=dilation)
        y = functional.gelu(y)
        y = functional.conv1d(y, block.second.weight, block.second.bias, padding=dilation, dilation=dilation)
        h = block.shortcut(h) + y.transpose(1, 2)
    torch.testing.assert_close(network(x, torch.tensor(True)), h)


@pytest.mark.parametrize("n_timepoints", [3, 6, 20])
def test_wanted_time_points_are_represented_as_among_all(n_timepoints: int) -> None:
    network = TS2VecNetwork(2, output_dims=6, hidden_dims=4, depth=3)
    x = torch.randn((3, n_timepoints, 2), generator=torch.Generator().manual_seed(0))
    whole = network(x, torch.tensor(True))
    for wanted in (slice(1, None), slice(2), slice(None)):
        torch.testing.assert_close(network(x, torch.tensor(True), wanted), whole[:, wanted])


def test_a_missing_channel_hides_the_time_point_as_the_mask_does() -> None:
    network = TS2VecNetwork(2, output_dims=6, hidden_dims=4, depth=2)
    x = torch.randn((3, 10, 2), generator=torch.Generator().manual_seed(0))
    keep = torch.ones(10, dtype=torch.bool)
    keep[4] = False
    masked = network(x, keep)
    x[:, 4, 1] = torch.nan
    assert torch.equal(network(x, torch.tensor(True)), masked)
    assert not torch.allclose(network(x.nan_to_num(), torch.tensor(True)), masked)


@pytest.mark.parametrize("n_timepoints", [2, 3, 20])
def test_crops_overlap_and_stay_within_the_series(n_timepoints: int) -> None:
    series = torch.arange(n_timepoints).float().expand(7, n_timepoints).unsqueeze(2)
    generator = torch.Generator().manual_seed(0)
    overlaps = set()
    for _ in range(100):
        crops = Crops.draw(7, n_timepoints, generator)
        overlap = crops.right - crops.left
        first, second = crops.cut(series)
        assert torch.equal(first[:, -overlap:], second[:, :overlap])
        steps = torch.cat([first, second], dim=1)[:, :, 0]
        assert steps.min() >= 0
        assert steps.max() <= n_timepoints - 1
        assert torch.equal(first.diff(dim=1), torch.ones_like(first[:, 1:]))
        overlaps.add(overlap)
    assert min(overlaps) == 2
    assert max(overlaps) == n_timepoints


def test_long_series_are_cut_and_short_ones_moved_to_the_middle() -> None:
    long = np.arange(2 * MAX_TRAIN_LENGTH + 1, dtype=np.float32).reshape(1, 1, -1)
    pieces = training_series(long)
    assert pieces.shape == (2, MAX_TRAIN_LENGTH + 1, 1)
    np.testing.assert_array_equal(np.sort(pieces[~np.isnan(pieces)]), long.ravel())
    nan = np.nan
    rows = np.array([[1, 2, nan, nan, nan], [1, nan, 3, nan, nan], [nan] * 5, [1, 2, 3, 4, 5]], dtype=np.float32)
    expected = [[nan, 1, 2, nan, nan], [nan, 1, nan, 3, nan], [1, 2, 3, 4, 5]]
    np.testing.assert_array_equal(training_series(rows[:, None])[:, :, 0], expected)


def test_the_step_budget_is_the_published_one() -> None:
    assert [default_steps(n) for n in (1, 100_000, 100_001)] == [200, 200, 600]


def separation(features: NDArray, labels: NDArray) -> float:
    """Share of series whose nearest other one has the same label, in [0, 1]."""
    distances = np.linalg.norm(features[:, None] - features[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return float((labels[distances.argmin(axis=1)] == labels).mean())


def test_learning_lowers_the_loss_and_keeps_the_classes_apart(sines: Callable) -> None:
    X, _ = sines(40, seed=0)
    losses: list[float] = []

    def note_loss(stage: str, done: int, total: int, note: str = "") -> None:
        losses.append(float(note.split()[1]))

    trained = TS2Vec(output_dims=12, hidden_dims=8, depth=3, steps=100, lr=1e-2).fit(X, progress=note_loss)
    assert len(losses) == 10
    assert np.mean(losses[-3:]) < losses[0] - 0.4
    X_new, y_new = sines(60, seed=1)
    assert separation(trained.encode(X_new), y_new) > 0.9


def test_weights_are_the_average_of_all_iterates(sines: Callable) -> None:
    X, _ = sines(6, seed=0)
    averages = [small(steps).fit(X)._network.project.weight for steps in (0, 1, 2, 3)]
    iterates = [averages[0]] + [(i + 1) * b - i * a for i, (a, b) in enumerate(pairwise(averages), start=1)]
    # AdamW moves every weight by about its learning rate of 1e-3 at first; the average moves by less and less
    for before, after in pairwise(iterates):
        step = (after - before).abs()
        assert 2e-4 < step.max() < 1.5e-3


def test_the_seed_decides_and_the_global_state_does_not(sines: Callable) -> None:
    X, _ = sines(20, seed=0)
    torch.manual_seed(1)
    before, numpy_before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = small().fit(X).encode(X)
    assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    torch.manual_seed(2)
    np.testing.assert_array_equal(small().fit(X).encode(X), first)
    assert not np.allclose(small(seed=1).fit(X).encode(X), first)
    untrained = small(steps=0).fit(X).encode(X)
    assert untrained.shape == first.shape
    assert not np.allclose(untrained, first)


@pytest.mark.parametrize("how", [{}, {"mask": "binomial"}, {"sliding_length": 3, "sliding_padding": 5}])
def test_features_do_not_depend_on_the_batch(sines: Callable, how: dict) -> None:
    X, _ = sines(9, seed=0, n_channels=2)
    X[3, 0, 5] = np.nan
    encoder = small().fit(X)
    together = encoder.encode(X, **how)
    assert together.shape == (9, 12)
    assert together.dtype == np.float32
    np.testing.assert_allclose(encoder.encode(X, batch_size=2, **how), together, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(encoder.encode(X[3:4], **how), together[3:4], rtol=1e-5, atol=1e-6)


def test_series_level_is_the_maximum_over_the_observed_time(sines: Callable) -> None:
    X, _ = sines(5, seed=0, n_channels=2)
    encoder = small().fit(X)
    by_time = encoder.encode(X, level="timestamp")
    assert by_time.shape == (5, 24, 12)
    np.testing.assert_array_equal(encoder.encode(X), by_time.max(axis=1))
    X[0, :, 15:] = np.nan
    X[1, :, :3] = np.nan
    X[1, :, 7] = np.nan
    X[2] = np.nan
    by_time, pooled = encoder.encode(X, level="timestamp"), encoder.encode(X)
    assert np.isfinite(by_time).all()
    for case, span in ((0, slice(0, 15)), (1, slice(3, 24)), (2, slice(0, 24))):
        np.testing.assert_array_equal(pooled[case], by_time[case, span].max(axis=0))


def test_without_standardising_series_are_taken_as_they_are(sines: Callable) -> None:
    X, _ = sines(6, seed=0)
    X = (X - X.mean()) / X.std() * 3 + 2

    def encode(series: NDArray, standardise: bool) -> NDArray:
        return TS2Vec(12, 8, 3, steps=2, standardise=standardise).fit(series).encode(series)

    np.testing.assert_allclose(encode(X, True), encode((X - 2) / 3, False), rtol=1e-3, atol=1e-3)
    assert not np.allclose(encode(X, False), encode(X, True), atol=0.1)


def test_unequal_lengths_padded_with_nan_are_trained_on(sines: Callable) -> None:
    X, _ = sines(8, seed=0)
    for case in range(8):
        X[case, :, 24 - 2 * case :] = np.nan
    encoder = small(steps=5).fit(X)
    assert np.isfinite(encoder.encode(X)).all()
    assert np.isfinite(encoder.encode(X[:, :, :10])).all()


def test_causal_windows_do_not_see_the_future(sines: Callable) -> None:
    X, _ = sines(4, seed=0)
    encoder = small().fit(X)
    changed = X.copy()
    changed[:, :, 12:] += 5

    def difference(now: int, **how: object) -> float:
        settings = {"level": "timestamp", "sliding_padding": 8, **how}
        before, after = (encoder.encode(series, **settings) for series in (X, changed))  # type: ignore[arg-type]
        assert np.abs(before - after)[:, 12:].max() > 1e-2
        return float(np.abs(before - after)[:, :now].max())

    assert difference(12, causal=True, sliding_length=1) <= 1e-6
    assert difference(12, causal=True, sliding_length=1, sliding_padding=200) <= 1e-6
    assert difference(12, causal=True, sliding_length=4) <= 1e-6
    assert difference(12, causal=True, sliding_length=1, encoding_window=5) <= 1e-6
    assert difference(12, causal=False, sliding_length=1) > 1e-2
    assert difference(4, causal=False, sliding_length=1) <= 1e-6


def test_sliding_windows_are_those_written_out(sines: Callable) -> None:
    X, _ = sines(3, seed=0)
    encoder = small().fit(X)
    read = encoder.encode(X, level="timestamp", sliding_length=5, sliding_padding=4, mask="mask_last")
    assert read.shape == (3, 24, 12)
    padded = np.pad(X, ((0, 0), (0, 0), (4, 5)), constant_values=np.nan)
    for start in range(0, 24, 5):
        window = encoder.encode(padded[:, :, start : start + 13], level="timestamp", mask="mask_last")
        stretch = read[:, start : start + 5]
        np.testing.assert_allclose(stretch, window[:, 4 : 4 + stretch.shape[1]], rtol=1e-5, atol=1e-6)
    whole = encoder.encode(X, level="timestamp", sliding_length=24)
    np.testing.assert_allclose(whole, encoder.encode(X, level="timestamp"), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("window", "back", "ahead"), [(1, 0, 0), (2, 1, 0), (3, 1, 1), (4, 2, 1), (99, 49, 49)])
def test_pooling_takes_the_maximum_of_a_centred_window(window: int, back: int, ahead: int) -> None:
    x = torch.randn((2, 9, 3), generator=torch.Generator().manual_seed(0))
    expected = [x[:, max(t - back, 0) : t + ahead + 1].amax(dim=1) for t in range(9)]
    torch.testing.assert_close(pool_over_windows(x, window), torch.stack(expected, dim=1))


@pytest.mark.parametrize(
    ("n_timepoints", "windows"), [(1, [3]), (3, [3]), (4, [3, 5]), (9, [3, 5, 9]), (10, [3, 5, 9, 17])]
)
def test_multiscale_sets_windows_of_doubling_reach_side_by_side(n_timepoints: int, windows: list[int]) -> None:
    x = torch.randn((2, n_timepoints, 3), generator=torch.Generator().manual_seed(0))
    expected = torch.cat([pool_over_windows(x, window) for window in windows], dim=2)
    torch.testing.assert_close(pool_over_windows(x, "multiscale"), expected)


def test_masks_hide_what_they_say(sines: Callable) -> None:
    assert time_mask("all_true", 9, 0).all()
    assert not time_mask("all_false", 9, 0).any()
    assert time_mask("mask_last", 4, 0).tolist() == [True, True, True, False]
    assert 400 < time_mask("binomial", 1000, 0).sum() < 600
    hidden = ~time_mask("continuous", 1000, 0)
    assert 100 <= hidden.sum() <= 500
    assert hidden.int().diff().clamp(min=0).sum() + hidden[0] <= 5
    assert not torch.equal(time_mask("binomial", 1000, 0), time_mask("binomial", 1000, 1))
    X, _ = sines(3, seed=0)
    encoder = small().fit(X)
    changed = X.copy()
    changed[:, :, -1] += 5
    np.testing.assert_array_equal(encoder.encode(X, mask="mask_last"), encoder.encode(changed, mask="mask_last"))
    np.testing.assert_array_equal(encoder.encode(X, mask="all_false"), encoder.encode(-X, mask="all_false"))
    np.testing.assert_array_equal(encoder.encode(X, mask="all_true"), encoder.encode(X))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"level": "time"}, "level is 'time'; allowed: one of series, timestamp"),
        ({"mask": "half"}, "mask is 'half'; allowed: None or one of binomial"),
        ({"level": "timestamp", "encoding_window": 0}, "encoding_window is 0; allowed"),
        ({"encoding_window": 3}, "encoding_window is 3; allowed: None at level 'series'"),
        ({"sliding_length": 0}, "sliding_length is 0; allowed"),
        ({"causal": True}, "causal is True; allowed: False without a sliding_length"),
        ({"sliding_padding": 2}, "sliding_padding is 2; allowed: 0 without a sliding_length"),
        ({"sliding_length": 1, "sliding_padding": -1}, "sliding_padding is -1; allowed"),
    ],
)
def test_unknown_settings_are_refused(sines: Callable, how: dict, message: str) -> None:
    X, _ = sines(3, seed=0)
    encoder = small(steps=0).fit(X)
    with pytest.raises(InputError, match=message):
        encoder.encode(X, **how)


def test_series_that_cannot_be_contrasted_are_refused(sines: Callable) -> None:
    X, _ = sines(3, seed=0)
    with pytest.raises(InputError, match="X has 1 series with values; allowed: at least 2"):
        small().fit(X[:1])
    with pytest.raises(InputError, match="length 1; allowed: at least 2"):
        small().fit(X[:, :, :1])
    with pytest.raises(InputError, match="not fitted"):
        small().encode(X)
    with pytest.raises(InputError, match="channels"):
        small(steps=0).fit(X).encode(np.repeat(X, 2, axis=1))


@pytest.mark.parametrize(
    ("n_cases", "n_channels", "n_timepoints"), [(2, 1, 2), (3, 12, 5), (2, 1, MAX_TRAIN_LENGTH + 2)]
)
def test_short_long_and_many_channels(sines: Callable, n_cases: int, n_channels: int, n_timepoints: int) -> None:
    X, _ = sines(n_cases, seed=0, n_channels=n_channels, n_timepoints=n_timepoints)
    assert np.isfinite(small(steps=1).fit(X).encode(X)).all()


@pytest.mark.parametrize(("name", "off"), [("KEEP_TIMEPOINT", 1.0), ("DROPOUT", 0.0)])
def test_time_points_are_masked_and_activations_dropped_in_training(
    sines: Callable, monkeypatch: pytest.MonkeyPatch, name: str, off: float
) -> None:
    X, _ = sines(8, seed=0)
    before = small().fit(X).encode(X)
    monkeypatch.setattr(ts2vec_training, name, off)
    assert not np.array_equal(small().fit(X).encode(X), before)


def test_numbers_of_numpy_are_windows_like_any_other(sines: Callable) -> None:
    X, _ = sines(8, seed=0)
    encoder = small().fit(X)
    plain: dict = {"encoding_window": 5, "sliding_length": 2, "sliding_padding": 3}
    numpy = {name: np.int64(value) for name, value in plain.items()}
    wanted = encoder.encode(X, level="timestamp", **plain)
    assert np.array_equal(encoder.encode(X, level="timestamp", **numpy), wanted)


def test_a_channel_without_any_value_is_refused(sines: Callable) -> None:
    X, _ = sines(8, seed=0, n_channels=2)
    X[:, 1] = np.nan
    with pytest.raises(InputError, match="channel 1 of X has no value in any series"):
        small().fit(X)
