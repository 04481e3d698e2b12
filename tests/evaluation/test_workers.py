"""Encoders trained in processes of their own: the same figures, the same errors, and nothing left behind."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from timeloom.encoders import FCN, TS2Vec
from timeloom.errors import InputError
from timeloom.evaluation import EncoderCache, RealData, Report, Settings, evaluate_arrays, evaluate_windows
from timeloom.evaluation.workers import Workers, usable_cores
from timeloom.progress import silent

Told = list[tuple[str, int, int, str]]
METRICS = ("fid_fcn", "fid_rocket", "context_fid", "marginal_difference", "cas")
SETTINGS = Settings(metrics=METRICS, n_seeds=1, fcn_steps=10, ts2vec_steps=3)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, at first empty; libraries put their own things there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def fcn(steps: int = 2) -> FCN:
    return FCN(n_filters=(4,), kernels=(3,), steps=steps)


def report(sines: Callable, workers: int, cache: EncoderCache, told: Told) -> Report:
    real = RealData(*sines(20, seed=0), *sines(20, seed=11))
    settings = dataclasses.replace(SETTINGS, workers=workers)

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        told.append((stage, done, total, note))

    return evaluate_arrays(real, *sines(20, seed=2), settings=settings, cache=cache, progress=progress)


def test_figures_progress_and_cache_are_those_of_training_in_this_process(
    tmp_path: Path, temporary: Path, sines: Callable
) -> None:
    told: dict[int, Told] = {0: [], 2: []}
    reports = {n: report(sines, n, EncoderCache(tmp_path / str(n)), told[n]) for n in (0, 2)}
    assert reports[2].metrics == reports[0].metrics
    assert list(reports[2].metrics) == list(METRICS)
    assert {title for title, *_ in told[0]} >= {"TS2Vec", "FCN on real", "FCN on synthetic", "FCN on memorised"}
    assert told[2] == told[0]
    files = {n: {path.relative_to(tmp_path / str(n)) for path in (tmp_path / str(n)).rglob("*")} for n in (0, 2)}
    assert files[2] == files[0]
    assert not list(temporary.glob("timeloom*"))


def test_figures_of_the_protocol_windows_are_the_same_too(sines: Callable) -> None:
    real, synthetic = sines(12, seed=0)[0], sines(12, seed=1)[0]
    found = [
        evaluate_windows(real, synthetic, metrics=["context_fid"], n_seeds=2, ts2vec_steps=3, workers=n).metrics
        for n in (0, 2)
    ]
    assert found[0] == found[1]
    with pytest.raises(InputError, match="workers is -2; allowed: at least 0, or None"):
        evaluate_windows(real, synthetic, workers=-2)


def test_what_waits_for_no_training_is_measured_first(sines: Callable) -> None:
    told: Told = []
    report(sines, 0, EncoderCache(), told)
    measured = [note for stage, _, _, note in told if stage == "measures"]
    assert measured == ["fid_rocket", "marginal_difference", "context_fid", "fid_fcn", "cas"]


@pytest.mark.parametrize("kind", [fcn, lambda: TS2Vec(output_dims=4, hidden_dims=4, depth=1, steps=2)])
def test_a_started_training_gives_the_encoder_of_a_fit(sines: Callable, kind: Callable[[], FCN | TS2Vec]) -> None:
    X, y = sines(8, seed=0)
    with Workers(1) as workers:
        workers.start("a", kind(), X, y)
        assert workers.spare_cores == max(1, usable_cores() - 1)
        found = workers.train("a", kind(), X, y, silent)
    np.testing.assert_array_equal(found.encode(X), kind().fit(X, y).encode(X))


def test_an_error_of_the_input_comes_out_as_it_is(sines: Callable, temporary: Path) -> None:
    X, y = sines(8, seed=0)
    with pytest.raises(InputError) as direct:
        fcn().fit(X, y[:5])
    with Workers(1) as workers:
        workers.start("a", fcn(), X, y[:5])
        with pytest.raises(InputError) as found:
            workers.train("a", fcn(), X, y[:5], silent)
    assert str(found.value) == str(direct.value)
    assert not list(temporary.glob("timeloom*"))


@pytest.mark.parametrize(
    ("start_up", "last_words"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "it was killed"),
        ("import os, sys\nsys.stderr.write('no more room\\n\\n')\nos._exit(3)\n", "no more room"),
    ],
)
def test_a_process_that_breaks_is_told_of_and_its_work_done_here(
    tmp_path: Path, sines: Callable, monkeypatch: pytest.MonkeyPatch, start_up: str, last_words: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(start_up)
    monkeypatch.syspath_prepend(tmp_path)
    X, y = sines(8, seed=0)
    with Workers(1) as workers:
        workers.start("a", fcn(), X, y)
        with pytest.warns(RuntimeWarning, match=rf"trained FCN ended without a result \({last_words}\); it is trained"):
            found = workers.train("a", fcn(), X, y, silent)
    np.testing.assert_array_equal(found.encode(X), fcn().fit(X, y).encode(X))


def test_chatter_on_standard_output_is_no_progress(
    tmp_path: Path, sines: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('good morning')\n")
    monkeypatch.syspath_prepend(tmp_path)
    X, y = sines(8, seed=0)
    steps = []
    with Workers(1) as workers:
        workers.start("a", fcn(20), X, y)
        workers.train("a", fcn(20), X, y, lambda stage, done, total, note="": steps.append((done, total)))
    assert steps == [(10, 20), (20, 20)]


def test_leaving_ends_what_still_trains(sines: Callable, temporary: Path) -> None:
    X, y = sines(8, seed=0)
    with Workers(1) as workers:
        for key in ("runs", "waits"):
            workers.start(key, fcn(10**9), X, y)
    assert not list(temporary.glob("timeloom*"))


def test_nothing_starts_without_workers_or_with_labels_that_are_objects(sines: Callable) -> None:
    X, y = sines(8, seed=0)
    for n, labels in ((0, y), (1, y.astype(object))):
        with Workers(n) as workers:
            workers.start("a", fcn(), X, labels)
            assert workers.spare_cores is None
            found = workers.train("a", fcn(), X, labels, silent)
        np.testing.assert_array_equal(found.encode(X), fcn().fit(X, y).encode(X))


def test_nothing_starts_where_no_file_can_be_written(
    tmp_path: Path, sines: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    X, y = sines(8, seed=0)
    with Workers(1) as workers:
        workers.start("a", fcn(), X, y)
        assert workers.spare_cores is None


def test_a_kept_encoder_is_not_trained_again(tmp_path: Path, sines: Callable) -> None:
    X, y = sines(8, seed=0)
    EncoderCache(tmp_path).fitted(fcn(), X, y)
    with Workers(1) as workers:
        EncoderCache(tmp_path).start(fcn(), X, y, workers)
        assert workers.spare_cores is None
        EncoderCache(tmp_path).start(fcn(), X, y[::-1].copy(), workers)
        assert workers.spare_cores is not None


def test_processes_are_started_for_full_trainings_only(sines: Callable) -> None:
    many = usable_cores() if usable_cores() > 1 else 0
    assert [Settings().processes, Settings(workers=0).processes, Settings(workers=3).processes] == [many, 0, 3]
    assert [Settings(fcn_steps=9).processes, Settings(ts2vec_steps=9).processes] == [0, 0]
    with pytest.raises(InputError, match="workers is -1; allowed: at least 0, or None"):
        evaluate_arrays(RealData(*sines(6, 0), *sines(6, 1)), sines(6, 2)[0], settings=Settings(workers=-1))


# no `if __name__ == "__main__"`: a script of a user
SCRIPT = """
import signal, sys
import numpy as np
from pathlib import Path
from timeloom.evaluation import EncoderCache, RealData, Settings, evaluate_arrays

signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background is told to ignore it
X, y = np.random.default_rng(0).standard_normal((3, 8, 1, 24)).astype(np.float32), np.arange(8) % 2
settings = Settings(metrics=["context_fid", "fid_fcn"], n_seeds=2, fcn_steps=10**9, ts2vec_steps=10**9, workers=2)
evaluate_arrays(
    RealData(X[0], y, X[1], y),
    X[2],
    settings=settings,
    cache=EncoderCache(Path(sys.argv[1])),
    progress=lambda stage, done, total, note="": stage.startswith("TS2Vec") and print(stage, flush=True),
)
"""


def group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(os.name != "posix", reason="process groups")
@pytest.mark.parametrize("to_all", [True, False])
def test_an_interrupt_leaves_no_process_and_no_file(tmp_path: Path, to_all: bool) -> None:
    """As Ctrl-C reaches the whole group, and as a notebook interrupts its kernel alone."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "temporary").mkdir()
    with subprocess.Popen(
        [sys.executable, tmp_path / "script.py", tmp_path / "cache"],
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as script:
        assert script.stdout is not None
        assert script.stdout.readline().startswith("TS2Vec")
        (os.killpg if to_all else os.kill)(script.pid, signal.SIGINT)
        _, complaints = script.communicate(timeout=60)
    assert "KeyboardInterrupt" in complaints
    deadline = time.monotonic() + 10
    while group_is_alive(script.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not group_is_alive(script.pid)
    assert not list((tmp_path / "temporary").glob("timeloom*"))
    assert not list(tmp_path.glob("cache/*/config.json"))
