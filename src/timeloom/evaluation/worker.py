"""Train one encoder in this process: `python -m timeloom.evaluation.worker FOLDER`, as `Workers` calls it.

The folder holds the encoder's kind and settings and the series; it gets the fitted encoder. Standard output gets a JSON
object a line: arguments of a progress callable, or an error of the user's as `{"error": text}`.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import numpy as np

from timeloom.encoders import ENCODERS
from timeloom.errors import InputError
from timeloom.evaluation.workers import ARRAYS, FITTED, JOB
from timeloom.files import read_json


def main(folder: Path) -> None:
    """Fit what the folder describes."""
    # Ctrl-C reaches the whole group: the parent hears it too and ends this process, without a traceback from here
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    job = read_json(folder / JOB)
    with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
        X, y = arrays["X"], arrays.get("y")
    try:
        ENCODERS[job["kind"]](**job["settings"]).fit(X, y, progress=_report).save(folder / FITTED)
    except InputError as error:
        _tell({"error": str(error)})


def _report(stage: str, done: int, total: int, note: str = "") -> None:
    _tell({"stage": stage, "done": done, "total": total, "note": note})


def _tell(values: dict[str, object]) -> None:
    # a parent that is gone breaks the pipe, and so ends this process too
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
