"""Encoders come back from their folder bit for bit, and a folder that is not theirs is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from timeloom.encoders import ENCODERS, FCN, Rocket, TS2Vec, load_encoder
from timeloom.errors import InputError

CARD, WEIGHTS = "config.json", "model.safetensors"


@pytest.mark.parametrize("kind", list(ENCODERS))
def test_an_encoder_comes_back_bit_for_bit(sines: Callable, small_encoder: Callable, tmp_path: Path, kind: str) -> None:
    X, y = sines(10, seed=0, n_channels=2)
    X_new, _ = sines(7, seed=1, n_channels=2)
    encoder = small_encoder(kind).fit(X, y)
    encoder.save(tmp_path / "some" / kind)
    before = torch.random.get_rng_state()
    for loaded in (ENCODERS[kind].load(str(tmp_path / "some" / kind)), load_encoder(tmp_path / "some" / kind)):
        assert type(loaded) is type(encoder) is ENCODERS[kind]
        np.testing.assert_array_equal(loaded.encode(X_new), encoder.encode(X_new))
        settings = {name: value for name, value in vars(encoder).items() if not name.endswith("_") and name[0] != "_"}
        assert {name: getattr(loaded, name) for name in settings} == settings
    assert torch.equal(torch.random.get_rng_state(), before)
    assert sorted(path.name for path in (tmp_path / "some" / kind).iterdir()) == [CARD, WEIGHTS]
    loaded.save(tmp_path / "again")
    for name in (CARD, WEIGHTS):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "some" / kind / name).read_bytes()


@pytest.mark.parametrize("labels", [["fast", "sl\u00f6w"], [7, -1]])
def test_a_classifier_keeps_the_users_labels(sines: Callable, tmp_path: Path, labels: list) -> None:
    X, y = sines(10, seed=0)
    fcn = FCN(n_filters=(8, 8), kernels=(5, 3), steps=20).fit(X, np.where(y == "fast", labels[0], labels[1]))
    fcn.save(tmp_path)
    loaded = FCN.load(tmp_path)
    assert loaded.classes_.dtype == fcn.classes_.dtype
    np.testing.assert_array_equal(loaded.predict(X), fcn.predict(X))
    np.testing.assert_array_equal(loaded.predict_proba(X), fcn.predict_proba(X))


def saved(sines: Callable, folder: Path) -> Path:
    X, _ = sines(6, seed=0)
    TS2Vec(output_dims=12, hidden_dims=8, depth=3, steps=3).fit(X).save(folder)
    return folder


def test_the_folder_of_a_run_will_do(sines: Callable, tmp_path: Path) -> None:
    saved(sines, tmp_path / "encoder")
    X, _ = sines(4, seed=1)
    inner = TS2Vec.load(tmp_path / "encoder").encode(X)
    for found in (TS2Vec.load(tmp_path), load_encoder(tmp_path)):
        np.testing.assert_array_equal(found.encode(X), inner)


def test_another_kind_of_model_is_not_written_over(sines: Callable, tmp_path: Path) -> None:
    folder = saved(sines, tmp_path / "ts2vec")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    rocket = Rocket(n_kernels=5).fit(sines(4, seed=0)[0])
    with pytest.raises(InputError, match="ts2vec: holds a ts2vec; allowed: a folder of its own"):
        rocket.save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file, expected a folder"):
        rocket.save(tmp_path / "file")
    rocket.save(tmp_path / "rocket")
    rocket.save(tmp_path / "rocket")  # the same kind is replaced


def test_a_folder_without_an_encoder_is_refused(sines: Callable, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no ts2vec checkpoint here"):
        TS2Vec.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"nowhere.*no such file"):
        load_encoder(tmp_path / "nowhere")
    folder = saved(sines, tmp_path)
    (folder / WEIGHTS).unlink()
    with pytest.raises(InputError, match="not readable"):
        TS2Vec.load(folder)


def test_another_kind_is_refused(sines: Callable, tmp_path: Path) -> None:
    folder = saved(sines, tmp_path)
    with pytest.raises(InputError, match="kind = 'ts2vec', expected 'rocket'"):
        Rocket.load(folder)
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**card, "kind": "tokenizer"}))
    with pytest.raises(InputError, match="kind = 'tokenizer'; allowed: fcn, rocket, ts2vec, catch22"):
        load_encoder(folder)
    (folder / CARD).write_text(json.dumps({**card, "kind": ["ts2vec"]}))
    with pytest.raises(InputError, match="kind = "):
        load_encoder(folder)


def test_damaged_arrays_are_refused(sines: Callable, tmp_path: Path) -> None:
    folder = saved(sines, tmp_path)
    whole = (folder / WEIGHTS).read_bytes()
    for content in (whole[:-8], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        (folder / WEIGHTS).write_bytes(content)
        with pytest.raises(InputError, match="SHA-256 differs"):
            load_encoder(folder)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("settings", {"hidden_dims": 9}),
        ("settings", {"depth": 4}),
        ("settings", {"wheels": 4}),
        ("settings", {"hidden_dims": "eight"}),
        ("state", {"scaler": {"mean": [0.0], "std": [0.0]}}),
        ("state", {"scaler": None}),
    ],
)
def test_a_card_that_does_not_fit_is_refused(sines: Callable, tmp_path: Path, part: str, change: dict) -> None:
    folder = saved(sines, tmp_path)
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**card, part: {**card[part], **change}}))
    with pytest.raises(InputError, match=CARD):
        load_encoder(folder)


def test_json_cut_short_and_unfitted_encoders_are_refused(sines: Callable, tmp_path: Path) -> None:
    folder = saved(sines, tmp_path)
    (folder / CARD).write_text((folder / CARD).read_text()[:-20])
    with pytest.raises(InputError, match="damaged"):
        TS2Vec.load(folder)
    with pytest.raises(InputError, match="Rocket is not fitted"):
        Rocket().save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_impossible_settings_on_disk_are_refused(sines: Callable, tmp_path: Path) -> None:
    X, y = sines(10, seed=0)
    FCN(n_filters=(4, 4), kernels=(3, 3), steps=1).fit(X, y).save(tmp_path)
    card = json.loads((tmp_path / "config.json").read_text())
    card["settings"]["kernels"] = [3]
    (tmp_path / "config.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match=r"config.json: kernels is \(3,\); allowed: as many as n_filters, 2"):
        FCN.load(tmp_path)
