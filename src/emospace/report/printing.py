"""A report as PDF: its page, printed by a Chromium that is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from emospace.artefacts import atomic_write
from emospace.errors import DiskError, InvalidInput, MissingDependency, unknown

NAMED = "EMOSPACE_BROWSER"
"""Environment variable that names the browser."""
BROWSERS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"),
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
SECONDS = 180
"""A browser that takes longer hangs: the largest reports take some twenty."""
DRAWN_AFTER = 20_000
"""Milliseconds of the page's own time in which it draws its figures."""


def write_pdf(page: Path, sections: Sequence[str] = ()) -> Path:
    """Print a page, or some of its sections, into a PDF of the same name, and return its path.

    Parameters
    ----------
    page
        As `write_report` wrote it.
    sections
        Anchors of the sections to print, as the page's address has them; all unless given.

    Raises
    ------
    EmospaceError
        If the page has no such section, or no browser is found or works.
    """
    try:
        known = re.findall(r'<section id="([\w-]+)"', page.read_text(encoding="utf-8"))
    except OSError as error:
        raise DiskError(
            str(page), f"it cannot be read ({error.strerror})", "Write the report first."
        ) from error
    for name in sections:
        if name not in known:
            raise unknown("section", name, known)
    browser = find_browser()
    address = page.resolve().as_uri() + (f"?sections={','.join(sections)}" if sections else "")
    path = page.with_suffix(".pdf")

    def write(temporary: Path) -> None:
        with TemporaryDirectory() as profile:
            options = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-pdf-header-footer"]
            options += [f"--user-data-dir={profile}", f"--virtual-time-budget={DRAWN_AFTER}"]
            # Chromium refuses to sandbox what root runs.
            options += ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
            _run([browser, *options, f"--print-to-pdf={temporary}", address])
        if not temporary.stat().st_size:
            raise _broken(browser, "it wrote nothing")

    atomic_write(path, write)
    return path


def find_browser() -> str:
    """Return the browser that prints: the one that ``EMOSPACE_BROWSER`` names, or the first that is installed.

    Raises
    ------
    EmospaceError
        If there is none.
    """
    if named := os.environ.get(NAMED):
        if browser := shutil.which(named):
            return browser
        raise InvalidInput(f"{NAMED}={named}", "there is no such program", "Name a Chromium or Chrome.")
    if browser := next(filter(None, map(shutil.which, BROWSERS)), None):
        return browser
    raise MissingDependency(
        "a report as PDF",
        "no Chromium or Chrome was found, which prints it",
        f"Install one (apt-get install chromium), name it in {NAMED}, or open report.html and print it there.",
    )


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise _broken(command[0], f"it took more than {SECONDS} seconds") from error
    except OSError as error:
        raise _broken(command[0], f"it cannot be run ({error.strerror})") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise _broken(
            command[0], f"it ended with {done.returncode} ({said[-1][:200] if said else 'no word'})"
        )


def _broken(browser: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"the browser {browser}", why, f"Name another in {NAMED}, or open report.html and print it there."
    )
