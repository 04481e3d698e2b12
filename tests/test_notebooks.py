"""The notebooks run whole, in the smoke preset, in a fresh kernel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(notebook: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbmake",
        "--nbmake-timeout=1200",
        "-q",
        "-p",
        "no:cacheprovider",
        str(notebook),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "1 passed" in done.stdout


def test_the_notebooks_of_the_readme_are_there() -> None:
    assert {"quickstart", "evaluate_any_generator", "ncvqvae", "encoders"} <= {path.stem for path in NOTEBOOKS}
