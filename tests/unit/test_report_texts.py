"""The words of the pages: every block that is built has its texts, filled in with all they name."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from string import Formatter

import emospace

ROOT = Path(emospace.__file__).parent
TEXTS = tomllib.loads((ROOT / "report" / "texts.toml").read_text(encoding="utf-8"))
GIVEN = {
    "build": {"caption", "heading", "search"},
    "panel": {"heading", "caption", "alt"},
    "prose": {"text"},
}


def calls() -> list[tuple[str, str | None, set[str | None]]]:
    """Return the name of the function, the key of its texts (None: chosen when run) and its keywords, of each call."""
    made = []
    for path in sorted((ROOT / "report").glob("*.py")) + sorted((ROOT / "comparison").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(getattr(node, "func", None), "id", None)
            if name in GIVEN:
                keywords = {keyword.arg: keyword.value for keyword in node.keywords}
                key = keywords.get("text", node.args[0])
                made.append((name, key.value if isinstance(key, ast.Constant) else None, set(keywords)))
    return made


def test_every_text_is_used_and_filled_in():
    named = {key: (name, keywords) for name, key, keywords in calls() if key}
    assert named.keys() <= TEXTS.keys()
    assert TEXTS.keys() - named.keys() == {"table-steering-basic", "table-steering-others"}
    for key, (name, keywords) in named.items():
        assert TEXTS[key].keys() <= GIVEN[name], key
        assert GIVEN[name] - {"heading", "search"} <= TEXTS[key].keys() | keywords, key
        fields = {
            field for text in TEXTS[key].values() for _, field, _, _ in Formatter().parse(text) if field
        }
        assert fields <= keywords, key
