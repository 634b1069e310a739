"""The page's files: small, nothing inline, nothing from elsewhere, every word in every language."""

from __future__ import annotations

import json
import re
from colorsys import rgb_to_hls

import pytest
from stub_api import FILES
from stub_runs import CATEGORIES

from emospace.report.wording import FEATURE_SETS, STRUCTURES

SOURCES = {
    place: path
    for place, path in FILES.items()
    if path.suffix in {".js", ".css", ".html", ".svg"} and "plotly" not in place
}
WORDS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in FILES.values()
    if path.suffix == ".json"
}
STEMS = {key.split(".")[0] for key in WORDS["en"]}
CODE = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES.values())


def test_languages_have_the_same_words() -> None:
    assert set(WORDS) == {"en", "zh"}
    assert set(WORDS["en"]) == set(WORDS["zh"])
    for key, text in WORDS["en"].items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", WORDS["zh"][key])), key
        assert WORDS["zh"][key], key


def test_every_word_asked_for_exists() -> None:
    asked = {
        key for key in re.findall(r'"([a-z]+\.[a-z_]+(?:\.[a-z_]+)?)"', CODE) if key.split(".")[0] in STEMS
    }
    assert sorted(asked - set(WORDS["en"])) == []
    assert {f"emotion.{name}" for name in CATEGORIES} <= set(WORDS["en"])


def test_every_word_is_used() -> None:
    built = re.compile(
        r"(emotion|figure|further|kind|set|source|structure|scope|trouble|axis|space|heat|steer|view)\."
    )
    unused = [key for key in WORDS["en"] if not built.match(key) and f'"{key}"' not in CODE]
    assert unused == []


def test_blue_is_what_is_set_and_clicked_and_nothing_else() -> None:
    def is_blue(code: str) -> bool:
        red, green, blue = (int(code[at : at + 2], 16) / 255 for at in (1, 3, 5))
        hue, _, _ = rgb_to_hls(red, green, blue)
        return max(red, green, blue) - min(red, green, blue) > 0.2 and 185 < 360 * hue < 255

    css = FILES["css/palette.css"].read_text(encoding="utf-8")
    colours = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", css)
    assert len(colours) > 20
    assert {name for name, *codes in colours if any(map(is_blue, codes))} == {"accent"}


def test_the_palette_is_declared_once() -> None:
    for place, path in SOURCES.items():
        declared = re.findall(r"--[\w-]+: (?:light-dark\(|#|rgba)", path.read_text(encoding="utf-8"))
        assert place == "css/palette.css" or not declared, place


def test_what_the_report_names_is_known_in_every_language() -> None:
    known = {text.lower() for text in WORDS["en"].values()}
    named = [*STRUCTURES.values(), *(name for name, _, _ in FEATURE_SETS.values())]
    assert [name for name in named if name.lower() not in known] == []
    for words in WORDS.values():
        emotions = [word for key, word in words.items() if key.startswith("emotion.")]
        assert len(set(emotions)) == len(emotions)


@pytest.mark.parametrize("path", SOURCES.values(), ids=SOURCES)
def test_a_strict_policy_allows_the_file(path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") < 400
    foreign = re.findall(r"https?://[^\s\"'`)]+|//cdn\S*", text)
    assert [address for address in foreign if not address.startswith("http://www.w3.org/")] == []
    assert not re.search(r"\beval\(|new Function|innerHTML|insertAdjacentHTML|document\.write", text)
    if path.suffix == ".html":
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)
    if path.suffix == ".css":
        assert "@import" not in text
        assert "url(" not in text
    if path.suffix == ".js":
        assert not re.search(r"style: [\"'`]|setAttribute\(\"style\"|cssText", text)
