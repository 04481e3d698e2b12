"""Frozen configurations, layered YAML, overrides, presets, and the lines that a user reads when a key is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from timeloom.config import merge, parse_override, read_yaml
from timeloom.errors import InputError
from timeloom.stages.run_config import PRESETS, RunConfig, build, preset_path
from timeloom.tokenizer.config import TokenizerConfig

PLAIN = st.integers() | st.text(max_size=3) | st.booleans() | st.lists(st.integers(), max_size=2)
FULL = st.recursive(  # without an empty mapping inside, so that a mapping is known by its leaves
    st.dictionaries(st.sampled_from("abc"), PLAIN, min_size=1, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), PLAIN | inner, min_size=1, max_size=3),
    max_leaves=8,
)
NESTED: st.SearchStrategy[dict[str, Any]] = st.just({}) | FULL


def leaves(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def line_of(error: pytest.ExceptionInfo[InputError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"sede": 1}, ["'sede'", "'seed'"]),
        ({"tokenizer": {"quantizer": {"codebook_sze": 8}}}, ["tokenizer.quantizer.codebook_sze", "'codebook_size'"]),
        ({"prior": {"transformer": {"headz": 2}}}, ["prior.transformer.headz", "'heads'"]),
        ({"sampling": {"qqqq": 2}}, ["sampling.qqqq", "known keys", "temperature", "guidance_scale"]),
    ],
)
def test_an_unknown_key_is_named_with_the_near_or_the_known_ones(values: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(InputError) as error:
        RunConfig.parse(values)
    line = line_of(error)
    assert all(text in line for text in expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"seed": -3}, ["seed = -3", "greater than or equal to 0"]),
        ({"prior_training": {"steps": "many"}}, ["prior_training.steps = 'many'", "integer"]),
        ({"prior_training": {"lr": math.inf}}, ["prior_training.lr = inf", "finite"]),
        ({"tokenizer": {"front": {"n_fft": [3]}}}, ["tokenizer.front.n_fft", "[3]"]),
        ({"tokenizer": {"quantizer": {"codebook_size": 1}}}, ["codebook_size = 1", "greater than or equal to 2"]),
        ({"prior": {"transformer": {"dim": 30, "heads": 4}}}, ["dim = 30", "heads = 4"]),
        ({"sampling": {"order": "best"}}, ["sampling.order = 'best'", "'confidence'", "'random'"]),
        ({"trainer": 3}, ["trainer = 3: is a section of settings", "its keys: accelerator, devices"]),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_is_allowed(values: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(InputError) as error:
        RunConfig.parse(values)
    line = line_of(error)
    assert all(text in line for text in expected)


def test_every_fault_is_listed_at_once() -> None:
    with pytest.raises(InputError) as error:
        RunConfig.parse({"seed": -1, "prior": {"label_drop": 2.0}, "oops": 1})
    line = line_of(error)
    assert all(key in line for key in ("seed", "prior.label_drop", "'oops'"))


def test_a_configuration_cannot_be_changed() -> None:
    config = TokenizerConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.hidden = 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed=3", {"seed": 3}),
        ("prior_training.lr=1e-3", {"prior_training": {"lr": 0.001}}),
        ("trainer.threads=null", {"trainer": {"threads": None}}),
        ("trainer.compile=true", {"trainer": {"compile": True}}),
        ("tokenizer.front.bands=[1, 4]", {"tokenizer": {"front": {"bands": [1, 4]}}}),
        ("trainer.logger=none", {"trainer": {"logger": "none"}}),
        ("a.b=c=d", {"a": {"b": "c=d"}}),
        (" a = 2", {"a": 2}),
    ],
)
def test_an_override_has_the_type_that_it_looks_like(text: str, expected: dict[str, Any]) -> None:
    found = parse_override(text)
    assert found == expected
    assert [type(value) for _, value in leaves(found)] == [type(value) for _, value in leaves(expected)]


@pytest.mark.parametrize("text", ["seed", "=3", "a..b=1", ".a=1", "a.=1", "a=[1", "a={"])
def test_a_malformed_override_is_quoted(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_override(text)
    assert repr(text) in line_of(error)


@settings(deadline=None, max_examples=60)
@given(base=NESTED, over=NESTED)
def test_merging_keeps_what_is_not_named_and_takes_what_is(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = repr((base, over))
    merged = merge(base, over)
    assert repr((base, over)) == before
    assert merge(base, {}) == base
    assert merge({}, over) == over
    assert merge(merged, over) == merged
    found, named = dict(leaves(merged)), dict(leaves(over))
    assert named.items() <= found.items()
    for path, value in leaves(base):
        if not any(path[: len(other)] == other or other[: len(path)] == path for other in named):
            assert found[path] == value


def test_layers_lie_over_each_other_in_order(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("tokenizer: {hidden: 20}\nprior_training: {steps: 5, lr: 1e-3}\nseed: 1\n", encoding="utf-8")
    config = build("smoke", [file], ["prior_training.steps=7"], {"prior_training": {"steps": 6, "warmup": 2}}, seed=9)
    assert (config.tokenizer.hidden, config.tokenizer.blocks) == (20, 1)  # the file over the preset, the rest stays
    assert (config.prior_training.steps, config.prior_training.warmup) == (7, 2)  # overrides over values over the file
    assert config.prior_training.lr == 0.001
    assert config.seed == 9
    later = tmp_path / "later.yaml"
    later.write_text("tokenizer: {hidden: 24}\n", encoding="utf-8")
    both = build("smoke", [file, later])
    assert (both.tokenizer.hidden, both.seed) == (24, 1)  # of two files the later one counts


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds(name: str) -> None:
    assert isinstance(build(name), RunConfig)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(InputError, match="preset = 'huge': must be one of smoke, small, base"):
        build("huge")


@pytest.mark.parametrize("name", [p for p in PRESETS if p != "smoke"])
def test_a_preset_holds_only_what_differs_from_the_defaults(name: str) -> None:
    defaults = dict(leaves(RunConfig().model_dump()))
    built = dict(leaves(build(name).model_dump()))
    named = dict(leaves(yaml.safe_load(preset_path(name).read_text(encoding="utf-8")) or {}))
    assert not {path for path in named if built[path] == defaults[path]}


def test_every_preset_is_a_yaml_in_the_folder() -> None:
    assert {path.stem for path in preset_path("small").parent.glob("*.yaml")} >= set(PRESETS)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a: [1", "cannot be read as YAML"),
        (b"- 1\n- 2\n", "holds a list"),
        (b"just words", "holds a str"),
        (b"a: \xff\xfe", "cannot be read as YAML"),
    ],
)
def test_a_file_that_is_no_mapping_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_yaml(file)
    line = line_of(error)
    assert str(file) in line
    assert expected in line


def test_a_missing_file_is_named_and_an_empty_one_is_no_setting(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.yaml: no such configuration file"):
        read_yaml(tmp_path / "absent.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing yet\n", encoding="utf-8")
    assert read_yaml(tmp_path / "empty.yaml") == {}
