"""The methods of a run to paste, with what they cite; and the report as PDF."""

from __future__ import annotations

import json
import re
import stat

import pytest
from typer.testing import CliRunner

from emospace.cli import app
from emospace.errors import InvalidInput, MissingDependency
from emospace.records import Results, Source
from emospace.report import write_methods
from emospace.report.methods import methods
from emospace.report.printing import find_browser, write_pdf
from emospace.report.run import load_run
from planted_runs import write_run

NORMS = Source(
    kind="norms",
    name="en_norms",
    language="en",
    n=2000,
    citation="Scott, Keitel & Yao (2019) The Glasgow Norms. Behav Res Methods 51:1258-1270; Lee et al. (2022) CogSci 44",
)
CONCEPTS = Source(kind="concepts", name="concept-sets, en", language="en", n=1924, provenance="curated")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("methods") / "run", "tiny_1")
    results = Results.load(folder / "results.json")
    more = {"sources": (NORMS, CONCEPTS), "versions": {"emospace": "1.2.3", "torch": "2.9"}}
    results.model_copy(update={"manifest": results.manifest.model_copy(update=more)}).save(
        folder / "results.json"
    )
    (folder / "spec.json").write_text(
        json.dumps({"folds": 5, "rule": "standardised", "q": 0.05, "max_features": 370})
    )
    return folder


def test_the_paragraphs_say_what_the_manifest_holds(folder):
    text = " ".join(methods(load_run(folder)).paragraphs)
    for part in (
        "We studied tiny_1 [@tiny1] (8 blocks",
        "curated; 1,924 in English",
        "sparse autoencoder (topk, 64 latents",
        "(rule standardised, false discovery rate 0.05 [@benjamini1995], at most 370)",
        "en_norms (English, 2,000 words) [@scott2019; @lee2022]",
        "ridge regression [@hoerl1970] in 5 folds",
        "emospace 1.2.3 [@emospace] by the command `emospace study` (seed 3; torch 2.9;",
    ):
        assert part in text
    # What the run does not hold is not said.
    assert "relabellings" not in text
    assert "None" not in text
    assert "  " not in text


def test_every_citation_has_an_entry_and_every_entry_is_cited(folder):
    text, references = (path.read_text(encoding="utf-8") for path in write_methods(folder))
    cited = {key for group in re.findall(r"\[@([^\]]+)\]", text) for key in group.split("; @")}
    entries = re.findall(r"^@\w+\{(\w+),$", references, re.MULTILINE)
    assert len(entries) == len(set(entries))
    assert set(entries) == cited
    assert references.count("{") == references.count("}")
    assert "title = {tiny\\_1}" in references
    assert "author = {Scott and Keitel and Yao},\n  title = {The Glasgow Norms}" in references
    assert "author = {Lee and others}" in references


def test_the_command_writes_and_shows_them(folder):
    called = CliRunner().invoke(app, ["report", str(folder), "--methods"])
    assert called.exit_code == 0, called.output
    assert "We studied tiny_1" in called.output
    assert (folder / "references.bib").is_file()
    wrong = CliRunner().invoke(app, ["report", str(folder), "--sections", "answer"])
    assert wrong.exit_code == 2
    assert "Give --pdf too" in wrong.output


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "report.html"
    path.write_text('<section id="answer"></section><section id="manifest"></section>', encoding="utf-8")
    return path


def browser(tmp_path, monkeypatch, script):
    """Let a shell script stand for the browser."""
    path = tmp_path / "chromium"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("EMOSPACE_BROWSER", str(path))


SAVES = 'for a in "$@"; do case "$a" in --print-to-pdf=*) echo "$@" > "${a#--print-to-pdf=}";; esac; done'


def test_the_page_is_printed_with_the_sections_asked_for(page, tmp_path, monkeypatch):
    browser(tmp_path, monkeypatch, SAVES)
    path = write_pdf(page, ("answer", "manifest"))
    assert path == page.with_suffix(".pdf")
    assert path.read_text().strip().endswith("report.html?sections=answer,manifest")
    assert write_pdf(page).read_text().strip().endswith("report.html")
    with pytest.raises(InvalidInput, match=r"section 'anwer'.*Did you mean answer"):
        write_pdf(page, ("anwer",))


@pytest.mark.parametrize(
    ("script", "why"),
    [("exit 0", "it wrote nothing"), ("echo no display >&2; exit 3", r"it ended with 3 \(no display\)")],
)
def test_a_browser_that_fails_is_named(page, tmp_path, monkeypatch, script, why):
    browser(tmp_path, monkeypatch, script)
    with pytest.raises(InvalidInput, match=why):
        write_pdf(page)
    assert not page.with_suffix(".pdf").exists()


def test_without_a_browser_it_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("EMOSPACE_BROWSER", raising=False)
    monkeypatch.setattr("emospace.report.printing.BROWSERS", ("chromium",))
    with pytest.raises(MissingDependency, match="apt-get install chromium"):
        find_browser()
    monkeypatch.setenv("EMOSPACE_BROWSER", "netscape")
    with pytest.raises(InvalidInput, match="there is no such program"):
        find_browser()
