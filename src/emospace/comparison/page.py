"""The page of a comparison: its sections in the frame of the report."""

from __future__ import annotations

from pathlib import Path

from emospace.artefacts import write_text
from emospace.comparison.comparing import Compared
from emospace.comparison.records import Comparison
from emospace.comparison.sections import sections
from emospace.report.page import render_page
from emospace.report.wording import counted, language_name, listed


def write_page(compared: Compared, out: Path | str) -> Path:
    """Write `comparison.html` into a folder, one file that opens offline, and return its path."""
    path = Path(out) / "comparison.html"
    write_text(path, render(compared))
    return path


def render(compared: Compared) -> str:
    """Return the page as HTML; the same comparison gives the same bytes."""
    comparison = compared.comparison
    return render_page(title(comparison), "emospace compare", _summary(comparison), sections(compared))


def title(comparison: Comparison) -> str:
    """Return what the page is called."""
    names = [run.name for run in comparison.runs]
    if len(names) == 2:
        return f"{names[1]} beside {names[0]}"
    return f"{counted(len(names), 'run')} side by side"


def _summary(comparison: Comparison) -> str:
    languages = listed([language_name(code) for code in comparison.languages])
    models = len({run.model for run in comparison.runs})
    return (
        f"{counted(len(comparison.runs), 'run')} of {counted(models, 'model')}, held against {comparison.baseline}; "
        f"compared in {languages}."
    )
