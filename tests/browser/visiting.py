"""Fixtures: a browser and a stub of the API; without Chromium or playwright the tests say so and are skipped.

No conftest: other tests import the one of `tests/` by name.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stub_api import StubServer, serving

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@pytest.fixture(scope="module", name="browser")
def browser_fixture() -> Iterator[Any]:
    """Return a headless Chromium; not for longer, since other tests cannot run an event loop beside it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(name="stub")
def stub_fixture() -> Iterator[StubServer]:
    """Return a stub of the server on a free port."""
    with serving() as server:
        yield server


@pytest.fixture(name="visit")
def visit_fixture(browser: Any, stub: StubServer) -> Iterator[Callable[..., Any]]:
    """Return a function that opens the page at a place, such as ``?lang=zh#/read``.

    When the test ends no error may stand in the console (but those of answers the stub was told to fail with), and no
    request may have gone to another server.
    """
    contexts: list[Any] = []
    faults: list[str] = []
    strangers: list[str] = []

    def watch(request: Any) -> None:
        if not request.url.startswith(stub.address):
            strangers.append(request.url)

    def open_page(
        place: str = "", *, size: str = "desktop", scheme: str = "light", locale: str = "en-GB"
    ) -> Any:
        phone = size == "phone"
        context = browser.new_context(
            viewport=SIZES[size], color_scheme=scheme, locale=locale, has_touch=phone, is_mobile=phone
        )
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=stub.address)
        context.on("request", watch)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on(
            "console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(stub.address + place)
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    expected = [f"status of {status}" for status, _, _ in stub.fail.values()] + ["status of 401"] * bool(
        stub.key
    )
    assert [fault for fault in faults if not any(part in fault for part in expected)] == []
    assert strangers == []
