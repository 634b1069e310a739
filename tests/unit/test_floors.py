"""The table of floors in docs/ARCHITECTURE.md holds for the code.

A room imports at run time, anywhere in its files, only from rooms on floors below its own (and from itself).
Imports under ``if TYPE_CHECKING`` never run and may go anywhere. The package's own ``__init__`` is its public
face and belongs to no floor.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "emospace"


def read_floors(text: str) -> dict[str, int]:
    """Return room -> floor from the table whose rows are ``| floor | `room` `room` | ... |``."""
    floors: dict[str, int] = {}
    for row in re.findall(r"^\|\s*(\d+)\s*\|([^|]+)\|", text, re.MULTILINE):
        for room in re.findall(r"`([\w/]+)`", row[1]):
            name = room.rstrip("/")
            assert name not in floors, f"{name} stands on two floors"
            floors[name] = int(row[0])
    return floors


def is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def runtime_imports(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Yield (line, room) of every import of an emospace room that runs, inside functions too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and is_type_checking(node.test):
            for other in node.orelse:
                yield from runtime_imports(ast.Module([other], []), package)
            continue
        if isinstance(node, ast.Import):
            modules = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            start = base + (node.module.split(".") if node.module else [])
            modules = [[*start, alias.name] for alias in node.names] if len(start) == 1 else [start]
        else:
            modules = []
        for parts in modules:
            if parts[0] == "emospace" and len(parts) > 1 and (node_is_room(parts[1])):
                yield node.lineno, parts[1]
        yield from runtime_imports(node, package)


def node_is_room(name: str) -> bool:
    return (SOURCE / name).is_dir() or (SOURCE / f"{name}.py").is_file()


def rooms() -> dict[str, list[Path]]:
    """Return room -> its python files."""
    found: dict[str, list[Path]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).parts
        if parts[0] not in {"__init__.py", "__main__.py", "data"}:
            found.setdefault(parts[0].removesuffix(".py"), []).append(path)
    return found


FLOORS = read_floors((ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8"))


def breaches(path: Path, room: str) -> list[str]:
    package = ("emospace", *path.relative_to(SOURCE).parts[:-1])
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        f"{path.relative_to(ROOT)}:{line}: {room} (floor {FLOORS[room]}) imports {other} (floor {FLOORS.get(other)})"
        for line, other in runtime_imports(tree, package)
        if other != room and (other not in FLOORS or FLOORS[other] >= FLOORS[room])
    ]


def test_the_table_is_read():
    assert FLOORS["errors"] == 0
    assert FLOORS["cli"] == max(FLOORS.values())
    assert FLOORS["models"] < FLOORS["activations"] < FLOORS["sae"] < FLOORS["features"]


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_only_from_floors_below(room):
    assert room in FLOORS, f"{room} is not in the table of docs/ARCHITECTURE.md"
    # Floor 0 is the ground itself: its rooms may use the error type and the files' one way to be written.
    ground = {"errors", "artefacts"} if FLOORS[room] == 0 else set()
    found = [line for path in rooms()[room] for line in breaches(path, room)]
    assert not [line for line in found if not any(f"imports {name} " in line for name in ground)]


def test_a_breach_is_seen_wherever_it_hides(tmp_path):
    source = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from emospace.cli import main
else:
    from emospace.report import write
def late():
    import emospace.study.running
    from emospace import features, __version__
    from ..activations import extract
"""
    found = list(runtime_imports(ast.parse(source), ("emospace", "models")))
    assert [room for _, room in found] == ["report", "study", "features", "activations"]
