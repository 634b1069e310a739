"""The emotion categories: their order, flags and definitions."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

BUNDLED = Path(__file__).parent.parent / "data" / "concepts"
CATEGORIES_FILE = "categories.toml"


@dataclass(frozen=True)
class Category:
    """An emotion category: basic or not, in the 26 of the paper (reconstructed) or not."""

    name: str
    basic: bool = False
    paper26: bool = False
    definition: str = ""


def _bundled_categories() -> tuple[Category, ...]:
    entries = tomllib.loads((BUNDLED / CATEGORIES_FILE).read_text(encoding="utf-8"))
    return tuple(Category(name, **entry) for name, entry in entries.items())


CATEGORIES: tuple[Category, ...] = _bundled_categories()
PLACES = {category.name: place for place, category in enumerate(CATEGORIES)}


def place(category: Category) -> int:
    """Return where a category stands in the order of ``categories.toml``; own ones come after all."""
    return PLACES.get(category.name, len(PLACES))
