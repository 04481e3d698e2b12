"""A report as one HTML page that needs nothing but a browser."""

from __future__ import annotations

from timeloom.evaluation.page.comparison import write_comparison_page
from timeloom.evaluation.page.page import write_page

__all__ = ["write_comparison_page", "write_page"]
