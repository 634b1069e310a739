"""The report as a reader sees it: in a window of 1,280 px, and on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from visiting import SIZES, browser_fixture

from emospace.records import Results, Source
from emospace.report import write_report
from planted_runs import write_run

__all__ = ["browser_fixture"]

CITED = "Tjuka, Forkel & List (2024) Universal and cultural factors shape body part vocabularies; " * 3


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "run"
    write_run(folder, "tiny", seed=1, languages=("en", "zh"))
    results = Results.load(folder / "results.json")
    sources = tuple(
        Source(
            kind="norms",
            name=f"en_norms_{number}",
            language="en",
            n=2000,
            n_rejected=3,
            scale="valence 1 to 9, arousal 1 to 9, dominance 1 to 9",
            licence="Apache-2.0 (google-research); Reddit text",
            citation=CITED,
            content_hash="0123456789abcdef",
        )
        for number in range(3)
    )
    manifest = results.manifest.model_copy(update={"sources": sources})
    results.model_copy(update={"manifest": manifest}).save(folder / "results.json")
    return write_report(folder)


@pytest.fixture
def page(browser: Any, report: Path) -> Any:
    context = browser.new_context(viewport=SIZES["desktop"])
    page = context.new_page()
    page.set_default_timeout(120_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(report.as_uri())
    page.wait_for_selector(".main-svg")
    yield page
    context.close()
    assert faults == []


def test_tables_fit_a_window_of_1280_pixels(page: Any) -> None:
    wide = page.evaluate(
        "[...document.querySelectorAll('.table')].filter(node => node.scrollWidth > node.clientWidth)"
        ".map(node => node.querySelector('table').id)"
    )
    assert wide == []
    heights = page.evaluate(
        "[...document.querySelectorAll('#table-sources tbody tr')].map(row => row.offsetHeight)"
    )
    assert len(heights) == 3
    assert max(heights) < 150


def test_the_navigation_shows_every_section_whole_in_a_window_of_1280_pixels(page: Any) -> None:
    cut = page.evaluate(
        "[...document.querySelectorAll('nav a')].filter(link => link.getBoundingClientRect().right"
        " > link.closest('ol').getBoundingClientRect().right + 1).map(link => link.textContent)"
    )
    assert cut == []


def test_print_keeps_the_words_of_heads_and_the_choice_that_was_made(page: Any) -> None:
    page.emulate_media(media="print")
    # A control is not drawn in the heads that are repeated on each page of a table.
    shown = page.evaluate(
        "[...new Set([...document.querySelectorAll('th button')].map(node => getComputedStyle(node).display))]"
    )
    assert shown == ["contents"]
    assert all(
        page.locator(".switch:visible label:visible input").evaluate_all("all => all.map(n => n.checked)")
    )
    assert page.locator("nav, .save, .filter").locator("visible=true").count() == 0


def test_sections_can_be_taken_out_and_the_page_be_dark(page: Any, report: Path) -> None:
    page.click(".choose summary")
    page.uncheck(".choose input[value=prediction]")
    assert page.locator("#prediction").is_hidden()
    assert page.locator("nav a[href='#prediction']").is_hidden()
    page.check(".choose input[value=prediction]")
    assert page.locator("#prediction .main-svg").first.is_visible()
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click(".theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert page.inner_text(".theme") == "Light"
    page.goto(f"{report.as_uri()}?sections=answer,manifest")
    page.wait_for_selector("html[data-script]")
    shown = page.locator("main > section:visible").evaluate_all("all => all.map(node => node.id)")
    assert shown == ["answer", "manifest"]
