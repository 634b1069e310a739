"""The page on which a person rates answers: by keyboard, kept over a reload, saved as a sheet that is read back."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from visiting import SIZES, browser_fixture

from emospace.evaluation.rating import _page
from emospace.judges import BASIC_SEVEN

__all__ = ["browser_fixture"]

ANSWERS = pd.DataFrame(
    {
        "id": ["bcdfghjk", "lmnpqrst", "vwxzbcdf"],
        "prompt": ["A day?", "A street?", "=A cat?"],
        "text": ['So "glad",\nreally.', "</script><b>Grey", "-  Paws"],
    }
)


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    path = tmp_path / "sheet.html"
    path.write_text(_page(ANSWERS, "zh"), encoding="utf-8")
    return path


@pytest.mark.parametrize("size", SIZES)
def test_keys_rate_and_the_saved_sheet_holds_every_answer(browser: Any, page_file: Path, size: str) -> None:
    context = browser.new_context(viewport=SIZES[size], accept_downloads=True)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(page_file.as_uri())
    assert page.locator("html").get_attribute("lang") == "zh"
    assert page.locator("#answer").inner_text() == 'So "glad",\nreally.'
    page.keyboard.press("4")
    assert page.locator("#answer").inner_text() == "</script><b>Grey"
    page.locator("label.choice").nth(6).click()
    assert page.locator("#answer").inner_text() == "-  Paws"
    page.keyboard.press("ArrowLeft")
    assert page.locator("input:checked").input_value() == "neutral"
    page.keyboard.press("ArrowRight")
    assert page.locator("input:checked").count() == 0
    page.reload()
    assert page.locator("input:checked").input_value() == "joy"
    page.locator("#save").click()
    assert page.locator("#name").evaluate("node => node === document.activeElement")
    page.locator("#name").fill("an/n")
    with page.expect_download() as waiting:
        page.locator("#save").click()
    assert waiting.value.suggested_filename == "ann.csv"
    text = Path(waiting.value.path()).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [(row["id"], row["emotion"]) for row in rows] == [
        ("bcdfghjk", "joy"),
        ("lmnpqrst", "neutral"),
        ("vwxzbcdf", ""),
    ]
    assert rows[0]["answer"] == 'So "glad", really.'
    assert (rows[2]["prompt"], rows[2]["answer"]) == (" =A cat?", " - Paws")
    width = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert width
    assert faults == []
    assert {row["emotion"] for row in rows} - {""} <= set(BASIC_SEVEN)
    context.close()
