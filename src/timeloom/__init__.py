"""Learn a data set of time series and make new ones: tokenizer, prior, sampling, evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from timeloom.errors import InputError

if TYPE_CHECKING:
    from timeloom.generator import TimeSeriesGenerator
    from timeloom.stages.evaluate import evaluate

__version__ = "0.22.0"
__all__ = ["InputError", "TimeSeriesGenerator", "__version__", "evaluate"]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import: `timeloom --help` and `import timeloom` do not wait for it
    if name == "TimeSeriesGenerator":
        from timeloom.generator import TimeSeriesGenerator

        return TimeSeriesGenerator
    if name == "evaluate":
        from timeloom.stages.evaluate import evaluate

        return evaluate
    raise AttributeError(f"module 'timeloom' has no attribute {name!r}")
