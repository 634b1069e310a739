"""The page's files: small, nothing inline, nothing from elsewhere, every word in every language."""

from __future__ import annotations

import json
import re
from colorsys import rgb_to_hls

import pytest
from stub_api import PAGE
from stub_runs import CATEGORIES

SOURCES = sorted(path for path in PAGE.rglob("*") if path.suffix in {".js", ".css", ".html", ".svg"})
WORDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (PAGE / "i18n").glob("*.json")}
STEMS = {key.split(".")[0] for key in WORDS["en"]}
CODE = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)


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
    built = re.compile(r"(emotion|kind|set|source|structure|scope|trouble|axis|space|heat|steer|view)\.")
    unused = [key for key in WORDS["en"] if not built.match(key) and f'"{key}"' not in CODE]
    assert unused == []


def test_blue_is_what_is_set_and_clicked_and_nothing_else() -> None:
    def is_blue(code: str) -> bool:
        red, green, blue = (int(code[at : at + 2], 16) / 255 for at in (1, 3, 5))
        hue, _, _ = rgb_to_hls(red, green, blue)
        return max(red, green, blue) - min(red, green, blue) > 0.2 and 185 < 360 * hue < 255

    css = (PAGE / "css" / "base.css").read_text(encoding="utf-8")
    colours = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", css)
    assert len(colours) > 20
    assert {name for name, *codes in colours if any(map(is_blue, codes))} == {"accent"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PAGE).as_posix())
def test_a_strict_policy_allows_the_file(path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") < 400
    foreign = re.findall(r"https?://[^\s\"'`)]+|//cdn\S*", text)
    assert [one for one in foreign if not one.startswith("http://www.w3.org/")] == []
    assert not re.search(r"\beval\(|new Function|innerHTML|insertAdjacentHTML|document\.write", text)
    if path.suffix == ".html":
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)
    if path.suffix == ".css":
        assert "@import" not in text
        assert "url(" not in text
    if path.suffix == ".js":
        assert not re.search(r"style: [\"'`]|setAttribute\(\"style\"|cssText", text)
