"""The report: what an evaluation found, with a way to a page that a browser shows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from timeloom.evaluation.metrics import METRICS
from timeloom.evaluation.page import write_page
from timeloom.evaluation.results import Results
from timeloom.files import write_json

WINDOW_EXPLANATIONS = {
    "discriminative_gru": "Can a small recurrent network tell synthetic from real? Its held-out accuracy above chance.",
    "predictive_gru": "Error on real windows of a small recurrent network trained to forecast on synthetic ones.",
}


@dataclass(frozen=True)
class Report(Results):
    """Results that can be written to files."""

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """One self-contained page: verdicts, table, pictures."""
        write_page(Path(path), self, explanations=explanations())

    def save(self, path: str | os.PathLike[str]) -> None:
        """`to_json` as a file."""
        write_json(Path(path), self.to_json())


def explanations() -> dict[str, str]:
    """What each measure says, in one sentence, by its name."""
    return {name: metric.explanation for name, metric in METRICS.items()} | WINDOW_EXPLANATIONS
