"""The section `tokenizer.ssl`: what it accepts, what it refuses, and the weights that follow from it."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from core_helpers import smoke, spec, tokenizer_config

from timeloom.errors import InputError
from timeloom.ssl.config import SSLConfig
from timeloom.ssl.head import LOSSES
from timeloom.ssl.views import VIEWS
from timeloom.tokenizer.config import TokenizerConfig


def test_every_loss_can_be_asked_for() -> None:
    assert set(get_args(SSLConfig.model_fields["loss"].annotation)) == {"none", *LOSSES}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gauss", ("gauss",)),
        ("warp, gauss", ("warp", "gauss")),
        ("[warp, phase]", ("warp", "phase")),
        ("[slice]", ("slice",)),
        ("warp,", ("warp",)),
    ],
)
def test_views_are_one_name_or_a_list(text: str, expected: tuple[str, ...]) -> None:
    assert smoke(f"tokenizer.ssl.views={text}").tokenizer.ssl.views == expected


def test_an_unknown_view_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"tokenizer\.ssl\.views = .*there is no view 'blur'; allowed: ") as error:
        smoke("tokenizer.ssl.views=[gauss, blur]")
    assert all(name in str(error.value) for name in VIEWS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "simclr"}, r"loss = 'simclr'"),
        ({"views": []}, r"views = \[\]: a loss compares a series with a view of it; allowed: warp, slice"),
        ({"views": None}, "a loss compares a series with a view of it"),
        ({"views": " , "}, "a loss compares a series with a view of it"),
        ({"width": 1}, "width = 1"),
        ({"weight": -1}, "weight = -1"),
        ({"full_above": -1}, "full_above = -1"),
        ({"two_views": True, "each_level": True}, "two_views = True and each_level = True"),
        ({"lambda": 3}, "unknown key"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SSLConfig.parse(settings)


def test_a_word_in_the_place_of_the_section_is_told_the_sections_keys() -> None:
    with pytest.raises(
        InputError, match=r"tokenizer\.ssl = 'none': is a section of settings, not one; its keys: loss, "
    ):
        smoke("tokenizer.ssl=none")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"loss": "none", "recon_view": 0.1}, "no"),
        ({}, "vibcreg, views slice"),
        ({"loss": "byol", "views": "warp,gauss"}, "byol, views warp gauss"),
        ({"recon_view": 0.1, "each_level": True}, "vibcreg, views slice, each_level True, recon_view 0.1"),
    ],
)
def test_a_line_for_people_tells_runs_apart(settings: dict[str, Any], line: str) -> None:
    assert SSLConfig.parse(settings).describe() == line


def test_weights_are_the_published_ones_up_to_one_factor() -> None:
    barlow = SSLConfig.parse({"loss": "barlow", "width": 128, "weight": 3}).term_weights()
    assert barlow["ssl_redundancy"] / barlow["ssl_invariance"] == pytest.approx(0.0051)
    assert barlow["ssl_invariance"] == pytest.approx(3 / 128)  # the terms are sums over features
    vicreg = SSLConfig(loss="vicreg").term_weights()
    assert vicreg["ssl_invariance"] == vicreg["ssl_variance"] == pytest.approx(25 * vicreg["ssl_covariance"])
    vibcreg = SSLConfig(loss="vibcreg").term_weights()
    assert vibcreg["ssl_correlation"] == pytest.approx(4 * vibcreg["ssl_invariance"])
    assert vibcreg == SSLConfig(loss="vibcreg", width=64).term_weights()
    assert SSLConfig(loss="byol", recon_view=0.3).term_weights().keys() == {"ssl_prediction", "recon_view"}
    assert SSLConfig(loss="byol", recon_view=0.3).term_weights()["recon_view"] == 0.3


def test_no_loss_adds_no_weight_and_a_loss_adds_its_own() -> None:
    plain = tokenizer_config().term_weights(spec())
    assert SSLConfig(loss="none").term_weights() == {}
    assert SSLConfig(loss="byol").term_weights().keys() == {"ssl_prediction"}
    assert SSLConfig().term_weights().keys() == {"ssl_invariance", "ssl_variance", "ssl_correlation"}
    assert plain.keys() == {"recon_time", "recon_stft", "texture", "commitment"}
    with_loss = tokenizer_config(ssl={"loss": "vicreg"}).term_weights(spec())
    assert with_loss == plain | SSLConfig(loss="vicreg").term_weights()


def test_a_configuration_survives_its_card() -> None:
    config = tokenizer_config(ssl={"loss": "byol", "views": ["warp", "gauss"]})
    assert TokenizerConfig.parse(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("full_above", "error", "share"),
    [(0.2, 0.05, 0.25), (0.2, 0.2, 1.0), (0.2, 7.0, 1.0), (0.2, 0.0, 0.0), (0.0, 0.05, 1.0)],
)
def test_a_small_error_of_reconstruction_takes_its_share_of_the_loss(
    full_above: float, error: float, share: float
) -> None:
    assert float(SSLConfig(full_above=full_above).share(torch.tensor(error))) == pytest.approx(share)
