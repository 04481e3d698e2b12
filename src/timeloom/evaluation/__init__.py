"""How good synthetic series are: metrics as pure functions of arrays, a protocol, a report and a plot of samples."""

from __future__ import annotations

from timeloom.evaluation.evidence import RealData, TokenViews
from timeloom.evaluation.measures.bootstrap import bootstrap_interval
from timeloom.evaluation.measures.copying import copy_share
from timeloom.evaluation.measures.frechet import frechet_distance
from timeloom.evaluation.measures.inception import inception_score
from timeloom.evaluation.measures.tokens import perplexity, usage
from timeloom.evaluation.metrics import METRICS
from timeloom.evaluation.plots import plot_samples
from timeloom.evaluation.protocol import evaluate_arrays
from timeloom.evaluation.report import Measure, Report, format_table

__all__ = [
    "METRICS",
    "Measure",
    "RealData",
    "Report",
    "TokenViews",
    "bootstrap_interval",
    "copy_share",
    "evaluate_arrays",
    "format_table",
    "frechet_distance",
    "inception_score",
    "perplexity",
    "plot_samples",
    "usage",
]
