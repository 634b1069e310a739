"""The report of a run: one self-contained HTML page, and figures for a paper."""

from __future__ import annotations

from emospace.report.methods import write_methods
from emospace.report.page import write_report
from emospace.report.paper import figures
from emospace.report.printing import write_pdf

__all__ = ["figures", "write_methods", "write_pdf", "write_report"]
