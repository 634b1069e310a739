"""Fixtures: a browser and a stub of the API; without Chromium or playwright the tests say so and are skipped.

No conftest: other tests import the one of `tests/` by name.
"""

from __future__ import annotations

import shutil

import pytest
from stub_api import serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}


@pytest.fixture(scope="session")
def browser():
    """Return a headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        yield found
        found.close()


@pytest.fixture
def stub():
    """Return a stub of the server on a free port."""
    with serving() as server:
        yield server


@pytest.fixture
def visit(browser, stub):
    """Return a function that opens a view; afterwards no error may stand in the console and nothing have gone elsewhere."""
    contexts, faults, strangers = [], [], []

    def watched(route) -> None:
        if route.request.url.startswith(stub.address):
            route.continue_()
        else:
            strangers.append(route.request.url)
            route.abort()

    def open_view(place: str = "", *, size: str = "desktop", scheme: str = "light", locale: str = "en-GB", base: str | None = None):
        context = browser.new_context(viewport=SIZES[size], color_scheme=scheme, locale=locale, has_touch=size == "phone", is_mobile=size == "phone")
        contexts.append(context)
        context.route("**/*", watched)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{stub.address}{place}")
        page.wait_for_selector("html[data-ready]")
        return page

    open_view.faults = faults
    yield open_view
    for context in contexts:
        context.close()
    expected = tuple(f"{status} (" for status, _, _ in stub.fail.values()) + (("401 (",) if stub.key else ())
    assert [fault for fault in faults if not any(part in fault for part in expected)] == []
    assert strangers == []
