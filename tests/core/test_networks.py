"""Convolutions between frames and cells: the law of the widths, and exact landing."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from timeloom.tokenizer.networks import Decoder, Encoder, halvings, parameter_count


@settings(deadline=None, max_examples=200)
@given(n_frames=st.integers(1, 400), width=st.integers(1, 80))
def test_each_width_is_half_of_the_one_before_and_the_last_is_the_nearest(n_frames: int, width: int) -> None:
    widths = halvings(n_frames, width)
    assert widths[0] == n_frames
    assert all(b == -(-a // 2) for a, b in pairwise(widths))
    reachable = [n_frames]
    while reachable[-1] > 1:
        reachable.append(-(-reachable[-1] // 2))
    assert widths == reachable[: len(widths)]

    def ratio(w: int) -> float:
        return max(w / width, width / w)

    assert ratio(widths[-1]) == min(ratio(w) for w in reachable)


@pytest.mark.parametrize(
    ("n_frames", "width", "expected"),
    [
        (33, 16, [33, 17]),
        (16, 16, [16]),
        (5, 4, [5]),
        (5, 64, [5]),
        (100, 12, [100, 50, 25, 13]),
        (9, 1, [9, 5, 3, 2, 1]),
    ],
)
def test_known_widths(n_frames: int, width: int, expected: list[int]) -> None:
    assert halvings(n_frames, width) == expected


@pytest.mark.parametrize("n_frames", [1, 2, 3, 5, 6, 7, 8, 9, 13, 17, 31, 33, 50, 64])
@pytest.mark.parametrize("width", [1, 4, 9])
def test_the_decoder_lands_on_the_encoders_frame_count(n_frames: int, width: int) -> None:
    widths = halvings(n_frames, width)
    encoder, decoder = Encoder(3, 4, 2, widths, 1, 0.0), Decoder(3, 4, 2, widths, 1, 0.0)
    z = encoder(torch.ones(2, 3, n_frames))
    assert z.shape == (2, 2, widths[-1])
    assert decoder(z).shape == (2, 3, n_frames)


def test_every_frame_is_heard_and_every_frame_is_written() -> None:
    widths = halvings(23, 3)
    encoder, decoder = Encoder(2, 6, 2, widths, 1, 0.0), Decoder(2, 6, 2, widths, 1, 0.0)
    x = torch.randn(1, 2, 23, generator=torch.Generator().manual_seed(0)).requires_grad_()
    z = encoder(x)
    z.square().sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(dim=1) > 0).all()
    latent = z.detach().requires_grad_()
    reached = torch.autograd.grad(decoder(latent)[0, 0].sum(), latent)[0]
    assert (reached.abs().sum(dim=1) > 0).all()


def test_dropout_acts_in_training_only() -> None:
    encoder = Encoder(2, 8, 2, [16, 8], 2, 0.5)
    for parameter in encoder.parameters():  # residual branches start at zero, where dropout would be invisible
        torch.nn.init.constant_(parameter, 0.1)
    x = torch.ones(1, 2, 16)
    assert not torch.equal(encoder.train()(x), encoder(x))
    assert torch.equal(encoder.eval()(x), encoder(x))


def test_parameters_are_counted_by_value() -> None:
    layer = torch.nn.Linear(3, 2)
    assert parameter_count(layer) == 8
    layer.bias.requires_grad_(False)
    assert parameter_count(layer) == 6
