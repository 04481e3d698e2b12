"""The engine glue in one process: determinism, averages, judging, checkpoints, reports, and its errors."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from core_helpers import Drifting, LineTask, line_data
from torch import Tensor, nn

from timeloom.errors import InputError
from timeloom.training import Batch, FitResult, Judging, OptimConfig, TrainerConfig, fit
from timeloom.training.fit import _accelerator

LINE = LineTask()
QUIET = {"accelerator": "cpu", "logger": "none", "checkpoint_every": 10, "threads": 1}


class Stopped(Exception):
    """Stands for a crash in the middle of a run."""


def train(
    folder: Path, task: Any = LINE, seed: int = 0, engine: dict[str, Any] | None = None, **more: Any
) -> FitResult:
    optim = {"steps": 30, "batch_size": 8, "lr": 0.05, "warmup": 5, **more.pop("optim", {})}
    trainer = TrainerConfig.parse({**QUIET, **(engine or {})})
    return fit("line", task, line_data(), OptimConfig.parse(optim), trainer, folder, seed=seed, **more)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_training_finds_the_line(tmp_path: Path) -> None:
    state = train(tmp_path, optim={"steps": 150, "lr": 0.1, "batch_size": 24}).state
    weight = state["1.weight"][0]
    assert torch.nn.functional.cosine_similarity(weight, torch.tensor([1.0, -2.0, 0.5]), dim=0) > 0.9
    assert 0.5 < weight.norm() < 2.3  # dropout shrinks it from 2.29


def test_muon_moves_the_matrices_of_linear_layers_by_their_own_rate(tmp_path: Path) -> None:
    ends = {}
    for rate in (0.01, 0.02):
        optim = {"optimizer": "muon", "matrix_lr": rate, "warmup": 0, "weight_decay": 0.0, "steps": 1}
        train(tmp_path / str(rate), optim=optim)
        end = torch.load(tmp_path / str(rate) / "line-last.ckpt", weights_only=True)
        ends[rate] = {name.removeprefix("model."): of for name, of in end["state_dict"].items() if "model." in name}
    weights, biases = ([end[name] for end in ends.values()] for name in ("1.weight", "1.bias"))
    assert torch.equal(*biases)
    # a row of unit length, times 0.2 sqrt(3), has a singular value between 0.6 and 1.2
    assert 0.01 * 0.6 < (weights[1] - weights[0]).norm() / (0.2 * 3**0.5) < 0.01 * 1.2


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    first, second, third = (train(tmp_path / str(i), seed=seed).state for i, seed in enumerate((1, 1, 2)))
    assert same(first, second)
    assert not same(first, third)


def test_the_global_random_states_are_left_alone(tmp_path: Path) -> None:
    def states() -> tuple[Any, ...]:
        return torch.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002

    before = states()
    train(tmp_path)
    assert states() == before


def test_the_thread_count_is_given_back(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    train(tmp_path, engine={"threads": before + 1})
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("average", "optimizer"), [(0.0, "adamw"), (0.9, "adamw"), (0.9, "muon")])
def test_a_crashed_run_resumes_to_the_same_bits(tmp_path: Path, average: float, optimizer: str) -> None:
    judging, optim = Judging(line_data(6), every=4), {"average": average, "optimizer": optimizer}
    whole = train(tmp_path / "whole", optim=optim, judging=judging)

    def crash(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 17:
            raise Stopped

    with pytest.raises(Stopped):
        train(tmp_path / "cut", optim=optim, judging=judging, progress=crash)
    seen: list[int] = []
    resumed = train(
        tmp_path / "cut",
        optim=optim,
        judging=judging,
        resume=True,
        progress=lambda stage, done, total, note="": seen.append(done),
    )
    assert seen == list(range(11, 31))  # from the checkpoint of step 10
    assert same(whole.state, resumed.state)
    assert (whole.best_step, whole.best_loss) == (resumed.best_step, resumed.best_loss)
    # the kept state may be an early one: the last weights, their average and the optimiser must agree as well
    ends = [torch.load(tmp_path / name / "line-last.ckpt", weights_only=True) for name in ("whole", "cut")]
    assert same(*(end["state_dict"] for end in ends))
    moments = [end["optimizer_states"][0]["state"] for end in ends]
    assert all(same(moments[0][i], moments[1][i]) for i in moments[0])


def test_the_log_of_a_run_that_goes_on_is_kept(tmp_path: Path) -> None:
    def logged(name: str) -> list[set[int]]:
        files = sorted((tmp_path / name / "logs" / "line").glob("metrics*.csv"))
        return [{int(row["step"]) for row in csv.DictReader(file.read_text().splitlines())} for file in files]

    def crash(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 17:
            raise Stopped

    engine = {"logger": "csv", "log_every": 5}
    train(tmp_path / "whole", engine=engine)
    with pytest.raises(Stopped):
        train(tmp_path / "cut", engine=engine, progress=crash)
    train(tmp_path / "cut", engine=engine, resume=True)
    (whole,), parts = logged("whole"), logged("cut")
    assert len(parts) == 2
    assert set.union(*parts) == whole
    train(tmp_path / "cut", engine=engine)
    assert len(logged("cut")) == 1


def test_resuming_a_finished_run_trains_no_further(tmp_path: Path) -> None:
    first = train(tmp_path)
    again = train(tmp_path, resume=True, progress=lambda *report: pytest.fail("trained again"))
    assert same(first.state, again.state)


def test_without_resume_an_old_checkpoint_is_forgotten(tmp_path: Path) -> None:
    train(tmp_path, seed=3)
    assert same(train(tmp_path, seed=1).state, train(tmp_path / "fresh", seed=1).state)


def test_resume_without_a_checkpoint_starts_from_the_beginning(tmp_path: Path) -> None:
    assert same(train(tmp_path / "a", resume=True).state, train(tmp_path / "b").state)


class Recorded(LineTask):
    """Keeps a copy of the weights that each training step starts from."""

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        if model.training and torch.is_grad_enabled():
            object.__setattr__(self, "trail", [*getattr(self, "trail", []), next(model.parameters()).detach().clone()])
        return super().loss(model, batch, generator)


def test_the_average_is_the_running_mean_of_the_weights(tmp_path: Path) -> None:
    task = Recorded()
    last = train(tmp_path / "last").state["1.weight"]
    averaged = train(tmp_path / "mean", task, optim={"average": 0.8}).state["1.weight"]
    trail = [*task.trail, last]  # type: ignore[attr-defined]
    mean = trail[0].double()
    for step, weight in enumerate(trail[1:], start=1):
        decay = min(0.8, step / (step + 10))
        mean = decay * mean + (1 - decay) * weight.double()
    torch.testing.assert_close(averaged.double(), mean, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(averaged, last, atol=1e-4)


DRIFT = {"steps": 40, "lr": 0.1, "warmup": 0, "weight_decay": 0}


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_best_judged_state_is_kept(tmp_path: Path, average: float) -> None:
    optim = {**DRIFT, "average": average}
    free = train(tmp_path / "free", Drifting(), optim=optim)
    assert (free.best_step, free.best_loss) == (None, None)
    assert free.state["weight"].item() > 1.3  # it ends beyond the optimum
    task = Drifting()
    kept = train(tmp_path / "judged", task, optim=optim, judging=Judging(line_data(4), every=3))
    looks: list[float] = task.judged  # type: ignore[attr-defined]
    assert len(looks) == 14  # every third step and the last one
    assert looks[-1] == pytest.approx(free.state["weight"].item())  # of two runs that judge the same state
    best = min(range(14), key=lambda i: abs(looks[i] - 1))
    assert 0 < best < 13
    assert kept.best_step == 3 * (best + 1)
    assert kept.state["weight"].item() == looks[best]
    assert kept.best_loss == pytest.approx((looks[best] - 1) ** 2, abs=1e-6)


def test_training_stops_when_looks_bring_no_gain(tmp_path: Path) -> None:
    judging = Judging(line_data(4), every=3, patience=2)
    patient = train(tmp_path / "patient", Drifting(), optim=DRIFT, judging=Judging(line_data(4), every=3))
    task, heard = Drifting(), list[tuple[Any, ...]]()
    kept = train(tmp_path, task, optim=DRIFT, judging=judging, progress=lambda *report: heard.append(report))
    assert (kept.best_step, kept.best_loss) == (patient.best_step, patient.best_loss)
    assert same(kept.state, patient.state)
    assert kept.best_step is not None
    assert len(task.judged) == kept.best_step / 3 + 2  # type: ignore[attr-defined]
    assert heard[-1][1:3] == (40, 40)  # the bar is closed all the same
    again = train(
        tmp_path, Drifting(), optim=DRIFT, judging=judging, resume=True, progress=lambda *_: pytest.fail("went on")
    )
    assert same(again.state, kept.state)
    # cut short after the last look, before the state was marked as finished
    last = tmp_path / "line-last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    checkpoint["state_dict"]["finished"].fill_(False)
    torch.save(checkpoint, last)
    task = Drifting()
    again = train(tmp_path, task, optim=DRIFT, judging=judging, resume=True)
    assert same(again.state, kept.state)
    assert not task.judged  # type: ignore[attr-defined]


class TwoTerms(Drifting):
    """The distance from 1, and one from 0 that only gets worse."""

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert isinstance(model, nn.Linear)
        return {**super().loss(model, batch, generator), "ghost": 0.5 * model.weight.sum().square()}


def test_only_the_named_terms_judge(tmp_path: Path) -> None:
    found = {}
    for terms in (None, ("error",), ("ghost",), ("error", "ghost")):
        task = TwoTerms(weight=2.0, terms=("error", "ghost"))
        judging = Judging(line_data(4), every=3, terms=terms)
        found[terms] = train(tmp_path / str(terms), task, optim=DRIFT, judging=judging)
        looks = task.judged  # type: ignore[attr-defined]
        counted = {"error": [2 * (at - 1) ** 2 for at in looks], "ghost": [at**2 for at in looks]}
        losses = [sum(of) for of in zip(*(counted[name] for name in terms or counted), strict=True)]
        assert found[terms].best_loss == pytest.approx(min(losses), rel=1e-5, abs=1e-7)
        assert found[terms].state["weight"].item() == looks[losses.index(min(losses))]
    assert found[None].best_step == found["error", "ghost"].best_step
    assert len({found[terms].best_step for terms in (None, ("error",), ("ghost",))}) == 3


def test_the_last_step_is_always_judged(tmp_path: Path) -> None:
    judged = train(tmp_path, optim={"steps": 7}, judging=Judging(line_data(4), every=100))
    assert judged.best_step == 7


def test_judging_does_not_disturb_the_training(tmp_path: Path) -> None:
    trails = []
    for name, judging in (("without", None), ("with", Judging(line_data(6), every=2, repeats=3))):
        task = Recorded()
        train(tmp_path / name, task, judging=judging)
        trails.append(torch.stack(task.trail))  # type: ignore[attr-defined]
    assert torch.equal(*trails)


def test_progress_hears_every_step_of_a_short_run(tmp_path: Path) -> None:
    heard: list[tuple[str, int, int, str]] = []
    train(tmp_path, progress=lambda *report: heard.append(report))
    assert [(stage, done, total) for stage, done, total, _ in heard] == [("line", i, 30) for i in range(1, 31)]
    assert all(float(note.removeprefix("loss ")) > 0 for *_, note in heard[:-1])


def test_the_csv_log_holds_the_named_terms(tmp_path: Path) -> None:
    train(tmp_path, engine={"logger": "csv", "log_every": 10})
    (log,) = tmp_path.rglob("metrics.csv")
    with log.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert {"loss", "error", "step"} <= set(rows[0])
    assert len(rows) == 3
    assert all(float(row["loss"]) == pytest.approx(float(row["error"])) for row in rows)


@pytest.mark.parametrize(
    ("logger", "flags"),
    [
        ("tensorboard", ("fabric.loggers.tensorboard._TENSORBOARD", "fabric.loggers.tensorboard._TENSORBOARDX")),
        ("wandb", ("pytorch.loggers.wandb._WANDB",)),
    ],
)
def test_a_logger_that_is_not_installed_names_the_extra(
    tmp_path: Path, logger: str, flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for flag in flags:  # what Lightning found among the installed packages
        monkeypatch.setattr(f"lightning.{flag}_AVAILABLE", False)
    with pytest.raises(InputError, match=rf"trainer\.logger = {logger}: .*timeloom\[{logger}\]"):
        train(tmp_path, engine={"logger": logger})


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"words"])
def test_a_damaged_last_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "line-last.ckpt").write_bytes(content)
    with pytest.raises(InputError, match=r"line-last\.ckpt: damaged") as error:
        train(tmp_path, resume=True)
    assert "\n" not in str(error.value)


def test_a_checkpoint_cut_short_is_named(tmp_path: Path) -> None:
    train(tmp_path)
    last = tmp_path / "line-last.ckpt"
    last.write_bytes(last.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"line-last\.ckpt: damaged"):
        train(tmp_path, resume=True)


@pytest.mark.parametrize("engine", [{"devices": 3}, {"num_nodes": 3}])
def test_a_batch_that_the_processes_cannot_share_is_refused(tmp_path: Path, engine: dict[str, int]) -> None:
    with pytest.raises(InputError, match="batch_size = 8: must be a multiple of the 3 processes"):
        train(tmp_path, engine=engine)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_missing_gpu_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="trainer: ") as error:
        train(tmp_path, engine={"accelerator": "gpu"})
    assert "\n" not in str(error.value)


def test_terms_without_weights_stop_the_run(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="differ"):
        train(tmp_path, LineTask(terms=("error", "ghost")))


def test_matrices_decay_and_codebooks_and_vectors_do_not(tmp_path: Path) -> None:
    class Still(LineTask):
        """Nothing pulls at the parameters, so that only decay can move them."""

        def build(self) -> nn.Module:
            made = nn.Module()
            for name, shape in (("matrix", (2, 2)), ("vector", (2,)), ("codebook", (2, 2))):
                made.register_parameter(name, nn.Parameter(torch.ones(shape)))
            return made

        def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
            return {"error": torch.stack([0 * p.sum() for p in model.parameters()]).sum()}

    state = train(tmp_path, Still(), optim={"weight_decay": 0.5}).state
    assert (state["matrix"] < 0.9).all()
    assert (state["vector"] == 1).all()
    assert (state["codebook"] == 1).all()


def test_left_to_choose_the_engine_takes_cuda_or_the_cpu_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU of a Mac, which the engine would take, has no numbers of 64 bits."""
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert _accelerator(TrainerConfig()) == expected
        assert _accelerator(TrainerConfig(accelerator="gpu")) == "cuda"
        assert _accelerator(TrainerConfig(accelerator="cpu")) == "cpu"
