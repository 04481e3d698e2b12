"""Two processes train one model, and a killed process leaves a run that goes on as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from core_helpers import WatchedTokenizerTask, sines, smoke

import timeloom
from timeloom.stages import train_prior, train_tokenizer
from timeloom.training import Judging, OptimConfig, TrainerConfig, fit

STEPS = 6


@pytest.mark.parametrize("devices", [1, 2])
def test_processes_share_one_codebook_fed_by_the_whole_batch(tmp_path: Path, devices: int) -> None:
    data = sines()
    spec = train_tokenizer.describe(data)
    # codes are neither revived nor forgotten: the counts of a codebook then add up to the vectors of a step
    settings = ("tokenizer.quantizer.revive_below=0", "tokenizer.quantizer.codebook_size=4", "tokenizer.ssl.loss=none")
    config = smoke(*settings).tokenizer.resolve(spec)
    task = WatchedTokenizerTask(config, spec, folder=tmp_path)
    scaled = torch.from_numpy((data.X_train - data.X_train.mean()) / data.X_train.std())
    engine = TrainerConfig.parse({"accelerator": "cpu", "logger": "none", "devices": devices, "threads": 3})
    optim = OptimConfig(steps=STEPS, batch_size=16, lr=2e-3, average=0.5)
    judging = Judging({"scaled": scaled[:8]}, every=3, terms=train_tokenizer.RECONSTRUCTION)
    batch = {"scaled": scaled, "labels": train_tokenizer.class_indices(spec, data.y_train, len(scaled))}
    result = fit("ddp", task, batch, optim, engine, tmp_path, seed=0, judging=judging)
    assert result.best_step in (3, 6)
    assert [(tmp_path / f"threads-{rank}").read_text() for rank in range(devices)] == ["3"] * devices

    ranks = [torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True) for rank in range(devices)]
    assert not (tmp_path / f"rank-{devices}.pt").exists()
    for name, tensor in ranks[0].items():
        assert all(torch.equal(tensor, other[name]) for other in ranks), f"{name} differs between the processes"
    cells = task.build().layout.grids[0]
    counts = [tensor for name, tensor in ranks[0].items() if name.endswith("cluster_size")]
    assert len(counts) == 1
    assert counts[0].sum().item() == pytest.approx(16 * cells, rel=1e-3)  # half of that if each kept its own


KILLED = """
import os, signal, sys
from pathlib import Path
from core_helpers import sines, smoke
from timeloom.stages import train_prior, train_tokenizer

def kill(stage, done, total, note=""):
    if stage == sys.argv[1] and done == 15:
        os.kill(os.getpid(), signal.SIGKILL)

out, config, data = Path(sys.argv[2]), smoke("trainer.checkpoint_every=10"), sines()
if sys.argv[1] == "tokenizer":
    train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, out, progress=kill)
train_prior.run(data, config.prior, config.prior_training, config.trainer, config.sampling, out, progress=kill)
"""


def weights(out: Path, part: str) -> bytes:
    return (out / part / "model.safetensors").read_bytes()


@pytest.mark.parametrize("stage", ["tokenizer", "prior", "prior-refit"])
def test_a_killed_run_resumes_to_the_bits_of_an_unbroken_one(tmp_path: Path, run_folder: Path, stage: str) -> None:
    out = tmp_path / "cut"
    if stage != "tokenizer":  # stage 2 stands on a finished stage 1
        config, data = smoke(), sines()
        train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, out)
    paths = [str(Path(timeloom.__file__).parents[1]), str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", KILLED, stage, str(out)]
    killed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    last = torch.load(out / f"{stage}-last.ckpt", weights_only=True)
    assert last["global_step"] == 10
    assert not (out / stage.split("-")[0] / "model.safetensors").exists()

    config, data = smoke("trainer.checkpoint_every=10"), sines()
    if stage == "tokenizer":
        train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, out, resume=True)
        assert weights(out, "tokenizer") == weights(run_folder, "tokenizer")
    else:
        train_prior.run(data, config.prior, config.prior_training, config.trainer, config.sampling, out, resume=True)
        assert weights(out, "prior") == weights(run_folder, "prior")
        assert not list(out.rglob(".*"))  # no half-written file is left behind
