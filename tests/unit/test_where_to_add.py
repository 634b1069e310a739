"""Every file and name of the table "Where to add" in docs/ARCHITECTURE.md is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| ([^|]+) \| ([^|]+) \|$",
    (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## Where to add")[1],
    re.MULTILINE,
)[1:]
NAME = re.compile(r"`([A-Za-z_]\w*)`")
PATH = re.compile(r"`([\w<>.-]*[/.][\w<>./-]*)`")
OF = re.compile(r"((?:`\w+`(?:, | or | and )?)+) of `([^`]+)`")


def places(path: str) -> list[Path]:
    """Return the files or folders a path of the table stands for; `<lang>` is any language."""
    pattern = path.replace("<lang>", "*").rstrip("/")
    return [match for base in (ROOT / "src" / "emospace", ROOT) for match in base.glob(pattern)]


def names(file: Path) -> set[str]:
    """Return the functions, classes, methods and assigned names of a file."""
    result: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            result.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            result |= {
                part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)
            }
    return result


def test_the_table_is_read():
    assert len(ROWS) > 20
    assert sum(len(OF.findall(where)) for _, where in ROWS) > 20
    assert names(Path(__file__)) >= {"places", "ROWS"}


@pytest.mark.parametrize(("what", "where"), ROWS, ids=[what for what, _ in ROWS])
def test_each_file_and_name_is_there(what, where):
    paths = PATH.findall(where)
    assert paths, f"'{what}' names no file"
    for path in paths:
        assert places(path), f"'{what}': there is no {path}"
    placed = [(name, path) for of, path in OF.findall(where) for name in NAME.findall(of)]
    for name, path in placed:
        assert name in names(places(path)[0]), f"'{what}': {path} has no {name}"
    unplaced = set(NAME.findall(where)) - {name for name, _ in placed}
    assert not unplaced, f"'{what}': no file is named for {unplaced}"
