"""Encoders on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from cli_helpers import waves

from timeloom.cli.app import interruptible

TINY = ("--set", "output_dims=6", "--set", "hidden_dims=4", "--set", "depth=2", "--set", "steps=2")


def test_train_encode_and_info(timeloom, wave_file: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "z.npz"
    done = timeloom("train-encoder", wave_file, "--encoder", "ts2vec", "--out", run, *TINY)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == str(run)
    done = timeloom("encode", run, wave_file, "--out", out)
    assert done.code == 0, done.err
    assert "X_train (40, 6)" in done.out
    assert "X_test (40, 3" in timeloom("encode", run, wave_file, "--out", out, "--kind", "timestamp", "--overwrite").out
    X, y = waves()
    np.savez(tmp_path / "unsplit.npz", X=X, y=y)
    assert timeloom("encode", run, tmp_path / "unsplit.npz", "--out", out, "--overwrite").code == 0
    with np.load(out) as found:
        rows = [found["rows_train"], found["rows_test"]]
        assert sorted(np.concatenate(rows).tolist()) == list(range(len(y)))
        assert [found["y_train"].tolist(), found["y_test"].tolist()] == [y[of].tolist() for of in rows]
    known = timeloom("info", run)
    assert known.code == 0
    for fact in ("waves", "ts2vec", "depth 2", "batch_size", "32 time points", "torch"):
        assert fact in known.out, fact


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (("--encoder", "ts3vec"), ["'ts3vec'", "ts2vec", "rocket"]),
        (("--encoder", "fcn", "--set", "lr=fast"), ["lr", "'fast'"]),
        (("--encoder", "fcn"), ["plain", "fcn", "y is missing"]),
        (("--encoder", "catch22", "--set", "catch23=true"), ["'catch23'", "catch24"]),
    ],
)
def test_what_cannot_be_trained_is_one_line(timeloom, tmp_path: Path, arguments, facts: list[str]) -> None:
    np.savez(tmp_path / "plain.npz", X_train=waves()[0], X_test=waves(seed=1)[0])
    done = timeloom("train-encoder", tmp_path / "plain.npz", "--out", tmp_path / "run", *arguments)
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1, done.err
    for fact in facts:
        assert fact in done.err
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_not_lost_and_other_channels_are_refused(timeloom, wave_file: Path, tmp_path: Path) -> None:
    train = ("train-encoder", wave_file, "--encoder", "rocket", "--set", "n_kernels=4", "--out", tmp_path / "run")
    assert timeloom(*train).code == 0
    again = timeloom(*train)
    assert again.code == 2
    assert "--overwrite" in again.err
    assert timeloom(*train, "--overwrite").code == 0
    np.savez(tmp_path / "two.npz", X_train=waves(channels=2)[0], X_test=waves(channels=2)[0])
    refused = timeloom("encode", tmp_path / "run", tmp_path / "two.npz", "--out", tmp_path / "z.npz")
    assert refused.code == 2
    assert "X has 2 channels" in refused.err
    assert not (tmp_path / "z.npz").exists()


def test_benchmarks_print_a_table_or_json_and_write_every_seed(timeloom, wave_file: Path, tmp_path: Path) -> None:
    tiny = [f"ts2vec.{part}" if "=" in part else part for part in TINY]
    common = ("benchmark-encoders", "--encoders", "ts2vec,rocket", *tiny, "--set", "rocket.n_kernels=9", "--seeds", 2)
    done = timeloom(*common, "--task", "classification", "--data", wave_file, "--out", tmp_path / "found.json")
    assert done.code == 0, done.err
    head, *rows = done.out.splitlines()
    assert head.split()[:4] == ["data", "method", "seeds", "svm"]
    assert [row[:27].split("  ")[1].strip() for row in rows] == ["ts2vec", "ts2vec, untrained", "rocket", "raw values"]
    written = json.loads((tmp_path / "found.json").read_text())
    assert written["task"] == "classification"
    assert [result["seed"] for result in written["results"]] == [0, 1] * 4


@pytest.mark.parametrize(
    ("task", "options", "wanted"),
    [
        ("forecasting", ("--horizon", "2,4", "--univariate"), ["ts2vec", "persistence", "raw windows"]),
        ("anomaly", ("--window", 16, "--no-control"), ["ts2vec, nearest", "ts2vec, hidden", "moving z", "raw windows"]),
    ],
)
def test_long_series_are_forecast_or_searched_for_faults(timeloom, tmp_path: Path, task, options, wanted) -> None:
    np.savez(tmp_path / "long.npz", values=np.cumsum(np.random.default_rng(0).standard_normal((900, 2)), axis=0))
    tiny = [f"ts2vec.{part}" if "=" in part else part for part in TINY]
    common = ("benchmark-encoders", "--task", task, "--data", tmp_path / "long.npz", "--encoders", "ts2vec", *tiny)
    done = timeloom(*common, *options, "--seeds", 1, "--json")
    assert done.code == 0, done.err
    results = json.loads(done.out)["results"]
    methods = [result["method"] for result in results]
    if task == "forecasting":
        assert {"2 MSE", "4 MSE", "mean MSE"} <= set(results[0]["figures"])
    assert [name for name in methods if name != "ts2vec, untrained"] == wanted


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (("--task", "search", "--encoders", "rocket"), ["'search'", "classification", "anomaly"]),
        (("--task", "forecasting", "--encoders", "rocket"), ["'rocket'", "ts2vec", "forecasting"]),
        (("--task", "anomaly", "--encoders", "rocket", "--set", "n_kernels=3"), ["--set", "ENCODER.KEY=VALUE"]),
        (("--task", "forecasting", "--encoders", "ts2vec"), ["waves.npz", "values"]),
        (("--task", "forecasting", "--encoders", "ts2vec", "--horizon", "2,x"), ["horizons = 'x'", "integer"]),
        (("--task", "anomaly", "--encoders", "rocket", "--univariate"), ["--univariate", "of forecasting"]),
        (("--task", "anomaly", "--encoders", "rocket", "--out", "."), ["--out .", "is a folder"]),
    ],
)
def test_benchmarks_that_cannot_be_run_are_one_line(timeloom, wave_file: Path, arguments, facts: list[str]) -> None:
    done = timeloom("benchmark-encoders", "--data", wave_file, *arguments)
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1, done.err
    for fact in facts:
        assert fact in done.err


@pytest.mark.parametrize(("kept", "said"), [(False, "nothing was kept yet"), (True, "--resume, in place of any")])
def test_an_interruption_says_whether_anything_is_left_to_go_on_from(tmp_path: Path, capsys, kept, said) -> None:
    if kept:
        (tmp_path / "some-last.ckpt").write_bytes(b"")
    with pytest.raises(typer.Exit) as ended, interruptible(tmp_path, "*-last.ckpt"):
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert said in capsys.readouterr().err
