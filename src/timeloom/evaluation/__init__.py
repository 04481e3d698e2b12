"""How good synthetic series are: measures as pure functions of arrays, protocols, floors, a report to read."""

from __future__ import annotations

from timeloom.evaluation.cache import EncoderCache
from timeloom.evaluation.evidence import RealData, TokenViews
from timeloom.evaluation.metrics import METRICS
from timeloom.evaluation.plots import plot_samples
from timeloom.evaluation.protocol import Settings, evaluate_arrays
from timeloom.evaluation.report import Report
from timeloom.evaluation.results import Measure, Verdict
from timeloom.evaluation.windows import WINDOW_METRICS, evaluate_windows

__all__ = [
    "METRICS",
    "WINDOW_METRICS",
    "EncoderCache",
    "Measure",
    "RealData",
    "Report",
    "Settings",
    "TokenViews",
    "Verdict",
    "evaluate_arrays",
    "evaluate_windows",
    "plot_samples",
]
