"""The whole way through the command line, in the smoke preset."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import waves

from timeloom.data import write_series


def test_train_keeps_its_times_and_settings(wave_run: Path) -> None:
    record = json.loads((wave_run / "run.json").read_text())
    assert set(record["stages"]) == {"tokenizer", "prior"}
    assert all(stage["seconds"] > 0 for stage in record["stages"].values())
    assert record["config"]["tokenizer_training"]["steps"] == 40
    assert not list(wave_run.glob("*.ckpt")), "a finished run keeps no resume state"


def test_sample_writes_what_the_readme_says(timeloom, wave_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.npz"
    outcome = timeloom("sample", wave_run, "--n", 30, "--out", out, "--match-labels")
    assert outcome.code == 0
    with np.load(out) as made:
        assert made["X"].shape == (30, 1, 32)
        assert made["X"].dtype == np.float32
        assert np.isfinite(made["X"]).all()
        assert sorted(made["y"].tolist()) == ["fast"] * 15 + ["slow"] * 15
        meta = json.loads(str(made["meta"]))
    card = json.loads((wave_run / "prior" / "config.json").read_text())
    assert meta["seed"] == 0
    assert meta["checkpoint"] == card["fingerprint"]
    assert meta["sampling"]["steps"] == 4


def test_the_seed_decides_the_bytes(timeloom, wave_run: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert timeloom("sample", wave_run, "--n", 5, "--out", tmp_path / f"{name}.npz", "--seed", seed).code == 0
    a, b, c = ((tmp_path / f"{name}.npz").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_sample_by_label_to_csv(timeloom, wave_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "fast.csv"
    assert timeloom("sample", wave_run, "--n", 4, "--label", "fast", "--out", out, "--temperature", 0.5).code == 0
    rows = list(csv.reader(out.read_text().splitlines()))
    assert rows[0][:2] == ["label", "c0_t0"]
    assert [row[0] for row in rows[1:]] == ["fast"] * 4


def test_names_of_channels_go_all_the_way(timeloom, tmp_path: Path) -> None:
    X, y = waves(channels=2)
    write_series(tmp_path / "body.csv", X, y, channels=["pulse", "breath"])
    few = [part for stage in ("tokenizer", "prior") for part in ("--set", f"{stage}_training.steps=4")]
    run, new = tmp_path / "run", tmp_path / "new.csv"
    outcome = timeloom("train", tmp_path / "body.csv", "--out", run, "--preset", "smoke", "--resume", *few)
    assert outcome.code == 0
    assert f"{run}: no such run to resume; it begins anew" in outcome.err
    assert "2 channels (pulse, breath), 32 time points" in timeloom("info", run).out
    assert "8 series of 2 channels and 32 time points" in timeloom("sample", run, "--n", 8, "--out", new).out
    head = new.read_text().splitlines()[0].split(",")
    assert (head[:2], head[33]) == (["label", "pulse_t0"], "breath_t0")
    arguments = ("--out", tmp_path / "report", "--metrics", "marginal_difference")
    assert timeloom("evaluate", tmp_path / "body.csv", new, *arguments).code == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert "breath" in page
    assert "channel 1" not in page

    write_series(tmp_path / "turned.csv", X[:, ::-1], y, channels=["breath", "pulse"])
    for refused in (
        ("evaluate", tmp_path / "body.csv", tmp_path / "turned.csv", "--out", tmp_path / "no"),
        ("compare", tmp_path / "body.csv", new, tmp_path / "turned.csv", "--out", tmp_path / "no"),
        ("encode", run, tmp_path / "turned.csv", "--out", tmp_path / "no.npz"),
        ("probe", run, tmp_path / "turned.csv"),
        ("codebook", run, tmp_path / "turned.csv", "--out", tmp_path / "no"),
    ):
        outcome = timeloom(*refused)
        assert outcome.code == 2, refused
        assert "channels are called breath, pulse; allowed: pulse, breath, in this order" in outcome.err
    assert not list(tmp_path.glob("no*"))


def test_windows_of_one_long_series(timeloom, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.standard_normal((150, 2)), axis=0).astype(np.float32)
    np.savez(tmp_path / "long.npz", values=values)
    run, new = tmp_path / "run", tmp_path / "new.npz"
    assert timeloom("train", tmp_path / "long.npz", "--window", 16, "--out", run, "--preset", "smoke").code == 0
    assert timeloom("sample", run, "--n", 40, "--out", new).code == 0
    common = ("evaluate", tmp_path / "long.npz", new, "--window", 16, "--out", tmp_path / "report")
    assert timeloom(*common, "--protocol", "windows", "--metrics", "correlational_score", "--seeds", 2).code == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["counts"]["real"] == 135
    assert timeloom(*common, "--metrics", "fid_rocket,correlational_score").code == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    # the last fifth, and none that overlaps with it in the training split
    assert (report["counts"]["train"], report["counts"]["test"]) == (135 - 27 - 15, 27)


def test_the_stages_apart_equal_the_stages_in_a_row(timeloom, wave_run: Path, wave_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "apart"
    for stage in ("train-tokenizer", "train-prior"):
        assert timeloom(stage, wave_file, "--out", out, "--preset", "smoke").code == 0
    for part in ("tokenizer", "prior"):
        ours, theirs = (folder / part / "model.safetensors" for folder in (out, wave_run))
        assert ours.read_bytes() == theirs.read_bytes()
    assert set(json.loads((out / "run.json").read_text())["stages"]) == {"tokenizer", "prior"}


def test_info_tells_what_a_checkpoint_is(timeloom, wave_run: Path) -> None:
    outcome = timeloom("info", wave_run)
    assert outcome.code == 0
    for fact in ("waves", "fast (20), slow (20)", "32 time points", "16 codes", "1 level", "Gaussian noise", "torch"):
        assert fact in outcome.out, fact


def test_encode_and_probe_read_a_run(timeloom, wave_run: Path, wave_file: Path, tmp_path: Path) -> None:
    done = timeloom("encode", wave_run, wave_file, "--out", tmp_path / "codes.npz", "--kind", "tokens")
    assert done.code == 0, done.err
    assert "X_train (40," in done.out
    probed = timeloom("probe", wave_run, wave_file, "--json", "--seeds", 2)
    assert probed.code == 0, probed.err
    found = json.loads(probed.out)
    assert sorted(found) == ["chance", "knn", "logistic", "svm"]
    assert found["chance"]["mean"] == 0.5
    single = timeloom("probe", wave_run, wave_file, "--seeds", 1).out
    assert "svm" in single
    assert "±" not in single
    refused = timeloom("encode", wave_run, wave_file, "--out", tmp_path / "codes.csv")
    assert refused.code == 2
    assert "allowed: .npz" in refused.err


def test_codebook_draws_a_runs_codes(timeloom, wave_run: Path, wave_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "pictures"
    done = timeloom("codebook", wave_run, wave_file, "--out", out)
    assert done.code == 0, done.err
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["codes.png", "histograms.png", "cooccurrence.png", "classes.png"]
    )
    line, folder = done.out.splitlines()
    assert folder == str(out)
    found = re.fullmatch(
        r"grid 0, level 0: (\d+) of 16 codes used, perplexity (\d+\.\d), mean \|cosine\| of used codes (0\.\d+)", line
    )
    assert found is not None, line
    assert 1 < float(found[2]) <= int(found[1]) <= 16
    np.save(tmp_path / "long.npy", np.zeros((4, 1, 40), dtype=np.float32) + np.arange(40))
    for arguments, fact in (
        ((wave_file, "--level", 1), "level is 1; this run's tokenizer has 1; allowed: 0..0"),
        ((tmp_path / "long.npy",), "length 40"),
    ):
        refused = timeloom("codebook", wave_run, *arguments, "--out", tmp_path / "none")
        assert refused.code == 2
        assert fact in refused.err.strip().splitlines()[-1]
    assert not (tmp_path / "none").exists()


def test_views_are_drawn_of_the_training_series(timeloom, wave_file: Path, tmp_path: Path) -> None:
    first, again, other = (tmp_path / "new" / f"{name}.png" for name in ("first", "again", "other"))
    for out, seed in ((first, 0), (again, 0), (other, 1)):
        done = timeloom("views", wave_file, "--out", out, "--seed", seed)
        assert done.code == 0, done.err
        assert done.out.splitlines() == [str(out)]
    assert first.read_bytes().startswith(b"\x89PNG")
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()
    refused = timeloom("views", wave_file, "--out", tmp_path / "views.svg")
    assert (refused.code, refused.err) == (
        2,
        f"timeloom: {tmp_path}/views.svg: suffix '.svg' cannot be written; allowed: .png\n",
    )


def test_data_without_a_test_split_is_encoded_as_it_was_held_out(timeloom, wave_run: Path, tmp_path: Path) -> None:
    X, y = waves()
    np.savez(tmp_path / "whole.npz", X=X, y=y)
    done = timeloom("encode", wave_run, tmp_path / "whole.npz", "--out", tmp_path / "codes.npz")
    assert done.code == 0, done.err
    assert "X_train (32," in done.out
    assert "X_test (8," in done.out


def test_several_files_of_settings_are_laid_over_each_other(timeloom, wave_file: Path, tmp_path: Path) -> None:
    files = {"one.yaml": "tokenizer: {hidden: 8, blocks: 1}", "two.yaml": "tokenizer: {blocks: 0}"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    options = [part for name in files for part in ("--config", tmp_path / name)]
    done = timeloom("train-tokenizer", wave_file, "--out", tmp_path / "run", "--preset", "smoke", *options)
    assert done.code == 0, done.err
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]["tokenizer"]
    assert (config["hidden"], config["blocks"]) == (8, 0)


def test_classes_of_few_series_are_told(timeloom, tmp_path: Path) -> None:
    X, _ = waves(40)
    quick = ("--out", tmp_path / "run", "--preset", "smoke", "--set", "tokenizer_training.steps=2", "--overwrite")
    y = np.array(["often"] * 26 + ["rare"] * 4 + [f"c{i}" for i in range(5) for _ in range(2)])
    for labels, expected in (
        (y[:30], "class rare (4); what"),
        (y, "class c0 (2), c1 (2), c2 (2), c3 (2), c4 (2) and 1"),
    ):
        np.savez(tmp_path / "few.npz", X_train=X[: len(labels)], y_train=labels, X_test=X, y_test=y[:1].repeat(40))
        assert (
            f"few: few training series of {expected}" in timeloom("train-tokenizer", tmp_path / "few.npz", *quick).err
        )


def test_datasets_lists_what_loads_offline(timeloom) -> None:
    outcome = timeloom("datasets")
    assert outcome.code == 0
    assert "ItalyPowerDemand" in outcome.out
    assert "NAME_TRAIN.ts" in outcome.out


@pytest.mark.parametrize(("channels", "length", "missing"), [(3, 8, False), (1, 45, True)])
def test_other_shapes_take_the_same_commands(timeloom, tmp_path: Path, channels, length, missing) -> None:
    X = np.cumsum(np.random.default_rng(0).standard_normal((24, channels, length)), axis=-1)
    if missing:
        X[::3, :, 5:9] = np.nan
    np.save(tmp_path / "walks.npy", X)
    run, new = tmp_path / "run", tmp_path / "new.npy"
    assert timeloom("train", tmp_path / "walks.npy", "--out", run, "--preset", "smoke").code == 0
    assert timeloom("sample", run, "--n", 10, "--out", new).code == 0
    made = np.load(new)
    assert made.shape == (10, channels, length)
    assert np.isfinite(made).all()
    names = "fid_rocket,fid_catch22,spectral_difference,predictive_error,copy_share"
    arguments = (tmp_path / "walks.npy", new, "--out", tmp_path / "report", "--metrics", names)
    assert timeloom("evaluate", *arguments).code == 0


def test_long_training_is_interrupted_and_resumed(timeloom, wave_file: Path, tmp_path: Path) -> None:
    """Ctrl-C keeps the last checkpoint and says how to go on; going on ends where an unbroken run ends."""
    train = ["train", wave_file, "--preset", "smoke", "--set", "tokenizer_training.steps=600"]
    out = tmp_path / "broken"
    command = [sys.executable, "-m", "timeloom.cli", *map(str, [*train, "--out", out])]
    # a shell's background job ignores Ctrl-C; a program that a person started does not
    restore = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    command[1:3] = ["-c", f"{restore} from timeloom.cli import main; main()"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not list(out.glob("tokenizer-last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "--resume" in err
    assert "Traceback" not in err
    assert timeloom(*train, "--out", out, "--resume").code == 0
    assert timeloom(*train, "--out", tmp_path / "whole").code == 0
    for part in ("tokenizer", "prior"):
        ours, theirs = (folder / part / "model.safetensors" for folder in (out, tmp_path / "whole"))
        assert ours.read_bytes() == theirs.read_bytes()


def test_help_needs_nothing_heavy() -> None:
    code = "import sys; from timeloom import cli; assert not {'torch', 'numpy', 'lightning'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_version_is_the_installed_one(timeloom) -> None:
    outcome = timeloom("--version")
    assert (outcome.code, outcome.out.strip()) == (0, f"timeloom {version('timeloom')}")


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "gone.npz", "--out", "run"),
        ("evaluate", "gone.npz", "gone.npz", "--out", "report"),
        ("compare", "gone.npz", "gone.npz", "--out", "report"),
        ("train-encoder", "gone.npz", "--out", "run", "--encoder", "ts2vec"),
    ],
)
def test_a_wrong_path_is_told_before_torch_is_imported(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code = """
import sys
from timeloom import cli
try:
    cli.main()
except SystemExit as exit:
    sys.exit("torch was imported" if "torch" in sys.modules else exit.code)
"""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "timeloom: gone.npz: no such file\n")
    assert list(tmp_path.iterdir()) == []


def test_overwrite_replaces_a_run(timeloom, wave_run: Path, wave_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    shutil.copytree(wave_run, out)
    train = ["train", wave_file, "--out", out, "--preset", "smoke"]
    assert timeloom(*train, "--seed", 5, "--overwrite").code == 0
    assert json.loads((out / "run.json").read_text())["config"]["seed"] == 5
    assert (out / "prior" / "model.safetensors").read_bytes() != (wave_run / "prior" / "model.safetensors").read_bytes()
