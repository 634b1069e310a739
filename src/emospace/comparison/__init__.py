"""Finished studies side by side: how alike their models arrange emotion, at which depth, and which predicts better."""

from __future__ import annotations

from emospace.comparison.comparing import Compared, compare_runs
from emospace.comparison.page import write_page
from emospace.comparison.records import Comparison

__all__ = ["Compared", "Comparison", "compare_runs", "write_page"]
