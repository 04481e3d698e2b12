"""TimeDRL: its loss against a loop, its network against plain attention, what it sees and what it learns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from timeloom.encoders import TimeDRL
from timeloom.encoders.timedrl import scale_each
from timeloom.encoders.timedrl_loss import timedrl
from timeloom.encoders.timedrl_network import AttentionBlock, Patches, TimeDRLNetwork
from timeloom.errors import InputError

NAN = np.nan


def small(**settings: Any) -> TimeDRL:
    return TimeDRL(**{"dims": 8, "layers": 1, "heads": 2, "patch_length": 6, "patch_stride": 4, "steps": 3, **settings})


def loss_arguments() -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Patches (3, 4, 2), which of them were observed, and five leaves: two reconstructions, two z, two c."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    observed = torch.rand((3, 4, 2), generator=generator) < 0.7
    leaves = [draw(3, 4, 2), draw(3, 4, 2), draw(3, 5), draw(3, 5), draw(3, 5), draw(3, 5)]
    return draw(3, 4, 2), observed, [leaf.requires_grad_() for leaf in leaves]


def test_loss_is_that_of_a_plain_loop() -> None:
    patches, observed, leaves = loss_arguments()
    terms = timedrl(patches, observed, (leaves[0], leaves[1]), (leaves[2], leaves[3]), (leaves[4], leaves[5]))
    recon_a, recon_b, z_a, z_b, c_a, c_b = (leaf.detach().numpy() for leaf in leaves)
    predictive = 0.0
    for recon in (recon_a, recon_b):
        errors = [(recon[i] - patches[i].item()) ** 2 for i in np.ndindex(3, 4, 2) if observed[i]]
        predictive += sum(errors) / len(errors) / 2
    contrastive = 0.0
    for prediction, goal in ((c_a, z_b), (c_b, z_a)):
        cosines = [p @ g / np.sqrt((p @ p) * (g @ g)) for p, g in zip(prediction, goal, strict=True)]
        contrastive -= sum(cosines) / 3 / 2
    assert terms["predictive"].item() == pytest.approx(predictive)
    assert terms["contrastive"].item() == pytest.approx(contrastive)
    assert set(terms) == {"predictive", "contrastive"}


def test_the_goal_of_the_other_view_receives_no_gradient() -> None:
    patches, observed, leaves = loss_arguments()
    terms = timedrl(patches, observed, (leaves[0], leaves[1]), (leaves[2], leaves[3]), (leaves[4], leaves[5]))
    gradients = torch.autograd.grad(terms["contrastive"], leaves, retain_graph=True, allow_unused=True)
    assert [gradient is None for gradient in gradients] == [True, True, True, True, False, False]
    for i, other in ((4, 3), (5, 2)):
        c, z = leaves[i], leaves[other]
        norm_c, norm_z = c.norm(dim=1, keepdim=True), z.norm(dim=1, keepdim=True)
        cosine = (c * z).sum(dim=1, keepdim=True) / (norm_c * norm_z)
        torch.testing.assert_close(gradients[i], -(z / norm_z - cosine * c / norm_c) / norm_c / 3 / 2)
    gradients = torch.autograd.grad(terms["predictive"], leaves, allow_unused=True)
    assert [gradient is None for gradient in gradients] == [False, False, True, True, True, True]
    assert gradients[0] is not None
    assert (gradients[0][~observed] == 0).all()
    assert (gradients[0][observed] != 0).all()


def test_equal_views_are_best_and_nothing_observed_is_no_error() -> None:
    x, z = torch.ones(2, 3, 4), torch.randn((2, 5), generator=torch.Generator().manual_seed(0))
    terms = timedrl(x, torch.ones_like(x, dtype=torch.bool), (x, x), (z, z), (2 * z, z))
    assert terms["predictive"].item() == 0
    assert terms["contrastive"].item() == pytest.approx(-1)
    nothing = timedrl(x, torch.zeros_like(x, dtype=torch.bool), (0 * x, x), (z, z), (z, z))
    assert nothing["predictive"].item() == 0


def test_each_channel_of_each_series_is_scaled_by_itself() -> None:
    series = np.array([[[1, 3, NAN], [5, 5, 5]], [[NAN, NAN, NAN], [0, 300, 600]]], dtype=np.float32)
    root = np.sqrt(1.5)
    expected = [[[-1, 1, NAN], [0, 0, 0]], [[NAN, NAN, NAN], [-root, 0, root]]]
    np.testing.assert_allclose(scale_each(series), expected, atol=1e-5)


@pytest.mark.parametrize("independent", [False, True])
def test_patches_are_the_stretches_written_out(independent: bool) -> None:
    series = torch.arange(2 * 3 * 10.0).reshape(2, 3, 10)
    patches = Patches.cut(series, series > 7, length=4, stride=3, independent=independent)
    rows = []
    for case in range(2):
        for channels in [[0], [1], [2]] if independent else [[0, 1, 2]]:
            rows.append([series[case, channels, start : start + 4].flatten() for start in (0, 3, 6)])
    expected = torch.stack([torch.stack(row) for row in rows])
    assert torch.equal(patches.values, expected)
    assert torch.equal(patches.observed, expected > 7)


def test_a_block_is_attention_and_a_feed_forward_layer_beside_residual_paths() -> None:
    generator = torch.Generator().manual_seed(0)
    block = AttentionBlock(dims=6, heads=2).double()
    x = torch.randn((2, 5, 6), generator=generator, dtype=torch.float64)
    seen = torch.tensor([[True, True, False, True, True], [True] * 5])
    expected = x.clone()
    normed = block.norm_1(x)
    for case in range(2):
        q, k, v = (normed[case] @ block.qkv.weight.T + block.qkv.bias).split(6, dim=1)
        mixed = torch.zeros(5, 6, dtype=torch.float64)
        for columns in (slice(0, 3), slice(3, 6)):
            for i in range(5):
                weights = torch.exp(q[i, columns] @ k[:, columns].T / 3**0.5) * seen[case]
                mixed[i, columns] = weights @ v[:, columns] / weights.sum()
        expected[case] += mixed @ block.out.weight.T + block.out.bias
    expected = expected + block.feed(block.norm_2(expected))
    torch.testing.assert_close(block(x, seen[:, None, None], lambda y: y), expected)
    halved = block(x, seen[:, None, None], lambda y: 0 * y)
    torch.testing.assert_close(halved, x)


def test_the_first_token_is_learned_in_the_space_of_patches() -> None:
    network = TimeDRLNetwork(width=4, n_patches=3, dims=6, layers=0, heads=2)
    values = torch.randn((2, 3, 4), generator=torch.Generator().manual_seed(0))
    embeddings = network(Patches(values, torch.ones_like(values, dtype=torch.bool)))
    tokens = torch.stack([network.embed(network.first) + network.position[0]] * 2)
    torch.testing.assert_close(embeddings.instance, network.norm(tokens))
    torch.testing.assert_close(embeddings.timestamp, network.norm(network.embed(values) + network.position[1:]))


def test_patches_without_a_value_are_not_attended_to() -> None:
    network = TimeDRLNetwork(width=4, n_patches=3, dims=6, layers=2, heads=2)
    values = torch.randn((2, 3, 4), generator=torch.Generator().manual_seed(0))
    observed = torch.ones_like(values, dtype=torch.bool)
    observed[:, 2] = False
    changed = values.clone()
    changed[:, 2] += 3
    before, after = (network(Patches(v, observed)) for v in (values, changed))
    assert torch.equal(before.instance, after.instance)
    assert torch.equal(before.timestamp[:, :2], after.timestamp[:, :2])
    observed[:, 2, 1] = True
    assert not torch.allclose(network(Patches(values, observed)).instance, before.instance)


@pytest.mark.parametrize(("n_timepoints", "n_patches"), [(24, 6), (23, 6), (22, 5), (6, 1), (3, 1), (1, 1)])
def test_patches_reach_the_end_of_the_series(sines: Callable, n_timepoints: int, n_patches: int) -> None:
    X, _ = sines(5, seed=0, n_channels=2, n_timepoints=n_timepoints)
    encoder = small().fit(X)
    assert encoder.encode(X).shape == (5, 8 * min(4, n_patches))
    assert small(segments=0).fit(X).encode(X).shape == (5, 8)
    by_patch = encoder.encode(X, level="timestamp")
    assert by_patch.shape == (5, n_patches, 8)
    assert by_patch.dtype == np.float32
    assert np.isfinite(by_patch).all()
    apart = small(channel_independent=True).fit(X)
    assert apart.encode(X).shape == (5, 16 * min(4, n_patches))
    assert apart.encode(X, level="timestamp").shape == (5, n_patches, 16)


def test_a_series_is_the_mean_of_its_seen_patches_in_each_segment(sines: Callable) -> None:
    X, _ = sines(5, seed=0, n_timepoints=26)
    X[1, :, :16] = NAN
    encoder = small(segments=2).fit(X)
    patches = encoder.encode(X, level="timestamp")
    assert patches.shape == (5, 6, 8)
    whole = encoder.encode(X)
    expected = np.concatenate([patches[:, :3].mean(axis=1), patches[:, 3:].mean(axis=1)], axis=1)
    np.testing.assert_allclose(whole[[0, 2, 3, 4]], expected[[0, 2, 3, 4]], atol=1e-6)
    # patches begin every 4 time points and are 6 long: the first three lie in what is missing
    np.testing.assert_array_equal(whole[1, :8], 0)
    np.testing.assert_allclose(whole[1, 8:], patches[1, 3:].mean(axis=0), atol=1e-6)
    one_each = small(segments=99).fit(X).encode(X[:1])
    np.testing.assert_allclose(one_each[0], patches[0].ravel(), atol=1e-6)
    first = small(segments=0).fit(X)
    read = first._network(first._cut(*first._prepare(first._scaler, X), torch.device("cpu")))
    np.testing.assert_allclose(first.encode(X), read.instance, atol=1e-6)


@pytest.mark.parametrize("level", ["series", "timestamp"])
def test_independent_channels_do_not_see_each_other(sines: Callable, level: Any) -> None:
    X, _ = sines(6, seed=0, n_channels=3)
    encoder = small(channel_independent=True).fit(X)
    features = encoder.encode(X, level=level)
    # the scaler is that of each channel, so other channels may take its place only if scaled alike
    changed = X.copy()
    changed[:, 1] = changed[::-1, 1]
    difference = np.abs(encoder.encode(changed, level=level) - features)
    first, second, third = np.split(difference, 3, axis=-1)
    assert first.max() == third.max() == 0
    assert second.max() > 1e-2
    together = small().fit(X)
    assert np.abs(together.encode(changed, level=level) - together.encode(X, level=level)).max() > 1e-2


@pytest.mark.parametrize("level", ["series", "timestamp"])
@pytest.mark.parametrize("independent", [False, True])
def test_features_do_not_depend_on_the_batch(sines: Callable, level: Any, independent: bool) -> None:
    X, _ = sines(9, seed=0, n_channels=2)
    X[3, :, 7:] = NAN
    X[5, 0] = NAN
    X[6] = NAN
    encoder = small(channel_independent=independent).fit(X)
    together = encoder.encode(X, level=level)
    assert np.isfinite(together).all()
    np.testing.assert_allclose(encoder.encode(X, batch_size=2, level=level), together, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(encoder.encode(X[3:4], level=level), together[3:4], rtol=1e-5, atol=1e-6)


def test_level_and_amplitude_are_not_seen(sines: Callable) -> None:
    X, _ = sines(6, seed=0)
    encoder = small().fit(X)
    np.testing.assert_allclose(encoder.encode(3 * X + 2), encoder.encode(X), atol=1e-3)
    assert np.abs(encoder.encode(-X) - encoder.encode(X)).max() > 1e-2


def test_the_seed_decides_and_the_global_state_does_not(sines: Callable) -> None:
    X, _ = sines(20, seed=0)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = small().fit(X).encode(X)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    np.testing.assert_array_equal(small().fit(X).encode(X), first)
    assert not np.allclose(small(seed=1).fit(X).encode(X), first)
    assert not np.array_equal(small(dropout=0.5).fit(X).encode(X), first)
    assert not np.array_equal(small(contrastive_weight=1).fit(X).encode(X), first)


def separation(features: NDArray, labels: NDArray) -> float:
    """Share of series whose nearest other one has the same label, in [0, 1]."""
    distances = np.linalg.norm(features[:, None] - features[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return float((labels[distances.argmin(axis=1)] == labels).mean())


def test_learning_lowers_the_loss_and_keeps_the_classes_apart(sines: Callable) -> None:
    X, _ = sines(40, seed=0)
    losses: list[float] = []

    def note_loss(stage: str, done: int, total: int, note: str = "") -> None:
        assert (stage, total) == ("train TimeDRL", 150)
        losses.append(float(note.split()[1]))

    trained = TimeDRL(dims=16, layers=1, heads=2, patch_length=6, patch_stride=3, steps=150, lr=5e-3).fit(
        X, progress=note_loss
    )
    assert len(losses) == 15
    assert np.mean(losses[-3:]) < 0.5 * losses[0]
    X_new, y_new = sines(60, seed=1)
    assert separation(trained.encode(X_new), y_new) > 0.8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dims": 0}, "dims is 0; allowed: a whole number of at least 1"),
        ({"heads": 3}, "heads is 3; allowed: a divisor of dims = 8"),
        ({"layers": 0}, "layers is 0; allowed"),
        ({"patch_length": 0}, "patch_length is 0; allowed"),
        ({"patch_stride": 7}, "patch_stride is 7; allowed: at most patch_length = 6"),
        ({"dropout": 1.0}, "dropout is 1.0; allowed: at least 0 and below 1"),
        ({"contrastive_weight": -1.0}, "contrastive_weight is -1.0; allowed: at least 0"),
        ({"steps": -1}, "steps is -1; allowed"),
        ({"device": "tpu"}, "device is 'tpu'; allowed"),
    ],
)
def test_impossible_settings_are_refused(sines: Callable, settings: dict[str, Any], message: str) -> None:
    X, _ = sines(3, seed=0)
    encoder = small(**settings)
    with pytest.raises(InputError, match=message):
        encoder.fit(X)
    with pytest.raises(InputError, match="not fitted"):
        encoder.encode(X)


def test_what_it_cannot_read_is_refused(sines: Callable) -> None:
    X, _ = sines(3, seed=0)
    encoder = small(steps=0).fit(X)
    with pytest.raises(InputError, match="length 20; allowed: 1 channels of length 24"):
        encoder.encode(X[:, :, :20])
    with pytest.raises(InputError, match="level is 'time'; allowed: one of series, timestamp"):
        encoder.encode(X, level="time")  # type: ignore[arg-type]
    assert np.isfinite(small(steps=2).fit(X[:1]).encode(X)).all()


@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize("stride", [3, 4, 6])
def test_patches_are_joined_to_the_series_that_was_cut(sines: Callable, independent: bool, stride: int) -> None:
    X = sines(4, seed=0, n_channels=2, n_timepoints=21)[0]
    encoder = small(channel_independent=independent, patch_stride=stride).fit(X)
    series, observed = encoder._prepare(encoder._scaler, X)
    patches = encoder._cut(series, observed, torch.device("cpu")).values
    torch.testing.assert_close(encoder._joined(patches, series.shape), series)


def test_what_it_learned_is_rebuilt_in_its_own_unit_and_what_is_missing_filled(sines: Callable, tmp_path: Path) -> None:
    X = sines(40, seed=0, n_channels=2)[0] * 50 + 700
    gappy = X.copy()
    gappy[3, 0, 5:9] = NAN
    gappy[4, 1] = NAN
    encoder, untrained = (small(dims=16, steps=steps, dropout=0.0).fit(gappy) for steps in (400, 0))
    found = encoder.reconstruct(gappy)
    assert found.shape == X.shape
    assert np.isfinite(found).all()
    error, before = (np.square(of.reconstruct(X) - X).mean() for of in (encoder, untrained))
    assert error < 0.2 * before
    assert error < 0.2 * X.var()
    encoder.save(tmp_path / "saved")
    assert np.array_equal(TimeDRL.load(tmp_path / "saved").reconstruct(gappy), found)
    with pytest.raises(InputError, match="TimeDRL is not fitted"):
        small().reconstruct(X)
