"""Encoders by themselves: trained in a run folder, read back, and refused in one line where they cannot be."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from core_helpers import sines, two_splits
from safetensors import SafetensorError

from timeloom.encoders import ENCODERS, Rocket, TS2Vec, storage
from timeloom.encoders.resuming import EVERY
from timeloom.errors import InputError
from timeloom.files import read_json
from timeloom.progress import Progress
from timeloom.stages import encode, train, train_encoder

TINY = ("output_dims=6", "hidden_dims=4", "depth=2", "steps=2")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a tiny TS2Vec on sines of two channels."""
    out = tmp_path_factory.mktemp("encoder") / "run"
    train_encoder.run(two_splits(), train_encoder.build("ts2vec", TINY, seed=3), out)
    return out


def test_the_saved_encoder_is_the_one_that_the_settings_and_the_seed_make(run: Path) -> None:
    data = two_splits()
    wanted = TS2Vec(output_dims=6, hidden_dims=4, depth=2, steps=2, seed=3).fit(data.X_train)
    assert data.X_test is not None
    assert np.array_equal(train_encoder.load(run).encode(data.X_test), wanted.encode(data.X_test))


def test_the_record_names_data_settings_and_versions(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    assert record["data"]["fingerprint"] == two_splits().fingerprint
    settings = {"output_dims": 6, "hidden_dims": 4, "depth": 2, "steps": 2}
    assert record["encoder"] == {"encoder": "ts2vec", "seed": 3, "settings": settings}
    assert {"torch", "numpy", "python"} <= record["versions"].keys()
    known = train_encoder.facts(run)
    assert known["data"].startswith("sines, 40 training series")
    assert known["series"] == "2 channels, 32 time points"


@pytest.mark.parametrize("kind", sorted(ENCODERS))
def test_every_encoder_of_the_registry_has_settings_that_can_be_checked(kind: str) -> None:
    made = train_encoder.build(kind, seed=5).make()
    assert made.kind == kind
    assert made.settings.get("seed", 5) == 5
    control = train_encoder.build(kind).untrained()
    assert (control is None) == (kind in ("rocket", "catch22"))
    if control is not None:
        assert 0 in control.make().settings.values()


def test_a_control_is_the_encoder_before_its_first_step() -> None:
    control = train_encoder.build("ts2vec", TINY, seed=1).untrained()
    assert control is not None
    X = two_splits().X_train
    fresh = TS2Vec(output_dims=6, hidden_dims=4, depth=2, steps=0, seed=1).fit(X)
    assert np.array_equal(control.make().fit(X).encode(X), fresh.encode(X))


@pytest.mark.parametrize(
    ("encoder", "overrides", "message"),
    [
        ("ts2vek", [], "encoder = 'ts2vek': must be one of .*ts2vec"),
        ("ts2vec", ["step=3"], "unknown key 'step': did you mean 'steps'"),
        ("ts2vec", ["steps=many"], "steps = 'many'"),
        ("ts2vec", ["steps=-1"], "steps = -1: .*greater than or equal to 0"),
        ("ts2vec", ["depth=0"], "depth = 0: .*greater than or equal to 1"),
        ("rocket", ["seed=2"], "seed = 2: .*--seed"),
        ("catch22", ["catch24"], "expected KEY"),
    ],
)
def test_settings_are_checked_before_any_work(encoder: str, overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        train_encoder.build(encoder, overrides)
    assert "\n" not in str(refused.value)


def test_the_fcn_wants_labels_and_leaves_nothing_behind_without_them(tmp_path: Path) -> None:
    data = dataclasses.replace(two_splits(), y_train=None, y_test=None)
    with pytest.raises(InputError, match="sines, encoder fcn: y is missing; allowed: one label for each series"):
        train_encoder.run(data, train_encoder.build("fcn"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_earlier_run_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    out, data = tmp_path / "run", two_splits()
    train_encoder.run(data, train_encoder.build("ts2vec", TINY), out)
    with pytest.raises(InputError, match="holds an encoder already; --overwrite replaces it"):
        train_encoder.run(data, train_encoder.build("rocket", ["n_kernels=5"]), out)
    assert isinstance(train_encoder.load(out), TS2Vec)
    train_encoder.run(data, train_encoder.build("rocket", ["n_kernels=5"]), out, overwrite=True)
    assert isinstance(train_encoder.load(out), Rocket)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file, expected a folder"):
        train_encoder.run(data, train_encoder.build("rocket"), tmp_path / "file")


def test_a_training_that_was_cut_short_is_resumed_or_begun_anew(tmp_path: Path) -> None:
    data, out, config = two_splits(), tmp_path / "run", train_encoder.build("ts2vec", (*TINY, f"steps={EVERY + 10}"))

    with pytest.raises(KeyboardInterrupt):
        train_encoder.run(data, config, out, progress=cut_short(EVERY))
    assert (out / train_encoder.CHECKPOINT).exists()
    with pytest.raises(InputError, match="was cut short; --resume goes on, --overwrite begins anew"):
        train_encoder.run(data, config, out)
    with pytest.raises(InputError, match=f"was begun with steps = {EVERY + 10}, now it is 2; keep it the same"):
        train_encoder.run(data, train_encoder.build("ts2vec", TINY), out, resume=True)
    told: list[int] = []
    train_encoder.run(data, config, out, resume=True, progress=lambda stage, done, *rest: told.append(done))
    assert told == [EVERY + 10]
    assert sorted(path.name for path in out.iterdir()) == ["encoder", "run.json"]
    whole = train_encoder.fit(config, data)
    assert np.array_equal(train_encoder.load(out).encode(data.X_train), whole.encode(data.X_train))


def cut_short(done: int) -> Progress:
    def progress(stage: str, step: int, total: int, note: str = "") -> None:
        if step == done:
            raise KeyboardInterrupt

    return progress


def test_an_encoder_is_replaced_when_the_new_one_is_trained_even_after_a_break(tmp_path: Path) -> None:
    data, out, config = two_splits(), tmp_path / "run", train_encoder.build("ts2vec", (*TINY, f"steps={EVERY + 10}"))
    train_encoder.run(data, train_encoder.build("rocket", ["n_kernels=5"]), out)
    with pytest.raises(KeyboardInterrupt):
        train_encoder.run(data, config, out, overwrite=True, progress=cut_short(EVERY))
    assert isinstance(train_encoder.load(out), Rocket)
    assert train_encoder.facts(out)["encoder"] == "rocket"
    train_encoder.run(data, config, out, resume=True)
    assert isinstance(train_encoder.load(out), TS2Vec)
    assert train_encoder.facts(out)["encoder"] == "ts2vec"


def test_a_training_that_was_cut_short_is_named_and_kept(tmp_path: Path) -> None:
    data, out, config = two_splits(), tmp_path / "run", train_encoder.build("ts2vec", (*TINY, f"steps={EVERY + 10}"))
    with pytest.raises(KeyboardInterrupt):
        train_encoder.run(data, config, out, progress=cut_short(EVERY))
    before = (out / train_encoder.CHECKPOINT).read_bytes()
    for read in (train_encoder.load, encode.load_any):
        with pytest.raises(InputError, match=r"its training was cut short; `timeloom train-encoder .* --resume` goes"):
            read(out)
    with pytest.raises(InputError, match="holds the training of an encoder, rocket has none to go on with"):
        train_encoder.run(data, train_encoder.build("rocket", ["n_kernels=5"]), out, resume=True)
    with pytest.raises(InputError, match="give one of them"):
        train_encoder.run(data, config, out, resume=True, overwrite=True)
    assert (out / train_encoder.CHECKPOINT).read_bytes() == before


def test_resuming_a_finished_run_leaves_it_as_it_is(tmp_path: Path) -> None:
    data, out, config = two_splits(), tmp_path / "run", train_encoder.build("ts2vec", TINY)
    record = train_encoder.run(data, config, out, resume=True)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert train_encoder.run(data, config, out, resume=True) == record
    for other in (train_encoder.build("ts2vec", TINY, seed=1), train_encoder.build("rocket", ["n_kernels=5"])):
        with pytest.raises(InputError, match=r"--resume .*: holds an encoder of other data or settings; --overwrite"):
            train_encoder.run(data, other, out, resume=True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_generators_run_and_an_encoders_run_are_not_mixed(run_folder: Path, run: Path) -> None:
    with pytest.raises(InputError, match="holds a generator's tokenizer"):
        train_encoder.run(sines(), train_encoder.build("rocket"), run_folder, overwrite=True)
    with pytest.raises(InputError, match="is the run of an encoder"):
        train.read_record(run)
    with pytest.raises(InputError, match="holds an encoder, not a generator"):
        encode.load(run)
    with pytest.raises(InputError, match="no such run; `timeloom train` or `timeloom train-encoder` makes it"):
        encode.load_any(run / "nowhere")


def test_settings_may_have_the_encoders_name_before_them() -> None:
    both = train_encoder.build("ts2vec", ["ts2vec.steps=5", "depth=2"])
    assert both == train_encoder.build("ts2vec", ["steps=5", "depth=2"])
    with pytest.raises(InputError, match="rocket"):
        train_encoder.build("ts2vec", ["rocket.n_kernels=5"])
    with pytest.raises(InputError, match="ts2vec"):
        train_encoder.build("ts2vec", ["ts2vec=5"])


def test_a_run_is_encoded_by_series_and_by_time_point(run: Path, tmp_path: Path) -> None:
    model, data = encode.load_any(run), two_splits()
    by_series = encode.run(model, data, None, tmp_path / "series.npz")
    by_time = encode.run(model, data, "timestamp", tmp_path / "time.npz")
    assert by_series["X_test"].shape == (30, 6)
    assert by_time["X_test"].shape == (30, 32, 6)
    np.testing.assert_allclose(by_time["X_test"].max(axis=1), by_series["X_test"], rtol=1e-5)
    with np.load(tmp_path / "time.npz") as found:
        assert np.array_equal(found["y_train"], data.y_train)  # type: ignore[arg-type]


def test_what_an_encoder_cannot_give_is_refused(run: Path, tmp_path: Path) -> None:
    model, data = encode.load_any(run), two_splits()
    with pytest.raises(InputError, match="kind = 'pooled': ts2vec does not have it; allowed: series, timestamp"):
        encode.run(model, data, "pooled", tmp_path / "z.npz")
    rocket = Rocket(n_kernels=5).fit(data.X_train)
    with pytest.raises(InputError, match="kind = 'timestamp': rocket does not have it; allowed: series"):
        encode.run(rocket, data, "timestamp", tmp_path / "z.npz")
    with pytest.raises(InputError, match=r"series have shape \(4, 1, 32\); the scaler was fitted on 2 channels"):
        encode.encode_series(model, sines(4).X_train)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_an_encoder_is_no_run_of_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no encoder; `timeloom train-encoder"):
        train_encoder.load(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match=r"run\.json: damaged, or not the record of an encoder's run"):
        train_encoder.facts(tmp_path)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("No space left on device")])
def test_an_encoder_stays_until_the_new_one_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    data = two_splits()
    before = train_encoder.run(data, train_encoder.build("rocket", ["n_kernels=10"]), tmp_path)
    wanted = train_encoder.load(tmp_path).encode(data.X_train)

    def full(*of: object) -> None:
        raise error

    monkeypatch.setattr(storage, "save_file", full)
    with pytest.raises(InputError, match="No space left on device"):
        train_encoder.run(data, train_encoder.build("rocket", ["n_kernels=12"]), tmp_path, overwrite=True)
    assert np.array_equal(train_encoder.load(tmp_path).encode(data.X_train), wanted)
    assert read_json(tmp_path / "run.json")["encoder"] == before["encoder"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoder", "run.json"]
