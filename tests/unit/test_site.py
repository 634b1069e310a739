"""The documentation site: it builds without a warning, leaves no page out, and its figures are those of the results."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from importlib import import_module
from importlib.util import find_spec

import pytest

import gallery
import publish_paper
import publish_steering
import site_pages
from emospace.artefacts import read_json
from pages import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_the_navigation_names_every_page_and_no_other():
    named = re.findall(r"[\w/.-]+\.md", CONFIG.split("\nnav:\n")[1])
    made = {
        "commands.md",
        "api/index.md",
        *(page for page in site_pages.ELSEWHERE.values() if page not in PAGES),
    }
    assert len(named) == len(set(named))
    # Results that were published since are added by the build.
    assert set(named) | set(site_pages.results()) == {*PAGES, *made}


def test_the_reference_has_every_public_name():
    import emospace

    listed = {name.rpartition(".")[2] for names in site_pages.public_names().values() for name in names}
    assert listed == set(emospace.__all__) - {"__version__", "compare", "export", "read"}


def test_the_commands_page_has_every_command_with_its_options():
    page = site_pages.commands()
    section = page.split("\n## emospace steer export\n")[1].split("\n## ")[0]
    assert "`--format`" in section
    assert "`joy`" not in section
    assert "```sh\nemospace steer export --emotion joy --format gguf --out joy.gguf\n" in section
    assert "\n## emospace cache gc\n" in page


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](docs/method.md#space)", "[a](method.md#space)"),
        ("[a](packages/gemma/README.md)", "[a](gemma-package.md)"),
        ("[a](https://example.org)", "[a](https://example.org)"),
        ("[a](src/emospace/cli)", "a"),
        ("[a](docs/nothing.md)", "[a](docs/nothing.md)"),
    ],
)
def test_a_link_from_the_root_leads_to_a_page_of_the_site(text, expected):
    assert site_pages.relinked(text, "CONTRIBUTING.md", "contributing.md") == expected


@pytest.mark.parametrize("mark", publish_paper.TABLES)
def test_the_claims_show_the_published_figures(mark):
    assert publish_paper.written(mark) == publish_paper.TABLES[mark](), "run: python recipes/publish_paper.py"


@pytest.mark.parametrize("name", gallery.FIGURES)
def test_the_gallery_shows_the_published_figures(name):
    numbers, _ = gallery.FIGURES[name]
    assert gallery.drawn(name) == gallery.digest(numbers()), "run: python recipes/publish_paper.py"


def published_evaluations():
    """The published steering studies that compare ways at equal cost."""
    studies = {path: read_json(path) for path in sorted((DOCS / "results").glob("steering*.json"))}
    return [
        pytest.param(path, study, id=path.stem)
        for path, study in studies.items()
        if "frontier_figures" in study
    ]


@pytest.mark.parametrize(("path", "study"), published_evaluations())
def test_the_page_of_an_evaluation_shows_its_published_figures(path, study):
    page = publish_steering.page(path.stem, study)
    assert path.with_suffix(".md").read_text(encoding="utf-8") == page


def test_a_page_tells_the_ways_of_an_emotion_apart():
    """Vectors under guidance and the same without it were both called mix."""
    study = read_json(DOCS / "results" / "steering.json")
    table = publish_steering.page("steering", study).split("| emotion |")[1].split("\n\n")[0]
    ways = [tuple(line.split(" | ")[:2]) for line in table.splitlines()[2:]]
    assert len(ways) == len(set(ways)) >= 12


def test_the_example_of_a_concept_set_is_one(tmp_path):
    from emospace.concepts import check_concepts, load_concepts

    example = re.search(
        r"```toml\n(.*?)    ```", (DOCS / "languages.md").read_text(encoding="utf-8"), re.DOTALL
    )
    path = tmp_path / "sv.toml"
    path.write_text(textwrap.dedent(example[1]), encoding="utf-8")
    problems = check_concepts(load_concepts(path=path))
    assert set(problems.problem) == {"few concepts"}


@pytest.mark.parametrize("page", ["../README.md", *PAGES])
def test_the_python_of_a_page_names_what_there_is(page):
    import emospace

    text = (DOCS / page).read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        for node in ast.walk(ast.parse(textwrap.dedent(block))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("emospace"):
                module = import_module(node.module)
                assert all(hasattr(module, name.name) for name in node.names), ast.unparse(node)
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "es":
                assert node.attr in emospace.__all__, ast.unparse(node)


def claimed(mark: str) -> list[dict[str, str]]:
    """Return the rows of a claim's table on the page, by their columns."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in publish_paper.written(mark).splitlines()
    ]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def test_what_the_page_makes_of_the_figures_is_what_they_say():
    """Each sentence "What to make of it" of docs/paper.md that a newer result could make wrong."""

    def number(row: dict[str, str], column: str) -> float:
        return float(row[column])

    prediction = claimed("prediction")
    assert all(number(row, "space r") > number(row, "outside") for row in prediction)
    assert all(number(row, "dense") > number(row, "space r") for row in prediction)
    rivals = [max(number(row, "most active"), number(row, "input embeddings")) for row in prediction]
    assert sum(rival > number(row, "space r") for rival, row in zip(rivals, prediction, strict=True)) > 4

    gemma = [row for row in claimed("shared") if row["model"].startswith("Gemma")]
    assert {row["within ±.03"] for row in gemma if row["rating"] == "valence"} == {"yes"}
    below = [number(row, "space r") - number(row, "shared r") for row in gemma if row["rating"] == "arousal"]
    assert all(0.015 < gap < 0.035 for gap in below)
    assert {row["within ±.03"] for row in claimed("shared") if not row["model"].startswith("Gemma")} == {"no"}

    for row in claimed("valence"):
        more = number(row, "valence r / ceiling") - number(row, "arousal r / ceiling")
        assert more > 0.1 if row["language"] == "en" else more < 0.02

    gains = {
        (row["model"], row["languages"], row["rating"], row["features"]): number(row, "across r")
        - number(row, "same language r")
        for row in claimed("transfer")
    }
    assert {row for row, gain in gains.items() if gain >= 0} == {("Gemma", "en to zh", "valence", "space")}
    assert max(gains.values()) < 0.01

    valence = [row for row in claimed("arrangement") if "r with valence" in row["figure"]]
    assert all(
        number(row, "value") > number(row, "input embeddings") and number(row, "p") < 0.05 for row in valence
    )
    texts = [row for row in claimed("arrangement") if "GoEmotions" in row["figure"]]
    assert all(number(row, "value") <= number(row, "input embeddings") + 0.005 for row in texts)

    features = next(
        row for row in claimed("languages") if row["model"].startswith("Gemma") and row["space"] == "sae"
    )
    assert number(features, "shared latents") > float(features["by chance"].split()[-1])

    steering = claimed("steering")
    for row in (row for row in steering if row["vectors"] == "mix"):
        others = [
            other
            for other in steering
            if other["study"] == row["study"] and other["vectors"] in ("prompt", "shuffled")
        ]
        assert all(
            number(row, "judged as the target") > number(other, "judged as the target") for other in others
        )
        assert number(row, "share of emotions above random") >= 0.95


@pytest.mark.skipif(find_spec("mkdocstrings") is None, reason="the group docs is not installed (make setup)")
def test_the_site_builds_without_a_warning(tmp_path):
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    home = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    # A reader's browser fetches nothing from elsewhere.
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=\"https?://", home)
