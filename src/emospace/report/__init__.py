"""The report of a run: one self-contained HTML page, and figures for a paper."""

from __future__ import annotations

from emospace.report.page import write_report
from emospace.report.paper import figures

__all__ = ["figures", "write_report"]
