"""The table that `benchmarks/quality.py --table` prints of kept figures, beside published ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "quality.py"
METRICS = ("fid_fcn", "recon_fid_fcn", "inception_score", "cas", "fid_rocket", "copy_share")


def line(name: str, seed: int, value: float, floor: float, *absent: str) -> str:
    figures = [str(of) if metric not in absent else "" for metric in METRICS for of in (value, floor)]
    return ",".join([name, "small", str(seed), "9", "1.0", *figures])


def test_seeds_are_averaged_beside_published_figures_and_absent_ones_are_told(tmp_path: Path) -> None:
    names = [name + end for name in METRICS for end in ("", "_floor")]
    head = ",".join(["data", "preset", "seed", "training_seconds", "version", *names])
    rows = [line("Waves", 0, 0.5, 0.25), line("Waves", 1, 0.75, 0.25), line("Plain", 0, 0.5, 0.25, "cas")]
    (tmp_path / "figures.csv").write_text("\n".join([head, *rows]))
    (tmp_path / "a.csv").write_text("dataset,fid_TimeVQVAE,cas_percent_TimeVQVAE\nWaves,1.5,61.0\nOther,1,1\n")
    (tmp_path / "b.csv").write_text("dataset,variant,FID,cas\nWaves,one,2.34,0.5\nWaves,two,10.0,0.7123\n")
    command = [sys.executable, str(SCRIPT), "--table", "--figures", "figures.csv", "--published", "a.csv", "b.csv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    titles, _, plain, waves, *counts = [line.strip("| ") for line in done.stdout.splitlines() if line]
    found = dict(zip(titles.split(" | "), waves.split(" | "), strict=True))
    assert found["set"] == "Waves"
    assert found["seeds"] == "0, 1"
    assert found["FID"] == "0.625 ± 0.177"
    assert found["CAS %"] == "62.5 ± 17.7"
    assert found["train on real"] == "25.0"
    assert waves.split(" | ")[3:6] == ["1.5", "2.3", "0.250"]
    assert waves.split(" | ")[9:11] == ["61.0", "71.2"], "the best of the variants"
    assert plain.split(" | ")[:2] == ["Plain", "0"]
    assert plain.split(" | ")[8] == "n. d."
    assert counts == [
        "of 1 published sets, FID below: 1",
        "median ratio of the FIDs: 0.42",
        "CAS at or above: 1",
        "CAS within two points of train on real: 1",
        "no more near copies than real: 0",
    ]


def test_runs_of_another_benchmark_or_preset_in_the_folder_are_no_rows(tmp_path: Path) -> None:
    metrics = {name: {"value": 0.5, "floor": 0.25, "memoriser": None} for name in METRICS}
    common = {"data": "Waves", "seed": 0, "metrics": metrics, "training_seconds": 9, "sampling_seconds": 1}
    for name, more in (("windows", {}), ("base", {"preset": "base"}), ("small", {"preset": "small"})):
        (tmp_path / "work" / name).mkdir(parents=True)
        (tmp_path / "work" / name / "result.json").write_text(json.dumps({**common, "data": name, **more}))
        (tmp_path / "work" / name / "run.json").write_text('{"timeloom": "1.0"}')
    command = [sys.executable, str(SCRIPT), "--table", "--work", "work"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    assert [line.split(" | ")[0].strip("| ") for line in done.stdout.splitlines()[2:]] == ["small"]
