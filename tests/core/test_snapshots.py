"""States that training keeps on its way, and training that ends before its last step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from core_helpers import LineTask, enough_everywhere, line_data
from torch import Tensor

from timeloom.training import FitResult, OptimConfig, Stopping, TrainerConfig, fit

QUIET = {"accelerator": "cpu", "logger": "none", "checkpoint_every": 10, "threads": 1}


class Stopped(Exception):
    """Stands for a crash in the middle of a run."""


def train(folder: Path, engine: dict[str, Any] | None = None, **more: Any) -> FitResult:
    optim = {"steps": 30, "batch_size": 8, "lr": 0.05, "warmup": 5, **more.pop("optim", {})}
    trainer = TrainerConfig.parse({**QUIET, **(engine or {})})
    return fit("line", LineTask(), line_data(), OptimConfig.parse(optim), trainer, folder, seed=0, **more)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_snapshot_is_the_state_of_a_run_that_ended_there(tmp_path: Path, average: float) -> None:
    long = train(tmp_path / "long", optim={"average": average}, snapshots=(1, 30))
    short = train(tmp_path / "short", optim={"average": average, "steps": 1})  # the rate of the first step is the same
    assert same(long.snapshots[0], short.state)
    assert same(long.snapshots[1], long.state)
    assert same(long.state, train(tmp_path / "plain", optim={"average": average}).state)


def test_snapshots_outlive_a_crash(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", snapshots=(5, 25))

    def crash(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 20:
            raise Stopped

    with pytest.raises(Stopped):
        train(tmp_path / "cut", snapshots=(5, 25), progress=crash)
    resumed = train(tmp_path / "cut", snapshots=(5, 25), resume=True)
    assert all(same(a, b) for a, b in zip(whole.snapshots, resumed.snapshots, strict=True))


def test_training_ends_where_it_is_told_that_it_is_enough(tmp_path: Path) -> None:
    steps, shown, heard = (3, 10, 20, 30), [], []

    def enough(state: dict[str, Tensor]) -> bool:
        shown.append({name: tensor.clone() for name, tensor in state.items()})
        return len(shown) == 2

    def listen(stage: str, done: int, total: int, note: str = "") -> None:
        heard.append(note)

    average = {"average": 0.9}
    whole = train(tmp_path / "whole", optim=average, snapshots=steps)
    stopping = Stopping((10, 20), enough, "that will do")
    ended = train(tmp_path / "ended", optim=average, snapshots=steps, stopping=stopping, progress=listen)
    assert len(ended.snapshots) == 3
    assert all(same(a, b) for a, b in zip(whole.snapshots, ended.snapshots, strict=False))
    assert same(ended.state, whole.snapshots[2])
    assert [same(a, b) for a, b in zip(shown, whole.snapshots[1:3], strict=True)] == [True, True]
    assert heard[-1] == "stopped at step 20: that will do"
    again = train(tmp_path / "ended", optim=average, snapshots=steps, stopping=stopping, resume=True)
    assert same(again.state, ended.state)
    assert len(again.snapshots) == 3
    assert len(shown) == 2  # it is over: nobody is asked again


def test_a_run_that_is_cut_right_after_it_was_told_enough_takes_no_further_step(tmp_path: Path) -> None:
    def crash(stage: str, done: int, total: int, note: str = "") -> None:
        if note.startswith("stopped"):
            raise Stopped

    asked: list[int] = []
    stopping = Stopping((10, 20), lambda state: not asked.append(1), "enough")
    with pytest.raises(Stopped):
        train(tmp_path, snapshots=(10, 30), stopping=stopping, progress=crash)
    resumed = train(tmp_path, snapshots=(10, 30), stopping=stopping, resume=True)
    assert torch.load(tmp_path / "line-last.ckpt", weights_only=True)["global_step"] == 10
    assert same(resumed.state, train(tmp_path / "whole", snapshots=(10,)).snapshots[0])
    assert len(asked) == 1


def test_two_processes_end_together(tmp_path: Path) -> None:
    stopping = Stopping((20,), enough_everywhere, "enough")
    ended = train(tmp_path, engine={"devices": 2}, snapshots=(10, 20, 30), stopping=stopping)
    assert torch.load(tmp_path / "line-last.ckpt", weights_only=True)["global_step"] == 20
    assert len(ended.snapshots) == 2
