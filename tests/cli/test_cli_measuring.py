"""Measuring series through the command line: `evaluate` and `compare`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import waves

CONTRACT = {
    "fid_fcn",
    "fid_rocket",
    "inception_score",
    "cas",
    "recon_fid_fcn",
    "perplexity",
    "usage",
    "copy_share",
}


def test_evaluate_writes_the_contract(timeloom, wave_run: Path, wave_file: Path, tmp_path: Path) -> None:
    new, out = tmp_path / "new.npz", tmp_path / "report"
    assert timeloom("sample", wave_run, "--n", 40, "--out", new, "--match-labels").code == 0
    of_the_run = {"fid_tokenizer", "token_divergence", "masked_perplexity", "membership_by_likelihood"}
    names = ",".join(CONTRACT | of_the_run)
    outcome = timeloom("evaluate", wave_file, new, "--run", wave_run, "--out", out, "--seeds", 1, "--metrics", names)
    assert outcome.code == 0
    report = json.loads((out / "report.json").read_text())
    assert {"protocol", "metrics", "seconds", "versions"} <= report.keys()
    assert set(report["metrics"]) == CONTRACT | of_the_run
    for name, measure in report["metrics"].items():
        assert {"value", "floor", "memoriser", "ci95", "better"} <= measure.keys(), name
        assert measure["value"] is not None, name
        assert name in outcome.out
    assert len(report["decoding"]["entropy"]) == len(report["decoding"]["confidence"]) > 1
    assert (out / "samples.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "report.html").read_text()
    assert "fid_fcn" in page
    assert str(new) in page
    assert timeloom("evaluate", wave_file, new, "--out", out, "--metrics", "copy_share", "--no-page").code == 0
    assert not (out / "report.html").exists(), "it would be that of the report before"


def test_evaluate_one_class(timeloom, wave_run: Path, wave_file: Path, tmp_path: Path) -> None:
    """As good as a file of that class alone, of series with labels, without, and among others."""
    new, out = tmp_path / "new.npz", tmp_path / "report"
    assert timeloom("sample", wave_run, "--n", 20, "--label", "fast", "--label", "slow", "--out", new).code == 0
    with np.load(new) as made, np.load(wave_file) as data:
        fast = made["X"][made["y"] == "fast"]
        np.save(tmp_path / "fast.npy", fast)
        splits = {f"X_{part}": data[f"X_{part}"][data[f"y_{part}"] == "fast"] for part in ("train", "test")}
        np.savez(tmp_path / "alone.npz", **splits)
    asked = ("--out", out, "--metrics", "fid_rocket,copy_share,fid_fcn,token_divergence")
    found = []
    for arguments in (
        (wave_file, new, "--label", "fast"),
        (wave_file, new, "--label", "fast", "--run", wave_run),
        (wave_file, tmp_path / "fast.npy", "--label", "fast"),
        (tmp_path / "alone.npz", tmp_path / "fast.npy"),
    ):
        assert timeloom("evaluate", *arguments, *asked).code == 0
        report = json.loads((out / "report.json").read_text())
        found.append([report["metrics"][name] for name in ("fid_rocket", "copy_share")])
        assert (report["counts"]["train"], report["counts"]["synthetic"]) == (20, len(fast))
        with_tokens = report["metrics"]["token_divergence"]["value"] is not None
        assert with_tokens == ("--run" in arguments)
        assert report["metrics"]["fid_fcn"]["reason"] is not None, "one class is none to tell apart"
    assert found == [found[0]] * 4


def test_evaluate_says_what_is_missing(timeloom, wave_file: Path, tmp_path: Path) -> None:
    """Without labels and without a run some measures are undefined: null, with the reason beside it."""
    with np.load(wave_file) as data:
        np.savez(tmp_path / "real.npz", X_train=data["X_train"], X_test=data["X_test"])
        np.save(tmp_path / "other.npy", data["X_test"])
    names = ",".join(sorted(CONTRACT))
    arguments = (tmp_path / "real.npz", tmp_path / "other.npy", "--out", tmp_path / "report", "--metrics", names)
    assert timeloom("evaluate", *arguments).code == 0
    metrics = json.loads((tmp_path / "report" / "report.json").read_text())["metrics"]
    assert set(metrics) == CONTRACT
    for name in CONTRACT - {"fid_rocket", "copy_share"}:
        assert metrics[name]["value"] is None, name
        assert metrics[name]["reason"], name
    assert metrics["fid_rocket"]["value"] == pytest.approx(0, abs=1e-3), "the test split against itself"


def test_evaluate_by_a_published_protocol(timeloom, wave_file: Path, tmp_path: Path) -> None:
    X, y = waves(60, seed=5)
    np.savez(tmp_path / "new.npz", X=X, y=y)
    arguments = (wave_file, tmp_path / "new.npz", "--out", tmp_path / "report", "--protocol", "ucr")
    outcome = timeloom("evaluate", *arguments, "--metrics", "fid_fcn", "--metrics", "recon_fid_fcn")
    assert outcome.code == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert (report["protocol"], list(report["metrics"])) == ("ucr", ["fid_fcn", "recon_fid_fcn"])
    assert "protocol ucr wants max(|test|, 256) = 256 synthetic series; 60 were given" in outcome.out


def test_compare_generators(timeloom, wave_file: Path, tmp_path: Path) -> None:
    for name, seed, shift in (("near", 5, 0), ("far", 6, 2)):
        X, y = waves(40, seed=seed)
        np.savez(tmp_path / f"{name}.npz", X=X + np.float32(shift), y=y)
    files = (tmp_path / "near.npz", tmp_path / "far.npz")
    outcome = timeloom("compare", wave_file, *files, "--out", tmp_path / "out", "--metrics", "fid_rocket,copy_share")
    assert outcome.code == 0
    row = next(line for line in outcome.out.splitlines() if line.startswith("fid_rocket")).split()
    assert float(row[1]) < float(row[2])
    assert outcome.out.splitlines()[0].split() == ["metric", "near", "far", "floor", "memoriser", "better"]
    assert "near" in (tmp_path / "out" / "comparison.html").read_text()
    for name in ("near", "far"):
        assert json.loads((tmp_path / "out" / name / "report.json").read_text())["synthetic"] == name
