"""Messages are sentences: what was given, why it cannot be used, and an instruction."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import emospace

ROOT = Path(emospace.__file__).parent
ERRORS = {"EmospaceError", "InvalidInput", "MissingDependency", "DiskError"}
VALUE = "VALUE"


@cache
def hints(path: Path) -> list[tuple[int, str]]:
    """Return the line and the text of each hint that a file writes out, `VALUE` where a value is put in."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    given = [
        node.args[2]
        for node in nodes
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS and len(node.args) == 3
    ]
    # Many are named `hint` before they are given.
    given += [
        node.value
        for node in nodes
        if isinstance(node, ast.Assign) and [getattr(name, "id", "") for name in node.targets] == ["hint"]
    ]
    ways = [way for hint in given for way in _ways(hint)]
    return [(way.lineno, text) for way in ways if (text := _text(way))]


def _ways(hint: ast.expr) -> list[ast.expr]:
    return [*_ways(hint.body), *_ways(hint.orelse)] if isinstance(hint, ast.IfExp) else [hint]


def _text(hint: ast.expr) -> str:
    parts = hint.values if isinstance(hint, ast.JoinedStr) else [hint]
    if not isinstance(hint, ast.JoinedStr | ast.Constant):
        return ""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else VALUE for part in parts)


HINTING = [path for path in ROOT.rglob("*.py") if hints(path)]


def test_hints_are_found():
    assert sum(len(hints(path)) for path in HINTING) > 200


@pytest.mark.parametrize("path", HINTING, ids=lambda path: path.stem)
def test_a_hint_begins_as_a_sentence_does(path):
    assert not [(line, hint) for line, hint in hints(path) if hint[0].islower()]


@pytest.mark.parametrize("path", HINTING, ids=lambda path: path.stem)
def test_a_hint_ends_as_a_sentence_does_or_with_a_line_to_type(path):
    # A line to type stands last, after a colon, and without a full stop of ours.
    open_ended = [
        (line, hint) for line, hint in hints(path) if not hint.endswith((".", "?")) and ": " not in hint
    ]
    assert not open_ended
