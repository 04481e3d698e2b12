"""What every configuration shares: frozen models, layered YAML, `--set` overrides, errors that name the key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from timeloom.errors import InputError


class Frozen(BaseModel):
    """Base of every configuration: immutable, no unknown keys, defaults checked like given values."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Build the configuration from nested plain values.

        Raises:
            InputError: one line that names each faulty key, its value and what is allowed.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InputError("; ".join(_faults(cls, error))) from None


def _faults(cls: type[BaseModel], error: ValidationError) -> Iterator[str]:
    messages: dict[str, list[str]] = {}
    for fault in error.errors():
        known, key = _walk(cls, fault["loc"])
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            yield f"unknown key {'.'.join(map(str, fault['loc']))!r}: {hint}"
            continue
        value = "" if isinstance(fault["input"], dict | BaseModel) else f" = {fault['input']!r}"
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] in ("model_type", "model_attributes_type"):
            message = f"is a section of settings, not one; its keys: {', '.join(known)}"
        messages.setdefault(key + value, []).append(message)
    for key, reasons in messages.items():
        yield (f"{key}: " if key else "") + ", or ".join(dict.fromkeys(reasons))


def _walk(cls: type[BaseModel], path: tuple[int | str, ...]) -> tuple[list[str], str]:
    """Fields of the deepest section on the path, and the part of the path that is keys of a user's file."""
    section: type[BaseModel] | None = cls
    fields, keys = list(cls.model_fields), []
    for part in path:
        if section is None or part not in section.model_fields:
            break
        keys.append(str(part))
        annotation = section.model_fields[str(part)].annotation
        options = [annotation, *get_args(annotation)]
        section = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
        fields = list(section.model_fields) if section else fields
    return fields, ".".join(keys)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML file of nested settings.

    Raises:
        InputError: the file is missing, is not YAML, or does not hold a mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such configuration file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds a {type(values).__name__}, expected `key: value` lines")
    return values


def merge_all(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Nested values laid over each other, the last one on top."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = merge(merged, layer)
    return merged


def parse_override(text: str) -> dict[str, Any]:
    """Turn `a.b=c` into `{"a": {"b": c}}`; c is read as YAML, so `true`, `3`, `[1, 2]` and `null` have their types.

    Raises:
        InputError: there is no `=`, a part of the key is empty, or the value is not YAML.
    """
    key, equals, raw = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise InputError(f"--set {text!r}: expected KEY.KEY=VALUE, such as prior_training.steps=500")
    try:
        value = yaml.safe_load(raw)
        if isinstance(value, str):  # YAML 1.1 reads 1e-3 as text, Python as a number
            value = float(value)
    except yaml.YAMLError:
        raise InputError(f"--set {text!r}: the value {raw!r} cannot be read") from None
    except ValueError:
        pass
    for part in reversed(parts):
        value = {part: value}
    return dict(value)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay nested settings over others: mappings are merged, every other value is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return merged
