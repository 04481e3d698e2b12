"""The tokenizer: series to tokens and back, missing values, bands and levels, and its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from core_helpers import fitted_tokenizer, spec, tokenizer_config
from torch import Tensor, nn

from timeloom.checkpoint import save_model
from timeloom.data.spec import DataSpec
from timeloom.errors import InputError
from timeloom.tokenizer.config import TokenizerConfig
from timeloom.tokenizer.tokenizer import Tokenizer, TokenizerOutput

TWO_BANDS = {"front": {"bands": [2]}}
DEEP = {"quantizer": {"codebook_size": 8, "codebook_dim": 4, "levels": 3}}
GRADIENT = {"quantizer": {"codebook_size": 8, "codebook_dim": 4, "codebook": "gradient"}}
PATCHES = {"front": {"kind": "patch", "patch": 5}}


def series(batch: int = 6, channels: int = 1, length: int = 32) -> Tensor:
    return torch.randn(batch, channels, length, generator=torch.Generator().manual_seed(1)) * 2 + 1


def forward(model: Tokenizer, scaled: Tensor, observed: Tensor | None = None) -> TokenizerOutput:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return model(scaled, observed)


@pytest.mark.parametrize("sections", [{}, TWO_BANDS, DEEP, GRADIENT, PATCHES, TWO_BANDS | DEEP])
@pytest.mark.parametrize(("channels", "length"), [(1, 32), (3, 31), (2, 8)])
def test_tokens_and_series_have_the_promised_shapes(sections: dict[str, Any], channels: int, length: int) -> None:
    facts = spec(channels, length)
    model = fitted_tokenizer(tokenizer_config(**sections), facts)
    x = series(6, channels, length)
    tokens, layout = model.encode(x), model.layout
    assert tokens.shape == (6, sum(layout.grids), layout.levels)
    assert tokens.dtype == torch.int64
    assert 0 <= tokens.min() <= tokens.max() < layout.codebook_size == 8
    assert layout.levels == (3 if "quantizer" in sections and sections["quantizer"].get("levels") else 1)
    assert len(layout.grids) == (2 if "bands" in sections.get("front", {}) else 1)
    made = model.decode(tokens)
    assert made.shape == x.shape
    assert made.dtype == torch.float32
    assert made.isfinite().all()


def test_what_is_made_stays_in_the_range_of_the_training_values() -> None:
    free, x = fitted_tokenizer(tokenizer_config(), spec(channels=2)), series(channels=2)
    wide = free.decode(free.encode(x), torch.Generator().manual_seed(0))
    low, high = (tuple(wide.transpose(0, 1).flatten(1).quantile(q, dim=1).tolist()) for q in (0.1, 0.8))
    model = fitted_tokenizer(tokenizer_config(), spec(channels=2).model_copy(update={"low": low, "high": high}))
    tokens = model.encode(x)
    made = model.decode(tokens, torch.Generator().manual_seed(0))
    expected = [wide[:, c].clamp(low[c], high[c]) for c in range(2)]
    assert torch.equal(made, torch.stack(expected, dim=1))
    assert not torch.equal(made, wide)
    assert torch.equal(model.decode(tokens), free.decode(tokens))  # a reconstruction is what it is


def test_what_is_made_has_the_mean_and_the_deviation_that_every_series_has() -> None:
    free, x = fitted_tokenizer(tokenizer_config(), spec(channels=3)), series(channels=3)
    known = {"own_mean": (4.0, None, -1.0), "own_std": (1.5, None, None)}
    model = fitted_tokenizer(tokenizer_config(), spec(channels=3).model_copy(update=known))
    tokens = model.encode(x)
    plain, made = (of.decode(tokens, torch.Generator().manual_seed(0)) for of in (free, model))
    assert made[:, 0].mean(dim=1).tolist() == pytest.approx([4.0] * len(x), abs=1e-5)
    before, after = (of[:, 0].std(dim=1, correction=0) for of in (plain, made))
    # never stretched nor shrunk by more than 2
    torch.testing.assert_close(after, torch.minimum(torch.maximum(torch.tensor(1.5), before / 2), before * 2))
    torch.testing.assert_close(made[:, 1], plain[:, 1])
    torch.testing.assert_close(made[:, 2], plain[:, 2] - plain[:, 2].mean(dim=1, keepdim=True) - 1)
    assert torch.equal(model.decode(tokens), free.decode(tokens))  # a reconstruction is what it is


def test_what_is_known_of_values_is_of_all_channels() -> None:
    for name in ("low", "high", "own_mean", "own_std"):
        with pytest.raises(InputError, match=f"{name} has 2 values for 3 channels"):
            DataSpec.parse(spec(channels=3).model_dump() | {name: (0.0, 1.0)})


def test_encoding_does_not_depend_on_the_batch() -> None:
    model, x = fitted_tokenizer(tokenizer_config(**(TWO_BANDS | DEEP)), spec()), series(8)
    together = model.encode(x)
    assert together.unique().numel() > 3
    assert torch.equal(together, torch.cat([model.encode(part) for part in x.split(3)]))


def test_encoding_in_training_mode_is_our_own_bug() -> None:
    model = fitted_tokenizer(tokenizer_config(), spec()).train()
    with pytest.raises(AssertionError, match="training mode"):
        model.encode(series())


def test_encoding_changes_nothing_in_the_model() -> None:
    model = fitted_tokenizer(tokenizer_config(), spec())
    before = model.fingerprint
    model.decode(model.encode(series()))
    assert model.fingerprint == before


def test_decoding_what_was_encoded_is_the_reconstruction_in_the_datas_unit() -> None:
    model, x = fitted_tokenizer(tokenizer_config(**(TWO_BANDS | DEEP)), spec(2)), series(4, 2)
    output = model(model.scale(x))
    assert torch.equal(output.tokens, model.encode(x))
    torch.testing.assert_close(model.decode(output.tokens), model.unscale(output.recon), atol=1e-5, rtol=1e-5)


def test_scaling_uses_mean_and_deviation_of_each_channel() -> None:
    model, x = fitted_tokenizer(tokenizer_config(), spec(2)), series(4, 2)  # means 1 and 2, deviations 2 and 3
    expected = torch.stack([(x[:, 0] - 1) / 2, (x[:, 1] - 2) / 3], dim=1)
    torch.testing.assert_close(model.scale(x), expected)
    torch.testing.assert_close(model.unscale(model.scale(x)), x)


def test_the_parts_of_two_grids_decode_apart() -> None:
    model = fitted_tokenizer(tokenizer_config(**TWO_BANDS), spec())
    low, high = model.layout.grids
    tokens = model.encode(series())
    changed = tokens.clone()
    changed[:, low:] = (changed[:, low:] + 1) % 8
    assert low + high == tokens.shape[1]
    moved = model.scale(model.decode(changed)) - model.scale(model.decode(tokens))
    bands = model.front(moved)
    assert bands[1].abs().max() > 1e-3
    # overlap-add lets neighbouring bins touch, so the lower band hears a little of what the upper one does
    assert bands[0].square().sum() < 0.3 * bands[1].square().sum()


def test_perfect_reconstruction_terms_are_the_squared_errors() -> None:
    model, x = fitted_tokenizer(tokenizer_config(), spec(2)), series(5, 2)
    output = forward(model, model.scale(x))
    error = output.recon - model.scale(x)
    assert output.terms["recon_time"].item() == pytest.approx(error.square().mean().item(), rel=1e-5)
    # frames of a difference are the difference of the frames: a law only where the decoded frames are an STFT
    assert output.terms["recon_stft"].item() >= sum(f.square().sum() for f in model.front(error)).item() / sum(
        f.numel() for f in model.front(error)
    ) * (1 - 1e-4)


@pytest.mark.parametrize("sections", [{}, GRADIENT])
def test_the_terms_are_those_that_have_weights(sections: dict[str, Any]) -> None:
    config = tokenizer_config(**sections).resolve(spec())
    terms = forward(fitted_tokenizer(config, spec()), series()).terms
    assert terms.keys() == config.term_weights(spec()).keys()
    assert config.term_weights(spec())["commitment"] == 0.25
    if sections:
        assert (config.term_weights(spec())["codebook"], config.term_weights(spec())["orthogonal"]) == (1.0, 0.0)


def test_all_values_observed_is_the_same_as_no_mask() -> None:
    model, x = fitted_tokenizer(tokenizer_config(**TWO_BANDS), spec()), series()
    plain, masked = forward(model, x), forward(model, x, torch.ones_like(x, dtype=torch.bool))
    for name, term in plain.terms.items():
        torch.testing.assert_close(masked.terms[name], term, msg=name)


def test_missing_values_take_no_part_in_the_errors() -> None:
    model, x = fitted_tokenizer(tokenizer_config(), spec()), series()
    observed = torch.rand(x.shape, generator=torch.Generator().manual_seed(2)) < 0.6
    output = forward(model, x, observed)
    squares = (output.recon - x).square()
    assert output.terms["recon_time"].item() == pytest.approx(squares[observed].sum().item() / x.numel(), rel=1e-5)
    (pull,) = torch.autograd.grad(output.terms["recon_time"], output.recon, retain_graph=True)
    assert not pull[~observed].any()
    assert pull[observed].all()


def test_nothing_observed_leaves_no_error_in_time() -> None:
    model, x = fitted_tokenizer(tokenizer_config(), spec()), series()
    assert forward(model, x, torch.zeros_like(x, dtype=torch.bool)).terms["recon_time"].item() == 0


def test_a_missing_stretch_pulls_no_frame_towards_its_filling() -> None:
    model, x = fitted_tokenizer(tokenizer_config(), spec(length=64)), series(4, 1, 64)
    observed = torch.ones_like(x, dtype=torch.bool)
    observed[..., 20:60] = False
    spoiled = x.clone()
    spoiled[..., 20:60] = 50.0
    error = forward(model, spoiled, observed).terms["recon_stft"]
    assert error < 0.05 * forward(model, spoiled).terms["recon_stft"]


def test_a_constant_channel_stays_finite_and_near_its_value() -> None:
    facts = spec(2).model_copy(update={"mean": (0.0, 7.0), "std": (1.0, 1.0)})
    model, x = fitted_tokenizer(tokenizer_config(), facts), series(4, 2)
    x[:, 1] = 7.0
    assert not model.scale(x)[:, 1].any()
    assert model.decode(model.encode(x)).isfinite().all()


@pytest.mark.parametrize(
    ("length", "expected"), [(8, 4), (32, 4), (80, 10), (256, 32), (500, 32), (640, 40), (2000, 64)]
)
def test_auto_width_is_a_cell_for_eight_points_and_for_sixteen_where_series_are_long(
    length: int, expected: int
) -> None:
    assert TokenizerConfig().resolve(spec(length=length)).width == expected


@pytest.mark.parametrize(("length", "expected"), [(8, 1), (24, 2), (64, 5), (256, 21)])
def test_a_cell_length_that_was_given_decides_how_many_cells_there_are(length: int, expected: int) -> None:
    assert TokenizerConfig(cell_length=12).resolve(spec(length=length)).width == expected
    assert TokenizerConfig(cell_length=12, width=3).resolve(spec(length=length)).width == 3


@pytest.mark.parametrize(
    ("n_train", "length", "given", "expected"),
    [(100, 159, "auto", 128), (106, 159, "auto", 512), (500, 32, "auto", 512), (1, 8, "auto", 128), (9000, 80, 64, 64)],
)
def test_many_latents_get_more_codes(n_train: int, length: int, given: int | str, expected: int) -> None:
    config = TokenizerConfig.parse({"quantizer": {"codebook_size": given}})
    assert config.resolve(spec(length=length, n_train=n_train)).quantizer.codebook_size == expected


def test_a_width_below_one_cell_is_refused() -> None:
    with pytest.raises(InputError, match=r"tokenizer\.width = 0: at least 1 cell"):
        TokenizerConfig(width=0).resolve(spec())


@pytest.mark.parametrize("sections", [TWO_BANDS | DEEP, GRADIENT, PATCHES])
def test_a_checkpoint_alone_rebuilds_the_tokenizer(tmp_path: Path, sections: dict[str, Any]) -> None:
    model, x = fitted_tokenizer(tokenizer_config(**sections), spec(2)), series(4, 2)
    model.save_pretrained(tmp_path)
    twin = Tokenizer.from_pretrained(tmp_path)
    assert (twin.config, twin.spec, twin.layout) == (model.config, model.spec, model.layout)
    assert twin.fingerprint == model.fingerprint
    assert not twin.training
    assert torch.equal(twin.encode(x), model.encode(x))
    assert torch.equal(twin.decode(twin.encode(x)), model.decode(model.encode(x)))


def test_another_kind_of_checkpoint_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path, fitted_tokenizer(tokenizer_config(), spec()), {"kind": "prior"})
    with pytest.raises(InputError, match="kind = 'prior', expected 'tokenizer'"):
        Tokenizer.from_pretrained(tmp_path)


def test_weights_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 2)):
        fitted_tokenizer(tokenizer_config(), spec(), seed).save_pretrained(tmp_path / name)
    weights = (tmp_path / "two" / "model.safetensors").read_bytes()
    (tmp_path / "one" / "model.safetensors").write_bytes(weights)
    with pytest.raises(InputError, match="fingerprints differ"):
        Tokenizer.from_pretrained(tmp_path / "one")


@pytest.mark.parametrize("front", [{}, {"bands": (2,)}, {"kind": "patch"}])
@pytest.mark.parametrize("power", [0.0, 0.5])
def test_a_power_mean_gives_channels_that_are_well_known_more_weight(front: dict[str, object], power: float) -> None:
    x = torch.randn(6, 3, 32, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.1, 3.0])[:, None]
    made = [fitted_tokenizer(tokenizer_config(front=front, channel_power=of), spec(3)) for of in (1.0, power)]
    plain, balanced = (model(x) for model in made)
    errors = (plain.recon - x).square().mean(dim=(0, 2))
    torch.testing.assert_close(plain.terms["recon_time"], errors.mean())
    torch.testing.assert_close(balanced.recon, plain.recon)
    errors = errors + 1e-4
    expected = errors.prod().pow(1 / 3) if power == 0 else errors.sqrt().mean().square()
    torch.testing.assert_close(balanced.terms["recon_time"], expected)
    assert balanced.terms["recon_stft"] < plain.terms["recon_stft"]
    (pull,) = torch.autograd.grad(balanced.terms["recon_time"], balanced.recon)
    weights = (pull * (balanced.recon - x)).sum(dim=(0, 2)) / (errors - 1e-4)
    torch.testing.assert_close(weights * errors ** (1 - power), (weights * errors ** (1 - power)).mean().expand(3))


def test_of_one_channel_every_mean_is_the_error() -> None:
    x = torch.randn(6, 1, 32, generator=torch.Generator().manual_seed(0))
    losses = [fitted_tokenizer(tokenizer_config(channel_power=of), spec())(x).terms["recon_time"] for of in (1.0, 0.0)]
    assert losses[0] == losses[1]


def test_what_is_compiled_is_called_and_holds_every_convolution() -> None:
    """A compiled module that is passed by, its methods called instead, stays as slow as it was."""
    model = fitted_tokenizer(tokenizer_config(), spec())
    model.compile(backend="eager")
    compiled = {name: part for name, part in model.named_modules() if part._compiled_call_impl is not None}
    for name, part in model.named_modules():
        if isinstance(part, nn.Conv1d | nn.ConvTranspose1d) and "texture" not in name:
            assert any(name == of or name.startswith(of + ".") for of in compiled), name
    called = set()
    for name, part in compiled.items():
        part._compiled_call_impl = None
        part.register_forward_pre_hook(lambda module, args, name=name: called.add(name))
    model(torch.randn(4, 1, 32))
    assert called == set(compiled)
