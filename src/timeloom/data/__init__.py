"""Data sets of time series: reading, checking, splitting, scaling, writing."""

from timeloom.data.dataset import MIN_LENGTH, Dataset, check_series
from timeloom.data.long import LongSeries, load_long
from timeloom.data.named import available, load_named
from timeloom.data.readers import READABLE_SUFFIXES, read, read_series
from timeloom.data.scaling import Scaler
from timeloom.data.sources import load
from timeloom.data.splits import (
    blocked_holdout,
    evenly_spaced,
    match_label_type,
    proportional_labels,
    stratified_holdout,
)
from timeloom.data.writers import WRITABLE_SUFFIXES, check_writable_suffix, write_series

__all__ = [
    "MIN_LENGTH",
    "READABLE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Dataset",
    "LongSeries",
    "Scaler",
    "available",
    "blocked_holdout",
    "check_series",
    "check_writable_suffix",
    "evenly_spaced",
    "load",
    "load_long",
    "load_named",
    "match_label_type",
    "proportional_labels",
    "read",
    "read_series",
    "stratified_holdout",
    "write_series",
]
