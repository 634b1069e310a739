"""The start page and the tutorials run as they are written, on the embedded model."""

from __future__ import annotations

import json

import pytest

from emospace.errors import EmospaceError
from emospace.models import EMBEDDED, PACKAGED
from pages import ROOT, blocks, digitless, run_notebook, run_page, undescribed, undescribed_in

PAGES = (ROOT / "docs" / "start.md", *sorted((ROOT / "docs" / "tutorials").glob("*.md")))

NOTEBOOKS = {
    "four_findings": "joy |",
    "own_language": "RSA of Swedish and English",
    "own_norms": "input embeddings: r",
    "steer_and_evaluate": "mixed |",
    "compare_models": "difference",
}
"""Each notebook, and a part of what it prints."""

try:
    for model in (EMBEDDED, "gemma"):
        PACKAGED[model].parts()
except EmospaceError as error:
    pytest.skip(str(error), allow_module_level=True)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs_as_it_is_written(page, tmp_path):
    assert sum(not block.skipped for block in blocks(page)) >= 4
    run_page(page, tmp_path)
    if page.stem == "scientist":
        # The page on tables reads the run of this tutorial.
        run_page(ROOT / "docs" / "tables.md", tmp_path)
    for run in (tmp_path / "runs").glob("*"):
        assert not undescribed_in(run)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name, tmp_path):
    assert NOTEBOOKS[name] in run_notebook(ROOT / "docs" / "notebooks" / f"{name}.ipynb", tmp_path)


def test_every_notebook_is_run_and_holds_no_output():
    folder = ROOT / "docs" / "notebooks"
    assert {path.stem for path in folder.glob("*.ipynb")} == set(NOTEBOOKS)
    for path in folder.glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_a_page_whose_output_is_another_would_be_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint('r', 0.5)\n```\n\n```text\nr 0.75\n```\n", encoding="utf-8")
    assert run_page(page, tmp_path) == "r 0.5\n"
    page.write_text("```python\nprint('r', 0.5)\n```\n\n```text\np 0.5\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"page.md: p 0.5"):
        run_page(page, tmp_path)


def test_a_command_that_fails_is_noticed_and_one_that_is_not_run_is_not(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```sh\nemospace norms check nothing.csv\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"nothing\.csv"):
        run_page(page, tmp_path)
    page.write_text(f"<!-- not run: it would fail -->\n{page.read_text(encoding='utf-8')}", encoding="utf-8")
    assert run_page(page, tmp_path) == ""


def test_numbers_are_masked_and_words_are_not():
    assert digitless("RSA\t0.54  (0.3)") == "RSA # (#)"


def test_a_column_that_the_dictionary_lacks_would_be_noticed():
    assert undescribed({"layer_curve": ["layer", "depth"], "rdm_en": ["category", "joy"]}) == {
        "layer_curve.depth"
    }
