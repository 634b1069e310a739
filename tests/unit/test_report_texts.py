"""The words of the pages: every block and sentence has its texts, filled in with all they name."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from string import Formatter

import pytest

import emospace
from emospace.report.texts import phrase

ROOT = Path(emospace.__file__).parent


def read(name: str) -> dict[str, dict[str, str]]:
    return tomllib.loads((ROOT / "report" / f"{name}.toml").read_text(encoding="utf-8"))


TEXTS = read("texts")
SENTENCES = {
    f"{table}.{name}": text for table, texts in read("sentences").items() for name, text in texts.items()
}
GIVEN = {
    "build": {"caption", "heading", "search"},
    "panel": {"heading", "caption", "alt"},
    "prose": {"text"},
}


def calls(named: set[str]) -> list[tuple[str, set[str], set[str | None]]]:
    """Return the name of the function, the keys of its texts (none: chosen elsewhere) and its keywords, of each call."""
    made = []
    for path in sorted((ROOT / "report").glob("*.py")) + sorted((ROOT / "comparison").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(getattr(node, "func", None), "id", None)
            if name in named:
                keywords = {keyword.arg: keyword.value for keyword in node.keywords}
                key = keywords.get("text", node.args[0])
                keys = {part.value for part in ast.walk(key) if isinstance(part, ast.Constant) and part.value}
                made.append(
                    (
                        name,
                        keys if named == {"phrase"} or isinstance(key, ast.Constant) else set(),
                        set(keywords),
                    )
                )
    return made


def fields(text: str) -> set[str]:
    return {field.partition(".")[0] for _, field, _, _ in Formatter().parse(text) if field}


def test_every_text_is_used_and_filled_in():
    made = [(key, name, keywords) for name, keys, keywords in calls(set(GIVEN)) for key in keys]
    used = {key for key, _, _ in made}
    assert used <= TEXTS.keys()
    assert TEXTS.keys() - used == {"table-steering-basic", "table-steering-others"}
    for key, name, keywords in made:
        assert TEXTS[key].keys() <= GIVEN[name], key
        assert GIVEN[name] - {"heading", "search"} <= TEXTS[key].keys() | keywords, key
        assert set().union(*map(fields, TEXTS[key].values())) <= keywords, key


def test_every_sentence_is_used_and_filled_in():
    made = [
        (key, keywords)
        for _, constants, keywords in calls({"phrase"})
        for constant in constants
        for key in SENTENCES
        # A constant that ends in a dot is the start of a key that is chosen when run.
        if key == constant or ((constant or "").endswith(".") and key.startswith(constant))
    ]
    assert {key for key, _ in made} == SENTENCES.keys()
    for key, keywords in made:
        assert fields(SENTENCES[key]) <= keywords, key


def test_a_template_says_how_a_value_is_written():
    texts = phrase("crossing.where", beyond=1, n=2, language="de"), phrase("crossing.another", rate=-0.5)
    assert texts == ("1 of 2 in German", "by the concepts of another language −.50")


def test_a_noun_is_counted():
    with pytest.raises(KeyError):
        phrase("steering.too_few")
    assert phrase("steering.too_few", n=1).startswith("1 prompt for each")
