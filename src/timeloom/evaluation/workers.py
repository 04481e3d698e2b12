"""Encoders that train in processes of their own, several at once, while this process goes on with what is ready."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from timeloom.encoders import StoredEncoder, load_encoder
from timeloom.errors import InputError
from timeloom.files import write_json
from timeloom.progress import Progress

WORKER = "timeloom.evaluation.worker"
# what a training finds in its folder and leaves there
JOB, ARRAYS, FITTED, COMPLAINTS = "job.json", "arrays.npz", "fitted", "stderr.txt"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def usable_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def paying_workers(*steps: int | None) -> int:
    """As many workers as there are cores; 0 on one core, or where a number of steps is set and so mostly small.

    The start of a process takes some seconds, which only a training of full length outweighs.
    """
    short = any(n is not None for n in steps)
    return 0 if short or usable_cores() < 2 else usable_cores()


@dataclass(frozen=True)
class _Training:
    """A training in its folder; `told` holds what its process writes, line by line, and None at the end."""

    folder: Path
    told: SimpleQueue[str | None] = field(default_factory=SimpleQueue)


class Workers:
    """At most `n` trainings at once, no more than there are cores, each in a process of its own with one thread.

    Plain subprocesses, not `multiprocessing`: that would run a user's script again which has no
    `if __name__ == "__main__"`. Not threads: they would share one random state. To be used as a context: at its end
    whatever still trains is stopped, and all files are removed.
    """

    def __init__(self, n: int) -> None:
        self._n = min(n, usable_cores())
        self._threads = ThreadPoolExecutor(max(self._n, 1), thread_name_prefix="timeloom-training")
        self._trainings: dict[str, _Training] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._closed = True
            for process in self._running:
                process.kill()
        self._threads.shutdown(cancel_futures=True)
        self._trainings.clear()
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def spare_cores(self) -> int | None:
        """CPU threads for this process beside the trainings, at least 1; None, all, where none was started."""
        return max(1, usable_cores() - min(self._n, len(self._trainings))) if self._trainings else None

    def start(self, key: str, encoder: StoredEncoder, X: NDArray, y: NDArray | None) -> None:
        """Train a copy of an encoder as soon as a core is free, in the order of these calls; `train` waits for it.

        Without workers, for labels that are Python objects, or where its files cannot be written, nothing starts:
        `train` then does the work itself.
        """
        if not self._n or key in self._trainings or (y is not None and y.dtype.hasobject):
            return
        try:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="timeloom-training-")
            training = _Training(Path(self._folder.name) / key)
            write_json(training.folder / JOB, {"kind": encoder.kind, "settings": encoder.settings})
            arrays = training.folder / ARRAYS
            np.savez(arrays, X=X) if y is None else np.savez(arrays, X=X, y=y)
        except OSError:
            return
        self._trainings[key] = training
        self._threads.submit(self._run, training)

    def train(
        self, key: str, encoder: StoredEncoder, X: NDArray, y: NDArray | None, progress: Progress
    ) -> StoredEncoder:
        """The encoder fitted by the training that was started under this key; else a copy of it, fitted here.

        Raises:
            InputError: that of `encoder.fit`.
        """
        training = self._trainings.pop(key, None)
        if training is not None:
            while (line := training.told.get()) is not None:
                told = json.loads(line)
                if "error" in told:
                    raise InputError(told["error"])
                progress(**told)
            try:
                return load_encoder(training.folder / FITTED)
            except InputError:
                warnings.warn(_obituary(encoder, training.folder), RuntimeWarning, stacklevel=2)
        # a copy: the caller's object may be fitted on other series next
        return copy.copy(encoder).fit(X, y, progress=progress)

    def _run(self, training: _Training) -> None:
        """Start a process and hear it out: all that the threads of this class do."""
        # the worker finds modules where this process does, and nothing else that lies in the current folder
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        try:
            with (training.folder / COMPLAINTS).open("w") as complaints:
                with self._lock:
                    if self._closed:
                        return
                    process = subprocess.Popen(
                        [sys.executable, "-P", "-m", WORKER, str(training.folder)],
                        env={**os.environ, **ONE_THREAD, "PYTHONPATH": paths},
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=complaints,
                        text=True,
                        encoding="utf-8",
                    )
                    self._running.add(process)
                with process:
                    assert process.stdout is not None
                    for line in process.stdout:
                        if line.startswith("{"):  # anything else is the chatter of some library
                            training.told.put(line)
        finally:
            training.told.put(None)


def _obituary(encoder: StoredEncoder, folder: Path) -> str:
    """What to say of a process that left no encoder."""
    try:
        words = (folder / COMPLAINTS).read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        words = []
    last = next((line.strip() for line in reversed(words) if line.strip()), "it was killed")
    return f"a process that trained {type(encoder).__name__} ended without a result ({last}); it is trained here again"
