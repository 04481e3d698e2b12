"""Files that are whole or not there, and checkpoints that say what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from timeloom.checkpoint import CARD, FORMAT, WEIGHTS, fingerprint, load_weights, read_card, save_model
from timeloom.errors import InputError
from timeloom.files import read_json, replacing, write_json


def model(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def saved(folder: Path, seed: int = 0) -> nn.Module:
    made = model(seed)
    save_model(folder, made, {"kind": "toy", "config": {"width": 3}})
    return made


def test_a_model_comes_back_bit_for_bit(tmp_path: Path) -> None:
    first, second = saved(tmp_path), model(seed=1)
    card = read_card(tmp_path, "toy")
    assert card["config"] == {"width": 3}
    load_weights(tmp_path, second, card)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_the_folder_holds_two_ordinary_files_and_no_scraps(tmp_path: Path) -> None:
    saved(tmp_path)
    saved(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([CARD, WEIGHTS])
    assert all(p.stat().st_mode & 0o777 == 0o644 for p in tmp_path.iterdir())
    json.loads((tmp_path / CARD).read_text(encoding="utf-8"))


@pytest.mark.parametrize("change", ["value", "shape", "name", "dtype"])
def test_the_fingerprint_changes_with_every_fact_of_the_state(change: str) -> None:
    first, second = nn.Module(), nn.Module()
    first.register_buffer("a", torch.zeros(2, 3))
    name = "b" if change == "name" else "a"
    shape = (3, 2) if change == "shape" else (2, 3)
    dtype = torch.int32 if change == "dtype" else torch.float32
    tensor = torch.zeros(shape, dtype=dtype)
    if change == "value":
        tensor[1, 2] = 1e-30
    second.register_buffer(name, tensor)
    assert fingerprint(first) != fingerprint(second)


def test_the_fingerprint_is_a_function_of_the_state_alone() -> None:
    assert fingerprint(model(3)) == fingerprint(model(3))
    assert len(fingerprint(model())) == 16


def _cut(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-20])


def _empty(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"")


def _no_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def _foreign(folder: Path) -> None:
    weights = (folder / WEIGHTS).read_bytes()
    saved(folder, seed=9)
    (folder / WEIGHTS).write_bytes(weights)


def _other_shape(folder: Path) -> None:
    save_model(folder, nn.Linear(3, 2), {"kind": "toy"})


def _no_card(folder: Path) -> None:
    (folder / CARD).unlink()


def _cut_card(folder: Path) -> None:
    (folder / CARD).write_text((folder / CARD).read_text(encoding="utf-8")[:-30], encoding="utf-8")


def _list_card(folder: Path) -> None:
    (folder / CARD).write_text("[1, 2]", encoding="utf-8")


def _kind(folder: Path) -> None:
    save_model(folder, model(), {"kind": "other"})


def _format(folder: Path) -> None:
    card = read_json(folder / CARD)
    write_json(folder / CARD, {**card, "format": 99})


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (_cut, "model.safetensors: damaged or cut short"),
        (_empty, "model.safetensors: damaged or cut short"),
        (_no_weights, "model.safetensors: no such file"),
        (_foreign, "fingerprints differ"),
        (_other_shape, "do not fit the model"),
        (_no_card, "no toy checkpoint here"),
        (_cut_card, "config.json: damaged, not readable as JSON"),
        (_list_card, "config.json: damaged, expected a JSON object"),
        (_kind, "kind = 'other', expected 'toy'"),
        (_format, f"checkpoint format 99, this version reads {FORMAT}"),
    ],
)
def test_a_damaged_checkpoint_is_named_in_one_line(
    tmp_path: Path, damage: Callable[[Path], None], expected: str
) -> None:
    saved(tmp_path)
    damage(tmp_path)
    with pytest.raises(InputError) as error:
        load_weights(tmp_path, model(), read_card(tmp_path, "toy"))
    assert expected in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.json: no such file"):
        read_json(tmp_path / "gone.json")


def test_a_failed_write_leaves_the_old_file_and_no_scrap(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "values.json"
    write_json(target, {"a": 1})

    def fail() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise OSError("disk full")

    with pytest.raises(InputError, match=r"values\.json: cannot be written: disk full"):
        fail()
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(target, {"a": float("nan")})
    assert read_json(target) == {"a": 1}
    assert [p.name for p in target.parent.iterdir()] == ["values.json"]
