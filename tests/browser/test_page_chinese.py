"""What the report's figures say in English is said in Chinese on the page: headings, axes, legends, answers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from visiting import browser_fixture, stub_fixture, visit_fixture  # noqa: F401

from emospace.comparison import compare_runs
from emospace.comparison.page import sections
from emospace.comparison.tables import SHOWN
from emospace.records import verdict
from emospace.report.figure_data import PARTS, figure_data, run_figures
from emospace.report.run import load_run
from emospace.report.wording import LANGUAGES, structure_name
from emospace.structure import list_structures
from planted_runs import write_run

NAMES = re.compile(
    rf"tiny-\w+|(?<=, )[a-z]{{2,3}}$|\b(first(?! block)|second|en_norms|{'|'.join(LANGUAGES.values())})\b"
)
"""Names of models, runs, norms, and of languages, by name or code, which the browser knows."""
FIELDS = {"heading", "of", "text", "name", "title", "label"}


def texts_of(value: object, field: str = "") -> Iterator[str]:
    """Yield what a figure says in words."""
    if isinstance(value, str):
        if field in FIELDS:
            yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from texts_of(inner, name)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts_of(inner, field)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("first", "second")):
        write_run(folder / name, f"tiny-{name}", seed=seed, languages=("en", "zh"), n_blocks=4)
    run = load_run(folder / "first")
    compared = compare_runs([folder / "first", folder / "second"], n_permutations=49)
    blocks = [block for section in sections(compared) for block in section.blocks]
    texts = {text for part in PARTS for text in texts_of(run_figures(run, part))}
    texts |= set(texts_of(figure_data(blocks))) | {heading for heading, _, _ in SHOWN.values()}
    texts |= {verdict.EARLIER, verdict.NOTHING}
    texts |= {structure_name(str(name)) for name in list_structures()["name"]}
    return sorted({NAMES.sub("1", text) for text in texts})


def test_all_words_of_figures_have_chinese_ones(visit, said) -> None:
    page = visit("?lang=zh#/steer")
    asking = "async (texts) => { const { isSpoken } = await import('/js/words.js'); return texts.filter((text) => !isSpoken(text)); }"
    assert len(said) > 60
    unsaid = page.evaluate(asking, said)
    assert unsaid == [], "\n".join(unsaid)
