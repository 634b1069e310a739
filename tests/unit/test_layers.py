"""The layers of docs/ARCHITECTURE.md are the contract that import-linter checks in pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
(CONTRACT,) = LINTER["contracts"]


def table() -> list[set[str]]:
    """Return the packages of each layer in the table, lowest first."""
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|([^|]+)\|", text, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(len(rows)))
    return [set(re.findall(r"`(\w+)`", packages)) for _, packages in rows]


def test_the_table_is_the_contract():
    layers = [{name.strip() for name in layer.split("|")} for layer in reversed(CONTRACT["layers"])]
    assert table() == layers


def test_the_contract_covers_every_package_and_import():
    assert (CONTRACT["type"], CONTRACT["containers"]) == ("layers", ["emospace"])
    assert CONTRACT["exhaustive"] and CONTRACT["exhaustive_ignores"] == ["__main__"]
    assert "ignore_imports" not in CONTRACT
    modules = {path.stem for path in (ROOT / "src" / "emospace").iterdir() if path.suffix == ".py"}
    packages = {path.parent.name for path in (ROOT / "src" / "emospace").glob("*/__init__.py")}
    assert set().union(*table()) == (modules | packages) - {"__init__", "__main__"}
