"""The real command line, called in this process: `main()` with arguments, exit status and both streams."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import waves

from timeloom import cli


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def timeloom(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["timeloom", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        streams = capsys.readouterr()
        code = stop.value.code
        return Outcome(code if isinstance(code, int) else 0, streams.out, streams.err)

    return run


@pytest.fixture(scope="session")
def wave_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "waves.npz"
    (X, y), (X_test, y_test) = waves(), waves(seed=1)
    np.savez(path, X_train=X, y_train=y, X_test=X_test, y_test=y_test)
    return path


@pytest.fixture(scope="session")
def wave_run(wave_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that the command line trained; tests that change it work on a copy."""
    out = tmp_path_factory.mktemp("runs") / "waves"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["timeloom", "train", str(wave_file), "--out", str(out), "--preset", "smoke"])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert not stop.value.code
    return out
