"""Messages are sentences: what was given, why it cannot be used, and an instruction."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import emospace

ROOT = Path(emospace.__file__).parent
ERRORS = {"EmospaceError", "InvalidInput", "MissingDependency", "DiskError"}


def hints(path: Path) -> list[tuple[int, str]]:
    """Return the line and the beginning of each hint that a file writes out."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS and len(node.args) == 3:
            hint = node.args[2]
            first = hint.values[0] if isinstance(hint, ast.JoinedStr) else hint
            if isinstance(first, ast.Constant) and first.value:
                found.append((hint.lineno, first.value))
    return found


def test_hints_are_found():
    assert sum(len(hints(path)) for path in ROOT.rglob("*.py")) > 200


@pytest.mark.parametrize(
    "path", [path for path in ROOT.rglob("*.py") if hints(path)], ids=lambda path: path.stem
)
def test_a_hint_begins_as_a_sentence_does(path):
    assert not [(line, hint) for line, hint in hints(path) if hint[0].islower()]
